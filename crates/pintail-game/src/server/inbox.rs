//! What has arrived for the loop and had no turn yet.

use std::collections::VecDeque;

use pintail_net::{LinkEvent, MemberEvent};
use tokio::sync::mpsc;

use super::journal_worker::Commits;
use super::store_worker::StoreAnswer;
use crate::runtime::HostEvent;

/// How many events of one kind are taken at once. What a turn leaves over is taken before new ones, which wait where
/// they are.
const EVENTS_PER_TURN: usize = 1024;

/// What has arrived for the loop and had no turn yet.
#[derive(Default)]
pub(super) struct Inbox {
    pub(super) links: VecDeque<LinkEvent>,
    pub(super) members: VecDeque<MemberEvent>,
    pub(super) answers: VecDeque<StoreAnswer>,
    /// What became of writes to journals. All are taken in one turn: each only opens its game's gate.
    pub(super) commits: VecDeque<HostEvent>,
}

impl Inbox {
    pub(super) fn is_empty(&self) -> bool {
        self.links.is_empty() && self.members.is_empty() && self.answers.is_empty() && self.commits.is_empty()
    }

    /// Takes the batches that have been answered.
    pub(super) fn take_commits(&mut self, mailbox: &mut mpsc::Receiver<Commits>) {
        while let Ok(commits) = mailbox.try_recv() {
            self.commits.extend(commits);
        }
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
