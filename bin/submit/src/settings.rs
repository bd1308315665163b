//! What the submission commands need of main.cf, and whose main.cf they may believe.

use crate::message::LineEnds;
use crate::{Failure, TEMPFAIL, UNAVAILABLE};
use config::{Config, Errors};
use mail::QueueIdForm;
use std::ffi::OsStr;
use std::path::{Path, PathBuf};

/// Where main.cf is, unless told otherwise.
const DEFAULT_DIRECTORY: &str = "/etc/postfix";

/// The parameters that matter here.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The directory of main.cf.
    pub config_directory: PathBuf,
    /// `myhostname`.
    pub myhostname: String,
    /// `smtpd_banner`.
    pub smtpd_banner: String,
    /// `queue_directory`.
    pub queue_directory: PathBuf,
    /// `command_directory`.
    pub command_directory: PathBuf,
    /// `message_size_limit`; 0 is no limit.
    pub message_size_limit: u64,
    /// `enable_long_queue_ids`.
    pub id_form: QueueIdForm,
    /// `sendmail_fix_line_endings`.
    pub line_ends: LineEnds,
    /// `alias_database`, for newaliases.
    pub alias_database: Vec<String>,
    /// `authorized_submit_users`.
    pub submit_users: Vec<String>,
    /// `authorized_mailq_users`.
    pub mailq_users: Vec<String>,
    /// `authorized_flush_users`.
    pub flush_users: Vec<String>,
    /// `default_verp_delimiters`.
    pub verp_delimiters: String,
    /// `hash_queue_names` and `hash_queue_depth`.
    pub hashing: queue::paths::Hashing,
}

impl Settings {
    /// Reads main.cf in `directory`, or where MAIL_CONFIG or the default says.
    pub fn load(directory: Option<&OsStr>) -> Result<Settings, String> {
        let directory =
            directory.map(PathBuf::from).or_else(|| std::env::var_os("MAIL_CONFIG").map(PathBuf::from));
        let directory = match directory {
            Some(directory) => believed(directory)?,
            None => PathBuf::from(DEFAULT_DIRECTORY),
        };
        // `-C` of sendmail may name the file.
        let directory = if directory.is_file() {
            directory.parent().map_or(directory.clone(), Path::to_path_buf)
        } else {
            directory
        };
        let config = read(&directory)?;
        Settings::of(&config, directory).map_err(|e| e.to_string())
    }

    fn of(config: &Config, config_directory: PathBuf) -> Result<Settings, config::Errors> {
        let global = config::parameters::Global::read(config, None)?;
        let queue = config::parameters::Queue::read(config, None)?;
        Ok(Settings {
            config_directory,
            myhostname: global.myhostname,
            smtpd_banner: config.text("smtpd_banner")?,
            queue_directory: global.queue_directory.into(),
            command_directory: global.command_directory.into(),
            message_size_limit: queue.message_size_limit,
            id_form: if queue.enable_long_queue_ids { QueueIdForm::Long } else { QueueIdForm::Short },
            line_ends: match config.text("sendmail_fix_line_endings")?.as_str() {
                "strict" => LineEnds::Strict,
                "never" => LineEnds::Never,
                _ => LineEnds::Always,
            },
            alias_database: list(config.text("alias_database")?),
            submit_users: list(config.text("authorized_submit_users")?),
            mailq_users: list(config.text("authorized_mailq_users")?),
            flush_users: list(config.text("authorized_flush_users")?),
            verp_delimiters: config.text("default_verp_delimiters")?,
            hashing: queue::paths::Hashing {
                names: queue.hash_queue_names,
                depth: usize::try_from(queue.hash_queue_depth).unwrap_or(1),
            },
        })
    }
}

/// Who runs the command.
pub struct Caller {
    /// The real user.
    pub uid: u32,
    /// Its name, where the user database has one.
    pub login: Option<String>,
    /// Its name in full, of the user database; a user who is not there has none.
    pub full_name: Option<Vec<u8>>,
}

impl Caller {
    fn this() -> Caller {
        let uid = rustix::process::getuid().as_raw();
        match sys::user_by_id(uid).ok().flatten() {
            Some(user) => {
                let full_name = full_name_of(&user.gecos, &user.name).into_bytes();
                Caller { uid, login: Some(user.name), full_name: Some(full_name) }
            }
            None => Caller { uid, login: None, full_name: None },
        }
    }
}

/// Gecos up to the first comma; `&` stands for the login name.
fn full_name_of(gecos: &str, login: &str) -> String {
    let name = gecos.split(',').next().unwrap_or_default();
    let mut capital = login.to_string();
    if let Some(first) = capital.get_mut(..1) {
        first.make_ascii_uppercase();
    }
    name.replace('&', &capital)
}

impl Settings {
    /// Who submits mail, where that is allowed.
    pub fn submitter(&self) -> Result<Caller, Failure> {
        allowed(&self.submit_users, "submit mail", TEMPFAIL)
    }

    /// Fails where the caller may not see the queue.
    pub fn may_list(&self) -> Result<(), Failure> {
        allowed(&self.mailq_users, "view the mail queue", UNAVAILABLE).map(|_| ())
    }

    /// Fails where the caller may not flush the queue.
    pub fn may_flush(&self) -> Result<(), Failure> {
        allowed(&self.flush_users, "flush the mail queue", UNAVAILABLE).map(|_| ())
    }
}

fn allowed(users: &[String], what: &str, code: i32) -> Result<Caller, Failure> {
    let caller = Caller::this();
    let login = caller.login.as_deref().unwrap_or("unknown");
    match crate::users::are_allowed(users, login) {
        Ok(true) => Ok(caller),
        Ok(false) => {
            Err(Failure::new(code, format!("User {login}({}) is not allowed to {what}", caller.uid)))
        }
        Err(reason) => Err(Failure::new(code, reason)),
    }
}

/// The words of a list.
fn list(text: impl AsRef<str>) -> Vec<String> {
    text.as_ref().split([',', ' ', '\t', '\r', '\n']).filter(|w| !w.is_empty()).map(String::from).collect()
}

/// The parameters that [`Settings::of`] reads.
const READ: &[&str] = &[
    "alias_database",
    "authorized_flush_users",
    "authorized_mailq_users",
    "authorized_submit_users",
    "command_directory",
    "default_verp_delimiters",
    "enable_long_queue_ids",
    "hash_queue_depth",
    "hash_queue_names",
    "message_size_limit",
    "myhostname",
    "queue_directory",
    "sendmail_fix_line_endings",
    "smtpd_banner",
];

/// master.cf is not looked at: users may be unable to read it, and a slip in it must not keep mail from being sent. Nor
/// must a wrong value that only the daemons read; but a line that is no setting may have been one that matters here.
fn read(directory: &Path) -> Result<Config, String> {
    let (config, mut errors) = Config::survey_main(directory).map_err(|e| e.to_string())?;
    errors.retain(|e| e.subject.as_deref().is_none_or(|name| READ.contains(&name)));
    Errors::check(errors).map_err(|e| e.to_string())?;
    Ok(config)
}

/// A user may not lend the group of this program to a main.cf of his own (`alternate_config_directories`).
fn believed(directory: PathBuf) -> Result<PathBuf, String> {
    let ours = rustix::process::getegid() == rustix::process::getgid();
    if ours || rustix::process::getuid().is_root() || directory == Path::new(DEFAULT_DIRECTORY) {
        return Ok(directory);
    }
    let default = read(Path::new(DEFAULT_DIRECTORY))?;
    let listed = |name: &str| {
        let directories = default.text(name).map(list).unwrap_or_default();
        directories.iter().any(|listed| Path::new(listed) == directory)
    };
    if listed("alternate_config_directories") || listed("multi_instance_directories") {
        return Ok(directory);
    }
    let name = directory.display();
    Err(format!(
        "unauthorized configuration directory name: {name}\nspecify \"alternate_config_directories = {name}\" or \
         \"multi_instance_directories = {name}\" in {DEFAULT_DIRECTORY}/main.cf"
    ))
}

/// The operating system's words alone.
pub fn os_text(error: &std::io::Error) -> String {
    let text = error.to_string();
    text.split(" (os error").next().unwrap_or(&text).to_string()
}
