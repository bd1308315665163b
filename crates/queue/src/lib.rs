//! The queue: a journal, then files in the format of Postfix.
