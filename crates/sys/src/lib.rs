//! The only unsafe crate: descriptor passing, fork and exec, privileges, sandbox, locks.
