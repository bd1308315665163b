//! A stub resolver: asks the name servers of a list in turn, follows aliases, remembers answers.
//!
//! As the system's own resolver (resolv.conf(5)), on the event loop. Messages are read by hickory-proto; what is here is
//! who is asked, when again, and what may be believed how long. It exists because a mail server asks several questions
//! about each client, and a socket and some forty allocations each were a third of the cost of judging one.

mod channel;
mod memory;
mod message;
mod server;

pub(super) use message::Answer;

use super::{Problem, RecordType};
use memory::Memory;
use message::Question;
use server::{Outcome, Server};
use std::cell::RefCell;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

/// Answers in a row that are only another name to ask for; Postfix gives up after as many.
const ALIASES_MAX: usize = 10;

/// Name servers, and what they said lately. Belongs to one event loop and must be used in a `LocalSet`.
pub(super) struct Stub {
    servers: Vec<Server>,
    timeout: Duration,
    attempts: usize,
    memory: RefCell<Memory>,
}

impl Stub {
    /// Asks the first server first, and silent ones `attempts` times. One question to one server may take `timeout`.
    pub(super) fn new(servers: &[SocketAddr], timeout: Duration, attempts: usize) -> Stub {
        let servers = servers.iter().map(|at| Server::new(*at)).collect();
        Stub { servers, timeout, attempts, memory: RefCell::default() }
    }

    /// What the servers say of a name, at most `longest` ago. An answer may be that there is nothing; errors are
    /// servers that do not answer, refuse to, or talk nonsense, and names that can be none.
    pub(super) async fn ask(
        &self,
        name: &str,
        record_type: RecordType,
        longest: Duration,
    ) -> Result<Rc<Answer>, Problem> {
        let mut question = Question::new(name, record_type).ok_or(Problem::InvalidName)?;
        for _ in 0..ALIASES_MAX {
            let answer = self.remembered(question, longest).await?;
            match &answer.alias {
                None => return Ok(answer),
                Some(next) => question = next.clone(),
            }
        }
        Err(Problem::NotFound)
    }

    /// Who asks what another is asking already waits for the same answer.
    async fn remembered(&self, question: Question, longest: Duration) -> Result<Rc<Answer>, Problem> {
        let place = self.memory.borrow_mut().place(&question, longest);
        place.get_or_init(|| self.asked(&question)).await.clone()
    }

    async fn asked(&self, question: &Question) -> Result<Rc<Answer>, Problem> {
        let mut failure = Problem::TryAgain;
        for _ in 0..self.attempts {
            let mut any_silent = false;
            // Who was silent a moment ago is asked last.
            let (ready, silent): (Vec<_>, Vec<_>) = self.servers.iter().partition(|s| !s.was_silent());
            for server in ready.into_iter().chain(silent) {
                match server.ask(question, self.timeout).await {
                    Outcome::Answered(answer) => return Ok(Rc::new(answer)),
                    Outcome::Failed(problem) => failure = problem,
                    Outcome::Silent => {
                        any_silent = true;
                        failure = Problem::TryAgain;
                    }
                }
            }
            if !any_silent {
                break;
            }
        }
        Err(failure)
    }
}

#[cfg(test)]
mod tests;
