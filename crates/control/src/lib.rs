//! What an administrator sees and orders while the system runs.
