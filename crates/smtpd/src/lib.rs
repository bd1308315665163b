//! The SMTP server: sessions, restrictions, and the way into the queue.

use std::net::TcpListener;
use std::sync::Arc;
use tokio::sync::watch;

/// What one smtpd service (a line of master.cf) works by; new sessions take the newest.
pub struct Settings {
    /// What the dialogue needs.
    pub dialogue: protocol::smtp::server::Settings,
    /// Sessions at once; beyond them connections wait in the listener's backlog.
    pub sessions_max: usize,
}

/// One smtpd line of master.cf.
pub struct Service {
    /// Its name in master.cf (`smtp`, `2525`, `submission`).
    pub name: Arc<str>,
    /// Its program name in the log (`postfix/smtpd`).
    pub program: Arc<str>,
    /// Its listening sockets, non-blocking.
    pub listeners: Vec<TcpListener>,
    /// Its settings; replaced at reload.
    pub settings: watch::Receiver<Arc<Settings>>,
}

/// Everything that one event loop of smtpd works with.
pub struct Inputs {
    /// The services; at least one.
    pub services: Vec<Service>,
}

/// Serves until shutdown is requested and the sessions have ended. Runs inside a `LocalSet` of a current-thread runtime.
pub async fn run(inputs: Inputs) {
    let _ = inputs;
    todo!("sessions")
}
