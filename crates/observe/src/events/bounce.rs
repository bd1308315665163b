//! Log lines of bounce.
