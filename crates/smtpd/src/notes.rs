//! What a session notes becomes log lines.

use crate::driver::Driver;
use crate::login::Login;
use crate::trail::Trail;
use crate::transaction::Smtpd;
use mail::{Address, Dsn, QueueId, Reply};
use observe::Escaped;
use observe::emit;
use observe::events::cleanup::TooBig;
use observe::events::smtpd as events;
use protocol::smtp::command::Verb;
use protocol::smtp::server::{Answer, EhloKeywords, Ending, Note, Session};

/// Where a restriction acted, as its log line shows it.
#[derive(Clone, Copy)]
pub(crate) struct Scene<'a> {
    pub(crate) command: &'static str,
    pub(crate) queue_id: Option<&'a QueueId>,
    pub(crate) sender: Option<&'a Address>,
    pub(crate) recipient: Option<&'a Address>,
    pub(crate) protocol: &'static str,
    pub(crate) helo: Option<&'a str>,
    pub(crate) sasl_sender: Option<&'a str>,
    /// What was asked.
    pub(crate) trail: Option<&'a Trail>,
}

impl<'a> Scene<'a> {
    /// At a command of the session, about no recipient.
    pub(crate) fn of(session: &'a Session<Smtpd>, command: &'static str) -> Self {
        let transaction = session.transaction();
        Scene {
            command,
            queue_id: transaction.and_then(|t| t.mail.queue_id.as_ref()),
            sender: transaction.map(|t| &t.request.sender),
            recipient: None,
            protocol: session.protocol(),
            helo: session.helo(),
            sasl_sender: transaction.and_then(|t| t.request.sasl_sender.as_deref()),
            trail: None,
        }
    }
}

impl Driver {
    /// Logs what the session noted. The ids are those of before the step: a note may be about what the step ended.
    pub(crate) fn log(&self, notes: Vec<Note>, session: &Session<Smtpd>, queue_id: Option<&QueueId>) {
        for note in notes {
            self.log_one(note, session, queue_id);
        }
    }

    fn log_one(&self, note: Note, session: &Session<Smtpd>, queue_id: Option<&QueueId>) {
        let client = self.peer.name_and_address.as_str();
        let warning = |what: &str, detail: &str| {
            emit(&self.tag, &events::ClientWarning { queue_id, what, client, detail });
        };
        match note {
            Note::ImproperPipelining { after, data } => {
                emit(&self.tag, &events::ImproperPipelining { after, client, data: &data });
            }
            Note::NonSmtpCommand(line) => emit(&self.tag, &events::NonSmtpCommand { client, line: &line }),
            Note::IllegalAddress { command, text } => {
                let command = command.name();
                emit(&self.tag, &events::IllegalAddress { client, command, text: &text });
            }
            Note::LineTooLong(start) => observe::warn(
                &self.tag,
                format_args!(
                    "{client}: request longer than {}: {}...",
                    self.settings.dialogue.line_length_limit,
                    Escaped(&start)
                ),
            ),
            Note::UnknownNotify(value) => {
                let value = Escaped(&value);
                observe::warn(
                    &self.tag,
                    format_args!("unknown DSN NOTIFY command value \"{value}\" in \"{value}\""),
                );
            }
            Note::MalformedBdat(line) => {
                let line = Escaped(&line[..line.len().min(100)]).to_string();
                warning("malformed BDAT command syntax", &format!(": {line}"));
            }
            Note::NullBdat => warning("null BDAT request", ""),
            Note::OversizedChunk => warning("BDAT request", " exceeds message size limit"),
            Note::MessageTooBig => {
                if let Some(queue_id) = queue_id {
                    emit(&self.tag, &TooBig { queue_id });
                }
            }
            Note::Rejected { command, reply, sender, sasl_sender } => {
                let scene = Scene::of(session, command);
                let sender = sender.as_ref().or(scene.sender);
                let sasl_sender = sasl_sender.as_deref().or(scene.sasl_sender);
                self.acted("reject", &reply.to_string(), &Scene { queue_id, sender, sasl_sender, ..scene });
            }
            Note::BareNewline { command, envelope } => {
                let (sender, recipient) = envelope.unzip();
                let (queue_id, recipient) = (queue_id.filter(|_| sender.is_some()), recipient.flatten());
                let (sender, recipient) = (sender.as_ref(), recipient.as_ref());
                let scene = Scene { queue_id, sender, recipient, ..Scene::of(session, command) };
                self.acted("reject", "bare <LF> received", &scene);
            }
            Note::DiscardedKeywords(names) => {
                observe::info(&self.tag, format_args!("discarding EHLO keywords: {names}"));
            }
            Note::Heard(line) => {
                self.note_heard(&line);
                self.dialogue('<', &line);
            }
            Note::Said(replies) => {
                self.note_said(&replies);
                self.dialogue('>', &replies);
            }
            Note::Ended { how, after } => {
                let how = match how {
                    Ending::Lost => "lost connection",
                    Ending::Timeout => "timeout",
                    Ending::TooManyErrors => "too many errors",
                };
                self.note_end(how);
                emit(&self.tag, &events::SessionBroken { how, after: &after, client });
            }
        }
    }

    /// Whether HELO or EHLO may be answered: nothing is offered while a table cannot say what is to be left out.
    pub(crate) fn announcement(&self, verb: Verb) -> Answer<Smtpd> {
        if verb != Verb::Ehlo || self.standing.ehlo_is_known {
            return Answer::Pass;
        }
        let client = &self.peer.name_and_address;
        let off = self.standing.discard_ehlo;
        if off != EhloKeywords::default() && !off.silently && !off.enhancedstatuscodes {
            let names: Vec<_> = off.names().collect();
            observe::info(&self.tag, format_args!("discarding EHLO keywords: {}", names.join(" ")));
        }
        let text = format!("{} Server local data error", self.settings.dialogue.myhostname);
        let reply = Reply::new(421, Dsn::new(4, 3, 0), text);
        observe::warn(&self.tag, format_args!("don't know what EHLO features to announce to {client}"));
        let text = reply.to_string();
        emit(&self.tag, &events::SessionRefused { queue_id: None, command: "EHLO", client, text: &text });
        Answer::Refuse(reply)
    }

    /// As whom the client has logged in, and for whom it speaks.
    pub(crate) fn sasl<'a>(&'a self, sender: Option<&'a str>) -> events::Sasl<'a> {
        events::Sasl { login: self.peer.login.as_ref().map(Login::shown), sender }
    }

    /// Logs what a restriction did.
    pub(crate) fn acted(&self, action: &'static str, text: &str, scene: &Scene<'_>) {
        let client = self.peer.name_and_address.as_str();
        let Scene { command, queue_id, sender, recipient, protocol, helo, sasl_sender, .. } = *scene;
        if action == "reject" {
            self.record(text, scene);
        }
        emit(
            &self.tag,
            &events::RestrictionActed {
                queue_id,
                action,
                command,
                client,
                text,
                sender,
                recipient,
                protocol,
                helo,
                sasl: self.sasl(sasl_sender),
            },
        );
    }

    /// Logs the end of a session, with what it did.
    pub(crate) fn disconnected(&self, session: &Session<Smtpd>) {
        let commands: Vec<_> = session
            .counts()
            .iter()
            .filter(|(_, _, all)| *all > 0)
            .map(|(verb, ok, all)| (verb.label(), ok, all))
            .collect();
        let client = self.peer.name_and_address.as_str();
        let bare_newline = self.noted_bare_newline.get();
        emit(&self.tag, &events::Disconnected { client, commands: &commands, bare_newline });
    }
}
