//! `posthaste install` makes users, programs, links and directories; `posthaste uninstall` takes them back.
//!
//! Nothing is made over what is not ours: a path that a package of the host owns, or that holds something install did
//! not make or that was changed since, is refused by name, before anything is done. What is made stands in a manifest.

mod manifest;
mod plan;
mod root;

use super::Call;
use manifest::{Entry, Manifest};
use master::lock::LockPaths;
use plan::Plan;
use root::Root;
use std::path::PathBuf;
use std::process::ExitCode;

/// Runs `posthaste install [--root DIR]`.
pub fn install(call: Call) -> ExitCode {
    ended(&call, root_of(&call).and_then(|root| install_below(&root)))
}

/// Runs `posthaste uninstall [--root DIR]`.
pub fn uninstall(call: Call) -> ExitCode {
    ended(&call, root_of(&call).and_then(|root| uninstall_below(&root)))
}

fn ended(call: &Call, result: Result<(), Vec<String>>) -> ExitCode {
    let Err(reasons) = result else { return ExitCode::SUCCESS };
    reasons.iter().for_each(|reason| eprintln!("posthaste {}: {reason}", call.name));
    ExitCode::FAILURE
}

fn root_of(call: &Call) -> Result<Root, Vec<String>> {
    let usage = || vec![format!("usage: posthaste {} [--root DIR]", call.name)];
    let directory = match call.arguments.as_slice() {
        [] => PathBuf::from("/"),
        [option, directory] if option == "--root" => PathBuf::from(directory),
        [option] => option.strip_prefix("--root=").map(PathBuf::from).ok_or_else(usage)?,
        _ => return Err(usage()),
    };
    if !rustix::process::geteuid().is_root() {
        return Err(vec!["needs root, to give files to other users".to_owned()]);
    }
    Root::open(&directory).map_err(|why| vec![why])
}

fn install_below(root: &Root) -> Result<(), Vec<String>> {
    let one = |why: String| vec![why];
    let mut manifest = Manifest::read(root).map_err(one)?;
    let plan = Plan::find(root).map_err(one)?;
    let refused: Vec<_> = plan.paths().filter_map(|path| root.refuses(path, &manifest)).collect();
    if !refused.is_empty() {
        return Err([refused, vec!["nothing was changed".to_owned()]].concat());
    }
    plan.carry_out(root, &mut manifest).map_err(one)?;
    println!("Installed; {} says what. `posthaste uninstall` takes it back.", manifest::PATH);
    if !root.at("/etc/postfix/main.cf").exists() {
        println!("/etc/postfix/main.cf is yet to be written, and master.cf beside it.");
    }
    Ok(())
}

fn uninstall_below(root: &Root) -> Result<(), Vec<String>> {
    let mut manifest = Manifest::read(root).map_err(|why| vec![why])?;
    if manifest.entries().is_empty() {
        return Err(vec![format!("{}: nothing was installed", root.at(manifest::PATH).display())]);
    }
    if let Some(pid) = running(root, &manifest) {
        return Err(vec![format!("the mail system runs (process {pid}): `posthaste stop` first")]);
    }
    let mut kept = Vec::new();
    // Backwards: files before the directories that hold them, users last.
    let entries: Vec<Entry> = manifest.entries().iter().rev().cloned().collect();
    for entry in entries {
        match root.remove(&entry, &kept) {
            Ok(()) => manifest.forget(&entry),
            Err(why) => kept.push(why),
        }
    }
    manifest.write(root).map_err(|why| vec![why])?;
    if kept.is_empty() { Ok(()) } else { Err(kept) }
}

/// The process that runs on the spool that was installed. The lock decides, not the number in its file.
fn running(root: &Root, manifest: &Manifest) -> Option<i32> {
    let directories = manifest.entries().iter().filter_map(|entry| match entry {
        Entry::Directory(path) => path.strip_suffix("/pid"),
        _ => None,
    });
    let locks = directories.map(|queue| LockPaths::new(&root.at(queue), &root.at(queue)));
    locks.filter_map(|locks| locks.running().ok().flatten()).next()
}
