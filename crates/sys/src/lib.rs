//! System calls that need unsafe code: one call, one safe function.
//!
//! The only crate with unsafe code. Where rustix or std have a safe function, callers use that one; what stands
//! here without unsafe is a call that takes care to get right once.

mod append;
mod command;
mod file_identity;
mod host;
mod identity;
mod memfile;
mod pages;
mod passing;
mod pcre;
mod regex;
mod sandbox;
mod spawn;
mod time;
mod users;

pub use append::open_append_as_directory_owner;
pub use command::{RunAs, SpawnError, spawn_as};
pub use file_identity::act_as;
pub use host::host_name;
pub use identity::{become_user, become_user_below};
pub use memfile::sealed_memory_file;
pub use pages::buffer_of_large_pages;
pub use passing::{PASSED_FDS_MAX, receive_with_fds, send_with_fds};
pub use pcre::{PatternError, Pcre, PcreOptions};
pub use regex::{PosixOptions, PosixRegex};
pub use sandbox::{FileSandbox, forbid_system_calls, restrict_files};
pub use spawn::{spawn_with_fds, take_inherited_fd};
pub use time::{LocalTime, Zone, local_time};
pub use users::{Group, User, group_by_name, user_by_id, user_by_name};
