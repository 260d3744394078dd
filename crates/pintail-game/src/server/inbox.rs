//! What has arrived for the loop and had no turn yet.

use std::collections::VecDeque;

use pintail_net::{LinkEvent, MemberEvent};
use tokio::sync::mpsc;

use super::store_worker::StoreAnswer;

/// How many events of one kind are taken at once. What a turn leaves over is taken before new ones, which wait where
/// they are.
const EVENTS_PER_TURN: usize = 1024;

/// What has arrived for the loop and had no turn yet.
#[derive(Default)]
pub(super) struct Inbox {
    pub(super) links: VecDeque<LinkEvent>,
    pub(super) members: VecDeque<MemberEvent>,
    pub(super) answers: VecDeque<StoreAnswer>,
}

impl Inbox {
    pub(super) fn is_empty(&self) -> bool {
        self.links.is_empty() && self.members.is_empty() && self.answers.is_empty()
    }
}

/// Takes what is in a mailbox now, up to what a turn takes.
pub(super) fn take_ready<T>(mailbox: &mut mpsc::Receiver<T>, taken: &mut VecDeque<T>) {
    while taken.len() < EVENTS_PER_TURN
        && let Ok(item) = mailbox.try_recv()
    {
        taken.push_back(item);
    }
}
