//! What a Redis URL says.

use std::fmt;

use percent_encoding::percent_decode_str;
use redis::RedisConnectionInfo;
use thiserror::Error;

/// Where Redis listens if the URL names no port.
const REDIS_PORT: u16 = 6379;

/// Where a sentinel listens if the URL names no port.
const SENTINEL_PORT: u16 = 26379;

/// The most sentinels that a URL names: each costs a connection. Three to five are usual.
const SENTINELS_MAX: usize = 16;

/// A URL that can't be one of a Redis server. It shows no part of the URL, which may hold a password.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error(
    "the Redis URL can't be used: {0}. One looks like redis://127.0.0.1:6379, rediss://user:password@host:6379/0 (with \
     TLS) or redis+sentinel://host1,host2,host3:26379/master-name"
)]
pub struct BadRedisUrl(Problem);

#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
enum Problem {
    #[error("it does not start with redis://, rediss://, redis+sentinel:// or rediss+sentinel://")]
    Scheme,
    #[error("it names no host")]
    Host,
    #[error(
        "a port is not a number from 1 to 65535 (a password with @ : / ? or # in it must have them as %40 %3A %2F %3F %23)"
    )]
    Port,
    #[error("after the host stands something that is no number of a database")]
    Database,
    #[error("after the sentinels must stand the name of their master, such as /mymaster")]
    MasterName,
    #[error("it names several hosts, which only redis+sentinel:// may")]
    SeveralHosts,
    #[error("it names more than {SENTINELS_MAX} sentinels")]
    TooManySentinels,
    #[error("after its ? may only stand sentinel_user=… and sentinel_password=…, and those for sentinels alone")]
    Parameter,
    #[error("its %-escapes are not text in UTF-8")]
    Escapes,
}

/// A host and a port.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Address {
    /// A name, or an IP address without brackets.
    pub(super) host: String,
    pub(super) port: u16,
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { host, port } = self;
        if host.contains(':') { write!(f, "[{host}]:{port}") } else { write!(f, "{host}:{port}") }
    }
}

impl fmt::Debug for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Whether connections are encrypted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Encryption {
    None,
    Tls,
}

/// Who knows where Redis is.
#[derive(Debug, Clone)]
pub(super) enum Servers {
    /// The URL.
    One(Address),
    /// Sentinels.
    Sentinels {
        addresses: Vec<Address>,
        master_name: String,
        /// Without it, sentinels are asked without a password.
        login: RedisConnectionInfo,
    },
}

/// Everything that a URL says. Its `Debug` shows no password: that of `RedisConnectionInfo` leaves it out.
#[derive(Debug, Clone)]
pub(super) struct Target {
    pub(super) servers: Servers,
    pub(super) encryption: Encryption,
    /// User, password and database of Redis itself.
    pub(super) login: RedisConnectionInfo,
}

impl Target {
    pub(super) fn parse(url: &str) -> Result<Self, BadRedisUrl> {
        parse(url).map_err(BadRedisUrl)
    }
}

fn parse(url: &str) -> Result<Target, Problem> {
    let (scheme, rest) = url.split_once("://").ok_or(Problem::Scheme)?;
    let (encryption, by_sentinel) = match scheme {
        "redis" => (Encryption::None, false),
        "rediss" => (Encryption::Tls, false),
        "redis+sentinel" => (Encryption::None, true),
        "rediss+sentinel" => (Encryption::Tls, true),
        _ => return Err(Problem::Scheme),
    };
    if rest.contains('#') {
        return Err(Problem::Parameter);
    }
    let (rest, query) = rest.split_once('?').unwrap_or((rest, ""));
    let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
    let (user, hosts) = authority.rsplit_once('@').unwrap_or(("", authority));
    let login = login(user)?;
    if !by_sentinel {
        if !query.is_empty() {
            return Err(Problem::Parameter);
        }
        let address = match &addresses(hosts, REDIS_PORT)?[..] {
            [address] => address.clone(),
            _ => return Err(Problem::SeveralHosts),
        };
        return Ok(Target { servers: Servers::One(address), encryption, login: login.set_db(database(path)?) });
    }
    let (master_name, path) = path.split_once('/').unwrap_or((path, ""));
    if master_name.is_empty() {
        return Err(Problem::MasterName);
    }
    let servers = Servers::Sentinels {
        addresses: addresses(hosts, SENTINEL_PORT)?,
        master_name: decode(master_name)?,
        login: sentinel_login(query)?,
    };
    Ok(Target { servers, encryption, login: login.set_db(database(path)?) })
}

fn login(user: &str) -> Result<RedisConnectionInfo, Problem> {
    let (name, password) = user.split_once(':').unwrap_or((user, ""));
    Ok(with_login(&decode(name)?, &decode(password)?))
}

fn with_login(name: &str, password: &str) -> RedisConnectionInfo {
    // Redis 7.0 does not know the command that would tell it the library's name.
    let mut login = RedisConnectionInfo::default().set_skip_set_lib_name();
    if !name.is_empty() {
        login = login.set_username(name);
    }
    if !password.is_empty() {
        login = login.set_password(password);
    }
    login
}

fn sentinel_login(query: &str) -> Result<RedisConnectionInfo, Problem> {
    let (mut name, mut password) = (String::new(), String::new());
    for parameter in query.split('&').filter(|parameter| !parameter.is_empty()) {
        match parameter.split_once('=') {
            Some(("sentinel_user", value)) => name = decode(value)?,
            Some(("sentinel_password", value)) => password = decode(value)?,
            _ => return Err(Problem::Parameter),
        }
    }
    Ok(with_login(&name, &password))
}

fn addresses(hosts: &str, default_port: u16) -> Result<Vec<Address>, Problem> {
    let addresses: Vec<_> = hosts.split(',').map(|host| address(host, default_port)).collect::<Result<_, _>>()?;
    if addresses.len() > SENTINELS_MAX { Err(Problem::TooManySentinels) } else { Ok(addresses) }
}

fn address(text: &str, default_port: u16) -> Result<Address, Problem> {
    let (host, port) = if let Some(bracketed) = text.strip_prefix('[') {
        let (host, after) = bracketed.split_once(']').ok_or(Problem::Host)?;
        match after.strip_prefix(':') {
            Some(port) => (host, Some(port)),
            None if after.is_empty() => (host, None),
            None => return Err(Problem::Port),
        }
    } else {
        text.split_once(':').map_or((text, None), |(host, port)| (host, Some(port)))
    };
    if host.is_empty() || host.contains(char::is_whitespace) {
        return Err(Problem::Host);
    }
    let port = match port {
        None => default_port,
        Some(port) => port.parse().ok().filter(|&port| port != 0).ok_or(Problem::Port)?,
    };
    Ok(Address { host: host.to_owned(), port })
}

fn database(path: &str) -> Result<i64, Problem> {
    match path.strip_suffix('/').unwrap_or(path) {
        "" => Ok(0),
        number => number.parse::<u16>().map(i64::from).map_err(|_| Problem::Database),
    }
}

fn decode(text: &str) -> Result<String, Problem> {
    percent_decode_str(text).decode_utf8().map(std::borrow::Cow::into_owned).map_err(|_| Problem::Escapes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(url: &str) -> String {
        let target = Target::parse(url).unwrap_or_else(|error| panic!("{url}: {error}"));
        let login = |login: &RedisConnectionInfo| {
            format!("{}:{}", login.username().unwrap_or("-"), login.password().unwrap_or("-"))
        };
        let servers = match &target.servers {
            Servers::One(address) => address.to_string(),
            Servers::Sentinels { addresses, master_name, login: sentinels } => {
                format!("{addresses:?} {master_name} as {}", login(sentinels))
            }
        };
        format!("{:?} {servers} as {} db {}", target.encryption, login(&target.login), target.login.db())
    }

    #[test]
    fn urls_say_where_redis_is() {
        for (url, expected) in [
            ("redis://127.0.0.1", "None 127.0.0.1:6379 as -:- db 0"),
            ("redis://127.0.0.1:1/", "None 127.0.0.1:1 as -:- db 0"),
            ("redis://:secret@host:6380/2", "None host:6380 as -:secret db 2"),
            ("rediss://user:p%40%3A%2Fs@host:6380/2", "Tls host:6380 as user:p@:/s db 2"),
            ("redis://u:at@sign@[::1]:7", "None [::1]:7 as u:at@sign db 0"),
            ("redis://[::1]", "None [::1]:6379 as -:- db 0"),
            ("redis+sentinel://a,b:2/main", "None [a:26379, b:2] main as -:- as -:- db 0"),
            (
                "rediss+sentinel://u:p@a,[::1]:2/main/3?sentinel_user=s&sentinel_password=%26",
                "Tls [a:26379, [::1]:2] main as s:& as u:p db 3",
            ),
        ] {
            assert_eq!(shown(url), expected, "{url}");
        }
    }

    #[test]
    fn what_is_wrong_is_told_without_the_password() {
        for (url, expected) in [
            ("", Problem::Scheme),
            ("localhost", Problem::Scheme),
            ("http://127.0.0.1", Problem::Scheme),
            ("redis://", Problem::Host),
            ("redis://:hidden@", Problem::Host),
            ("redis://host:0", Problem::Port),
            ("redis://host:hidden", Problem::Port),
            ("redis://user:hid/den@host", Problem::Port),
            ("redis://user:hid#den@host", Problem::Parameter),
            ("redis://[::1", Problem::Host),
            ("redis://[::1]hidden", Problem::Port),
            ("redis://127.0.0.1/hidden", Problem::Database),
            ("redis://127.0.0.1/0?sentinel_password=hidden", Problem::Parameter),
            ("redis://a,b", Problem::SeveralHosts),
            ("redis://:%ffhidden@host", Problem::Escapes),
            ("redis+sentinel://a,b", Problem::MasterName),
            ("redis+sentinel://a,b/", Problem::MasterName),
            ("redis+sentinel://a,,b/main", Problem::Host),
            ("redis+sentinel://a/main/x", Problem::Database),
            ("redis+sentinel://a/main?password=hidden", Problem::Parameter),
            ("redis+sentinel://a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a/main", Problem::TooManySentinels),
        ] {
            let error = Target::parse(url).unwrap_err();
            assert_eq!(error, BadRedisUrl(expected), "{url}");
            assert!(!error.to_string().contains("hidden"), "{error}");
        }
    }

    #[test]
    fn a_password_is_never_shown() {
        let target = Target::parse("redis+sentinel://u:hidden@a/main?sentinel_password=hidden").unwrap();
        assert!(!format!("{target:?}").contains("hidden"), "{target:?}");
    }
}
