//! The agent `local`: hands jobs to the local role as `virtual` does; there they become what aliases make of them.
//!
//! Postfix: local(8).

use super::virtual_::VirtualAgent;
use crate::report::ReportStyle;
use crate::{Assignment, DeliveryAgent, PassOn};
use observe::{Numbers, Tag};
use std::path::PathBuf;
use std::rc::Rc;

/// Delivers to the users of this host.
pub struct LocalAgent(VirtualAgent);

impl LocalAgent {
    /// The agent of one service; jobs go to the socket at `path`. What another transport is to take over goes to
    /// `pass_on`. Must be called in a `LocalSet`.
    pub fn start(
        path: PathBuf,
        tag: Tag,
        numbers: Numbers,
        style: ReportStyle,
        pass_on: Rc<dyn PassOn>,
    ) -> Self {
        LocalAgent(VirtualAgent::start_passing(path, tag, numbers, style, Some(pass_on)))
    }
}

impl DeliveryAgent for LocalAgent {
    const KIND: &'static str = "local";

    fn accept(&self, assignment: Assignment) {
        self.0.accept(assignment);
    }

    fn hurry(&self) {
        self.0.hurry();
    }
}
