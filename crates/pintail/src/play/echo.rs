//! Echo: what is typed comes back, with the time that it took.

use std::collections::VecDeque;
use std::time::Instant;

use bytes::Bytes;

use super::view::{GameView, Typed};
use crate::output::printable;

/// How many lines may be on their way; the times of older ones are forgotten.
const SENT_MAX: usize = 1024;

/// The view of a game of echo.
#[derive(Default)]
pub(crate) struct EchoView {
    /// What has not come back yet, and when it was sent.
    sent: VecDeque<(Bytes, Instant)>,
}

impl GameView for EchoView {
    fn message(&mut self, payload: &Bytes, now: Instant) -> Vec<String> {
        let text = printable(&String::from_utf8_lossy(payload));
        vec![match self.sent.pop_front_if(|(sent, _)| sent == payload) {
            Some((_, at)) => format!("< {text}   ({:.1} ms)", now.duration_since(at).as_secs_f64() * 1000.0),
            None => format!("< {text}"),
        }]
    }

    fn typed(&mut self, line: &str, now: Instant) -> Typed {
        let payload = Bytes::copy_from_slice(line.as_bytes());
        if self.sent.len() == SENT_MAX {
            self.sent.pop_front();
        }
        self.sent.push_back((payload.clone(), now));
        Typed::Send(payload)
    }

    fn help(&self) -> &'static str {
        "type anything and it comes back, with the round-trip time; `end` ends the game; commands begin with a slash"
    }

    fn takes_any_text(&self) -> bool {
        true
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn what_comes_back_is_shown_with_its_time() {
        let (mut view, start) = (EchoView::default(), Instant::now());
        assert_eq!(view.typed("one", start), Typed::Send("one".into()));
        assert_eq!(view.typed("two", start), Typed::Send("two".into()));
        let later = start + Duration::from_micros(1_500);
        assert_eq!(view.message(&"one".into(), later), ["< one   (1.5 ms)"]);
        assert_eq!(view.message(&"from another".into(), later), ["< from another"]);
        assert_eq!(view.message(&"two".into(), later), ["< two   (1.5 ms)"]);
    }
}
