//! The options of sendmail, as Postfix takes them.

use crate::tell;
use mail::{Encoding, Notify, Ret};
use std::ffi::OsString;
use std::os::unix::ffi::{OsStrExt, OsStringExt};

/// What sendmail is asked to do.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Mode {
    /// Take a message from standard input (`-bm`).
    #[default]
    Mail,
    /// Ask how mail to recipients would be delivered (`-bv`).
    Verify,
    /// List the queue (`-bp`, `mailq`).
    Queue,
    /// Rebuild the alias tables (`-bi`, `-I`, `newaliases`).
    Aliases,
    /// Speak SMTP on standard input (`-bs`).
    Smtp,
    /// Start the mail system (`-bd`, `-bl`).
    Daemon,
    /// Flush the queue (`-q`).
    Flush,
}

/// The command line. Its words are bytes, since addresses and names need not be UTF-8.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Options {
    /// What to do.
    pub mode: Mode,
    /// Whether all is said with what is always done anyway or never: `-bh`, `-bH`, `-q30m`.
    pub nothing: bool,
    /// `-C`: where main.cf is.
    pub config: Option<OsString>,
    /// `-f`, `-r`: the sender, as written.
    pub sender: Option<Vec<u8>>,
    /// `-F`: the sender's full name.
    pub full_name: Option<Vec<u8>>,
    /// `-t`: recipients stand in the header.
    pub extract: bool,
    /// `-i`, `-oi`: a line with one dot does not end the message.
    pub ignore_dots: bool,
    /// `-G`: mail of strangers, whose headers stay as they are.
    pub relay: bool,
    /// How often `-v` was given: once asks for a report of the first delivery, more often has no effect.
    pub verbose: u32,
    /// `-N`.
    pub notify: Notify,
    /// `-R`.
    pub ret: Option<Ret>,
    /// `-V` with an envelope id.
    pub envid: Option<Vec<u8>>,
    /// `-XV`: the delimiters of VERP, or none to take the default ones.
    pub verp: Option<Vec<u8>>,
    /// `-B`.
    pub encoding: Encoding,
    /// `-oA`: the alias database of `-bi`.
    pub alias_database: Option<OsString>,
    /// `-qI`: flush one message.
    pub flush_id: Option<OsString>,
    /// `-qR`: flush the mail of one site.
    pub flush_site: Option<OsString>,
    /// What is not an option: recipients.
    pub words: Vec<Vec<u8>>,
    /// What was ignored, to be told.
    pub warnings: Vec<String>,
}

/// A command line that cannot be followed.
#[derive(Debug, PartialEq, Eq)]
pub enum Mistake {
    /// It is none: what is told in front of the usage.
    Usage(String),
    /// It is told by itself.
    Fatal(String),
}

/// Options that take a value; `-b`, `-o` and `-q` have theirs at once behind the letter.
const WITH_VALUE: &[u8] = b"ABCFLNORVXefhopr";

/// Longest value of `-V`.
pub const ENVID_MAX: usize = 100;

/// Reads the command line behind the program's name.
pub fn parse(program: &str, arguments: &[OsString]) -> Result<Options, Mistake> {
    let mut options = Options { mode: mode_of(program), ..Options::default() };
    let mut words = arguments.iter().map(|word| word.as_bytes()).peekable();
    while let Some(word) = words.next() {
        if word == b"--" {
            break;
        }
        match word.strip_prefix(b"-").filter(|letters| !letters.is_empty()) {
            // What stands behind a recipient is another one.
            None => {
                options.words.push(word.to_vec());
                break;
            }
            Some(letters) if is_old_verp(letters, words.peek().copied()) => {
                let (word, value) = (tell::printable(word), &letters[1..]);
                let new = format!("-X{}", tell::printable(letters));
                options
                    .warnings
                    .push(format!("option {word} is deprecated with Postfix 2.3; specify {new} instead"));
                options.verp = Some(delimiters(value)?);
            }
            Some(letters) => letters_of(letters, &mut words, &mut options)?,
        }
    }
    options.words.extend(words.map(<[u8]>::to_vec));
    options.check()?;
    Ok(options)
}

fn mode_of(program: &str) -> Mode {
    match program {
        "mailq" => Mode::Queue,
        "newaliases" => Mode::Aliases,
        _ => Mode::Mail,
    }
}

/// Before Postfix 2.3 `-V` was what `-XV` is; two characters can be nothing else.
fn is_old_verp(letters: &[u8], next: Option<&[u8]>) -> bool {
    match letters {
        [b'V'] => next.is_some_and(|word| word.len() == 2),
        [b'V', value @ ..] => value.len() == 2,
        _ => false,
    }
}

fn delimiters(value: &[u8]) -> Result<Vec<u8>, Mistake> {
    // Postfix's verp_delimiter_filter.
    let fit = value.is_empty() || (value.len() == 2 && value.iter().all(|byte| b"-=+".contains(byte)));
    fit.then(|| value.to_vec())
        .ok_or_else(|| Mistake::Fatal("-V requires two characters from -=+".to_string()))
}

fn letters_of<'a>(
    letters: &'a [u8],
    words: &mut impl Iterator<Item = &'a [u8]>,
    options: &mut Options,
) -> Result<(), Mistake> {
    let mut rest = letters;
    while let Some((&letter, behind)) = rest.split_first() {
        rest = behind;
        match letter {
            b'q' => return flush(rest, options),
            b'b' => return mode(value_of(letter, rest, words)?, options),
            _ if WITH_VALUE.contains(&letter) => {
                return with_value(letter, value_of(letter, rest, words)?, options);
            }
            b't' => options.extract = true,
            b'i' => options.ignore_dots = true,
            b'I' => options.mode = Mode::Aliases,
            b'G' => options.relay = true,
            b'v' => options.verbose += 1,
            b'n' => return Err(Mistake::Fatal("-n option not supported".to_string())),
            b'U' | b'c' | b'm' | b'x' => {}
            _ => return Err(Mistake::Usage(format!("invalid option -- '{}'", tell::printable(&[letter])))),
        }
    }
    Ok(())
}

fn value_of<'a>(
    letter: u8,
    rest: &'a [u8],
    words: &mut impl Iterator<Item = &'a [u8]>,
) -> Result<&'a [u8], Mistake> {
    if !rest.is_empty() {
        return Ok(rest);
    }
    words
        .next()
        .ok_or_else(|| Mistake::Usage(format!("option requires an argument -- '{}'", char::from(letter))))
}

fn mode(value: &[u8], options: &mut Options) -> Result<(), Mistake> {
    options.mode = match value.first() {
        Some(b'm') => Mode::Mail,
        Some(b'v') => Mode::Verify,
        Some(b'p') => Mode::Queue,
        Some(b'i') => Mode::Aliases,
        Some(b's') => Mode::Smtp,
        Some(b'd' | b'l') => {
            if options.mode == Mode::Flush {
                options.warnings.push("ignoring -q option in daemon mode".to_string());
            }
            Mode::Daemon
        }
        Some(b'h' | b'H') => {
            options.nothing = true;
            return Ok(());
        }
        other => {
            let letter = other.map_or_else(String::new, |letter| tell::printable(&[*letter]));
            return Err(Mistake::Fatal(format!("unsupported: -b{letter}")));
        }
    };
    Ok(())
}

fn with_value(letter: u8, value: &[u8], options: &mut Options) -> Result<(), Mistake> {
    let mut warn = |text: String| options.warnings.push(text);
    match letter {
        b'B' => {
            options.encoding = match value {
                b"8BITMIME" => Encoding::EightBit,
                b"7BIT" => Encoding::SevenBit,
                _ => return Err(Mistake::Fatal("-B option needs 8BITMIME or 7BIT".to_string())),
            }
        }
        b'C' => options.config = Some(OsString::from_vec(value.to_vec())),
        b'F' => options.full_name = Some(value.to_vec()),
        b'f' | b'r' => options.sender = Some(value.to_vec()),
        b'N' => match notify(value) {
            Ok(notify) => options.notify = notify,
            Err(unknown) => {
                if let Some(word) = unknown {
                    let (word, value) = (tell::printable(word), tell::printable(value));
                    warn(format!("unknown DSN NOTIFY command value \"{word}\" in \"{value}\""));
                }
                warn("bad -N option value -- ignored".to_string());
            }
        },
        b'R' if value.eq_ignore_ascii_case(b"full") => options.ret = Some(Ret::Full),
        b'R' if value.eq_ignore_ascii_case(b"hdrs") => options.ret = Some(Ret::Hdrs),
        b'R' => warn("bad -R option value -- ignored".to_string()),
        b'V' if value.len() > ENVID_MAX => warn("too long -V option value -- ignored".to_string()),
        b'V' if value.is_empty() || !value.iter().all(|b| (b' '..=b'~').contains(b)) => {
            warn("bad syntax in -V option value -- ignored".to_string());
        }
        b'V' => options.envid = Some(value.to_vec()),
        b'X' => match value.split_first() {
            Some((b'V', value)) => options.verp = Some(delimiters(value)?),
            other => {
                let letter = other.map_or_else(String::new, |(letter, _)| tell::printable(&[*letter]));
                return Err(Mistake::Fatal(format!("unsupported: -X{letter}")));
            }
        },
        b'o' => match value.split_first() {
            Some((b'A', name)) if !name.is_empty() => {
                options.alias_database = Some(OsString::from_vec(name.to_vec()));
            }
            Some((b'i', _)) => options.ignore_dots = true,
            _ => {}
        },
        _ => {}
    }
    Ok(())
}

/// RFC 3461 4.1; the error is a word that is none, where one is to blame.
pub fn notify(value: &[u8]) -> Result<Notify, Option<&[u8]>> {
    let mut bits = 0;
    let divided = |byte: &u8| matches!(byte, b',' | b' ' | b'\t' | b'\r' | b'\n');
    for word in value.split(divided).filter(|word| !word.is_empty()) {
        bits |= match word.to_ascii_lowercase().as_slice() {
            b"never" => Notify::NEVER.0,
            b"success" => Notify::SUCCESS.0,
            b"failure" => Notify::FAILURE.0,
            b"delay" => Notify::DELAY.0,
            _ => return Err(Some(word)),
        };
    }
    // NEVER stands alone.
    match bits & Notify::NEVER.0 == 0 || bits == Notify::NEVER.0 {
        true => Ok(Notify(bits)),
        false => Err(None),
    }
}

/// `-q`, `-qIid`, `-qRsite`; `-q30m` asks for a daemon that runs the queue, which is always there.
fn flush(value: &[u8], options: &mut Options) -> Result<(), Mistake> {
    let fatal = |text: String| Err(Mistake::Fatal(text));
    match value.split_first() {
        _ if options.mode == Mode::Daemon => {
            options
                .warnings
                .extend(value.is_empty().then(|| "ignoring -q option in daemon mode".to_string()));
        }
        None => options.mode = Mode::Flush,
        Some((first, _)) if first.is_ascii_digit() => options.nothing = true,
        Some((b'I', [])) => return fatal("specify: -qIqueueid".to_string()),
        Some((b'R', [])) => return fatal("specify: -qRsitename".to_string()),
        Some((b'I', id)) => options.flush_id = Some(OsString::from_vec(id.to_vec())),
        Some((b'R', site)) => options.flush_site = Some(OsString::from_vec(site.to_vec())),
        Some((first, _)) => return fatal(format!("-q{} is not implemented", tell::printable(&[*first]))),
    }
    Ok(())
}

impl Options {
    /// Whether the options go together.
    fn check(&self) -> Result<(), Mistake> {
        let delivers = matches!(self.mode, Mode::Mail | Mode::Verify);
        let fatal = |text: &str| Err(Mistake::Fatal(text.to_string()));
        let recipients = !self.words.is_empty();
        match self.mode {
            _ if self.nothing => Ok(()),
            _ if self.extract && !delivers => fatal("-t can be used only in delivery mode"),
            _ if self.flush_site.is_some() && self.mode != Mode::Mail => {
                fatal("-qR can be used only in delivery mode")
            }
            _ if self.flush_id.is_some() && self.mode != Mode::Mail => {
                fatal("-qI can be used only in delivery mode")
            }
            Mode::Verify if self.extract => fatal("-t option cannot be used with -bv"),
            Mode::Verify if self.verbose > 0 => fatal("-v option cannot be used with -bv"),
            Mode::Mail if self.flush_site.is_some() && recipients => {
                fatal("flush site requires no recipient")
            }
            Mode::Mail if self.flush_site.is_none() && self.flush_id.is_some() && recipients => {
                fatal("flush queue_id requires no recipient")
            }
            Mode::Queue if recipients => fatal("display queue mode requires no recipient"),
            Mode::Flush if recipients => fatal("flush queue mode requires no recipient"),
            Mode::Daemon if recipients => fatal("daemon mode requires no recipient"),
            Mode::Aliases if recipients => fatal("alias initialization mode requires no recipient"),
            Mode::Smtp if recipients => fatal("stand-alone mode requires no recipient"),
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(line: &str) -> Result<Options, Mistake> {
        parse("sendmail", &line.split_whitespace().map(OsString::from).collect::<Vec<_>>())
    }

    #[test]
    fn programs_call_sendmail_in_many_ways() {
        let o = parsed("-oi -oem -f ann@example.org -t -FAnn bob@example.org").unwrap();
        assert!(o.ignore_dots && o.extract);
        assert_eq!(o.sender.as_deref(), Some(&b"ann@example.org"[..]));
        assert_eq!(o.full_name.as_deref(), Some(&b"Ann"[..]));
        assert_eq!(o.words, [b"bob@example.org"]);
        let o = parsed("-i -Nsuccess,delay -R hdrs -V id1 -- -x@example.org").unwrap();
        assert_eq!((o.notify, o.ret, o.envid.as_deref()), (Notify(10), Some(Ret::Hdrs), Some(&b"id1"[..])));
        assert_eq!(o.words, [b"-x@example.org"]);
        assert_eq!(parsed("-bp").unwrap().mode, Mode::Queue);
        assert_eq!(parsed("-q").unwrap().mode, Mode::Flush);
        assert_eq!(parsed("-qIABC").unwrap().flush_id, Some(OsString::from("ABC")));
        assert_eq!(parsed("-tivf ann@example.org").unwrap().sender.as_deref(), Some(&b"ann@example.org"[..]));
        assert_eq!(parsed("-bd -q30m").unwrap().mode, Mode::Daemon);
        assert_eq!(parse("mailq", &[]).unwrap().mode, Mode::Queue);
    }

    #[test]
    fn what_cannot_be_is_told() {
        let usage = |text: &str| Mistake::Usage(text.to_string());
        let fatal = |text: &str| Mistake::Fatal(text.to_string());
        assert_eq!(parsed("-bx").unwrap_err(), fatal("unsupported: -bx"));
        assert_eq!(parsed("-y").unwrap_err(), usage("invalid option -- 'y'"));
        assert_eq!(parsed("-\x1b").unwrap_err(), usage("invalid option -- '?'"));
        assert_eq!(parsed("-f").unwrap_err(), usage("option requires an argument -- 'f'"));
        assert_eq!(parsed("-bp -t").unwrap_err(), fatal("-t can be used only in delivery mode"));
    }
}
