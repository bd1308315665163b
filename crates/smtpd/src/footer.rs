//! What is added to refusals, and what takes their place.
//!
//! Postfix: `smtpd_reject_footer`, `smtpd_reject_footer_maps`, `smtpd_reject_filter_maps` (3.11). A refusal first gets
//! its footer, then the filter sees all of it, then `soft_bounce` makes it temporary. postscreen has footers, too.

use crate::commands::find;
use crate::driver::Driver;
use crate::macros::{self, Values};
use crate::transaction::Smtpd as Host;
use crate::written;
use config::parameters::Smtpd;
use mail::{Dsn, QueueId, Reply};
use observe::events::smtpd as events;
use observe::{Tag, emit};
use protocol::smtp::reply;
use protocol::smtp::server::{Outputs, Refusal, Session};
use tables::Maps;

/// What refusals of one service end with: what a table has for them, or else the usual text.
#[derive(Clone, Default)]
pub(crate) struct Footer {
    /// Unexpanded; empty for none.
    pub(crate) text: String,
    pub(crate) maps: Maps,
}

/// Whether refusals of smtpd change at all.
pub(crate) fn changes(p: &Smtpd) -> bool {
    !p.smtpd_reject_footer.is_empty()
        || !p.smtpd_reject_footer_maps.is_empty()
        || !p.smtpd_reject_filter_maps.is_empty()
}

impl Footer {
    /// The refusal with its footer; one that cannot be expanded is left out.
    pub(crate) async fn behind(
        &self,
        mut reply: Reply,
        names: &dyn Values,
        allowed: &[u8],
        tag: &Tag,
    ) -> Reply {
        let found = find(&self.maps, &reply.to_string(), tag).await.unwrap_or(None);
        let text = found.as_ref().unwrap_or(&self.text);
        if text.is_empty() {
            return reply;
        }
        match macros::expand(text, names, allowed, tag) {
            Ok(footer) => add(&mut reply.text, &footer),
            Err(why) => observe::warn(tag, format_args!("{why}")),
        }
        reply
    }
}

impl Driver {
    /// Logs what a step noted and writes what it refused, in the order in which it happened.
    pub(crate) async fn settle(
        &self,
        out: &mut Outputs,
        session: &mut Session<Host>,
        queue_id: Option<&QueueId>,
    ) {
        let mut notes = std::mem::take(&mut out.notes);
        for refusal in std::mem::take(&mut out.refusals) {
            let behind = refusal.behind.min(notes.len());
            let later = notes.split_off(behind);
            self.log(std::mem::replace(&mut notes, later), session, queue_id);
            let at = refusal.at;
            let reply = self.refusal(refusal, session, queue_id).await;
            self.told_as(&whole(&reply));
            if matches!(reply.code, 421 | 521) {
                session.hang_up();
            }
            let later = out.replies.split_off(at);
            reply::write(&reply, &mut out.replies);
            // The session did not see it.
            self.note_said(&out.replies[at..]);
            self.dialogue('>', &out.replies[at..]);
            out.replies.extend(later);
        }
        self.log(notes, session, queue_id);
        self.tell_postmaster(false).await;
    }

    /// A refusal as the client is told it.
    async fn refusal(&self, refusal: Refusal, session: &Session<Host>, queue_id: Option<&QueueId>) -> Reply {
        let names = self.macros(session, refusal.envelope.as_ref());
        let allowed = &self.settings.rules.expansion_filter;
        let reply = self.settings.footer.behind(refusal.reply, &names, allowed, &self.tag).await;
        let reply = self.filtered(reply, queue_id).await;
        if self.settings.dialogue.soft_bounce { reply.softened() } else { reply }
    }

    /// What the filter makes of a refusal; only another refusal may take its place.
    async fn filtered(&self, reply: Reply, queue_id: Option<&QueueId>) -> Reply {
        let filter = &self.settings.reject_filter;
        let Ok(Some(found)) = find(filter, &whole(&reply), &self.tag).await else { return reply };
        let Some(new) = parse(&found) else {
            observe::warn(
                &self.tag,
                format_args!(
                    "smtpd_reject_filter_maps: expected a reply like `550 5.7.1 text`, with a code from 400 to 599, \
                     found `{found}` for `{reply}`: the reply stays"
                ),
            );
            return reply;
        };
        for (end, reply) in [("in", &reply), ("out", &new)] {
            emit(&self.tag, &events::ReplyFiltered { queue_id, end, text: &reply.to_string() });
        }
        new
    }
}

/// Adds a footer to a reply's text: lines of its own at each `\n`, unless it begins with `\c`.
fn add(text: &mut String, footer: &str) {
    let footer = match footer.strip_prefix("\\c") {
        Some(footer) => footer,
        None => {
            text.push('\n');
            footer
        }
    };
    text.push_str(&footer.replace("\\n", "\n"));
}

/// All lines of a reply, as a filter's tables see it.
fn whole(reply: &Reply) -> String {
    let mut wire = Vec::new();
    let lines: Vec<&str> = reply.text.split('\n').collect();
    for (n, line) in lines.iter().enumerate() {
        let divider = if n + 1 < lines.len() { '-' } else { ' ' };
        let dsn = reply.dsn.map(|dsn| format!("{dsn} ")).unwrap_or_default();
        wire.push(format!("{}{divider}{dsn}{line}", reply.code));
    }
    wire.join("\n")
}

/// A reply as a filter's table writes it: code, perhaps an enhanced code, text; `\n` divides lines.
fn parse(text: &str) -> Option<Reply> {
    let (code, rest) = written::code(text, &[' ', '-'])?;
    let (dsn, rest) = written::status(code, rest);
    let again = |line: &str| {
        let line = line.strip_prefix(&text[..3]).and_then(|l| l.strip_prefix(['-', ' '])).unwrap_or(line);
        Dsn::parse_prefix(line).filter(|_| dsn.is_some()).map_or(line, |(_, rest)| rest).to_owned()
    };
    let lines: Vec<String> = rest.split("\\n").map(again).collect();
    Some(Reply { code, dsn, text: lines.join("\n") })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_footer_has_lines_of_its_own_unless_it_is_glued_on() {
        for (footer, text) in [
            ("a\\nb", "no\na\nb"),
            ("\\c, a", "no, a"),
            ("\\c\\nb", "no\nb"),
            ("\\c", "no"),
            ("a\\cb", "no\na\\cb"),
            ("a\\n", "no\na\n"),
        ] {
            let mut reply = "no".to_owned();
            add(&mut reply, footer);
            assert_eq!(reply, text, "{footer}");
        }
    }

    #[test]
    fn a_filter_gives_a_whole_reply_or_none() {
        let reply = |text: &str| parse(text).map(|r| whole(&r));
        assert_eq!(reply("450 4.7.1 later").as_deref(), Some("450 4.7.1 later"));
        assert_eq!(reply("550 4.7.1 no").as_deref(), Some("550 5.7.1 no"), "the class agrees with the code");
        assert_eq!(reply("554 no").as_deref(), Some("554 no"));
        assert_eq!(reply("550-5.1.1 a\\n550 5.1.1 b").as_deref(), Some("550-5.1.1 a\n550 5.1.1 b"));
        assert_eq!(reply("550 5.1.1 a\\nb").as_deref(), Some("550-5.1.1 a\n550 5.1.1 b"));
        for wrong in ["250 2.0.0 Ok", "no", "55", "5500 x", "", "550x", "354 go", "äöü"] {
            assert_eq!(reply(wrong), None, "{wrong}");
        }
    }
}
