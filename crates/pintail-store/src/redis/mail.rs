//! Mail over publish and subscribe.

use async_trait::async_trait;
use pintail_core::Slot;

use super::RedisStore;
use super::subscription::{Channels, feed};
use crate::mail::Outbox;
use crate::{Letter, Mail, Result, Subscription};

#[async_trait]
impl Mail for RedisStore {
    fn subscribe(&self, mailbox: Option<Slot>) -> Subscription {
        let (outbox, subscription) = Outbox::new();
        // The task ends when the subscription is dropped: the outbox tells it.
        tokio::spawn(feed(self.dialer.clone(), self.locator.clone(), Channels::new(&self.keys, mailbox), outbox));
        subscription
    }

    async fn send(&self, to: Slot, letter: Letter) -> Result<()> {
        let mailbox = self.keys.mailbox(to);
        let mut command = redis::cmd("PUBLISH");
        command.arg(&mailbox).arg(letter.to_string());
        self.command(&mailbox, &command).await
    }
}
