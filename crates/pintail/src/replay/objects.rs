//! A replay for programs: one JSON object a line. The first is the game, the last what its replay came to, and those between
//! are steps.

use pintail_game::replay::{
    End, Event, Message, Readable, Recipients, Recording, Replay, ReplayedStep, Start, Upcoming, Urgency,
};
use pintail_game::{LeaveReason, Player};
use serde_json::{Map, Value, json};

use super::{Summary, View};

/// A replay for programs.
#[derive(Debug)]
pub(super) struct Objects;

impl View for Objects {
    fn opening(&self, recording: &Recording, replay: &Replay<'_>) -> Vec<String> {
        let order = &recording.order;
        let start = match replay.start() {
            Start::Creation => json!("creation"),
            Start::Snapshot { number, step, build } => json!({"entry": number, "step": step, "build": build}),
        };
        let names: Vec<_> = order.players.iter().map(|player| &player.name).collect();
        let game = json!({
            "game": order.id,
            "game_type": order.game_type,
            "players": names,
            "seed": order.seed,
            "settings": order.settings,
            "outcome": recording.outcome,
            "start": start,
        });
        vec![game.to_string()]
    }

    fn before(&self, _: &Upcoming) -> Vec<String> {
        Vec::new()
    }

    fn after(&self, step: &ReplayedStep, value: Option<&Value>) -> Vec<String> {
        let unreadable = step.unreadable.iter().map(|(player, problem)| json!({"player": player, "problem": problem}));
        let mut object = json!({
            "step": step.step,
            // Exact, and within what a JSON number holds exactly for the first hundred days of a game.
            "time_ns": u64::try_from(step.time.as_nanos()).unwrap_or(u64::MAX),
            "entry": step.entry,
            "events": step.events.iter().map(event).collect::<Vec<_>>(),
            "unreadable": unreadable.collect::<Vec<_>>(),
            "messages": step.messages.iter().map(message).collect::<Vec<_>>(),
        });
        if let Some(value) = value {
            object["value"] = value.clone();
        }
        if let Some(end) = &step.end {
            object["end"] = ending(end);
        }
        vec![object.to_string()]
    }

    fn summary(&self, summary: &Summary<'_>) -> Vec<String> {
        let Summary { steps, entries, last, end, .. } = summary;
        let end = end.map_or_else(|| json!({"how": "stopped"}), ending);
        vec![json!({"summary": {"steps": steps, "entries": entries, "last_step": last, "end": end}}).to_string()]
    }
}

fn event(event: &Event) -> Value {
    let (name, player) = match event {
        Event::Attached(player) => ("attached", player),
        Event::Detached(player) => ("detached", player),
        Event::Left(player, LeaveReason::LeftRoom) => ("left_room", player),
        Event::Left(player, LeaveReason::TimedOut) => ("timed_out", player),
        Event::Behind(player) => ("behind", player),
        Event::Input(player, _) => ("input", player),
    };
    let mut object = Map::from_iter([("event".to_owned(), name.into()), ("player".to_owned(), json!(player))]);
    if let Event::Input(_, payload) = event {
        Readable::of(payload).put(&mut object);
    }
    object.into()
}

fn message(message: &Message) -> Value {
    let (to, players): (_, Option<Player>) = match message.to {
        Recipients::One(player) => ("one", Some(player)),
        Recipients::All => ("all", None),
        Recipients::AllExcept(player) => ("all_except", Some(player)),
    };
    let kind = match message.urgency {
        Urgency::Reliable => "reliable",
        Urgency::State => "state",
    };
    let mut object = Map::from_iter([("kind".to_owned(), kind.into()), ("to".to_owned(), to.into())]);
    object.extend(players.map(|player| ("player".to_owned(), json!(player))));
    Readable::of(&message.payload).put(&mut object);
    object.into()
}

fn ending(end: &End) -> Value {
    let (how, sentence) = match end {
        End::Open => return json!({"how": "open"}),
        End::Abandoned => return json!({"how": "abandoned"}),
        End::Finished(result) => {
            return json!({"how": "finished", "result": serde_json::from_str(result).unwrap_or(Value::Null)});
        }
        End::Refused(sentence) => ("refused", sentence),
        End::Panicked(sentence) => ("panicked", sentence),
        End::Unreadable(problem) => ("unreadable", problem),
    };
    json!({"how": how, "message": sentence})
}
