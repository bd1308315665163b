//! The agent `pipe`: hands jobs to the local role, which runs a command for each. Postfix: pipe(8).

use super::virtual_::VirtualAgent;
use crate::report::ReportStyle;
use crate::{Assignment, DeliveryAgent};
use observe::{Numbers, Tag};
use std::path::PathBuf;

/// Delivers by external commands.
pub struct PipeAgent(VirtualAgent);

/// What a success means, by the letter X of `flags=`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Finality {
    /// The command is the last station.
    Final,
    /// The command hands the message on.
    Relayed,
}

impl PipeAgent {
    /// The agent of one service; jobs go to the socket at `path`. Must be called in a `LocalSet`.
    pub fn start(path: PathBuf, tag: Tag, numbers: Numbers, style: ReportStyle, finality: Finality) -> Self {
        let link = VirtualAgent::start(path, tag, numbers, style);
        PipeAgent(if finality == Finality::Relayed { link.relaying() } else { link })
    }
}

impl DeliveryAgent for PipeAgent {
    const KIND: &'static str = "pipe";

    fn accept(&self, assignment: Assignment) {
        self.0.accept(assignment);
    }

    fn hurry(&self) {
        self.0.hurry();
    }
}
