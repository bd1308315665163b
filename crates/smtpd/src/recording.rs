//! A refusal of a session goes into the list of recent ones, with what was asked on the way.

use crate::driver::Driver;
use crate::notes::Scene;
use crate::packed::Packed;
use crate::recent::{Packing, Recent};
use crate::trail::Trail;
use mail::{Address, QueueId};

/// What a refusal without a restriction takes; with some it is a little more than its steps.
const USUAL_BYTES: usize = 512;

impl Driver {
    /// Records that the client is told `reply`.
    pub(crate) fn record(&self, reply: &str, scene: &Scene<'_>) {
        let Scene { command, queue_id, sender, recipient, helo, trail, .. } = *scene;
        let packing = Packing {
            time: net::clock::now(),
            address: self.peer.address,
            client: &self.peer.name_and_address,
            service: &self.service,
            command,
            helo: helo.unwrap_or_default(),
            sender: sender.map(Address::as_bytes),
            recipient: recipient.map(Address::as_bytes),
            queue_id: queue_id.map_or("", QueueId::as_str),
            login: self.peer.login.as_ref().map_or("", |login| &login.username),
        };
        self.recorded.set(self.shared.recent.record(&packing, trail, reply));
    }

    /// What was recorded last was told in other words: a footer or a filter had its say.
    pub(crate) fn told_as(&self, reply: &str) {
        if let Some(number) = self.recorded.take() {
            self.shared.recent.amend(number, reply);
        }
    }
}

impl Recent {
    /// Records a refusal; its number, where it is kept.
    pub(crate) fn record(&self, packing: &Packing<'_>, trail: Option<&Trail>, reply: &str) -> Option<u64> {
        if !self.is_kept() {
            return None;
        }
        let mut packed = Packed::with_capacity(USUAL_BYTES + trail.map_or(0, Trail::bytes));
        packing.pack(&mut packed);
        match trail {
            Some(trail) => trail.pack(&mut packed),
            None => packed.put(""),
        }
        packed.put(reply);
        self.add(packing.address, packed.bytes().into())
    }
}
