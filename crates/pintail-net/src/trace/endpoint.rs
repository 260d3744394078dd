//! Where a collector takes traces.

use std::fmt;
use std::str::FromStr;

use thiserror::Error;

/// Where collectors take traces by OTLP over HTTP.
const PORT: u16 = 4318;
const PATH: &str = "/v1/traces";

/// The URL of a collector: `http://host[:port][/path]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OtlpEndpoint {
    pub(super) host: String,
    pub(super) port: u16,
    pub(super) path: String,
}

/// A text that is no such URL.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum BadEndpoint {
    /// It begins otherwise.
    #[error(
        "a collector of traces is reached by http://host[:port][/path], such as http://127.0.0.1:4318 (for one behind TLS, \
         run a collector on this machine that forwards to it)"
    )]
    NotHttp,
    /// What stands for host and port is none.
    #[error("`{0}` is no host and port: write it as in http://127.0.0.1:4318")]
    BadAddress(String),
}

impl OtlpEndpoint {
    /// Host and port, as a URL and an HTTP request have them: an IPv6 address in brackets.
    pub(super) fn authority(&self) -> String {
        let Self { host, port, .. } = self;
        if host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") }
    }
}

impl FromStr for OtlpEndpoint {
    type Err = BadEndpoint;

    fn from_str(text: &str) -> Result<Self, BadEndpoint> {
        let rest = text.strip_prefix("http://").ok_or(BadEndpoint::NotHttp)?;
        let (address, path) = rest.find('/').map_or((rest, PATH), |at| rest.split_at(at));
        let path = if path == "/" { PATH } else { path };
        let bad = || BadEndpoint::BadAddress(address.to_owned());
        // The colons of an IPv6 address stand in brackets.
        let (host, port) = match address.rsplit_once(':') {
            Some((host, port)) if !port.contains(']') => (host, port.parse().map_err(|_| bad())?),
            _ => (address, PORT),
        };
        let bare = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
        let is_plain = |text: &str| text.chars().all(|character| character.is_ascii_graphic());
        if host.is_empty()
            || port == 0
            || !is_plain(text)
            || host.contains('@')
            || (bare.is_none() && host.contains(':'))
        {
            return Err(bad());
        }
        Ok(Self { host: bare.unwrap_or(host).to_owned(), port, path: path.to_owned() })
    }
}

impl fmt::Display for OtlpEndpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "http://{}{}", self.authority(), self.path)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_left_out_is_what_collectors_have() {
        for (text, meant) in [
            ("http://127.0.0.1", "http://127.0.0.1:4318/v1/traces"),
            ("http://collector:1234/", "http://collector:1234/v1/traces"),
            ("http://[::1]:1234/otlp/v1/traces", "http://[::1]:1234/otlp/v1/traces"),
            ("http://[::1]", "http://[::1]:4318/v1/traces"),
        ] {
            let endpoint: OtlpEndpoint = text.parse().unwrap();
            assert_eq!(endpoint.to_string(), meant);
            assert_eq!(meant.parse(), Ok(endpoint));
        }
        for text in [
            "",
            "127.0.0.1:4318",
            "https://x",
            "http://",
            "http://x:y",
            "http://::1",
            "http://u@x",
            "http://x y",
            "http://x:0",
        ] {
            assert!(text.parse::<OtlpEndpoint>().is_err(), "{text}");
        }
    }
}
