//! One subscription: a task with a connection of its own, for as long as the subscription is held.

use std::convert::Infallible;
use std::sync::{Arc, Mutex, PoisonError};

use pintail_core::Slot;
use redis::aio::SendError;
use redis::{Msg, PushInfo};
use tokio::time::timeout;

use super::connection::{retry_delay, watch_over};
use super::dial::{Dialer, Listener, STEP_TIMEOUT, Trouble};
use super::keys::Keys;
use super::sentinel::{Locator, Place};
use super::url::Address;
use crate::Notice;
use crate::mail::Outbox;

/// The channels of a subscription.
#[derive(Debug)]
pub(super) struct Channels {
    server_on: String,
    server_off: String,
    mailbox: Option<String>,
}

impl Channels {
    pub(super) fn new(keys: &Keys, mailbox: Option<Slot>) -> Self {
        Self {
            server_on: keys.shared("ServerOn"),
            server_off: keys.shared("ServerOff"),
            mailbox: mailbox.map(|slot| keys.mailbox(slot)),
        }
    }

    fn names(&self) -> Vec<&str> {
        [&self.server_on, &self.server_off].into_iter().chain(&self.mailbox).map(String::as_str).collect()
    }

    /// What a message says; `None` for rubbish, which anyone may publish.
    fn read(&self, message: &Msg) -> Option<Notice> {
        let channel = message.get_channel_name();
        let text = std::str::from_utf8(message.get_payload_bytes()).ok()?;
        if channel == self.server_on {
            text.parse().ok().map(Notice::ServerOn)
        } else if channel == self.server_off {
            text.parse().ok().map(Notice::ServerOff)
        } else {
            text.parse().ok().map(Notice::Letter)
        }
    }
}

/// Feeds the subscription until it is dropped.
pub(super) async fn feed(dialer: Dialer, locator: Locator, channels: Channels, outbox: Outbox) {
    let closed = outbox.closed();
    let feeder = Feeder { dialer, locator, mouth: Arc::new(Mouth { channels, outbox: Mutex::new(outbox) }) };
    tokio::select! {
        () = closed => {}
        () = feeder.run() => {}
    }
}

/// Where messages go in.
struct Mouth {
    channels: Channels,
    outbox: Mutex<Outbox>,
}

impl Mouth {
    fn put(&self, notice: Notice) {
        // Whoever panicked while holding it would have left it whole: it is changed in one call.
        self.outbox.lock().unwrap_or_else(PoisonError::into_inner).put(notice);
    }

    /// Called by the connection for each message; the outbox is bounded and never blocks.
    fn hear(&self, push: PushInfo) {
        if let Some(notice) = Msg::from_push_info(push).and_then(|message| self.channels.read(&message)) {
            self.put(notice);
        }
    }
}

struct Feeder {
    dialer: Dialer,
    locator: Locator,
    mouth: Arc<Mouth>,
}

impl Feeder {
    async fn run(&self) {
        loop {
            let Place::At(address) = self.locator.place().await else { continue };
            // A master that was replaced may live on: nobody publishes there any more.
            tokio::select! {
                Err(trouble) = self.listen(&address) => {
                    tracing::debug!(reason = %trouble.at(&address), "a subscription is cut");
                }
                () = self.locator.moved_from(&address) => {}
            }
            tokio::time::sleep(retry_delay()).await;
        }
    }

    /// Subscribes and passes on what comes, until the connection is lost.
    async fn listen(&self, address: &Address) -> Result<Infallible, Trouble> {
        let mouth = Arc::clone(&self.mouth);
        let listener: Listener = Arc::new(move |push: PushInfo| {
            mouth.hear(push);
            Ok::<(), SendError>(())
        });
        let link = self.dialer.master(address, Some(listener)).await.map_err(|error| error.trouble)?;
        let mut commands = link.commands.clone();
        match timeout(STEP_TIMEOUT, commands.subscribe(self.mouth.channels.names())).await {
            Ok(subscribed) => subscribed.map_err(|error| Trouble::Refuses(error.to_string()))?,
            Err(_) => return Err(Trouble::Silent { step: "subscription", limit: STEP_TIMEOUT }),
        }
        // Only now is nothing missed any more.
        self.mouth.put(Notice::Rescan);
        Err(watch_over(&link).await)
    }
}
