//! A cluster finds its dead and spares the living, and spreads its games, whatever happens to it. `PINTAIL_TEST_SEED` chooses
//! where chance begins. The figures for a thousand servers: `cargo run --release -p pintail-sim -- scale`.

use std::time::Duration;

use pintail_sim::scale::story::Story;
use pintail_sim::scale::{self, Outcome, Size};

fn first_seed() -> u64 {
    std::env::var("PINTAIL_TEST_SEED").ok().and_then(|text| text.parse().ok()).unwrap_or(1)
}

/// Every story with a cluster of this size, and what holds in all of them.
fn tell_all(size: Size, seed: u64) {
    println!("seed {seed}, {size:?}");
    for story in Story::ALL {
        let Outcome { figures, violations } = scale::run(story, size, seed);
        let told: Vec<String> = violations.iter().take(5).map(ToString::to_string).collect();
        assert!(violations.is_empty(), "{story}, {size:?}, seed {seed}: {told:#?}");
        let dead = if matches!(story, Story::OneDies | Story::TwentiethDies | Story::RackLost | Story::AllDie) {
            story.struck(size.games)
        } else {
            0
        };
        assert!(figures.found.len() >= dead, "{story}: only {} of {dead} were found", figures.found.len());
        assert_eq!(figures.asked, figures.placed + figures.refused, "{story}");
    }
}

#[test]
fn whatever_happens_the_dead_are_found_and_the_living_are_spared() {
    for (games, seed) in [(10, first_seed()), (25, first_seed() + 1), (60, first_seed() + 2)] {
        tell_all(Size::of_games(games), seed);
    }
}

#[test]
fn so_it_is_with_more_gateways_than_game_servers_too() {
    tell_all(Size { gateways: 25, lobbies: 3, games: 12 }, first_seed());
}

#[test]
fn the_same_seed_is_the_same_run() {
    for story in [Story::RackLost, Story::Stopped, Story::TwoBlindGateways] {
        let run = || scale::run(story, Size::of_games(30), first_seed()).figures.without_cost();
        assert_eq!(run(), run(), "{story}: chance has leaked in from outside of the seed");
    }
}

#[test]
fn a_process_that_ends_is_found_at_once_and_a_machine_that_vanishes_only_by_its_silence() {
    let found = |story| scale::run(story, Size::of_games(40), first_seed()).figures.found;
    let (killed, lost, all) = (found(Story::OneDies), found(Story::RackLost), found(Story::AllDie));
    assert!(killed.iter().all(|time| *time < Duration::from_millis(100)), "{killed:?}");
    assert!(lost.iter().all(|time| *time > Duration::from_secs(1)), "{lost:?}");
    assert!(all.iter().all(|time| *time > Duration::from_secs(1)), "gateways doubt themselves, leases decide: {all:?}");
}

#[test]
fn two_gateways_that_agree_are_believed_and_one_is_not() {
    let off = |story| scale::run(story, Size::of_games(60), first_seed()).figures.wrong_verdicts;
    assert_eq!(off(Story::HalfBlindGateway), 0, "one gateway that hears nobody condemns nobody");
    assert_eq!(off(Story::TwoBlindGateways), 6, "two that agree do, and what they switched off comes back by itself");
}

#[test]
fn a_full_cluster_takes_what_it_has_room_for_and_no_more() {
    let size = Size::of_games(20);
    let figures = scale::run(Story::Full, size, first_seed()).figures;
    let room = u64::from(Story::Full.capacity()) * size.games as u64;
    assert_eq!((figures.placed, figures.spread), (room, 0));
    assert_eq!(figures.refused, figures.asked - room);
}
