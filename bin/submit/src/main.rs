//! sendmail, mailq, newaliases, postdrop and postqueue: set-gid, without tokio.
fn main() {}
