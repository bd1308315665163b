//! Log lines of qmgr.
