//! The queue: a journal, then files in the format of Postfix.

pub mod file;
pub mod paths;
pub mod record;
pub mod report_log;
