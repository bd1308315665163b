//! Log lines of pickup.
