//! What clients do.

use super::*;

impl Cluster {
    /// A client attaches for the first time.
    pub(super) fn join(&mut self, session: SessionId) {
        self.clients.insert(session, (Client::new(GAME, LINK), 0));
        self.attach(session, 0);
    }

    /// A client attaches at a server, through a new connection.
    pub(super) fn reattach(&mut self, session: SessionId, number: usize) {
        let client = self.client(session);
        client.generation = Generation(client.generation.0 + 1);
        self.attach(session, number);
    }

    pub(super) fn attach(&mut self, session: SessionId, number: usize) {
        let (client, at) = self.clients.get_mut(&session).unwrap();
        *at = number;
        let attach = Attach {
            session: session.0,
            generation: client.generation.0,
            room: client.game.room.0,
            round: client.game.round.0,
            received: client.incoming.received().0,
            step_seen: client.step_seen.0,
            acknowledged: client.outgoing.first_unacked().0 - 1,
        };
        client.is_open = false;
        let (link, body) = (client.link, attach.encode_to_vec().into());
        self.event(number, HostEvent::Frame(link, Frame { kind: kind::link::ATTACH, body }));
    }

    /// A client sends again what the game does not have.
    pub(super) fn resend(&mut self, session: SessionId) {
        let client = self.client(session);
        let again: Vec<_> = client.outgoing.unacked().map(|(seq, (), payload)| (seq, payload.clone())).collect();
        for (seq, payload) in again {
            self.send(session, seq, &payload);
        }
    }

    pub(super) fn detach(&mut self, session: SessionId) {
        let (client, at) = &self.clients[&session];
        let (link, number) = (client.link, *at);
        let detach = Detach {
            session: session.0,
            generation: client.generation.0,
            room: client.game.room.0,
            round: client.game.round.0,
        };
        let body = detach.encode_to_vec().into();
        self.client(session).is_open = false;
        self.event(number, HostEvent::Frame(link, Frame { kind: kind::link::DETACH, body }));
    }

    /// A client sends an input.
    pub(super) fn say(&mut self, session: SessionId, text: &str) {
        let payload = Bytes::copy_from_slice(text.as_bytes());
        let seq = self.client(session).outgoing.push((), payload.clone()).unwrap();
        if self.client(session).is_open {
            self.send(session, seq, &payload);
        }
        self.settle();
    }

    pub(super) fn send(&mut self, session: SessionId, seq: Seq, payload: &Bytes) {
        let (client, number) = self.clients.get_mut(&session).unwrap();
        let header = game::Input::header(client.game, seq, client.incoming.tell());
        let body = Bytes::from([&session.0.to_be_bytes()[..], &header, payload].concat());
        let (link, number) = (client.link, *number);
        self.hold(number, HostEvent::Frame(link, Frame { kind: kind::link::INPUT, body }));
    }

    pub(super) fn ack(&mut self, session: SessionId) {
        let (client, number) = self.clients.get_mut(&session).unwrap();
        let ack = game::Ack { game: client.game, ack: client.incoming.tell() };
        let body = Bytes::from([&session.0.to_be_bytes()[..], &ack.encode()].concat());
        let (link, number) = (client.link, *number);
        self.event(number, HostEvent::Frame(link, Frame { kind: kind::link::ACK, body }));
    }

    pub(super) fn client(&mut self, session: SessionId) -> &mut Client {
        &mut self.clients.get_mut(&session).unwrap().0
    }

    pub(super) fn take(&mut self, session: SessionId) -> Vec<Seen> {
        self.client(session).take()
    }

    /// The reliable messages since the last call, without the number at their end that stands for the game's whole course.
    pub(super) fn take_messages(&mut self, session: SessionId) -> Vec<String> {
        let texts = self.client(session).take_messages().into_iter();
        texts.map(|text| text.rsplit_once(' ').map_or(text.clone(), |(text, _)| text.to_owned())).collect()
    }

    /// The steps whose state was seen since the last call.
    pub(super) fn take_states(&mut self, session: SessionId) -> Vec<u64> {
        let step = |seen| match seen {
            Seen::State(text) => text.strip_prefix("step ")?.split_once(':')?.0.parse().ok(),
            _ => None,
        };
        self.take(session).into_iter().filter_map(step).collect()
    }
}
