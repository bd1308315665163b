//! Log lines of cleanup.
