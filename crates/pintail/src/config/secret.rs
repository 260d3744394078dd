//! Settings that hold secrets. No message, log or `Debug` shows what is in them.

use std::convert::Infallible;
use std::fmt;
use std::str::FromStr;

use pintail_core::{AdminToken, ClusterSecret};

/// The text of a cluster secret or an admin token. It takes any text, because a refusal by the command line's parser would print it.
#[derive(Clone)]
pub(crate) struct SecretText(String);

impl SecretText {
    /// The secret, if it is long enough to be one.
    pub(crate) fn secret(&self) -> Option<ClusterSecret> {
        (self.0.len() >= ClusterSecret::BYTES_MIN).then(|| ClusterSecret::new(self.0.as_bytes()))
    }

    /// The admin token, if it is long enough to be one.
    pub(crate) fn admin_token(&self) -> Option<AdminToken> {
        (self.0.chars().count() >= AdminToken::CHARACTERS_MIN).then(|| AdminToken::new(&self.0))
    }
}

/// Where Redis is; it may hold a password.
#[derive(Clone)]
pub(crate) struct RedisUrl(String);

impl RedisUrl {
    /// The URL as it was given, for the connection alone.
    pub(crate) fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for RedisUrl {
    /// Without user, password, and what stands behind a question mark: that may be another password.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (scheme, rest) = self.0.split_once("://").unwrap_or(("", &self.0));
        let shown = rest.split_once('?').map_or(rest, |(shown, _)| shown);
        let host = match shown.rsplit_once('@') {
            Some((_, host)) => host,
            // The question mark stood in a password.
            None if rest.contains('@') => "…",
            None => shown,
        };
        let separator = if scheme.is_empty() { "" } else { "://" };
        write!(f, "{scheme}{separator}{host}")
    }
}

/// Both take any text and are checked later, by sentences that leave the text out.
macro_rules! hidden_text {
    ($name:ident) => {
        impl FromStr for $name {
            type Err = Infallible;

            fn from_str(text: &str) -> Result<Self, Infallible> {
                Ok(Self(text.to_owned()))
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(concat!(stringify!($name), "(…)"))
            }
        }
    };
}

hidden_text!(SecretText);
hidden_text!(RedisUrl);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_must_be_long_and_is_never_shown() {
        let text: SecretText = "0123456789abcdef".parse().unwrap();
        assert!(text.secret().is_some() && text.admin_token().is_some());
        let short: SecretText = "0123456789abcde".parse().unwrap();
        assert!(short.secret().is_none() && short.admin_token().is_none());
        assert!(!format!("{text:?}").contains("0123"));
    }

    #[test]
    fn a_url_is_shown_without_its_password() {
        for (url, shown) in [
            ("redis://:p@ss@10.0.0.5:6379/0", "redis://10.0.0.5:6379/0"),
            ("redis://user:word@host", "redis://host"),
            ("redis://127.0.0.1:6379", "redis://127.0.0.1:6379"),
            ("word@host", "host"),
            ("redis+sentinel://u:w@a:1,b:2/main?sentinel_password=w@rd", "redis+sentinel://a:1,b:2/main"),
            ("redis+sentinel://a:1/main?sentinel_password=word", "redis+sentinel://a:1/main"),
            ("redis://:wo?rd@host", "redis://…"),
        ] {
            let url: RedisUrl = url.parse().unwrap();
            assert_eq!(url.to_string(), shown);
            assert!(!format!("{url:?}").contains("host"));
        }
    }
}
