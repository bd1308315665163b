//! Listening, dialling, names and deadlines.
