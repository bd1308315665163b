//! The SMTP server: sessions, restrictions, and the way into the queue.
