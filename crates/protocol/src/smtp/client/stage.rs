//! The stages of a dialogue, and what Postfix calls them in logs and reports.

/// What is under way on a connection, or what a reply answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Stage {
    /// Before the first reply.
    Greeting,
    /// EHLO.
    Ehlo,
    /// HELO.
    Helo,
    /// LHLO.
    Lhlo,
    /// RSET before the next message.
    Rset,
    /// XFORWARD with name and address.
    ForwardClient,
    /// XFORWARD with the rest.
    ForwardRest,
    /// MAIL FROM.
    Mail,
    /// RCPT TO.
    Rcpt,
    /// DATA.
    Data,
    /// Content is being written.
    Content,
    /// The reply to the content is awaited.
    End,
    /// QUIT.
    Quit,
}

impl Stage {
    /// As in `lost connection with H while …`.
    pub fn doing(self) -> &'static str {
        match self {
            Stage::Greeting => "receiving the initial server greeting",
            Stage::Ehlo => "performing the EHLO handshake",
            Stage::Helo => "performing the HELO handshake",
            Stage::Lhlo => "performing the LHLO handshake",
            Stage::Rset => "sending RSET probe",
            Stage::ForwardClient => "sending XFORWARD name/address",
            Stage::ForwardRest => "sending XFORWARD protocol/helo_name",
            Stage::Mail => "sending MAIL FROM",
            Stage::Rcpt => "sending RCPT TO",
            Stage::Data => "sending DATA command",
            Stage::Content => "sending message body",
            Stage::End => "sending end of data -- message may be sent more than once",
            Stage::Quit => "sending QUIT",
        }
    }

    /// As in `host H said: … (in reply to …)`.
    pub fn command(self) -> &'static str {
        match self {
            Stage::Greeting => "initial greeting",
            Stage::Ehlo => "EHLO command",
            Stage::Helo => "HELO command",
            Stage::Lhlo => "LHLO command",
            Stage::Rset => "RSET command",
            Stage::ForwardClient => "XFORWARD name/address command",
            Stage::ForwardRest => "XFORWARD helo/protocol command",
            Stage::Mail => "MAIL FROM command",
            Stage::Rcpt => "RCPT TO command",
            Stage::Data => "DATA command",
            Stage::Content | Stage::End => "end of DATA command",
            Stage::Quit => "QUIT command",
        }
    }
}
