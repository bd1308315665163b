//! The agents, one file or directory for each kind.
