//! A gateway with all its players dies, and they come back through another.

use std::time::{Duration, Instant};

use pintail::client::{Client, ClientConfig, Event};
use tokio::task::JoinSet;
use tokio::time::timeout;

use crate::cluster::Cluster;
use crate::report::Figures;

/// How many players there are.
const PLAYERS: usize = 5_000;

/// How many log in at once at the beginning.
const LOGINS: usize = 64;

/// How long a player may take to be back.
const PATIENCE: Duration = Duration::from_secs(60);

/// Kills the gateway of all players once, and takes the time until each is back.
pub(crate) fn run(_: usize) {
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().expect("a runtime");
    let cluster = Cluster::start();
    let addresses: Vec<_> = cluster
        .gateways
        .iter()
        .map(|gateway| gateway.node.client_address.to_string().parse().expect("an address"))
        .collect();
    let mut figures = Figures::new(&format!("{PLAYERS} players whose gateway died → back"), "");
    runtime.block_on(async {
        let mut players = Vec::with_capacity(PLAYERS);
        while players.len() < PLAYERS {
            let mut logins = JoinSet::new();
            for number in 0..LOGINS.min(PLAYERS - players.len()) {
                // All through the first gateway: the others are tried only when it is gone.
                let config = ClientConfig::new(addresses.clone(), format!("player {number}"));
                let config = ClientConfig { first_address: Some(0), ..config };
                logins.spawn(Client::connect(config));
            }
            players
                .extend(logins.join_all().await.into_iter().map(|login| login.expect("the gateway lets players in")));
        }
        cluster.gateways[0].node.program.signal("KILL");
        let since = Instant::now();
        let mut coming = JoinSet::new();
        for (client, mut events) in players {
            coming.spawn(async move {
                let back = async {
                    let mut is_lost = false;
                    while let Some(event) = events.next().await {
                        match event {
                            Event::Disconnected { .. } => is_lost = true,
                            Event::Connected { .. } if is_lost => return Some(since.elapsed()),
                            _ => {}
                        }
                    }
                    None
                };
                (timeout(PATIENCE, back).await.ok().flatten(), client)
            });
        }
        let back = coming.join_all().await;
        back.iter().for_each(|(took, _)| figures.add(*took));
    });
    figures.print();
}
