//! The picture of a cluster on a screen.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use super::report::{self, Report, Shown};
use super::table;
use crate::terminal::{Line, Size, Tone};

/// What is known of a cluster, and since when.
#[derive(Debug)]
pub(super) struct View<'a> {
    /// Where the registry is.
    pub(super) source: &'a str,
    /// Which slots are shown.
    pub(super) shown: Shown,
    /// The time of day.
    pub(super) now: SystemTime,
    /// The last report, and how old it is.
    pub(super) last: Option<(&'a Report, Duration)>,
    /// Why there is no newer one.
    pub(super) trouble: Option<&'a str>,
}

/// The table of a report, or what to do if it would be empty.
pub(super) fn table(report: &Report, shown: Shown, width: Option<usize>) -> Vec<Line> {
    let Some(rows) = report.rows() else {
        let hint = match shown {
            Shown::All => {
                "no servers are registered; start one with `pintail gateway`, `pintail lobby` or `pintail game`"
            }
            Shown::Current => {
                "no servers are registered; start one with `pintail gateway`, `pintail lobby` or `pintail game` (--all \
                 shows the slots of those that have left)"
            }
        };
        return vec![Line::new(hint, Tone::Plain)];
    };
    table::lines(&rows, width.map(report::fit))
}

/// The whole picture, as many lines as fit.
pub(super) fn picture(view: &View<'_>, size: Size) -> Vec<Line> {
    let time = Line::new(clock(view.now), Tone::Strong).then("   ", Tone::Plain).then(view.source, Tone::Plain);
    let trouble = view.trouble.map(|trouble| Line::new(trouble, Tone::Alarm)).unwrap_or_default();
    let mut lines = vec![time, headline(view), trouble];
    let Some((report, _)) = view.last else { return lines };
    lines.extend(report.hazards().iter().map(|hazard| Line::new(format!("DANGER: {}", hazard.advice), Tone::Alarm)));
    let broken = report.broken().iter();
    let broken =
        broken.map(|entry| Line::new(format!("{} can't be read: {}", entry.slot, entry.problem), Tone::Warning));
    lines.extend(table(report, view.shown, Some(size.columns)).into_iter().chain(broken));
    if lines.len() > size.rows {
        let hidden = lines.len() - size.rows + 1;
        lines.truncate(size.rows.saturating_sub(1));
        lines.push(Line::new(format!("… and {hidden} more: make the window higher to see them"), Tone::Warning));
    }
    lines
}

/// How the cluster is, or since when nobody knows.
fn headline(view: &View<'_>) -> Line {
    match (view.last, view.trouble) {
        (Some((report, _)), None) => Line::new(report.summary(), Tone::Plain),
        (Some((_, age)), Some(_)) => {
            let age = report::length(u64::try_from(age.as_millis()).unwrap_or(u64::MAX));
            Line::new(format!("NO NEWS FOR {age}: this is how it was"), Tone::Alarm)
        }
        (None, Some(_)) => Line::new("NOTHING IS KNOWN YET", Tone::Alarm),
        (None, None) => Line::new("reading the registry", Tone::Faint),
    }
}

/// The time of day, as the logs have it.
pub(super) fn clock(now: SystemTime) -> String {
    let seconds = now.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
    format!("{:02}:{:02}:{:02} UTC", seconds / 3_600 % 24, seconds / 60 % 60, seconds % 60)
}

#[cfg(test)]
mod tests {
    use pintail_core::Kind;

    use super::super::report::tests::{dead, in_danger, record, report};
    use super::*;

    fn texts(view: &View<'_>, columns: usize, rows: usize) -> Vec<String> {
        let lines = picture(view, Size { columns, rows });
        assert!(lines.len() <= rows);
        lines.iter().map(|line| line.cut(columns).text()).collect()
    }

    fn view(last: Option<(&Report, Duration)>) -> View<'_> {
        let now = UNIX_EPOCH + Duration::from_secs(86_400 + 16 * 3_600 + 5 * 60 + 9);
        View { source: "redis://127.0.0.1:6379", shown: Shown::Current, now, last, trouble: None }
    }

    #[test]
    fn a_screen_of_80_columns_has_all_that_matters() {
        let gone = dead(1, 12_000, "refuses connections, says Server:Gateway:1");
        let report = report([record(Kind::Gateway, 0), record(Kind::Game, 0), gone], Shown::Current);
        assert_eq!(
            texts(&view(Some((&report, Duration::ZERO))), 80, 24),
            [
                "16:05:09 UTC   redis://127.0.0.1:6379",
                "servers: 2 up, 1 down   games: 3   players: 6",
                "",
                "SLOT              ADDRESS         STATUS  HEALTH                  GAMES  PLAYERS",
                "Server:Gateway:0  127.0.0.1:5555  smooth  up                      -      6/100",
                "Server:Game:0     127.0.0.1:5557  smooth  up                      3/100  6",
                "Server:Game:1     127.0.0.1:5557  unused  down 12s ago: refuses…  3/100  6",
            ]
        );
    }

    #[test]
    fn what_is_dangerous_stands_above_the_table() {
        let report = in_danger((0..30).map(|index| record(Kind::Game, index)));
        let lines = texts(&view(Some((&report, Duration::ZERO))), 80, 10);
        assert!(lines[3].starts_with("DANGER: Redis throws keys away when it is full"), "{lines:?}");
        assert!(lines[4].starts_with("SLOT"), "{lines:?}");
    }

    #[test]
    fn what_does_not_fit_below_is_counted() {
        let report = report((0..30).map(|index| record(Kind::Game, index)), Shown::Current);
        let lines = texts(&view(Some((&report, Duration::ZERO))), 120, 10);
        assert_eq!((lines.len(), lines[9].as_str()), (10, "… and 25 more: make the window higher to see them"));
        assert!(lines[8].starts_with("Server:Game:4"), "{lines:?}");
        assert!(texts(&view(Some((&report, Duration::ZERO))), 120, 1)[0].starts_with('…'));
    }

    #[test]
    fn without_news_the_last_table_stays_under_a_banner() {
        let report = report([record(Kind::Game, 0)], Shown::Current);
        let last = Some((&report, Duration::from_secs(75)));
        let lines = texts(&View { trouble: Some("connection refused"), ..view(last) }, 100, 24);
        assert_eq!(lines[1..3], ["NO NEWS FOR 1m 15s: this is how it was", "connection refused"]);
        assert!(lines[4].starts_with("Server:Game:0"), "{lines:?}");
        let lines = texts(&View { trouble: Some("connection refused"), ..view(None) }, 100, 24);
        assert_eq!(lines[1..], ["NOTHING IS KNOWN YET", "connection refused"]);
    }

    #[test]
    fn an_empty_registry_says_what_to_do() {
        let empty = report([], Shown::Current);
        assert!(table(&empty, Shown::Current, None)[0].text().contains("`pintail gateway`"));
        assert!(table(&empty, Shown::Current, None)[0].text().contains("--all"));
        assert!(!table(&empty, Shown::All, None)[0].text().contains("--all"));
    }
}
