//! A `redis-server` for one test. It keeps everything in memory and writes no file.

use std::ffi::OsString;
use std::net::TcpListener;
use std::path::PathBuf;

use tokio::time::Instant;

use super::ClusterError;
use super::child::{Child, Launcher, Recipe};
use crate::pins::Cores;

/// What is started.
const PROGRAM: &str = "redis-server";

/// How many free ports are tried: another program can take one between the look and the start.
const PORTS_TRIED: u32 = 5;

/// A `redis-server` that answers.
#[derive(Debug)]
pub(super) struct Redis {
    pub(super) child: Child,
    /// Where it is: `redis://127.0.0.1:PORT`.
    pub(super) url: String,
    /// Such as `7.0.15`.
    pub(super) version: String,
}

impl Redis {
    /// Starts one on a free port.
    pub(super) async fn start(
        launcher: &Launcher,
        cores: Option<&Cores>,
        deadline: Instant,
    ) -> Result<Self, ClusterError> {
        let program = find(std::env::var_os("PATH")).ok_or(ClusterError::NoRedis)?;
        let mut attempt = 1;
        loop {
            let port = free_port()?;
            match Self::start_on(launcher, &program, port, cores, deadline).await {
                Err(ClusterError::Ended { .. }) if attempt < PORTS_TRIED => attempt += 1,
                result => return result,
            }
        }
    }

    async fn start_on(
        launcher: &Launcher,
        program: &std::path::Path,
        port: u16,
        cores: Option<&Cores>,
        deadline: Instant,
    ) -> Result<Self, ClusterError> {
        let recipe = Recipe {
            name: "redis".to_owned(),
            program: program.into(),
            arguments: arguments(port),
            environment: Vec::new(),
            cores: cores.cloned(),
        };
        let mut child = launcher.start(recipe)?;
        let mut version = None;
        let is_ready = |line: &str| {
            version = version.take().or_else(|| version_in(line));
            line.contains("Ready to accept connections").then_some(())
        };
        child.wait_for(deadline, is_ready).await?;
        let version = version.unwrap_or_else(|| "of an unknown version".to_owned());
        Ok(Self { child, url: format!("redis://127.0.0.1:{port}"), version })
    }
}

fn arguments(port: u16) -> Vec<OsString> {
    let port = port.to_string();
    let settings =
        [["--port", &port], ["--bind", "127.0.0.1"], ["--save", ""], ["--appendonly", "no"], ["--daemonize", "no"]];
    settings.into_iter().flatten().map(OsString::from).collect()
}

fn find(path: Option<OsString>) -> Option<PathBuf> {
    std::env::split_paths(&path?).map(|directory| directory.join(PROGRAM)).find(|program| program.is_file())
}

fn free_port() -> Result<u16, ClusterError> {
    let port = TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr());
    port.map(|address| address.port()).map_err(ClusterError::NoPort)
}

/// Redis and its relatives name their version in one of their first lines.
fn version_in(line: &str) -> Option<String> {
    let (_, rest) = line.split_once("version=")?;
    let version: String = rest.chars().take_while(|character| !", ".contains(*character)).collect();
    Some(version).filter(|version| !version.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn its_version_is_in_one_of_its_first_lines() {
        let line = "7:C 23 Nov 2026 01:00:00.000 # Redis version=7.0.15, bits=64, commit=00000000, modified=0, pid=7, just started";
        assert_eq!(version_in(line), Some("7.0.15".to_owned()));
        assert_eq!(version_in("oO0OoO0OoO0Oo Redis is starting"), None);
        assert_eq!(version_in("version="), None);
    }

    #[test]
    fn a_path_without_it_has_none() {
        assert_eq!(find(None), None);
        assert_eq!(find(Some("/nowhere:/dev".into())), None);
    }
}
