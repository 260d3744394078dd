//! Servers of any kind as one: bind, wait until registered, run.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use pintail_core::{Endpoint, Incarnation, Kind};
use pintail_game::server::WhenStuck;
use pintail_game::{GameConfig, GameServer, GameTypes};
use pintail_gateway::{GatewayConfig, GatewayServer};
use pintail_lobby::{LobbyConfig, LobbyServer};
use pintail_net::{BindError, RoleError};
use pintail_store::{ServerRecord, SharedStore};
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;

use crate::config::server::{Choice, Port, ServerSettings};

/// How often the registry is asked whether a server is there.
const REGISTRY_POLL: Duration = Duration::from_millis(50);

/// A server that listens and is about to run.
pub(crate) enum Server {
    /// A gateway.
    Gateway(GatewayServer),
    /// A lobby server.
    Lobby(LobbyServer),
    /// A game server.
    Game(GameServer),
}

/// A default port that was in use, so that any free one was taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Displaced {
    /// The setting of the port.
    pub(crate) setting: &'static str,
    /// The port that was in use.
    pub(crate) address: SocketAddr,
}

impl Server {
    /// Listens. A default port that is in use gives way to any free one.
    ///
    /// # Errors
    /// If a port that was asked for can't be had, or there is no address to tell the others.
    pub(crate) async fn bind(
        mut settings: ServerSettings,
        types: &GameTypes,
        store: &SharedStore,
    ) -> Result<(Self, Vec<Displaced>), RoleError> {
        let mut displaced = Vec::new();
        loop {
            match Self::bind_exactly(&settings, types, store).await {
                Ok(server) => return Ok((server, displaced)),
                Err(RoleError::Bind(BindError::InUse { what, address, setting })) => {
                    if !give_way(&mut settings, setting) {
                        return Err(BindError::InUse { what, address, setting }.into());
                    }
                    displaced.push(Displaced { setting, address });
                }
                Err(error) => return Err(error),
            }
        }
    }

    async fn bind_exactly(
        settings: &ServerSettings,
        types: &GameTypes,
        store: &SharedStore,
    ) -> Result<Self, RoleError> {
        let (server, capacity, store) = (settings.server_config(), settings.capacity, store.clone());
        match settings.kind {
            Kind::Gateway => {
                let http = settings.ports.http.map(|port| port.address);
                let config = GatewayConfig {
                    http,
                    lame_duck: settings.grace,
                    threads: Some(settings.threads),
                    tls: settings.tls.clone(),
                    ..GatewayConfig::new(server, capacity)
                };
                GatewayServer::bind(config, store).await.map(Self::Gateway)
            }
            Kind::Lobby => {
                let config = LobbyConfig { capacity, ..LobbyConfig::new(server, Arc::new(types.catalog())) };
                LobbyServer::bind(config, store).await.map(Self::Lobby)
            }
            Kind::Game => {
                let config = GameConfig {
                    capacity,
                    drain_timeout: settings.grace,
                    journal: settings.games.journal,
                    when_stuck: settings.games.stuck_exit.map(exit_when_stuck),
                    ..GameConfig::new(server, Arc::new(types.clone()))
                };
                GameServer::bind(config, store).await.map(Self::Game)
            }
        }
    }

    /// What it does.
    pub(crate) fn kind(&self) -> Kind {
        match self {
            Self::Gateway(_) => Kind::Gateway,
            Self::Lobby(_) => Kind::Lobby,
            Self::Game(_) => Kind::Game,
        }
    }

    /// Where it listens.
    pub(crate) fn local_addr(&self) -> SocketAddr {
        match self {
            Self::Gateway(server) => server.local_addr(),
            Self::Lobby(server) => server.local_addr(),
            Self::Game(server) => server.local_addr(),
        }
    }

    /// What the registry is told.
    pub(crate) fn endpoint(&self) -> Endpoint {
        match self {
            Self::Gateway(server) => server.endpoint(),
            Self::Lobby(server) => server.endpoint(),
            Self::Game(server) => server.endpoint(),
        }
    }

    /// Serves until `stop`.
    ///
    /// # Errors
    /// If it can't go on serving.
    pub(crate) async fn run(self, stop: CancellationToken) -> Result<(), RoleError> {
        // By one of the runtime's own threads: for what the program's first thread does, every request would have to go from
        // one thread to another and back.
        let running = match self {
            Self::Gateway(server) => tokio::spawn(server.run(stop)),
            Self::Lobby(server) => tokio::spawn(server.run(stop)),
            Self::Game(server) => tokio::spawn(server.run(stop)),
        };
        let ended = AbortOnDropHandle::new(running).await;
        ended.unwrap_or_else(|failure| Err(RoleError::Internal(format!("the server has failed: {failure}"))))
    }
}

/// The exit code of a process that ends itself because its games hang (`EX_SOFTWARE` of sysexits): whoever supervises it
/// starts it again.
const STUCK: i32 = 70;

/// Ends the process when its games have been hanging for so long. The library has said in which game.
fn exit_when_stuck(after: Duration) -> WhenStuck {
    WhenStuck::new(after, |_| std::process::exit(STUCK))
}

/// Takes any free port for this setting, if the operator did not choose the port. Returns whether another try makes
/// sense.
fn give_way(settings: &mut ServerSettings, setting: &str) -> bool {
    let ports = &mut settings.ports;
    let port = match setting {
        "--listen" => Some(&mut ports.listen),
        "--admin" => ports.admin.as_mut(),
        "--http" => ports.http.as_mut(),
        _ => None,
    };
    match port {
        Some(port) if port.choice == Choice::Default => {
            port.address.set_port(0);
            // Any free port is never in use, so each setting gives way once.
            *port = Port { choice: Choice::Given, ..*port };
            true
        }
        _ => false,
    }
}

/// A server's place in the registry, to be waited for.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Place {
    kind: Kind,
    endpoint: Endpoint,
    /// Who was there before: a server that was killed and whose lease has not run out yet.
    before: Option<Incarnation>,
}

impl Place {
    /// The place that this server will have. To be asked before the server runs.
    pub(crate) async fn of(server: &Server, store: &SharedStore) -> Self {
        let place = Self { kind: server.kind(), endpoint: server.endpoint(), before: None };
        let before = place.find(store).await.and_then(|record| record.incarnation);
        Self { before, ..place }
    }

    /// The server's registry entry, once it is registered. While the store is away, it waits.
    pub(crate) async fn registered(self, store: &SharedStore) -> ServerRecord {
        loop {
            match self.find(store).await {
                Some(record) if record.lease && record.incarnation != self.before => return record,
                _ => tokio::time::sleep(REGISTRY_POLL).await,
            }
        }
    }

    async fn find(&self, store: &SharedStore) -> Option<ServerRecord> {
        let entries = store.scan(self.kind).await.ok()?;
        entries.into_iter().flatten().find(|record| record.endpoint == self.endpoint)
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;
    use crate::config::args::{Cli, Command};

    #[test]
    fn only_a_port_that_nobody_asked_for_gives_way_and_only_once() {
        let cli = Cli::try_parse_from(["pintail", "gateway", "--http", "127.0.0.1:8080"]).unwrap();
        let Command::Gateway(args) = cli.command else { panic!("a gateway") };
        let mut settings = ServerSettings::of_gateway(&args).unwrap();
        assert!(give_way(&mut settings, "--listen"));
        assert_eq!(settings.ports.listen.address.to_string(), "127.0.0.1:0");
        assert!(!give_way(&mut settings, "--listen"));
        assert!(!give_way(&mut settings, "--http"), "the operator asked for it");
        assert!(give_way(&mut settings, "--admin"));
        assert!(!give_way(&mut settings, "--something-else"));
    }
}
