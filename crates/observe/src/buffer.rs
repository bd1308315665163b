//! The process's log buffer: lines go in without waiting, and leave in one write.

use crate::counters::Counter;
use crate::escape::append_printable;
use crate::event::{Level, Tag};
use crate::sink::{Frame, Settings, Writer};
use std::io::Write as _;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// Lines that wait to be written. A stuck syslog daemon or disk leaves this many bytes; what comes then is counted
/// and reported as dropped, since no session may wait for its log line.
const WAITING_BYTES_MAX: usize = 4 << 20;

/// At this many bytes the log thread is woken, where nobody flushes more often.
const WAITING_BYTES_HIGH: usize = 64 << 10;

/// The longest line; a longer one is cut, since a datagram of syslog holds no more for sure.
const LINE_BYTES_MAX: usize = 8 << 10;

/// Lines older than this are written by the log thread, whatever the others do.
const FLUSH_INTERVAL: Duration = Duration::from_secs(1);

/// How long the log thread gathers lines once it was asked: a busy loop's lines of this time leave in one write.
const GATHER: Duration = Duration::from_millis(10);

/// Lines kept before [`start`]; configuration errors and the like are fewer.
const EARLY_LINES_MAX: usize = 1000;

struct Log {
    state: Mutex<State>,
    /// Held while writing, so that lines keep their order.
    writer: Mutex<Option<Writer>>,
    wake: Condvar,
    /// Some line waits: lets [`flush`] return without a lock.
    waiting: AtomicBool,
    /// [`flush`] writes itself, since the destination does not block for long.
    direct: AtomicBool,
}

struct State {
    frame: Option<Frame>,
    lines: Vec<u8>,
    early: Vec<(Level, Tag, String)>,
    /// Lines also go to standard error, as commands do.
    console: bool,
    dropped: u64,
    wake_asked: bool,
}

static LOG: Log = Log {
    state: Mutex::new(State {
        frame: None,
        lines: Vec::new(),
        early: Vec::new(),
        console: false,
        dropped: 0,
        wake_asked: false,
    }),
    writer: Mutex::new(None),
    wake: Condvar::new(),
    waiting: AtomicBool::new(false),
    direct: AtomicBool::new(false),
};

/// Opens the log. Call it once the process has its final identity; again, to change or reopen the destination.
///
/// Starts the thread `log`, which writes what nobody flushes.
pub fn start(settings: Settings) -> std::io::Result<()> {
    let (frame, writer) = crate::sink::open(settings.destination)?;
    let first = {
        let mut slot = lock(&LOG.writer);
        let mut state = lock(&LOG.state);
        // Lines of the old destination leave through it.
        if let Some(old) = slot.as_mut() {
            let _ = old.write(&state.lines);
            state.lines.clear();
        }
        LOG.direct.store(writer.is_direct(), Ordering::Release);
        let first = slot.is_none();
        *slot = Some(writer);
        state.frame = Some(frame);
        let had_console = state.console;
        let early = std::mem::take(&mut state.early);
        // They have been on the console already, where there was one.
        state.console = settings.console && !had_console;
        for (level, tag, text) in early {
            append_locked(&mut state, &tag, level, &text);
        }
        state.console = settings.console;
        first
    };
    if first {
        std::thread::Builder::new().name("log".into()).spawn(run)?;
    }
    Ok(())
}

/// Stops repeating lines on standard error: the process goes into the background.
pub fn stop_console() {
    lock(&LOG.state).console = false;
}

/// Adds a line; the work of [`crate::emit`].
pub(crate) fn append(tag: &Tag, level: Level, text: &str) {
    append_locked(&mut lock(&LOG.state), tag, level, text);
}

fn append_locked(state: &mut State, tag: &Tag, level: Level, text: &str) {
    let text = cut(text);
    if state.console {
        print(tag, level, text);
    }
    let Some(frame) = &mut state.frame else {
        if state.early.len() < EARLY_LINES_MAX {
            state.early.push((level, tag.clone(), text.to_string()));
        } else {
            state.dropped += 1;
            Counter::LogDropped.one();
        }
        return;
    };
    if state.lines.len() + LINE_BYTES_MAX + 256 > WAITING_BYTES_MAX {
        state.dropped += 1;
        Counter::LogDropped.one();
        return;
    }
    frame.begin(&mut state.lines, now_seconds(), level);
    append_printable(&mut state.lines, tag.program.as_bytes());
    let mut digits = [0; 10];
    state.lines.push(b'[');
    state.lines.extend_from_slice(decimal(tag.number, &mut digits));
    state.lines.extend_from_slice(b"]: ");
    state.lines.extend_from_slice(level.prefix().as_bytes());
    append_printable(&mut state.lines, text.as_bytes());
    state.lines.push(b'\n');
    LOG.waiting.store(true, Ordering::Release);
    if state.lines.len() > WAITING_BYTES_HIGH && !state.wake_asked {
        state.wake_asked = true;
        LOG.wake.notify_one();
    }
}

/// Writes what waits, in one write where the destination is a file; a pipe or syslog is left to the log thread,
/// because it may block. Costs one atomic load where nothing waits.
pub fn flush() {
    if !LOG.waiting.load(Ordering::Acquire) {
        return;
    }
    if LOG.direct.load(Ordering::Acquire) { write_out() } else { flush_soon() }
}

/// Has the log thread write what waits, some milliseconds later: for loops that serve many at once. Appending to a file
/// waits where its file system commits its journal, and all sessions would wait with it.
pub fn flush_soon() {
    if !LOG.waiting.load(Ordering::Acquire) {
        return;
    }
    let mut state = lock(&LOG.state);
    if !state.wake_asked && !state.lines.is_empty() {
        state.wake_asked = true;
        LOG.wake.notify_one();
    }
}

/// Writes what waits before the process ends, for at most `limit`.
pub fn finish(limit: Duration) {
    if LOG.direct.load(Ordering::Acquire) {
        return write_out();
    }
    let deadline = Instant::now() + limit;
    while LOG.waiting.load(Ordering::Acquire) && Instant::now() < deadline {
        flush();
        std::thread::sleep(Duration::from_millis(2));
    }
    // The writer is held for the time of a write: what the log thread has taken is out when it is free.
    while LOG.writer.try_lock().is_err() && Instant::now() < deadline {
        std::thread::sleep(Duration::from_millis(2));
    }
}

/// The log thread.
fn run() {
    loop {
        {
            let state = lock(&LOG.state);
            let asked = |s: &mut State| !s.wake_asked;
            let (state, _) = LOG
                .wake
                .wait_timeout_while(state, FLUSH_INTERVAL, asked)
                .unwrap_or_else(PoisonError::into_inner);
            if state.wake_asked && state.lines.len() < WAITING_BYTES_HIGH {
                drop(state);
                std::thread::sleep(GATHER);
            }
        }
        lock(&LOG.state).wake_asked = false;
        write_out();
        report_dropped();
    }
}

/// Writes what waits. Only then does nothing wait any more: who flushes while another thread writes waits for that.
fn write_out() {
    let mut slot = lock(&LOG.writer);
    let Some(writer) = slot.as_mut() else { return };
    let mut lines = writer.take_spare();
    std::mem::swap(&mut lock(&LOG.state).lines, &mut lines);
    let lost = if lines.is_empty() { 0 } else { writer.write(&lines) };
    writer.put_spare(lines);
    Counter::LogDropped.add(lost);
    let mut state = lock(&LOG.state);
    state.dropped += lost;
    if state.lines.is_empty() {
        LOG.waiting.store(false, Ordering::Release);
    }
}

fn report_dropped() {
    let mut state = lock(&LOG.state);
    if state.dropped == 0 || state.lines.len() > WAITING_BYTES_MAX / 2 {
        return;
    }
    let n = std::mem::take(&mut state.dropped);
    let tag = Tag::new("postfix", "log", std::process::id());
    let text = format!("{n} log lines were lost: the log could not be written, or not fast enough");
    append_locked(&mut state, &tag, Level::Warning, &text);
}

/// Commands and a daemon in the foreground tell the terminal what they log.
fn print(tag: &Tag, level: Level, text: &str) {
    let mut line = Vec::with_capacity(text.len() + 64);
    append_printable(&mut line, tag.program.as_bytes());
    line.extend_from_slice(b": ");
    line.extend_from_slice(level.prefix().as_bytes());
    append_printable(&mut line, text.as_bytes());
    line.push(b'\n');
    // Where standard error is gone nobody can be told; the line still goes to the log.
    let _ = std::io::stderr().write_all(&line);
}

fn cut(text: &str) -> &str {
    if text.len() <= LINE_BYTES_MAX {
        return text;
    }
    let mut end = LINE_BYTES_MAX;
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    &text[..end]
}

fn decimal(mut n: u32, digits: &mut [u8; 10]) -> &[u8] {
    let mut at = digits.len();
    loop {
        at -= 1;
        digits[at] = b'0' + (n % 10) as u8;
        n /= 10;
        if n == 0 {
            return &digits[at..];
        }
    }
}

fn now_seconds() -> i64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(now.as_secs()).unwrap_or(i64::MAX)
}

/// A panic while a lock was held leaves at worst half a line.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_printed_in_decimal() {
        for n in [0, 7, 10, 4_294_967_295] {
            assert_eq!(decimal(n, &mut [0; 10]), n.to_string().as_bytes());
        }
    }

    #[test]
    fn a_long_line_is_cut_between_characters() {
        let text = "\u{e4}".repeat(LINE_BYTES_MAX);
        assert_eq!(cut(&text).len(), LINE_BYTES_MAX);
        let text = format!("x{text}");
        assert_eq!(cut(&text).len(), LINE_BYTES_MAX - 1);
    }
}
