//! The subscribers.

use async_trait::async_trait;
use pintail_core::Slot;

use super::EmbeddedStore;
use crate::mail::Outbox;
use crate::{Letter, Mail, Notice, Result, Subscription};

/// The subscribers. Those that were dropped are removed with the next message.
#[derive(Debug, Default)]
pub(super) struct MailState {
    subscribers: Vec<Subscriber>,
}

#[derive(Debug)]
struct Subscriber {
    mailbox: Option<Slot>,
    outbox: Outbox,
}

impl MailState {
    /// Tells everyone.
    pub(super) fn announce(&mut self, notice: Notice) {
        self.put_to(|_| true, notice);
    }

    /// Tells those who hear this mailbox.
    pub(super) fn send(&mut self, to: Slot, letter: Letter) {
        self.put_to(|mailbox| mailbox == Some(to), Notice::Letter(letter));
    }

    fn subscribe(&mut self, mailbox: Option<Slot>) -> Subscription {
        let (mut outbox, subscription) = Outbox::new();
        outbox.put(Notice::Rescan);
        self.subscribers.retain(|subscriber| !subscriber.outbox.is_closed());
        self.subscribers.push(Subscriber { mailbox, outbox });
        subscription
    }

    fn put_to(&mut self, concerns: impl Fn(Option<Slot>) -> bool, notice: Notice) {
        self.subscribers.retain_mut(|subscriber| {
            if concerns(subscriber.mailbox) {
                subscriber.outbox.put(notice);
            }
            !subscriber.outbox.is_closed()
        });
    }
}

#[async_trait]
impl Mail for EmbeddedStore {
    fn subscribe(&self, mailbox: Option<Slot>) -> Subscription {
        self.run(|state, _| state.mail.subscribe(mailbox))
    }

    async fn send(&self, to: Slot, letter: Letter) -> Result<()> {
        self.run(|state, _| state.mail.send(to, letter));
        Ok(())
    }
}
