//! Where a span of a distributed trace belongs, as it is handed from server to server: `traceparent` of the W3C's
//! recommendation Trace Context (2021).

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::secret::random_bytes;
use crate::server::ParseError;

/// A trace and the span in it that caused what comes next.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct TraceParent {
    /// The trace; not 0.
    pub trace: u128,
    /// The span; not 0.
    pub span: u64,
}

impl TraceParent {
    /// The first span of a new trace.
    #[must_use]
    pub fn root() -> Self {
        Self { trace: u128::from_be_bytes(random_bytes()).max(1), span: Self::span() }
    }

    /// A new span of the same trace.
    #[must_use]
    pub fn child(self) -> Self {
        Self { span: Self::span(), ..self }
    }

    fn span() -> u64 {
        u64::from_be_bytes(random_bytes()).max(1)
    }
}

impl fmt::Display for TraceParent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "00-{:032x}-{:016x}-01", self.trace, self.span)
    }
}

impl FromStr for TraceParent {
    type Err = ParseError;

    /// Reads any version of the format; what later versions add is left out.
    fn from_str(text: &str) -> Result<Self, ParseError> {
        let parse = || {
            let mut parts = text.split('-');
            let mut part = |length: usize| {
                let is_lower_hex = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
                parts.next().filter(|part| part.len() == length && part.bytes().all(is_lower_hex))
            };
            let version = part(2).filter(|version| *version != "ff")?;
            let trace = u128::from_str_radix(part(32)?, 16).ok().filter(|trace| *trace != 0)?;
            let span = u64::from_str_radix(part(16)?, 16).ok().filter(|span| *span != 0)?;
            part(2)?;
            (version != "00" || parts.next().is_none()).then_some(Self { trace, span })
        };
        parse().ok_or_else(|| ParseError::new(text, "a traceparent"))
    }
}

impl Serialize for TraceParent {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for TraceParent {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = <std::borrow::Cow<'de, str>>::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_reads_what_it_writes_and_refuses_what_is_none() {
        let root = TraceParent::root();
        assert_eq!(root.to_string().parse(), Ok(root));
        let child = root.child();
        assert!(child.trace == root.trace && child.span != root.span);
        let (trace, span) = ("0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331");
        let known = TraceParent { trace: 0x0af7_6519_16cd_43dd_8448_eb21_1c80_319c, span: 0xb7ad_6b71_6920_3331 };
        for text in
            [format!("00-{trace}-{span}-01"), format!("00-{trace}-{span}-00"), format!("cc-{trace}-{span}-09-more")]
        {
            assert_eq!(text.parse(), Ok(known), "{text}");
        }
        for text in [
            String::new(),
            format!("ff-{trace}-{span}-01"),
            format!("00-{trace}-{span}-01-more"),
            format!("00-{trace}-{span}"),
            format!("00-{trace}-{}-01", "0".repeat(16)),
            format!("00-{}-{span}-01", "0".repeat(32)),
            format!("00-{}-{span}-01", trace.to_uppercase()),
            format!("00-{trace}-+7ad6b7169203331-01"),
        ] {
            assert!(text.parse::<TraceParent>().is_err(), "{text}");
        }
    }
}
