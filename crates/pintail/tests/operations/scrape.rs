//! The metrics of servers, as Prometheus reads them.

use std::collections::{BTreeMap, BTreeSet};

use crate::http;
use crate::support::Server;

/// A metric as its server describes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Metric {
    pub(crate) kind: String,
    pub(crate) help: String,
}

/// What servers told.
#[derive(Debug, Default)]
pub(crate) struct Scrape {
    /// By the name that stands in the description, without the suffixes of its samples.
    pub(crate) metrics: BTreeMap<String, Metric>,
    /// The labels of each sample's name, of those that have any samples yet.
    pub(crate) labels: BTreeMap<String, BTreeSet<String>>,
    /// The values, by name with labels.
    pub(crate) values: BTreeMap<String, f64>,
}

impl Scrape {
    /// Adds what a server tells now.
    pub(crate) async fn read(&mut self, server: &Server) {
        let answer = http::get(server.admin(), "/metrics", "").await;
        assert_eq!(answer.status, 200);
        assert!(answer.head.contains("application/openmetrics-text"), "{}", answer.head);
        self.add(answer.text());
    }

    fn add(&mut self, text: &str) {
        assert!(text.ends_with("# EOF\n"));
        let mut helps = BTreeMap::new();
        for line in text.lines() {
            if let Some(rest) = line.strip_prefix("# HELP ") {
                let (name, help) = rest.split_once(' ').unwrap();
                helps.insert(name, help.trim_end_matches('.').to_owned());
            } else if let Some(rest) = line.strip_prefix("# TYPE ") {
                let (name, kind) = rest.split_once(' ').unwrap();
                let metric = Metric { kind: kind.to_owned(), help: helps.get(name).cloned().unwrap_or_default() };
                self.metrics.insert(name.to_owned(), metric);
            } else if !line.starts_with('#') {
                self.add_sample(line);
            }
        }
    }

    fn add_sample(&mut self, line: &str) {
        let (series, value) = line.rsplit_once(' ').unwrap();
        self.values.insert(series.to_owned(), value.parse().unwrap());
        let (name, labels) = series.split_once('{').unwrap_or((series, ""));
        let labels = labels.trim_end_matches('}').split("\",").filter_map(|label| label.split_once('='));
        self.labels.entry(name.to_owned()).or_default().extend(labels.map(|(key, _)| key.to_owned()));
    }

    /// The names of all samples that there are or can be.
    pub(crate) fn sample_names(&self) -> BTreeSet<String> {
        let names = |(name, metric): (&String, &Metric)| -> Vec<String> {
            match metric.kind.as_str() {
                "counter" => vec![format!("{name}_total")],
                "info" => vec![format!("{name}_info")],
                "histogram" => ["bucket", "sum", "count"].map(|suffix| format!("{name}_{suffix}")).to_vec(),
                "gauge" => vec![name.clone()],
                other => panic!("{name} is a {other}"),
            }
        };
        self.metrics.iter().flat_map(names).collect()
    }

    /// The sum of all series that begin so.
    pub(crate) fn sum(&self, series: &str) -> f64 {
        self.values.iter().filter(|(name, _)| name.starts_with(series)).map(|(_, value)| value).sum()
    }
}
