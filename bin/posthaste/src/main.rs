//! One executable: daemon roles and the administrator's commands.
fn main() {}
