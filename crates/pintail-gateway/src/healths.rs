//! How the servers look to this gateway, as its metrics show it: how many are in each state, and which are not up.
//!
//! A gateway watches every lobby and game server, and each of a hundred gateways tells what it sees. So there is a series
//! for a server only while something is the matter with it.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use pintail_core::{Health, Slot};
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::gauge::ConstGauge;

/// How each server looks. Clones are the same.
#[derive(Debug, Clone, Default)]
pub(crate) struct Healths(Arc<Mutex<BTreeMap<Slot, Health>>>);

impl Healths {
    /// A server looks like this now.
    pub(crate) fn set(&self, slot: Slot, health: Health) {
        self.lock().insert(slot, health);
    }

    /// The server is not watched any more.
    pub(crate) fn forget(&self, slot: Slot) {
        self.lock().remove(&slot);
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<Slot, Health>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Collector for Healths {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        let healths = self.lock().clone();
        let help = "Lobby and game servers that this gateway watches, by how they look to it";
        let mut family = encoder.encode_descriptor("servers", help, None, MetricType::Gauge)?;
        for state in [Health::Up, Health::Suspect, Health::Down] {
            let count = healths.values().filter(|health| **health == state).count();
            ConstGauge::new(count as i64).encode(family.encode_family(&[("health", state.as_str())])?)?;
        }
        let help = "1 for each lobby or game server that does not look up to this gateway";
        let mut family = encoder.encode_descriptor("server_unwell", help, None, MetricType::Gauge)?;
        for (slot, health) in healths.iter().filter(|(_, health)| **health != Health::Up) {
            let labels = [("server", slot.to_string()), ("health", health.as_str().to_owned())];
            ConstGauge::new(1_i64).encode(family.encode_family(&labels)?)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use pintail_core::Kind;
    use prometheus_client::encoding::text::encode;
    use prometheus_client::registry::Registry;

    use super::*;

    #[test]
    fn a_thousand_servers_that_are_well_are_three_series() {
        let healths = Healths::default();
        let mut registry = Registry::with_prefix("x");
        registry.register_collector(Box::new(healths.clone()));
        let samples = || {
            let mut text = String::new();
            encode(&mut text, &registry).unwrap();
            text.lines().filter(|line| !line.starts_with('#')).map(str::to_owned).collect::<Vec<_>>()
        };
        let counts = |up, suspect, down| {
            [("up", up), ("suspect", suspect), ("down", down)]
                .map(|(state, count)| format!("x_servers{{health=\"{state}\"}} {count}"))
        };
        let game = |index| Slot::new(Kind::Game, index);
        (0..1000).for_each(|index| healths.set(game(index), Health::Up));
        assert_eq!(samples(), counts(1000, 0, 0));

        healths.set(game(7), Health::Suspect);
        healths.set(game(8), Health::Down);
        let unwell = |index, state| format!("x_server_unwell{{server=\"Server:Game:{index}\",health=\"{state}\"}} 1");
        let expected: Vec<_> = counts(998, 1, 1).into_iter().chain([unwell(7, "suspect"), unwell(8, "down")]).collect();
        assert_eq!(samples(), expected);

        healths.set(game(7), Health::Up);
        healths.forget(game(8));
        assert_eq!(samples(), counts(999, 0, 0));
    }
}
