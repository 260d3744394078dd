//! `/debug/pprof/profile`, `/debug/pprof/heap` and `/debug/tasks`: what a server is made of, and what it does.

use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use axum::extract::{RawQuery, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use pintail_profile::cpu::{CantRecord, Frequency, Recording};
use pintail_profile::{flame, heap, pprof};
use serde_json::Value;
use thiserror::Error;
use tokio::time::{sleep, timeout};

use super::Shared;

/// How long a profile takes if the request doesn't say.
const PROFILE_DEFAULT: Duration = Duration::from_secs(10);

/// How long a profile takes at most.
const PROFILE_SECONDS_MAX: u64 = 60;

/// How long a server's loop may take to say what it does. It comes round many times a second, unless it is stuck.
const TASKS_DEADLINE: Duration = Duration::from_secs(2);

/// How many games, links or the like are told at most, and if the request doesn't say.
const TASKS_MAX: usize = 1000;

/// What a server says of its work.
#[async_trait]
pub trait Tasks: Send + Sync + 'static {
    /// What it does now, with at most so many of whatever can be many; `None` if it can't say, because it stops.
    async fn tasks(&self, limit: usize) -> Option<Value>;
}

/// What can't be asked for.
#[derive(Debug, PartialEq, Eq, Error)]
enum BadQuery {
    #[error("`{0}` is no number: write one, as in ?{1}")]
    NoNumber(String, &'static str),
    #[error("a profile takes 1 to {PROFILE_SECONDS_MAX} seconds: ask for several, one after another")]
    Seconds,
    #[error("there is no format `{0}`: leave it out for a pprof file, or write format=svg for a flame graph")]
    Format(String),
}

impl IntoResponse for BadQuery {
    fn into_response(self) -> Response {
        (StatusCode::BAD_REQUEST, format!("{self}\n")).into_response()
    }
}

/// The value of this name in a query.
fn value<'a>(query: Option<&'a str>, name: &str) -> Option<&'a str> {
    query?.split('&').filter_map(|pair| pair.split_once('=')).find(|(key, _)| *key == name).map(|(_, value)| value)
}

fn number<T: FromStr>(query: Option<&str>, name: &str, example: &'static str) -> Result<Option<T>, BadQuery> {
    let parse = |text: &str| text.parse().map_err(|_| BadQuery::NoNumber(text.to_owned(), example));
    value(query, name).map(parse).transpose()
}

/// How a profile is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Format {
    Pprof,
    Svg,
}

/// What is asked of a CPU profile.
#[derive(Debug, PartialEq, Eq)]
struct Wanted {
    duration: Duration,
    format: Format,
}

impl Wanted {
    fn read(query: Option<&str>) -> Result<Self, BadQuery> {
        let duration = match number(query, "seconds", "seconds=10")? {
            None => PROFILE_DEFAULT,
            Some(seconds @ 1..=PROFILE_SECONDS_MAX) => Duration::from_secs(seconds),
            Some(_) => return Err(BadQuery::Seconds),
        };
        let format = match value(query, "format") {
            None | Some("pprof") => Format::Pprof,
            Some("svg") => Format::Svg,
            Some(other) => return Err(BadQuery::Format(other.to_owned())),
        };
        Ok(Self { duration, format })
    }
}

/// `GET /debug/pprof/profile?seconds=N&format=svg`: a CPU profile of the process.
pub(super) async fn profile(State(shared): State<Arc<Shared>>, RawQuery(query): RawQuery) -> Response {
    let Wanted { duration, format } = match Wanted::read(query.as_deref()) {
        Ok(wanted) => wanted,
        Err(bad) => return bad.into_response(),
    };
    // Whoever asked and is gone drops this, which ends the recording.
    let recording = match Recording::start(Frequency::default()) {
        Ok(recording) => recording,
        Err(error) => return cant_record(&error),
    };
    tokio::select! {
        () = sleep(duration) => {}
        () = shared.stop.cancelled() => {}
    }
    let title = shared.state.name();
    let write = move || {
        let profile = recording.finish();
        match format {
            Format::Pprof => file("application/octet-stream", "cpu.pb.gz", pprof::encode(&profile)),
            Format::Svg => ([(header::CONTENT_TYPE, "image/svg+xml")], flame::svg(&profile, &title)).into_response(),
        }
    };
    done(tokio::task::spawn_blocking(write).await)
}

/// `GET /debug/pprof/heap`: what holds memory, if the program was built to tell.
pub(super) async fn heap() -> Response {
    let write = || match heap::profile() {
        Ok(bytes) => file("application/octet-stream", "heap.pb.gz", bytes),
        Err(error) => {
            let status = match error {
                heap::CantTell::NotBuilt => StatusCode::NOT_IMPLEMENTED,
                heap::CantTell::Off | heap::CantTell::Failed(_) => StatusCode::SERVICE_UNAVAILABLE,
            };
            (status, format!("{error}\n")).into_response()
        }
    };
    done(tokio::task::spawn_blocking(write).await)
}

/// `GET /debug/tasks?limit=N`: what the server does now, as JSON.
pub(super) async fn tasks(State(shared): State<Arc<Shared>>, RawQuery(query): RawQuery) -> Response {
    let limit = match number(query.as_deref(), "limit", "limit=100") {
        Ok(limit) => limit.unwrap_or(TASKS_MAX).min(TASKS_MAX),
        Err(bad) => return bad.into_response(),
    };
    match timeout(TASKS_DEADLINE, shared.state.tasks.tasks(limit)).await {
        Ok(Some(tasks)) => ([(header::CONTENT_TYPE, "application/json")], format!("{tasks:#}\n")).into_response(),
        Ok(None) => (StatusCode::SERVICE_UNAVAILABLE, "this server is stopping\n").into_response(),
        Err(_) => {
            let text = "this server's loop has not come round for 2 s: it is busy or stuck. Its log says in what, and \
                        /debug/pprof/profile where it spends its time\n";
            (StatusCode::GATEWAY_TIMEOUT, text).into_response()
        }
    }
}

fn cant_record(error: &CantRecord) -> Response {
    let status = match error {
        CantRecord::Busy => StatusCode::CONFLICT,
        CantRecord::SignalInUse | CantRecord::System(_) | CantRecord::CantReadStacks(_) | CantRecord::NotHere => {
            StatusCode::NOT_IMPLEMENTED
        }
    };
    (status, format!("{error}\n")).into_response()
}

fn file(content_type: &'static str, name: &'static str, bytes: Vec<u8>) -> Response {
    let disposition = format!("attachment; filename=\"{name}\"");
    ([(header::CONTENT_TYPE, content_type.to_owned()), (header::CONTENT_DISPOSITION, disposition)], bytes)
        .into_response()
}

fn done(written: Result<Response, tokio::task::JoinError>) -> Response {
    written.unwrap_or_else(|error| (StatusCode::INTERNAL_SERVER_ERROR, format!("{error}\n")).into_response())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_query_says_how_long_and_in_which_format() {
        let wanted = |seconds, format| Ok(Wanted { duration: Duration::from_secs(seconds), format });
        for (query, expected) in [
            (None, wanted(10, Format::Pprof)),
            (Some(""), wanted(10, Format::Pprof)),
            (Some("seconds=3"), wanted(3, Format::Pprof)),
            (Some("format=svg&seconds=60"), wanted(60, Format::Svg)),
            (Some("debug=1&format=pprof"), wanted(10, Format::Pprof)),
            (Some("seconds=0"), Err(BadQuery::Seconds)),
            (Some("seconds=61"), Err(BadQuery::Seconds)),
            (Some("seconds=-1"), Err(BadQuery::NoNumber("-1".to_owned(), "seconds=10"))),
            (Some("format=png"), Err(BadQuery::Format("png".to_owned()))),
        ] {
            assert_eq!(Wanted::read(query), expected, "{query:?}");
        }
        assert_eq!(number::<usize>(Some("limit=7"), "limit", ""), Ok(Some(7)));
    }
}
