//! Stories of an observer: what happens at which millisecond, and everything that it does about it.

use super::rig::Step::{Answer, Kill, Link, Lose, Mute, Say, Scan, Show, Stall};
use super::rig::{dead, game, live, peer_of, shown, tell};
use super::*;

#[test]
fn silence() {
    let expected = [
        "1800 0 is suspect: silent for 800 ms",
        "1800 accuse 0 Silent",
        "2300 accuse 0 Silent",
        "2500 accuse 0 Dead",
        "3000 accuse 0 Dead",
        "3010 0 is down: it is silent, and another observer or its lease says so too",
        "3010 close 0",
    ];
    let silent = || vec![(1050, Mute(game(0))), (2510, Say(game(0), Verdict::Suspect))];
    let mut story = silent();
    story.push((3010, Say(game(0), Verdict::Down)));
    story.push((3020, shown(0, dead("silent"))));
    tell("a silent server is down when the store agrees", 3, story, 6000, &expected);

    let mut story = silent();
    story.push((2650, Answer(game(0))));
    let healed = [&expected[..4], &["2700 0 is up: it answers again", "2700 absolve 0"]].concat();
    tell("it answers again before anyone agrees", 3, story, 6000, &healed);

    let mut story = silent();
    story.push((2600, Link(game(0), LinkChange::Ended(LinkEnd::ClosedHere))));
    story.push((2700, Link(game(0), LinkChange::DialFailed)));
    story.push((2750, Say(game(0), Verdict::Elsewhere)));
    tell("the store knows of no such server: nothing more is said", 3, story, 4000, &expected[..4]);
}

#[test]
fn a_broken_link() {
    let down = [
        "1050 roll call",
        "1080 0 is down: it broke the link and refuses connections",
        "1080 accuse 0 Refused",
        // The store does not answer.
        "1600 accuse 0 Refused",
    ];
    tell("a killed process", 3, vec![(1050, Kill(vec![game(0)]))], 1700, &down);
    let confirmed = vec![
        (1050, Kill(vec![game(0)])),
        (1085, Say(game(0), Verdict::Down)),
        (1090, shown(0, dead("Server:Gateway:0 found its port closed"))),
    ];
    tell("and the store agrees", 3, confirmed, 9000, &down[..3]);

    let redialled =
        vec![(1050, Kill(vec![game(0)])), (1070, Link(game(0), LinkChange::Opened)), (1071, Answer(game(0)))];
    tell("a link that is open again before it is judged", 3, redialled, 3000, &["1050 roll call"]);

    let firewall = vec![
        (1050, Kill(vec![game(0)])),
        (1085, Say(game(0), Verdict::Down)),
        // Its heartbeats bring it back, but the wall stays.
        (1300, shown(0, live(Status::Smooth, ""))),
        (1400, Link(game(0), LinkChange::DialRefused)),
        (9000, Link(game(0), LinkChange::Opened)),
        (9000, Answer(game(0))),
    ];
    let mut expected = down[..3].to_vec();
    expected.extend(["2100 0 is suspect: there is no link to it", "2100 accuse 0 Silent"]);
    let repeats: Vec<_> = (2600..9000).step_by(500).map(|at| format!("{at} accuse 0 Silent")).collect();
    expected.extend(repeats.iter().map(String::as_str));
    expected.extend(["9000 0 is up: it answers again", "9000 absolve 0"]);
    tell("a wall before this observer alone: condemned once, then only suspect", 3, firewall, 9500, &expected);

    let unreachable = vec![
        (1050, Mute(game(0))),
        (1050, Link(game(0), LinkChange::Ended(LinkEnd::Broken))),
        (1060, Link(game(0), LinkChange::DialFailed)),
    ];
    let expected = ["1050 roll call", "1800 0 is suspect: silent for 800 ms", "1800 accuse 0 Silent"];
    tell("a link that broke, and no refusal, is silence", 3, unreachable, 2200, &expected);

    let goodbye = vec![
        (1050, Mute(game(0))),
        (1050, Link(game(0), LinkChange::Ended(LinkEnd::Goodbye))),
        (1060, Link(game(0), LinkChange::DialRefused)),
        (1500, shown(0, Standing::Left)),
    ];
    tell("a server that says goodbye", 3, goodbye, 9000, &["1500 0 Off"]);
}

#[test]
fn one_that_was_never_linked() {
    let newcomer = peer_of(game(7), 3);
    let story = vec![
        (1050, Show(newcomer, live(Status::Smooth, ""))),
        (1060, Link(game(7), LinkChange::DialRefused)),
        (1400, Link(game(7), LinkChange::DialFailed)),
    ];
    let expected = [
        "1050 7 On 127.0.0.1:1003",
        "1800 7 is suspect: there is no link to it",
        "1800 accuse 7 Silent",
        "2300 accuse 7 Silent",
        "2800 accuse 7 Silent",
    ];
    tell("suspect for ever, and no more", 3, story, 3200, &expected);
}

#[test]
fn an_observer_that_is_held_up() {
    tell(
        "late by itself: it hears what waited, and accuses nobody",
        3,
        vec![(1050, Stall(11_050))],
        14_000,
        &["11050 late by 9950 ms"],
    );
    let closed_meanwhile = vec![
        (1050, Stall(11_050)),
        (11_050, Kill(vec![game(0), game(1), game(2)])),
        (11_070, Link(game(0), LinkChange::Opened)),
        (11_071, Link(game(1), LinkChange::Opened)),
        (11_072, Link(game(2), LinkChange::Opened)),
        (11_072, Answer(game(0))),
        (11_072, Answer(game(1))),
        (11_072, Answer(game(2))),
    ];
    let roll_calls = ["11050 late by 9950 ms", "11050 roll call", "11050 roll call", "11050 roll call"];
    tell("its links were given up meanwhile", 3, closed_meanwhile, 14_000, &roll_calls);

    let story = vec![(1050, Mute(game(0))), (1650, Stall(3000)), (3000, Scan)];
    let expected = [
        "3000 late by 1300 ms",
        // The silence before and after counts, and is told once the ticks were on time for a while.
        "3800 0 is suspect: silent for 1500 ms",
        "3800 accuse 0 Dead",
        "4300 accuse 0 Dead",
    ];
    tell("a server that fell silent before the stall", 3, story, 4500, &expected);
}

#[test]
fn an_observer_that_is_cut_off() {
    let all = || vec![game(0), game(1), game(2), game(3)];
    let expected = [
        "1050 roll call",
        "1050 roll call",
        "1050 roll call",
        "1050 roll call",
        "1080 CutOff: 4 of 4 servers look dead from here",
        "2060 Clear: 2 of 4 servers look dead from here",
        // The others have time to come back as well.
        "2900 2 is down: it broke the link and refuses connections",
        "2900 accuse 2 Refused",
        "2900 3 is down: it broke the link and refuses connections",
        "2900 accuse 3 Refused",
    ];
    let story = vec![
        (1050, Kill(all())),
        (2060, Link(game(0), LinkChange::Opened)),
        (2060, Answer(game(0))),
        (2060, Link(game(1), LinkChange::Opened)),
        (2060, Answer(game(1))),
    ];
    tell("all links reset at once", 4, story, 3000, &expected);

    let quiet = vec![
        (1050, Mute(game(0))),
        (1150, Mute(game(1))),
        (1250, Mute(game(2))),
        (2500, Answer(game(1))),
        (2500, Answer(game(2))),
        (2500, Answer(game(0))),
    ];
    let expected =
        ["1800 CutOff: 3 of 4 servers look dead from here", "2600 Clear: 0 of 4 servers look dead from here"];
    tell("all fall silent, one heartbeat after the other", 4, quiet, 4000, &expected);

    let one_by_one = vec![
        (1050, Mute(game(0))),
        (2050, Kill(vec![game(1), game(2)])),
        (2250, Link(game(1), LinkChange::Opened)),
        (2250, Answer(game(1))),
        (2250, Link(game(2), LinkChange::Opened)),
        (2250, Answer(game(2))),
        (2400, Answer(game(0))),
    ];
    let expected = [
        "1800 0 is suspect: silent for 800 ms",
        "1800 accuse 0 Silent",
        "2050 roll call",
        "2050 CutOff: 2 of 3 servers look dead from here",
        "2050 absolve 0",
        "2050 roll call",
        "2250 Clear: 1 of 3 servers look dead from here",
        "2500 0 is up: it answers again",
    ];
    tell("what it said before is taken back", 3, one_by_one, 4000, &expected);

    let half = ["1050 roll call", "1080 0 is down: it broke the link and refuses connections", "1080 accuse 0 Refused"];
    tell("half is not more than half", 2, vec![(1050, Kill(vec![game(0)]))], 1500, &half);
}

#[test]
fn what_the_registry_says() {
    let story = vec![
        (1050, shown(0, Standing::Lapsed)),
        (1150, shown(0, dead("its lease ran out"))),
        (1150, Mute(game(0))),
        (2050, shown(0, dead("its lease ran out"))),
        (2150, shown(0, live(Status::Smooth, ""))),
        (2160, Link(game(0), LinkChange::Opened)),
        (2160, Answer(game(0))),
        (2250, shown(0, live(Status::Congested, "cpu 97 %"))),
        (2350, shown(0, live(Status::Congested, "cpu 98 %"))),
        (2450, shown(0, live(Status::Unused, "draining"))),
        (2550, shown(0, live(Status::Smooth, ""))),
        (2650, shown(0, Standing::Left)),
    ];
    let expected = [
        "1150 0 is down: its lease ran out",
        "1150 close 0",
        "2160 0 is up: it answers again",
        "2250 0 Congested cpu 97 %",
        "2450 0 Draining draining",
        "2550 0 Smooth",
        "2650 0 Off",
    ];
    tell("its words are told once each, and who was switched off is linked anew", 3, story, 4000, &expected);

    let story = vec![
        (1050, Show(peer_of(game(0), 2), live(Status::Smooth, ""))),
        (1150, Show(Peer { incarnation: Some(Incarnation(99)), ..peer_of(game(0), 2) }, live(Status::Smooth, ""))),
        (1160, Link(game(0), LinkChange::Opened)),
        (1250, Show(Peer { incarnation: None, ..peer_of(game(5), 2) }, Standing::Left)),
        (1350, Show(peer_of(game(5), 9), live(Status::Smooth, ""))),
        (1360, Link(game(5), LinkChange::Opened)),
        (1360, Answer(game(5))),
    ];
    let expected = ["1050 0 Recycled 127.0.0.1:1002", "1150 0 On 127.0.0.1:1002", "1350 5 Recycled 127.0.0.1:1009"];
    tell("another start in the slot, at another endpoint or the same", 3, story, 4000, &expected);

    let story = vec![
        (1050, Lose(game(0))),
        (1050, Lose(game(1))),
        (2050, Mute(game(1))),
        (2050, Link(game(1), LinkChange::Ended(LinkEnd::Broken))),
        (3050, shown(0, live(Status::Smooth, ""))),
    ];
    let expected = ["2050 roll call", "2050 forget 1"];
    tell("an entry that vanished says nothing", 2, story, 4000, &expected);

    let story = vec![
        (1050, Mute(game(0))),
        (1050, Link(game(0), LinkChange::Ended(LinkEnd::ClosedHere))),
        (1060, Lose(game(0))),
        (1070, Link(game(0), LinkChange::Opened)),
        (1150, Show(peer_of(game(0), 1), live(Status::Smooth, ""))),
        (1160, Answer(game(0))),
        (2050, Mute(game(0))),
        (3050, Answer(game(0))),
    ];
    let expected = [
        "1060 forget 0",
        "1150 0 On 127.0.0.1:1001",
        "2800 0 is suspect: silent for 800 ms",
        "2800 accuse 0 Silent",
        "3100 0 is up: it answers again",
        "3100 absolve 0",
    ];
    tell("a link that opened while the registry showed no server counts", 3, story, 4000, &expected);

    let story =
        vec![(1050, shown(0, dead("its lease ran out"))), (1050, Mute(game(0))), (1150, shown(0, Standing::Left))];
    let expected = ["1050 0 is down: its lease ran out", "1050 close 0", "1150 0 Off"];
    tell("one that leaves in good order after all", 2, story, 4000, &expected);
}

#[test]
fn a_foreign_server_has_only_its_link() {
    let foreign = |index| Peer { incarnation: None, ..peer_of(game(index), 4) };
    let story = vec![
        (1050, Show(foreign(8), live(Status::Smooth, ""))),
        (1050, Show(foreign(9), live(Status::Smooth, ""))),
        (1060, Link(game(8), LinkChange::Opened)),
        (1060, Answer(game(8))),
        (1150, Mute(game(8))),
        (5000, Link(game(8), LinkChange::Opened)),
        (5000, Answer(game(8))),
        (5050, Kill(vec![game(8)])),
        (5150, Show(foreign(8), Standing::Left)),
        (5250, Show(foreign(8), live(Status::Smooth, ""))),
        (5260, Link(game(8), LinkChange::Opened)),
        (5260, Answer(game(8))),
    ];
    let expected = [
        "1050 8 On 127.0.0.1:1004",
        "1050 9 On 127.0.0.1:1004",
        "1800 9 is suspect: there is no link to it",
        "1900 8 is suspect: silent for 800 ms",
        "2600 8 is down: silent for 1500 ms",
        "2600 close 8",
        "5000 8 is up: it answers again",
        "5050 roll call",
        "5080 8 is down: it broke the link and refuses connections",
        "5150 8 Off",
        "5250 8 On 127.0.0.1:1004",
    ];
    tell("nobody is told, and only its link speaks", 2, story, 6000, &expected);

    let mut story = Vec::new();
    for index in [7, 8, 9] {
        story.push((1050, Show(foreign(index), live(Status::Smooth, ""))));
        story.push((1060, Link(game(index), LinkChange::Opened)));
    }
    story.push((1070, Kill(vec![game(7), game(8), game(9)])));
    let expected = [
        "1050 7 On 127.0.0.1:1004",
        "1050 8 On 127.0.0.1:1004",
        "1050 9 On 127.0.0.1:1004",
        "1070 roll call",
        "1070 roll call",
        "1070 roll call",
        "1100 7 is down: it broke the link and refuses connections",
        "1100 8 is down: it broke the link and refuses connections",
        "1100 9 is down: it broke the link and refuses connections",
    ];
    tell("many that are gone for good don't make the observer doubt itself", 2, story, 9000, &expected);
}
