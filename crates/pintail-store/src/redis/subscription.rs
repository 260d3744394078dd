//! One subscription: a task with a connection of its own, for as long as the subscription is held.

use std::time::Duration;

use futures_util::StreamExt;
use pintail_core::Slot;
use redis::aio::{PubSubSink, PubSubStream};
use redis::{Client, Msg};

use super::connection::retry_delay;
use super::keys::Keys;
use crate::Notice;
use crate::mail::Outbox;

/// How long connecting and subscribing may take.
const SUBSCRIBE_TIMEOUT: Duration = Duration::from_secs(2);

/// How often the connection is tried.
const PING_PERIOD: Duration = Duration::from_secs(1);

/// How long a PING may take before the connection counts as lost: a subscription that went deaf is noticed within
/// this and the period.
const PING_TIMEOUT: Duration = Duration::from_secs(2);

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
pub(super) async fn feed(client: Client, channels: Channels, mut outbox: Outbox) {
    let closed = outbox.closed();
    let listening = async {
        loop {
            if let Err(error) = listen(&client, &channels, &mut outbox).await {
                tracing::debug!(error, "a subscription is cut");
            }
            tokio::time::sleep(retry_delay()).await;
        }
    };
    tokio::select! {
        () = closed => {}
        () = listening => {}
    }
}

/// Subscribes and passes on what comes, until the connection is lost.
async fn listen(client: &Client, channels: &Channels, outbox: &mut Outbox) -> Result<(), String> {
    let subscribed = tokio::time::timeout(SUBSCRIBE_TIMEOUT, subscribe(client, channels)).await;
    let (sink, stream) = match subscribed {
        Ok(subscribed) => subscribed.map_err(|error| error.to_string())?,
        Err(_) => return Err("it does not answer".to_owned()),
    };
    // Only now is nothing missed any more.
    outbox.put(Notice::Rescan);
    tokio::select! {
        reason = ping(sink) => Err(reason),
        () = pass_on(stream, channels, outbox) => Err("the connection is closed".to_owned()),
    }
}

async fn subscribe(client: &Client, channels: &Channels) -> redis::RedisResult<(PubSubSink, PubSubStream)> {
    let (mut sink, stream) = client.get_async_pubsub().await?.split();
    sink.subscribe(channels.names()).await?;
    Ok((sink, stream))
}

/// Returns once the connection no longer answers, with the reason.
async fn ping(mut sink: PubSubSink) -> String {
    loop {
        tokio::time::sleep(PING_PERIOD).await;
        match tokio::time::timeout(PING_TIMEOUT, sink.ping::<redis::Value>()).await {
            Ok(Ok(_)) => {}
            Ok(Err(error)) => return error.to_string(),
            Err(_) => return "it does not answer".to_owned(),
        }
    }
}

async fn pass_on(mut stream: PubSubStream, channels: &Channels, outbox: &mut Outbox) {
    while let Some(message) = stream.next().await {
        if let Some(notice) = channels.read(&message) {
            outbox.put(notice);
        }
    }
}
