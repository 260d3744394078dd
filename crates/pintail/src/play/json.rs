//! Any game: its messages as they are, and inputs as JSON.

use std::time::Instant;

use bytes::Bytes;

use super::view::{GameView, Typed};
use crate::output::printable;

/// The view of a game that the terminal knows nothing about.
pub(crate) struct JsonView;

impl GameView for JsonView {
    fn message(&mut self, payload: &Bytes, _: Instant) -> Vec<String> {
        vec![match std::str::from_utf8(payload) {
            Ok(text) => format!("< {}", printable(text)),
            Err(_) => format!("< {} bytes that are no text", payload.len()),
        }]
    }

    fn typed(&mut self, line: &str, _: Instant) -> Typed {
        match serde_json::from_str::<serde::de::IgnoredAny>(line) {
            Ok(_) => Typed::Send(Bytes::copy_from_slice(line.as_bytes())),
            Err(error) => Typed::say(format!(
                "an input for this game is JSON, such as {{\"move\": 3}} or \"word\" ({error}); /help lists the commands"
            )),
        }
    }

    fn help(&self) -> &'static str {
        "type an input as JSON (one that the game can't read takes you out of it); commands begin with a slash, such as \
         /leave"
    }

    fn takes_any_text(&self) -> bool {
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_goes_out_as_typed_and_anything_else_stays() {
        let now = Instant::now();
        assert_eq!(JsonView.typed(r#"{"move": 3}"#, now), Typed::Send(r#"{"move": 3}"#.into()));
        assert!(matches!(JsonView.typed("move 3", now), Typed::Say(_)));
        assert_eq!(JsonView.message(&"{\"a\":\u{1b}1}".into(), now), ["< {\"a\":1}"]);
        assert_eq!(JsonView.message(&Bytes::from_static(&[0xff]), now), ["< 1 bytes that are no text"]);
    }
}
