//! The options of sendmail, as Postfix takes them.

use mail::{Encoding, Notify, Ret};

/// What sendmail is asked to do.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Mode {
    /// Take a message from standard input (`-bm`).
    #[default]
    Mail,
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

/// The command line.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Options {
    /// What to do.
    pub mode: Mode,
    /// `-C`: where main.cf is.
    pub config: Option<String>,
    /// `-f`, `-r`: the sender, as written.
    pub sender: Option<String>,
    /// `-F`: the sender's full name.
    pub full_name: Option<String>,
    /// `-t`: recipients stand in the header.
    pub extract: bool,
    /// `-i`, `-oi`: a line with one dot does not end the message.
    pub ignore_dots: bool,
    /// `-G`: mail of strangers, whose headers stay as they are.
    pub relay: bool,
    /// `-N`.
    pub notify: Notify,
    /// `-R`.
    pub ret: Option<Ret>,
    /// `-V` with an envelope id.
    pub envid: Option<String>,
    /// `-XV`: the delimiters of VERP, or none to take the default ones.
    pub verp: Option<String>,
    /// `-B`.
    pub encoding: Encoding,
    /// `-qI`: flush one message.
    pub flush_id: Option<String>,
    /// `-qR`, `-qS`: flush the mail of one site.
    pub flush_site: Option<String>,
    /// What is not an option: recipients.
    pub words: Vec<String>,
    /// What was ignored, to be told.
    pub warnings: Vec<String>,
}

/// Options that take a value; `-b`, `-o` and `-q` have theirs at once behind the letter.
const WITH_VALUE: &str = "ABCFLNORVXefhopr";

/// Reads the command line behind the program's name; an error is what to tell the user.
pub fn parse(program: &str, arguments: &[String]) -> Result<Options, String> {
    let mut options = Options { mode: mode_of(program), ..Options::default() };
    let mut words = arguments.iter();
    while let Some(word) = words.next() {
        if word == "--" {
            break;
        }
        let Some(letters) = word.strip_prefix('-').filter(|l| !l.is_empty()) else {
            options.words.push(word.clone());
            continue;
        };
        letters_of(letters, &mut words, &mut options)?;
    }
    options.words.extend(words.cloned());
    Ok(options)
}

fn mode_of(program: &str) -> Mode {
    match program {
        "mailq" => Mode::Queue,
        "newaliases" => Mode::Aliases,
        _ => Mode::Mail,
    }
}

fn letters_of<'a>(
    letters: &str,
    words: &mut impl Iterator<Item = &'a String>,
    options: &mut Options,
) -> Result<(), String> {
    let mut rest = letters;
    while let Some(letter) = rest.chars().next() {
        rest = &rest[letter.len_utf8()..];
        match letter {
            'q' => return flush(rest, words, options),
            'b' => {
                let value = value_of(letter, rest, words)?;
                return mode(&value, options);
            }
            _ if WITH_VALUE.contains(letter) => {
                let value = value_of(letter, rest, words)?;
                return with_value(letter, &value, options);
            }
            't' => options.extract = true,
            'i' => options.ignore_dots = true,
            'I' => options.mode = Mode::Aliases,
            'G' => options.relay = true,
            'U' | 'c' | 'm' | 'n' | 'v' | 'x' => {}
            _ => return Err(format!("invalid option -- '{letter}'")),
        }
    }
    Ok(())
}

fn value_of<'a>(
    letter: char,
    rest: &str,
    words: &mut impl Iterator<Item = &'a String>,
) -> Result<String, String> {
    if !rest.is_empty() {
        return Ok(rest.to_string());
    }
    words.next().cloned().ok_or_else(|| format!("option requires an argument -- '{letter}'"))
}

fn mode(value: &str, options: &mut Options) -> Result<(), String> {
    options.mode = match value.chars().next() {
        Some('m') => Mode::Mail,
        Some('p') => Mode::Queue,
        Some('i') => Mode::Aliases,
        Some('s') => Mode::Smtp,
        Some('d' | 'l') => Mode::Daemon,
        // Postfix takes these and does nothing.
        Some('h' | 'H') => return Ok(()),
        _ => return Err(format!("unsupported: -b{value}")),
    };
    Ok(())
}

fn with_value(letter: char, value: &str, options: &mut Options) -> Result<(), String> {
    match letter {
        'B' => {
            options.encoding = match value.to_ascii_uppercase().as_str() {
                "8BITMIME" => Encoding::EightBit,
                "7BIT" => Encoding::SevenBit,
                _ => return Err("-B option needs 8BITMIME or 7BIT".to_string()),
            }
        }
        'C' => options.config = Some(value.to_string()),
        'F' => options.full_name = Some(value.to_string()),
        'f' | 'r' => options.sender = Some(value.to_string()),
        'N' => match notify(value) {
            Some(notify) => options.notify = notify,
            None => options.warnings.push("bad -N option value -- ignored".to_string()),
        },
        'R' => match value.to_ascii_lowercase().as_str() {
            "full" => options.ret = Some(Ret::Full),
            "hdrs" => options.ret = Some(Ret::Hdrs),
            _ => options.warnings.push("bad -R option value -- ignored".to_string()),
        },
        'V' if value.len() > 100 => options.warnings.push("too long -V option value -- ignored".to_string()),
        'V' => options.envid = Some(value.to_string()),
        'X' if value.starts_with('V') => options.verp = Some(value[1..].to_string()),
        'o' if value == "i" => options.ignore_dots = true,
        _ => {}
    }
    Ok(())
}

fn notify(value: &str) -> Option<Notify> {
    let mut bits = 0;
    for word in value.split(',') {
        bits |= match word.trim().to_ascii_lowercase().as_str() {
            "never" => Notify::NEVER.0,
            "success" => Notify::SUCCESS.0,
            "failure" => Notify::FAILURE.0,
            "delay" => Notify::DELAY.0,
            _ => return None,
        };
    }
    // RFC 3461 4.1: NEVER stands alone.
    (bits & Notify::NEVER.0 == 0 || bits == Notify::NEVER.0).then_some(Notify(bits))
}

/// `-q`, `-qIid`, `-qRsite`, `-qSsite`; `-q30m` asks for a daemon that runs the queue, which is always there.
fn flush<'a>(
    rest: &str,
    words: &mut impl Iterator<Item = &'a String>,
    options: &mut Options,
) -> Result<(), String> {
    match rest.chars().next() {
        None => options.mode = Mode::Flush,
        Some(c) if c.is_ascii_digit() => {}
        Some(c @ ('I' | 'R' | 'S')) => {
            let value = value_of('q', &rest[1..], words)?;
            options.mode = Mode::Flush;
            if c == 'I' {
                options.flush_id = Some(value);
            } else {
                options.flush_site = Some(value);
            }
        }
        Some(_) => return Err(format!("-q{rest} is not implemented")),
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(line: &str) -> Result<Options, String> {
        parse("sendmail", &line.split_whitespace().map(String::from).collect::<Vec<_>>())
    }

    #[test]
    fn programs_call_sendmail_in_many_ways() {
        let o = parsed("-oi -oem -f ann@example.org -t -FAnn bob@example.org").unwrap();
        assert!(o.ignore_dots && o.extract);
        assert_eq!((o.sender.as_deref(), o.full_name.as_deref()), (Some("ann@example.org"), Some("Ann")));
        assert_eq!(o.words, ["bob@example.org"]);
        let o = parsed("-i -Nsuccess,delay -R hdrs -V id1 -- -x@example.org").unwrap();
        assert_eq!((o.notify, o.ret, o.envid.as_deref()), (Notify(10), Some(Ret::Hdrs), Some("id1")));
        assert_eq!(o.words, ["-x@example.org"]);
        assert_eq!(parsed("-bp").unwrap().mode, Mode::Queue);
        assert_eq!(parsed("-q").unwrap().mode, Mode::Flush);
        assert_eq!(parsed("-qIABC").unwrap().flush_id.as_deref(), Some("ABC"));
        assert_eq!(parsed("-tivf ann@example.org").unwrap().sender.as_deref(), Some("ann@example.org"));
        assert_eq!(parse("mailq", &[]).unwrap().mode, Mode::Queue);
    }

    #[test]
    fn what_cannot_be_is_told() {
        assert_eq!(parsed("-bx").unwrap_err(), "unsupported: -bx");
        assert_eq!(parsed("-y").unwrap_err(), "invalid option -- 'y'");
        assert_eq!(parsed("-f").unwrap_err(), "option requires an argument -- 'f'");
        assert_eq!(parsed("-B9 a").unwrap_err(), "-B option needs 8BITMIME or 7BIT");
        assert_eq!(parsed("-Nfoo a").unwrap().warnings, ["bad -N option value -- ignored"]);
    }
}
