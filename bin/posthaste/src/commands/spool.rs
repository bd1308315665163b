//! `posthaste spool export`: what a crash left in the journal becomes queue files, without starting anything.

use super::{Call, instance};
use crate::roles::queue as settings;
use config::Config;
use master::Plan;
use master::lock::LockPaths;
use observe::Tag;
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;

/// `posthaste spool export`.
pub fn run(mut call: Call) -> ExitCode {
    let at = call.arguments.iter().position(|word| word == "export");
    let Some(at) = at else {
        eprintln!("posthaste spool: expected `export` behind it: posthaste spool export [-c DIR]");
        return ExitCode::FAILURE;
    };
    call.arguments.remove(at);
    let done = instance::config_directory(&call).and_then(|directory| export(&directory));
    match done {
        Ok(messages) => {
            println!("{messages} messages of the journal are queue files now");
            ExitCode::SUCCESS
        }
        Err(text) => {
            eprintln!("posthaste spool export: {text}");
            ExitCode::FAILURE
        }
    }
}

/// Writes what a crash left in the journal into queue files, as an orderly stop does; gives how many messages.
fn export(directory: &Path) -> Result<usize, String> {
    let config = Config::load(directory).map_err(|e| e.to_string())?;
    let as_caller = !rustix::process::geteuid().is_root();
    let plan = Plan::of(&config, as_caller).map_err(|e| e.to_string())?;
    let locks = LockPaths::new(&plan.queue_directory, &plan.data_directory);
    if let Some(pid) = locks.running().map_err(|e| e.to_string())? {
        return Err(format!("the mail system is running (process {pid}): `posthaste stop` writes the files"));
    }
    if !plan.queue_directory.join("journal").exists() {
        return Ok(0);
    }
    let owner = plan.identity.as_ref().map(|identity| (identity.mail_owner.uid, identity.mail_owner.gid));
    let owners = plan.identity.as_ref().map(master::owners::Identity::owners);
    master::directories::create_missing(&plan.queue_directory, &plan.data_directory, owners.as_ref())
        .map_err(|e| e.to_string())?;
    // Held until the end, so that nothing starts on the spool meanwhile.
    let _locks = locks.take(owner).map_err(|e| e.to_string())?;
    if let Some(identity) = &plan.identity {
        let owner = &identity.mail_owner;
        sys::become_user(owner, owner.gid).map_err(|e| format!("cannot become {}: {e}", owner.name))?;
    }
    std::env::set_current_dir(&plan.queue_directory)
        .map_err(|e| format!("{}: {e}", plan.queue_directory.display()))?;
    let store_settings =
        settings::store_settings(&config, settings::reporter(&Tag::command(master::PROGRAM)))?;
    let disk = Arc::new(settings::disk(&plan)?);
    let now = net::clock::now();
    let (store, recovered) = queue::Store::open(store_settings, disk, now)
        .map_err(|e| format!("the queue cannot be opened: {e}"))?;
    store.stop(now).map_err(|e| e.to_string())?;
    Ok(recovered.messages)
}
