//! What tables say of command lines: the filter, commands that do nothing, forbidden ones.
//!
//! Postfix: `smtpd_command_filter`, `smtpd_noop_commands`, `smtpd_forbidden_commands`. Any table will do, also one of a
//! server: the session waits for the answer.

use crate::driver::Driver;
use crate::transaction::Smtpd;
use mail::{Dsn, Reply};
use observe::events::smtpd as events;
use observe::{Tag, emit};
use protocol::smtp::server::{Answer, CommandList, Session};
use tables::lists::NameList;
use tables::{Lookup, Maps};

/// The lists and the table of one service.
#[derive(Clone, Default)]
pub(crate) struct Commands {
    pub(crate) filter: Maps,
    pub(crate) noop: NameList,
    pub(crate) forbidden: NameList,
}

/// A table could not be asked; the log says so.
pub(crate) struct Failed;

/// The list as the session knows it: words it knows itself, for the rest it asks.
pub(crate) fn list(words: &[String]) -> CommandList {
    let is_word = |word: &String| !word.contains(':') && !word.starts_with(['/', '!']);
    if words.iter().all(is_word) { CommandList::Words(words.to_vec()) } else { CommandList::Asked }
}

/// The first table's answer that has one. The one that fails is named in the log; the others are not asked then.
pub(crate) async fn find(maps: &Maps, key: &str, tag: &Tag) -> Result<Option<String>, Failed> {
    for table in maps.tables() {
        match table.lookup(key).await {
            Lookup::Found(text) => return Ok(Some(text)),
            Lookup::NotFound => {}
            Lookup::TempFail(_) => {
                observe::warn(tag, format_args!("{} lookup error for \"{key}\"", table.spec()));
                return Err(Failed);
            }
        }
    }
    Ok(None)
}

impl Driver {
    /// Puts another line in place of the client's.
    pub(crate) async fn filter_command(&self, line: Vec<u8>, session: &Session<Smtpd>) -> Answer<Smtpd> {
        let client = self.peer.name_and_address.as_str();
        // As Postfix: blanks before the command are no part of the key.
        let key = String::from_utf8_lossy(line.trim_ascii_start());
        match find(&self.settings.commands.filter, &key, &self.tag).await {
            Ok(None) => Answer::Pass,
            Ok(Some(new)) => {
                emit(&self.tag, &events::CommandReplaced { client, old: &line, new: new.as_bytes() });
                Answer::Command(new.into_bytes())
            }
            Err(Failed) => {
                let host = &self.settings.dialogue.myhostname;
                let reply = Reply::new(421, Dsn::new(4, 3, 0), format!("{host} Server local data error"));
                let queue_id = session.transaction().and_then(|t| t.mail.queue_id.as_ref());
                let command = session.last_command();
                emit(
                    &self.tag,
                    &events::SessionRefused { queue_id, command, client, text: &reply.to_string() },
                );
                Answer::Refuse(reply)
            }
        }
    }

    /// Whether a command does nothing.
    pub(crate) async fn is_noop(&self, word: &str) -> Answer<Smtpd> {
        self.listed("smtpd_noop_commands", &self.settings.commands.noop, word).await
    }

    /// Whether a command ends the session.
    pub(crate) async fn is_forbidden(&self, word: &str) -> Answer<Smtpd> {
        self.listed("smtpd_forbidden_commands", &self.settings.commands.forbidden, word).await
    }

    /// A table is asked in small letters; one that cannot be asked counts as one without the word.
    async fn listed(&self, parameter: &str, list: &NameList, word: &str) -> Answer<Smtpd> {
        match list.matches(&word.to_lowercase()).await {
            Ok(true) => Answer::Listed,
            Ok(false) => Answer::Pass,
            Err(unanswered) => {
                observe::warn(&self.tag, format_args!("{parameter}: {}: table lookup problem", unanswered.0));
                Answer::Pass
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_session_knows_words_and_asks_for_the_rest() {
        let list_of = |text: &str| list(&text.split(' ').map(str::to_owned).collect::<Vec<_>>());
        assert_eq!(list_of("GET post"), CommandList::Words(vec!["GET".into(), "post".into()]));
        for asked in ["GET regexp:{/x/_y}", "!GET", "/etc/postfix/commands"] {
            assert_eq!(list_of(asked), CommandList::Asked, "{asked}");
        }
        assert_eq!(list(&[]), CommandList::Words(Vec::new()));
    }
}
