//! Runs the cases of a kind in one world and writes what each command said and left, a transcript a case.

use super::case::{Case, Command, NodeKind, shown};
use std::collections::BTreeMap;
use std::fs;
use std::io::{Read, Write};
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant, SystemTime};
use testkit::world;

/// What one case brought forth: `(part, line)`, parts being `N status`, `N stdout`, `N stderr` and `file`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Transcript {
    /// The case's name.
    pub case: String,
    /// The lines in order.
    pub lines: Vec<(String, String)>,
}

/// Commands at once in a world: they start, read small files and end; Postfix's sleep a second before they fail.
const THREADS: usize = 16;
/// Files that Postfix reads again and again until they are older than a second.
const CONFIGURATION: [&str; 2] = ["main.cf", "master.cf"];
/// A command that takes longer hangs.
const COMMAND_TIMEOUT: Duration = Duration::from_secs(20);
/// Where the cases have their directories, each a number below it; the same in each world.
const HOME: &str = "/tmp/tools";
/// Divides part and line of what the inside prints; `shown` lets no control character through.
const MARK: char = '\u{1}';

/// Runs this executable with `arguments` in a world of `program`, where its `main` calls [`inside`].
pub fn outside(program: &str, arguments: &[&str]) -> Result<BTreeMap<String, Transcript>, String> {
    let arguments: Vec<&str> = ["--inside", program].into_iter().chain(arguments.iter().copied()).collect();
    let output = world::run_self(program, &arguments, &[], "")?;
    if !output.status.success() {
        return Err(format!("{program}: {}\n{}", output.status, String::from_utf8_lossy(&output.stderr)));
    }
    let mut transcripts: BTreeMap<String, Transcript> = BTreeMap::new();
    for line in String::from_utf8_lossy(&output.stdout).lines() {
        let mut parts = line.splitn(3, MARK);
        let (Some(case), Some(part), Some(text)) = (parts.next(), parts.next(), parts.next()) else {
            return Err(format!("{program}: unexpected line `{line}`"));
        };
        let transcript = transcripts.entry(case.to_owned()).or_default();
        transcript.case = case.to_owned();
        transcript.lines.push((part.to_owned(), text.to_owned()));
    }
    Ok(transcripts)
}

/// The part that runs inside the world: every case, named, in order of its number.
pub fn inside(cases: &[(String, Case)]) -> Result<(), String> {
    fs::create_dir_all(HOME).map_err(|e| format!("{HOME}: {e}"))?;
    let next = AtomicUsize::new(0);
    let errors = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for _ in 0..THREADS {
            scope.spawn(|| {
                loop {
                    let number = next.fetch_add(1, Ordering::Relaxed);
                    let Some((name, case)) = cases.get(number) else { break };
                    if let Err(why) = play(name, number, case) {
                        errors.lock().expect("no thread panics here").push(format!("{name}: {why}"));
                    }
                }
            });
        }
    });
    let errors = errors.into_inner().expect("the threads have ended");
    if errors.is_empty() { Ok(()) } else { Err(errors.join("\n")) }
}

fn play(name: &str, number: usize, case: &Case) -> Result<(), String> {
    let directory = PathBuf::from(format!("{HOME}/{number:04}"));
    make(&directory, case).map_err(|e| format!("{}: {e}", directory.display()))?;
    let mut out = String::new();
    let mut tell = |part: &str, lines: Vec<String>| {
        let lines = lines.into_iter().map(|line| format!("{name}{MARK}{part}{MARK}{line}\n"));
        out.extend(lines);
    };
    let dir = directory.to_string_lossy();
    for (index, command) in case.commands.iter().enumerate() {
        age(&directory).map_err(|e| format!("{}: {e}", directory.display()))?;
        let (status, stdout, stderr) = run(&directory, command)?;
        let named = |bytes: &[u8]| shown(bytes).into_iter().map(|l| with_placeholder(&l, &dir)).collect();
        tell(&format!("{index} status"), vec![status]);
        tell(&format!("{index} stdout"), named(&stdout));
        tell(&format!("{index} stderr"), named(&stderr));
    }
    let mut found = Vec::new();
    tree(&directory, "", &mut found).map_err(|e| format!("{}: {e}", directory.display()))?;
    found.retain(|(name, _)| !case.ignore.iter().any(|pattern| fits(pattern, name)));
    let lines = found.into_iter().flat_map(|(_, lines)| lines).map(|line| with_placeholder(&line, &dir));
    tell("file", lines.collect());
    fs::remove_dir_all(&directory).map_err(|e| format!("{}: {e}", directory.display()))?;
    print!("{out}");
    Ok(())
}

/// The text with `DIR` for the case's directory, so that it reads like the case file.
fn with_placeholder(text: &str, directory: &str) -> String {
    let mut out = String::new();
    let mut rest = text;
    while let Some(at) = rest.find(directory) {
        out.push_str(&rest[..at]);
        out.push_str("DIR");
        rest = &rest[at + directory.len()..];
    }
    out + rest
}

/// The text with the case's directory for each `DIR` that stands by itself.
fn with_directory(text: &[u8], directory: &str) -> Vec<u8> {
    let is_name = |b: Option<&u8>| b.is_some_and(|b| b.is_ascii_alphanumeric() || *b == b'_');
    let mut out = Vec::with_capacity(text.len());
    let mut at = 0;
    while at < text.len() {
        let before = at.checked_sub(1).and_then(|n| text.get(n));
        if text[at..].starts_with(b"DIR") && !is_name(before) && !is_name(text.get(at + 3)) {
            out.extend_from_slice(directory.as_bytes());
            at += 3;
        } else {
            out.push(text[at]);
            at += 1;
        }
    }
    out
}

fn make(directory: &Path, case: &Case) -> std::io::Result<()> {
    let dir = directory.to_string_lossy();
    fs::create_dir_all(directory)?;
    for node in &case.files {
        let path = directory.join(&node.name);
        if let Some(parent) = path.parent() {
            fs::create_dir_all(parent)?;
        }
        let usual = match &node.kind {
            NodeKind::File(bytes) => fs::write(&path, with_directory(bytes, &dir)).map(|()| 0o644)?,
            NodeKind::Directory => fs::create_dir_all(&path).map(|()| 0o755)?,
            NodeKind::Link(to) => {
                symlink(to, &path)?;
                continue;
            }
        };
        fs::set_permissions(&path, fs::Permissions::from_mode(node.mode.unwrap_or(usual)))?;
    }
    Ok(())
}

/// Makes the configuration an hour old.
fn age(directory: &Path) -> std::io::Result<()> {
    let then = SystemTime::now() - Duration::from_secs(3600);
    for name in CONFIGURATION {
        match fs::OpenOptions::new().append(true).open(directory.join(name)) {
            Ok(file) => file.set_modified(then)?,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

fn run(directory: &Path, command: &Command) -> Result<(String, Vec<u8>, Vec<u8>), String> {
    let dir = directory.to_string_lossy();
    let text = |word: &str| String::from_utf8_lossy(&with_directory(word.as_bytes(), &dir)).into_owned();
    let (program, words) = command.words.split_first().ok_or("a command without a program")?;
    let keep = ["PATH", "TZ", "LD_LIBRARY_PATH"];
    let mut child = std::process::Command::new(program)
        .args(words.iter().map(|word| text(word)))
        .current_dir(directory)
        .env_clear()
        .envs(keep.iter().filter_map(|name| Some((name, std::env::var_os(name)?))))
        .envs(command.environment.iter().map(|(name, value)| (name, text(value))))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(|e| format!("{program}: {e}"))?;
    let (stdin, stdout, stderr) = (child.stdin.take(), child.stdout.take(), child.stderr.take());
    let (stdout, stderr, hung) = std::thread::scope(|scope| {
        // A command that does not read its input closes the pipe; that is no error.
        scope.spawn(|| stdin.map(|mut pipe| pipe.write_all(&with_directory(&command.stdin, &dir))));
        let stdout = scope.spawn(|| stdout.map_or(Ok(Vec::new()), read_all));
        let stderr = scope.spawn(|| stderr.map_or(Ok(Vec::new()), read_all));
        let hung = wait(&mut child);
        (stdout.join(), stderr.join(), hung)
    });
    let bytes = |joined: std::thread::Result<std::io::Result<Vec<u8>>>| {
        joined.map_err(|_| "a reader panicked".to_owned())?.map_err(|e| e.to_string())
    };
    let status = child.wait().map_err(|e| e.to_string())?;
    let status = if hung { "it hung".to_owned() } else { status.to_string() };
    Ok((status, bytes(stdout)?, bytes(stderr)?))
}

fn read_all(mut pipe: impl Read) -> std::io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    pipe.read_to_end(&mut bytes).map(|_| bytes)
}

/// Waits for the end, or ends what hangs; says whether it hung.
fn wait(child: &mut std::process::Child) -> bool {
    let end = Instant::now() + COMMAND_TIMEOUT;
    while matches!(child.try_wait(), Ok(None)) {
        if Instant::now() > end {
            let _ = child.kill();
            return true;
        }
        std::thread::sleep(Duration::from_millis(1));
    }
    false
}

/// Everything below a directory, sorted: the lines that tell its name, mode and owner, and its bytes.
fn tree(directory: &Path, prefix: &str, out: &mut Vec<(String, Vec<String>)>) -> std::io::Result<()> {
    let mut entries: Vec<_> = fs::read_dir(directory)?.collect::<Result<_, _>>()?;
    entries.sort_by_key(fs::DirEntry::file_name);
    for entry in entries {
        let name = format!("{prefix}{}", entry.file_name().to_string_lossy());
        let meta = fs::symlink_metadata(entry.path())?;
        let mut lines = vec![format!("{name} {:o} {}:{}", meta.mode(), meta.uid(), meta.gid())];
        if meta.is_file() {
            lines.extend(shown(&fs::read(entry.path())?).into_iter().map(|line| format!("{name}: {line}")));
        } else if meta.is_symlink() {
            lines.push(format!("{name} -> {}", fs::read_link(entry.path())?.display()));
        }
        out.push((name.clone(), lines));
        if meta.is_dir() {
            tree(&entry.path(), &format!("{name}/"), out)?;
        }
    }
    Ok(())
}

/// Whether a name fits a pattern in which `*` stands for any text.
fn fits(pattern: &str, name: &str) -> bool {
    match pattern.split_once('*') {
        None => pattern == name,
        Some((head, tail)) => name.strip_prefix(head).is_some_and(|rest| {
            (0..=rest.len()).filter(|&at| rest.is_char_boundary(at)).any(|at| fits(tail, &rest[at..]))
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_directory_stands_for_dir_and_back() {
        assert_eq!(with_directory(b"-c DIR/x DIRECTORY xDIR", "/tmp/1"), b"-c /tmp/1/x DIRECTORY xDIR");
        assert_eq!(with_placeholder("open /tmp/1/main.cf", "/tmp/1"), "open DIR/main.cf");
    }

    #[test]
    fn patterns_fit_names() {
        assert!(fits("*.db", "a.db") && fits("a*b*", "aXbY") && fits("x", "x"));
        assert!(!fits("*.db", "a.dbx") && !fits("x", "y"));
    }
}
