//! The checks find what they are for: recordings of a game in which something was falsified.

use std::time::Duration;

use pintail::Player;
use pintail_checker::audit::{GameAudit, Observation, Source};
use pintail_checker::breach::Check;
use pintail_checker::ledger::{Applied, Book, padding};

/// How many inputs each of two players sends.
const INPUTS: u64 = 10;

/// What the players of a game did and were told, in order, and what the game holds at the end.
#[derive(Clone)]
struct Recording {
    seen: Vec<(Player, Observation)>,
    book: Book,
    journal: Book,
}

fn players() -> [Player; 2] {
    [Player::new(0), Player::new(1)]
}

/// A game in which all is as it should be: an input of each player in every second step, and a state after each step.
fn sound() -> Recording {
    let mut book = Book::empty(2);
    let mut seen = Vec::new();
    for number in 1..=INPUTS {
        let step = 2 * number;
        for sender in players() {
            seen.push((sender, Observation::Sent(number)));
            book.enter(sender, number, &padding(sender, number));
            let applied = Applied { player: sender, number, position: book.position };
            seen.extend(players().map(|player| (player, Observation::Applied { step, applied })));
            seen.push((sender, Observation::Acknowledged(number)));
        }
        for step in [step, step + 1] {
            seen.extend(players().map(|player| (player, Observation::Position { step, position: book.position })));
        }
    }
    Recording { seen, journal: book.clone(), book }
}

/// What the audit finds in a recording.
fn found(recording: &Recording) -> Vec<Check> {
    let mut audit = GameAudit::new("doctored", 2);
    for (player, observation) in &recording.seen {
        audit.observe(Duration::ZERO, *player, observation.clone());
    }
    audit.settled(Duration::ZERO);
    audit.compare(Duration::ZERO, Source::Journal, &recording.journal);
    let ended = Observation::Ended { reason: "finished".to_owned(), book: Some(recording.book.clone()) };
    for player in players() {
        audit.observe(Duration::ZERO, player, ended.clone());
    }
    let mut found: Vec<Check> = audit.breaches().iter().map(|breach| breach.check).collect();
    found.sort_unstable();
    found.dedup();
    found
}

/// Where a player is told of this position.
fn place_of(recording: &Recording, player: Player, position: u64) -> usize {
    let fits = |(told, observation): &(Player, Observation)| {
        *told == player && matches!(observation, Observation::Applied { applied, .. } if applied.position == position)
    };
    recording.seen.iter().position(fits).expect("every player is told of every position")
}

/// Changes what players are told of a position.
fn change(recording: &mut Recording, whom: &[Player], position: u64, change: impl Fn(&mut u64, &mut Applied)) {
    for player in whom {
        let place = place_of(recording, *player, position);
        if let Observation::Applied { step, applied } = &mut recording.seen[place].1 {
            change(step, applied);
        }
    }
}

#[test]
fn a_sound_game_is_found_sound() {
    assert_eq!(found(&sound()), []);
}

#[test]
fn an_input_that_is_lost_is_found_in_messages_journal_and_result() {
    let mut lost = Book::empty(2);
    for number in 1..=INPUTS {
        for player in players() {
            if (player, number) != (Player::new(1), INPUTS) {
                lost.enter(player, number, &padding(player, number));
            }
        }
    }
    let mut from_journal = sound();
    from_journal.journal = lost.clone();
    assert_eq!(found(&from_journal), [Check::InputLost, Check::JournalDiffers]);
    let mut from_result = sound();
    from_result.book = lost;
    assert_eq!(found(&from_result), [Check::InputLost, Check::ResultDiffers]);
    let mut from_everywhere = from_journal;
    from_everywhere.book = from_everywhere.journal.clone();
    let told_last = |(_, seen): &(Player, Observation)| matches!(seen, Observation::Applied { applied, .. } if applied.position == 2 * INPUTS);
    from_everywhere.seen.retain(|seen| !told_last(seen));
    for (_, seen) in &mut from_everywhere.seen {
        if let Observation::Position { position, .. } = seen {
            *position = (*position).min(2 * INPUTS - 1);
        }
    }
    assert_eq!(found(&from_everywhere), [Check::InputLost]);
}

#[test]
fn an_input_that_is_applied_twice_is_found() {
    let mut recording = sound();
    change(&mut recording, &players(), 9, |_, applied| applied.number -= 1);
    assert!(found(&recording).contains(&Check::InputRepeated));
    let mut silent = sound();
    silent.book.enter(Player::new(0), INPUTS, &padding(Player::new(0), INPUTS));
    assert_eq!(found(&silent), [Check::LedgerFault, Check::ResultDiffers]);
}

#[test]
fn inputs_in_another_order_are_found() {
    let mut recording = sound();
    change(&mut recording, &players(), 9, |_, applied| applied.number += 1);
    change(&mut recording, &players(), 11, |_, applied| applied.number -= 1);
    let found_checks = found(&recording);
    assert!(found_checks.contains(&Check::InputInvented) || found_checks.contains(&Check::InputLost));
    assert!(found_checks.contains(&Check::InputRepeated), "{found_checks:?}");
}

#[test]
fn an_input_that_nobody_sent_is_found() {
    let mut recording = sound();
    recording.seen.retain(|(_, seen)| *seen != Observation::Sent(INPUTS));
    assert_eq!(found(&recording), [Check::InputInvented], "it was applied, told and kept, and yet nobody has sent it");
}

#[test]
fn a_message_that_one_player_misses_gets_twice_or_out_of_order_is_found() {
    let ann = Player::new(0);
    let mut lost = sound();
    lost.seen.remove(place_of(&lost, ann, 7));
    assert_eq!(found(&lost), [Check::MessageLost]);

    let mut last_lost = sound();
    last_lost.seen.remove(place_of(&last_lost, ann, 2 * INPUTS));
    assert_eq!(found(&last_lost), [Check::MessageLost]);

    let mut repeated = sound();
    let place = place_of(&repeated, ann, 7);
    repeated.seen.insert(place, repeated.seen[place].clone());
    assert_eq!(found(&repeated), [Check::MessageRepeated]);

    let mut reordered = sound();
    let (earlier, later) = (place_of(&reordered, ann, 7), place_of(&reordered, ann, 8));
    reordered.seen.swap(earlier, later);
    assert_eq!(found(&reordered), [Check::MessageLost, Check::MessageRepeated]);
}

#[test]
fn two_histories_are_found_by_messages_and_by_states() {
    let bob = Player::new(1);
    let mut messages = sound();
    change(&mut messages, &[bob], 7, |_, applied| applied.player = bob);
    assert_eq!(found(&messages), [Check::MessageForked]);

    let mut steps = sound();
    change(&mut steps, &[bob], 8, |step, _| *step += 1);
    assert_eq!(found(&steps), [Check::MessageForked]);

    let mut states = sound();
    let of_bob = |(player, seen): &&mut (Player, Observation)| {
        *player == bob && matches!(seen, Observation::Position { step: 7, .. })
    };
    if let Some((_, Observation::Position { position, .. })) = states.seen.iter_mut().find(of_bob) {
        *position += 1;
    }
    assert_eq!(found(&states), [Check::StateForked]);
}

#[test]
fn an_input_that_is_applied_in_a_step_that_was_shown_without_it_is_found() {
    let mut recording = sound();
    // Step 5 was shown with four positions; then the fifth and sixth are said to be of it.
    change(&mut recording, &players(), 5, |step, _| *step = 5);
    change(&mut recording, &players(), 6, |step, _| *step = 5);
    assert_eq!(found(&recording), [Check::StepWentBack]);
}

#[test]
fn a_player_who_is_shown_an_older_state_is_found() {
    let mut recording = sound();
    recording.seen.push((Player::new(0), Observation::Position { step: 3, position: 2 }));
    assert_eq!(found(&recording), [Check::StepWentBack]);
}

#[test]
fn a_game_that_ends_or_leaves_a_player_out_is_found() {
    for seen in [
        Observation::Closed("the stream is broken".to_owned()),
        Observation::Ended { reason: "server lost".to_owned(), book: None },
    ] {
        let mut recording = sound();
        recording.seen.push((Player::new(1), seen));
        assert_eq!(found(&recording), [Check::GameLost]);
    }
    let mut recording = sound();
    recording.seen.push((Player::new(1), Observation::Resynchronised));
    assert_eq!(found(&recording), [Check::MessageLost]);
    let mut recording = sound();
    recording.seen.retain(|(_, seen)| *seen != Observation::Acknowledged(INPUTS));
    assert_eq!(found(&recording), [Check::GameStuck]);
}
