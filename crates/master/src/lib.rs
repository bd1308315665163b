//! Supervision, sockets, privileges and reload.
