//! `/debug/…`: profiles, and what servers do.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use pintail_testkit::RedisServer;
use serde_json::Value;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

use crate::http::{get, status};
use crate::support::{Player, Server, pintail, play_echo, start, until};

/// A cluster in which somebody plays as fast as the game answers, until the flag is set.
struct Busy {
    _redis: RedisServer,
    servers: Vec<Server>,
    stop: Arc<AtomicBool>,
    playing: tokio::task::JoinHandle<()>,
}

impl Busy {
    async fn start() -> Self {
        let redis = RedisServer::start();
        let servers: Vec<_> = ["game", "lobby", "gateway"].map(|kind| start(kind, &redis)).into();
        let mut player = Player::join("Ann", &[&servers[2]]).await;
        play_echo(&mut player).await;
        let stop = Arc::new(AtomicBool::new(false));
        let is_over = stop.clone();
        let playing = tokio::spawn(async move {
            while !is_over.load(Ordering::Relaxed) {
                player.echo("again").await;
            }
        });
        Self { _redis: redis, servers, stop, playing }
    }

    async fn end(self) {
        self.stop.store(true, Ordering::Relaxed);
        self.playing.await.unwrap();
        self.servers.into_iter().for_each(Server::stop);
    }
}

#[tokio::test]
async fn a_busy_server_shows_where_its_time_goes_and_goes_on() {
    let busy = Busy::start().await;
    let game = busy.servers[0].admin();
    let svg = get(game, "/debug/pprof/profile?seconds=2&format=svg", "").await;
    assert_eq!(svg.status, 200, "{}", svg.text());
    assert!(svg.head.contains("image/svg+xml"), "{}", svg.head);
    let picture = svg.text();
    assert!(picture.starts_with("<svg ") && picture.ends_with("</svg>\n"), "{picture}");
    assert!(picture.contains("Server:Game:0: ") && picture.contains("<title>pintail-games: "), "{picture}");

    // Again and again, while another is refused, and while the game goes on.
    let (one, other) =
        tokio::join!(get(game, "/debug/pprof/profile?seconds=1", ""), get(game, "/debug/pprof/profile?seconds=1", ""));
    let mut statuses = [one.status, other.status];
    statuses.sort_unstable();
    assert_eq!(statuses, [200, 409]);
    let (file, refusal) = if one.status == 200 { (one, other) } else { (other, one) };
    assert_eq!(file.body[..3], [0x1f, 0x8b, 8], "a gzip file");
    assert!(refusal.text().contains("try again"), "{}", refusal.text());
    busy.end().await;
}

#[tokio::test]
async fn whoever_leaves_before_a_profile_is_done_makes_room_for_the_next() {
    let redis = RedisServer::start();
    let lobby = start("lobby", &redis);
    let address = lobby.admin();
    let mut asked = None;
    // Of the two, either may be the one that is recorded.
    until("the profile", async || {
        asked = Some(ask_for_a_minute(address).await);
        get(address, "/debug/pprof/profile?seconds=1", "").await.status == 409
    })
    .await;
    drop(asked);
    until("room", async || get(address, "/debug/pprof/profile?seconds=1", "").await.status == 200).await;
    lobby.stop();
}

#[tokio::test]
async fn servers_say_what_they_do() {
    let busy = Busy::start().await;
    let mut tasks: [Value; 3] = Default::default();
    let ask = async |server: &Server, query: &str| -> Value {
        let answer = get(server.admin(), &format!("/debug/tasks{query}"), "").await;
        assert_eq!(answer.status, 200, "{}", answer.text());
        serde_json::from_slice(&answer.body).unwrap()
    };
    until("a game with steps", async || {
        for (tasks, server) in tasks.iter_mut().zip(&busy.servers) {
            *tasks = ask(server, "").await;
        }
        tasks[0]["games"][0]["step_seconds_max"].as_f64().is_some_and(|max| max > 0.0)
    })
    .await;
    let [game, lobby, gateway] = &tasks;
    assert_eq!((&game["server"], &lobby["server"]), (&"Server:Game:0".into(), &"Server:Lobby:0".into()));
    let echo = &game["games"][0];
    assert_eq!(
        (&echo["game_type"], &echo["protection"], &echo["attached"]),
        (&"echo".into(), &"none".into(), &1.into())
    );
    let seconds = |name: &str| echo[name].as_f64().unwrap();
    assert!(seconds("step_seconds_mean") <= seconds("step_seconds_max"), "{echo}");
    assert_eq!(game["links"][0]["gateway"], "Server:Gateway:0");
    assert_eq!(lobby["links"][0]["gateway"], "Server:Gateway:0");
    assert_eq!(gateway["sessions"], serde_json::json!({ "logged_in": 1, "attached": 1, "waiting_for_game": 0 }));
    let linked: Vec<_> = gateway["links"].as_array().unwrap().iter().map(|link| link["server"].clone()).collect();
    assert_eq!(linked.len(), 2, "{gateway}");
    let none = ask(&busy.servers[0], "?limit=0").await;
    assert_eq!((&none["game_count"], &none["games"]), (&1.into(), &serde_json::json!([])));
    busy.end().await;
}

/// Asks for a long profile over a connection that stays open for more, as those of browsers and curl do: on others a
/// server doesn't look whether anyone is there until it answers.
async fn ask_for_a_minute(address: SocketAddr) -> TcpStream {
    let mut stream = TcpStream::connect(address).await.unwrap();
    let request = "GET /debug/pprof/profile?seconds=60 HTTP/1.1\r\nhost: x\r\n\r\n";
    stream.write_all(request.as_bytes()).await.unwrap();
    stream
}

/// An address of this machine that is not loopback, if it has one.
fn outer_address() -> Option<IpAddr> {
    // Nothing is sent: the kernel only says from where it would be.
    let socket = std::net::UdpSocket::bind("0.0.0.0:0").ok()?;
    socket.connect("192.0.2.1:9").ok()?;
    Some(socket.local_addr().ok()?.ip()).filter(|ip| !ip.is_loopback() && !ip.is_unspecified())
}

#[tokio::test]
async fn from_elsewhere_all_but_the_probes_needs_the_token() {
    let Some(ip) = outer_address() else {
        eprintln!("this machine has no address but loopback: nothing can come from elsewhere");
        return;
    };
    const TOKEN: &str = "a token of this test";
    let redis = RedisServer::start();
    let pages = ["/healthz", "/readyz", "/metrics", "/debug/tasks"];
    let bearer = format!("authorization: Bearer {TOKEN}\r\n");
    let started = |token: Option<&str>| {
        let url = redis.url();
        let line = ["lobby", "--redis", &url, "--listen", "127.0.0.1:0", "--admin", "0.0.0.0:0", "--log", "debug"];
        let program = pintail(line);
        let program = match token {
            Some(token) => program.env("PINTAIL_ADMIN_TOKEN", token),
            None => program,
        };
        Server::ready(program.start())
    };
    for (token, head, expected) in [
        (None, "", [200, 200, 403, 403]),
        (None, bearer.as_str(), [200, 200, 403, 403]),
        (Some(TOKEN), "", [200, 200, 401, 401]),
        (Some(TOKEN), "authorization: Bearer a token of another test\r\n", [200, 200, 401, 401]),
        (Some(TOKEN), bearer.as_str(), [200, 200, 200, 200]),
    ] {
        let mut lobby = started(token);
        let (elsewhere, here) =
            (SocketAddr::new(ip, lobby.admin().port()), SocketAddr::from(([127, 0, 0, 1], lobby.admin().port())));
        for (page, status) in pages.into_iter().zip(expected) {
            assert_eq!(get(elsewhere, page, head).await.status, status, "{page} with {head:?}, token {token:?}");
            assert_eq!(get(here, page, "").await.status, 200, "{page} from here");
        }
        // Of `/events`, which goes on for ever, the head is enough.
        assert_eq!(status(elsewhere, "/events", head).await, expected[2], "/events with {head:?}, token {token:?}");
        assert_eq!(status(here, "/events", "").await, 200);
        let warning = "the admin port is open to other machines";
        let expected: &[&str] = if token.is_none() { &["ready: ", warning] } else { &["ready: "] };
        lobby.has_said(expected).await;
        let said = lobby.program.transcript().join("\n");
        assert!(!said.contains(TOKEN));
        let warnings = said.matches(warning).count();
        assert_eq!(warnings, usize::from(token.is_none()), "{said}");
        lobby.stop();
    }
}
