//! What differs between a game and its shadow, in words.

use std::fmt;

use pintail_core::Step;
use serde_json::Value;

use crate::replay::Readable;
use crate::runtime::{Emission, Recipients, Urgency};

/// The most characters that are shown of a value.
const SHOWN_CHARACTERS_MAX: usize = 160;

/// The first thing in which a game and its shadow differ.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Difference {
    /// The step that differs.
    pub(crate) step: Step,
    /// The step after which the shadow was made from a snapshot; none if it was created as the game was.
    pub(crate) restored: Option<Step>,
    /// What differs.
    pub(crate) found: Found,
}

/// What differs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Found {
    /// One of the messages, or how many there are.
    Message(Pair),
    /// What the game says about its end, or whether it ended.
    Result(Pair),
    /// When it wants to be woken.
    Wake(Pair),
    /// Which inputs it could read.
    Unreadable(Pair),
    /// Its value.
    Value(Pair),
    /// Its value can't be written, or what was written can't be read.
    Snapshot(String),
    /// The shadow panicked where the game did not.
    Panic(String),
}

/// The same thing in the game and in its shadow.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Pair {
    /// Which thing: `message 2`, or a JSON path such as `$.players[1].score`.
    pub(crate) what: String,
    /// As it is in the game.
    pub(crate) live: String,
    /// As it is in the shadow.
    pub(crate) again: String,
}

impl Pair {
    pub(super) fn new(what: &str, live: String, again: String) -> Self {
        Self { what: what.to_owned(), live, again }
    }

    /// The same, as a part of `whole`.
    pub(super) fn inside(self, whole: &str) -> Self {
        Self { what: format!("{whole} at {}", self.what), ..self }
    }
}

/// Differences of the same kind are told once for each game type.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Kind {
    Message,
    Result,
    Wake,
    Unreadable,
    Value,
    Snapshot,
    Panic,
}

impl Difference {
    pub(crate) fn kind(&self) -> Kind {
        match self.found {
            Found::Message(_) => Kind::Message,
            Found::Result(_) => Kind::Result,
            Found::Wake(_) => Kind::Wake,
            Found::Unreadable(_) => Kind::Unreadable,
            Found::Value(_) => Kind::Value,
            Found::Snapshot(_) => Kind::Snapshot,
            Found::Panic(_) => Kind::Panic,
        }
    }
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { step, restored, found } = self;
        match found {
            Found::Snapshot(problem) => return write!(f, "after step {step}, {problem}"),
            Found::Panic(problem) => write!(f, "step {step} was played again and panicked: {problem}")?,
            Found::Message(pair)
            | Found::Result(pair)
            | Found::Wake(pair)
            | Found::Unreadable(pair)
            | Found::Value(pair) => {
                let Pair { what, live, again } = pair;
                write!(f, "step {step} was played again, and {what} came out as {again} instead of {live}")?;
            }
        }
        match restored {
            None => f.write_str(": look for ")?,
            Some(from) => write!(
                f,
                " (from a snapshot after step {from}): look for a field that the value's JSON leaves out \
                 (`#[serde(skip)]`), "
            )?,
        }
        f.write_str("a clock, the order of a `HashMap`, a static, randomness that is not `ctx.rng()`")
    }
}

/// The first difference between two texts that are JSON; `None` if they say the same. Members of objects have no order.
pub(super) fn in_json(live: &str, again: &str) -> Option<Pair> {
    if live == again {
        return None;
    }
    match (serde_json::from_str(live), serde_json::from_str(again)) {
        (Ok(live), Ok(again)) => in_values("$", &live, &again),
        _ => Some(Pair { what: "$".to_owned(), live: shown(live), again: shown(again) }),
    }
}

fn in_values(path: &str, live: &Value, again: &Value) -> Option<Pair> {
    if live == again {
        return None;
    }
    let inside = match (live, again) {
        (Value::Object(live), Value::Object(again)) => live
            .iter()
            .chain(again)
            .find_map(|(name, _)| in_options(&member(path, name), live.get(name), again.get(name))),
        (Value::Array(live), Value::Array(again)) => (0..live.len().max(again.len()))
            .find_map(|index| in_options(&format!("{path}[{index}]"), live.get(index), again.get(index))),
        _ => None,
    };
    inside.or_else(|| {
        Some(Pair { what: path.to_owned(), live: shown(&live.to_string()), again: shown(&again.to_string()) })
    })
}

fn in_options(path: &str, live: Option<&Value>, again: Option<&Value>) -> Option<Pair> {
    if let (Some(live), Some(again)) = (live, again) {
        return in_values(path, live, again);
    }
    let text = |value: Option<&Value>| value.map_or_else(|| "nothing".to_owned(), |value| shown(&value.to_string()));
    Some(Pair { what: path.to_owned(), live: text(live), again: text(again) })
}

fn member(path: &str, name: &str) -> String {
    let is_plain = !name.is_empty() && name.chars().all(|letter| letter.is_ascii_alphanumeric() || letter == '_');
    if is_plain { format!("{path}.{name}") } else { format!("{path}[{}]", Value::from(name)) }
}

/// The first difference between the messages of a step.
pub(super) fn in_messages(live: &[Emission], again: &[Emission]) -> Option<Pair> {
    let index = (0..live.len().max(again.len())).find(|&index| live.get(index) != again.get(index))?;
    let what = format!("message {}", index + 1);
    let (Some(live), Some(again)) = (live.get(index), again.get(index)) else {
        let text = |message: Option<&Emission>| message.map_or_else(|| "nothing".to_owned(), described);
        return Some(Pair { what, live: text(live.get(index)), again: text(again.get(index)) });
    };
    if (live.urgency, live.to) == (again.urgency, again.to)
        && let (Readable::Json(live), Readable::Json(again)) =
            (Readable::of(&live.payload), Readable::of(&again.payload))
        && let Some(pair) = in_values("$", &live, &again)
    {
        return Some(pair.inside(&what));
    }
    Some(Pair { what, live: described(live), again: described(again) })
}

fn described(message: &Emission) -> String {
    let urgency = match message.urgency {
        Urgency::Reliable => "a reliable message",
        Urgency::State => "a state message",
    };
    let to = match message.to {
        Recipients::One(player) => format!("player {player}"),
        Recipients::All => "all".to_owned(),
        Recipients::AllExcept(player) => format!("all but player {player}"),
    };
    format!("{urgency} to {to}: {}", shown(&Readable::of(&message.payload).line()))
}

pub(super) fn shown(text: &str) -> String {
    match text.char_indices().nth(SHOWN_CHARACTERS_MAX) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_difference_has_its_path() {
        for (live, again, what) in [
            ("7", "8", "$"),
            (r#"{"a":1,"b":2}"#, r#"{"b":3,"a":1}"#, "$.b"),
            (
                r#"{"players":[{"score":1},{"score":2}]}"#,
                r#"{"players":[{"score":1},{"score":3}]}"#,
                "$.players[1].score",
            ),
            (r#"{"a":[1,2]}"#, r#"{"a":[1]}"#, "$.a[1]"),
            (r#"{"a":1}"#, r#"{"a":1,"two words":2}"#, r#"$["two words"]"#),
            (r#"{"a":{}}"#, r#"{"a":[]}"#, "$.a"),
            ("1", "1.0", "$"),
        ] {
            assert_eq!(in_json(live, again).unwrap().what, what, "{live} {again}");
        }
        assert_eq!(in_json(r#"{"a":1,"b":[]}"#, r#"{"b":[],"a":1}"#), None);
        let pair = in_json(r#"{"a":[1,2]}"#, r#"{"a":[1]}"#).unwrap();
        assert_eq!((&*pair.live, &*pair.again), ("2", "nothing"));
    }

    #[test]
    fn what_is_shown_is_bounded() {
        assert_eq!(shown(&"é".repeat(500)).chars().count(), SHOWN_CHARACTERS_MAX + 1);
    }
}
