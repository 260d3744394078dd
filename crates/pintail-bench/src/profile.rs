//! Flame graphs from the servers' admin ports.

use std::time::Duration;

use tokio::task::JoinSet;

use crate::http::Request;
use crate::report::Profile;

/// The longest time that a server is profiled for at once.
const SECONDS_MAX: u64 = 60;

/// How long a server may take to draw its flame graph, on top of the time that it is profiled.
const DRAWING: Duration = Duration::from_secs(30);

/// The most bytes of a flame graph. They have some hundred thousand.
const SVG_BYTES_MAX: u64 = 16 << 20;

/// A server's admin port.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AdminPort {
    /// What the report calls the server.
    pub server: String,
    /// Host and port.
    pub address: String,
}

/// What was collected.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Profiles {
    /// The flame graphs, in the order of the servers.
    pub profiles: Vec<Profile>,
    /// Why there is none of some servers, in sentences.
    pub notes: Vec<String>,
}

/// Asks each server for a flame graph of what it does from now on, for so long (at most a minute).
pub async fn collect(ports: Vec<AdminPort>, token: Option<String>, window: Duration) -> Profiles {
    let seconds = window.as_secs().clamp(1, SECONDS_MAX);
    let mut asked = JoinSet::new();
    for (index, port) in ports.into_iter().enumerate() {
        let token = token.clone();
        asked.spawn(async move { (index, flame_graph(&port, token.as_deref(), seconds).await) });
    }
    let mut answers = asked.join_all().await;
    answers.sort_by_key(|&(index, _)| index);
    let mut collected = Profiles::default();
    for (_, answer) in answers {
        match answer {
            Ok(profile) => collected.profiles.push(profile),
            Err(note) => collected.notes.push(note),
        }
    }
    collected
}

async fn flame_graph(port: &AdminPort, token: Option<&str>, seconds: u64) -> Result<Profile, String> {
    let AdminPort { server, address } = port;
    let path = format!("/debug/pprof/profile?seconds={seconds}&format=svg");
    let patience = Duration::from_secs(seconds) + DRAWING;
    let request = Request { address, path: &path, token, bytes_max: SVG_BYTES_MAX, patience };
    let without = |why: String| format!("There is no flame graph of the {server} server: {why}.");
    let answer = request.get().await.map_err(|error| without(error.to_string()))?;
    match (answer.status, String::from_utf8(answer.body)) {
        (200, Ok(svg)) if svg.contains("<svg") => Ok(Profile { server: server.clone(), svg }),
        (200, _) => Err(without("what it sent is no picture".to_owned())),
        (401 | 403, _) => {
            Err(without("it wants the token of its --admin-token (give it with --admin-token)".to_owned()))
        }
        (404, _) => Err(without("it makes none (an older version?)".to_owned())),
        (status, said) => {
            let said = said.unwrap_or_default();
            Err(without(
                format!("it answered {status} {}", said.lines().next().unwrap_or_default()).trim_end().to_owned(),
            ))
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;

    use super::*;

    /// A port that gives one answer to one request, which it returns.
    async fn answering(server: &str, answer: &'static str) -> (AdminPort, tokio::task::JoinHandle<String>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let asked = tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut asked = vec![0; 1024];
            let count = stream.read(&mut asked).await.unwrap();
            stream.write_all(answer.as_bytes()).await.unwrap();
            String::from_utf8(asked[..count].to_vec()).unwrap()
        });
        (AdminPort { server: server.to_owned(), address }, asked)
    }

    #[tokio::test]
    async fn who_has_a_picture_gives_it_and_of_the_others_the_reason_is_told() {
        let (gateway, asked) = answering("gateway", "HTTP/1.0 200 OK\r\n\r\n<svg>x</svg>").await;
        let (lobby, _) = answering("lobby", "HTTP/1.0 404 Not Found\r\n\r\n").await;
        let (game, _) = answering("game", "HTTP/1.0 429 Too Many\r\n\r\nanother profile is made\n").await;
        let (shut, _) = answering("game 2", "HTTP/1.0 401 No\r\n\r\n").await;
        let collected = collect(vec![gateway, lobby, game, shut], None, Duration::from_secs(7)).await;
        assert_eq!(collected.profiles, [Profile { server: "gateway".to_owned(), svg: "<svg>x</svg>".to_owned() }]);
        assert!(asked.await.unwrap().starts_with("GET /debug/pprof/profile?seconds=7&format=svg HTTP/1.0\r\n"));
        let notes = collected.notes;
        assert_eq!(notes.len(), 3);
        assert!(notes[0].contains("lobby") && notes[0].contains("makes none"), "{notes:?}");
        assert!(notes[1].contains("429 another profile is made"), "{notes:?}");
        assert!(notes[2].contains("--admin-token"), "{notes:?}");
    }

    #[tokio::test]
    async fn a_profile_has_at_least_a_second_and_at_most_a_minute() {
        for (window, asked_for) in
            [(Duration::from_millis(300), "seconds=1&"), (Duration::from_secs(300), "seconds=60&")]
        {
            let (gateway, asked) = answering("gateway", "HTTP/1.0 200 OK\r\n\r\n<svg/>").await;
            assert_eq!(collect(vec![gateway], None, window).await.profiles.len(), 1);
            assert!(asked.await.unwrap().contains(asked_for));
        }
    }
}
