//! Servers that do what a test says.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use pintail_core::limits::LINK_SILENCE_MAX;
use pintail_core::{ClusterSecret, Endpoint, Incarnation, Kind, Slot, Status};
use pintail_net::{Identity, LinkEvent, LinkId, LinkListener, Outbox};
use pintail_store::{Announcement, SharedStore};
use pintail_wire::Frame;
use pintail_wire::heartbeat::{Heartbeat, StoreSight};
use pintail_wire::kind::link as link_kind;
use tokio::runtime::Runtime;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::soon;

/// Whether a fake server answers heartbeats.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Voice {
    Answers,
    Mute,
}

/// A lobby or game server that greets, answers heartbeats unless told otherwise, and hands everything else to the test.
pub struct FakeServer {
    pub slot: Slot,
    pub incarnation: Incarnation,
    pub endpoint: Endpoint,
    pub events: mpsc::Receiver<(LinkId, Frame)>,
    pub links: watch::Receiver<Vec<(Slot, Arc<Outbox>)>>,
    pub voice: watch::Sender<Voice>,
    /// What it says of itself to the registry.
    pub status: watch::Sender<Status>,
    /// What the last heartbeat said of the store.
    pub sight: watch::Receiver<Option<StoreSight>>,
    store: SharedStore,
    stop: CancellationToken,
    stop_links: CancellationToken,
    living: Option<JoinHandle<()>>,
    /// What a kill destroys: sockets without a goodbye.
    runtime: Option<Runtime>,
}

impl FakeServer {
    pub async fn start(kind: Kind, store: SharedStore) -> Self {
        Self::start_at("127.0.0.1:0".parse().unwrap(), kind, store).await
    }

    pub async fn start_at(listen: SocketAddr, kind: Kind, store: SharedStore) -> Self {
        Self::start_when(std::future::ready(()), listen, kind, store).await
    }

    /// A server that is registered and can be dialled, and greets nobody until then.
    pub async fn start_when(
        ready: impl Future<Output = ()> + Send + 'static,
        listen: SocketAddr,
        kind: Kind,
        store: SharedStore,
    ) -> Self {
        let runtime = own_runtime();
        let (listener, endpoint) = Self::listen(&runtime, listen).await;
        let incarnation = Incarnation::random();
        let slot = store.register(&announcement(kind, endpoint, incarnation)).await.unwrap().slot;
        let mut server = Self::serve(runtime, ready, listener, endpoint, (slot, incarnation), store.clone());
        let living = keep_alive(store, slot, incarnation, endpoint, server.status.subscribe(), server.stop.clone());
        server.living = Some(server.runtime.as_ref().unwrap().spawn(living));
        server
    }

    /// A server that writes nothing of itself into the registry: the test does.
    pub async fn foreign(slot: Slot, store: SharedStore) -> Self {
        let runtime = own_runtime();
        let (listener, endpoint) = Self::listen(&runtime, "127.0.0.1:0".parse().unwrap()).await;
        let identity = (slot, Incarnation::random());
        Self::serve(runtime, std::future::ready(()), listener, endpoint, identity, store)
    }

    async fn listen(runtime: &Runtime, listen: SocketAddr) -> (LinkListener, Endpoint) {
        let listener = runtime.spawn(LinkListener::bind(listen)).await.unwrap().unwrap();
        let endpoint = pintail_net::address::advertised(listener.local_addr(), None).unwrap();
        (listener, endpoint)
    }

    fn serve(
        runtime: Runtime,
        ready: impl Future<Output = ()> + Send + 'static,
        listener: LinkListener,
        endpoint: Endpoint,
        (slot, incarnation): (Slot, Incarnation),
        store: SharedStore,
    ) -> Self {
        let identity = Identity { cluster: "test".to_owned(), slot, incarnation };
        let (_, identity) = watch::channel(Some(identity));
        let (events_tx, link_events) = mpsc::channel(1024);
        let stop = CancellationToken::new();
        let stop_links = stop.child_token();
        let secret = ClusterSecret::loopback();
        let stop_serving = stop_links.clone();
        runtime.spawn(async move {
            ready.await;
            listener.serve(secret, LINK_SILENCE_MAX, identity, events_tx, stop_serving).await;
        });
        let (frames_tx, events) = mpsc::channel(4096);
        let (links_tx, links) = watch::channel(Vec::new());
        let (voice, heard) = watch::channel(Voice::Answers);
        let (sight_tx, sight) = watch::channel(None);
        runtime.spawn(relay(link_events, frames_tx, links_tx, heard, sight_tx));
        Self {
            slot,
            incarnation,
            endpoint,
            events,
            links,
            voice,
            status: watch::channel(Status::Smooth).0,
            sight,
            store,
            stop,
            stop_links,
            living: None,
            runtime: Some(runtime),
        }
    }

    /// The next frame that is not a heartbeat.
    pub async fn recv(&mut self) -> Frame {
        soon("a link frame", self.events.recv()).await.expect("the server runs").1
    }

    pub async fn recv_kind(&mut self, kind: u8) -> Bytes {
        loop {
            let frame = self.recv().await;
            if frame.kind == kind {
                return frame.body;
            }
        }
    }

    /// Waits for a link and gives what is sent over it.
    pub async fn linked(&mut self) -> Arc<Outbox> {
        soon("a link", self.links.wait_for(|links| !links.is_empty())).await.unwrap();
        self.links.borrow()[0].1.clone()
    }

    /// Waits for so many links.
    pub async fn linked_to(&mut self, gateways: usize) {
        soon("the links", self.links.wait_for(|links| links.len() == gateways)).await.unwrap();
    }

    /// Closes its links in good order, and stays in the registry.
    pub async fn say_goodbye(&mut self) {
        self.stop_links.cancel();
        self.linked_to(0).await;
    }

    /// Stops at once: links close, the registry is told.
    pub async fn stop(self) {
        self.stop.cancel();
        self.store.deregister(self.slot, self.incarnation).await.unwrap();
    }

    /// Says no more that it lives, but goes on else.
    pub fn lose_lease(&self) {
        self.living.iter().for_each(JoinHandle::abort);
    }

    /// Ends at once, as a killed process does: its sockets close, and nobody is told.
    pub fn kill(mut self) {
        self.end();
    }

    fn end(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

impl Drop for FakeServer {
    fn drop(&mut self) {
        self.stop.cancel();
        self.end();
    }
}

/// The links' tasks end with their runtime, as those of a killed process do.
fn own_runtime() -> Runtime {
    tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap()
}

pub fn announcement(kind: Kind, endpoint: Endpoint, incarnation: Incarnation) -> Announcement {
    Announcement {
        kind,
        endpoint,
        incarnation,
        capacity: 100,
        game_types: vec!["echo".parse().unwrap()],
        version: "test".to_owned(),
        admin_port: None,
        http_port: None,
    }
}

async fn keep_alive(
    store: SharedStore,
    slot: Slot,
    incarnation: Incarnation,
    endpoint: Endpoint,
    status: watch::Receiver<Status>,
    stop: CancellationToken,
) {
    while !stop.is_cancelled() {
        let status = *status.borrow();
        let heartbeat = pintail_store::Heartbeat { status, cause: String::new(), players: 0, endpoint };
        // A store that fails for a test fails this as well.
        let _ = store.heartbeat(slot, incarnation, &heartbeat).await;
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}

async fn relay(
    mut events: mpsc::Receiver<LinkEvent>,
    frames: mpsc::Sender<(LinkId, Frame)>,
    links: watch::Sender<Vec<(Slot, Arc<Outbox>)>>,
    voice: watch::Receiver<Voice>,
    sight: watch::Sender<Option<StoreSight>>,
) {
    let mut open: Vec<(LinkId, Slot, Arc<Outbox>)> = Vec::new();
    while let Some(event) = events.recv().await {
        match event {
            LinkEvent::Opened { link, gateway, outbox } => open.push((link, gateway, outbox)),
            LinkEvent::Closed { link } => open.retain(|&(id, ..)| id != link),
            LinkEvent::Frames { link, frames: batch } => {
                for frame in batch {
                    if frame.kind != link_kind::HEARTBEAT {
                        let _ = frames.send((link, frame)).await;
                        continue;
                    }
                    sight.send_replace(Some(Heartbeat::decode(&frame.body).expect("a heartbeat").store));
                    if *voice.borrow() == Voice::Answers
                        && let Some((.., outbox)) = open.iter().find(|&&(id, ..)| id == link)
                    {
                        let _ = outbox.push(link_kind::HEARTBEAT_ANSWER, &[&frame.body]);
                    }
                }
            }
        }
        links.send_replace(open.iter().map(|(_, slot, outbox)| (*slot, outbox.clone())).collect());
    }
}
