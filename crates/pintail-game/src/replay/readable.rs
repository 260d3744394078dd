//! What is sent in games, as people and programs can read it.

use std::fmt::Write as _;

use serde_json::{Map, Value};

/// A payload in the first form that it has.
#[derive(Debug, Clone, PartialEq)]
pub enum Readable<'a> {
    /// JSON.
    Json(Value),
    /// Text without characters that a terminal would obey.
    Text(&'a str),
    /// Anything else, in hexadecimal digits.
    Hex(String),
}

impl<'a> Readable<'a> {
    /// Looks what form a payload has.
    #[must_use]
    pub fn of(payload: &'a [u8]) -> Self {
        if let Ok(value) = serde_json::from_slice(payload) {
            return Self::Json(value);
        }
        match std::str::from_utf8(payload) {
            Ok(text) if !text.chars().any(char::is_control) => Self::Text(text),
            _ => Self::Hex(hex(payload)),
        }
    }

    /// As part of a line. Text is quoted, so that it can't be taken for anything else.
    #[must_use]
    pub fn line(&self) -> String {
        match self {
            Self::Json(value) => value.to_string(),
            Self::Text(text) => format!("text {}", Value::from(*text)),
            Self::Hex(digits) => format!("hex {digits}"),
        }
    }

    /// As a member of a JSON object, named for its form.
    pub fn put(self, object: &mut Map<String, Value>) {
        let (name, value) = match self {
            Self::Json(value) => ("json", value),
            Self::Text(text) => ("text", text.into()),
            Self::Hex(digits) => ("hex", digits.into()),
        };
        object.insert(name.to_owned(), value);
    }
}

fn hex(bytes: &[u8]) -> String {
    let mut digits = String::with_capacity(2 * bytes.len());
    for byte in bytes {
        write!(digits, "{byte:02x}").expect("a string takes all that is written");
    }
    digits
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_payload_is_shown_in_the_first_form_that_it_has() {
        for (payload, line) in [
            (&b"{\"do\": \"resign\"}"[..], r#"{"do":"resign"}"#),
            (b"7", "7"),
            (b"north \"by\" west", r#"text "north \"by\" west""#),
            (b"", r#"text """#),
            (b"\x1b[2J", "hex 1b5b324a"),
            (b"\xff\x00", "hex ff00"),
        ] {
            assert_eq!(Readable::of(payload).line(), line);
        }
    }
}
