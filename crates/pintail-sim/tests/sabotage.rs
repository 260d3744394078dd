//! The invariants notice when a protection is missing. Run with `--features sabotage`.

use pintail_core::sabotage::{self, Sabotage};
use pintail_sim::scenario::Scenario;

/// The first seed that notices, if one does.
fn first_to_notice(sabotage: Sabotage, scenario: Scenario, seeds: u64) -> Option<u64> {
    sabotage::switch(Some(sabotage));
    let found = (1..=seeds).find(|seed| pintail_sim::run(*seed, scenario).violation.is_some());
    sabotage::switch(None);
    found
}

#[test]
fn every_missing_protection_is_noticed() {
    let cases = [
        (Sabotage::Fencing, Scenario::Stops),
        (Sabotage::Duplicates, Scenario::Network),
        (Sabotage::Gate, Scenario::Crashes),
        (Sabotage::Settling, Scenario::Quiet),
        (Sabotage::Appends, Scenario::Crashes),
    ];
    for (sabotage, scenario) in cases {
        // Each is noticed by one seed in twenty or more, so that a hundred and fifty without it are a fault of the invariants.
        let noticed = first_to_notice(sabotage, scenario, 150);
        assert!(noticed.is_some(), "nobody notices that {sabotage:?} is switched off, in scenario {scenario}");
    }
}
