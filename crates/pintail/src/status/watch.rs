//! `pintail status --watch`: looks again and again.

use std::io::stdout;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use pintail_store::RedisStore;
use serde_json::json;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc;
use tokio::time::{Instant, MissedTickBehavior, interval};
use tokio_util::task::AbortOnDropHandle;

use super::report::{Report, Shown};
use super::view::{View, clock, picture, table};
use super::{read, warn_of_all};
use crate::failure::Failure;
use crate::output::{try_to_say, warn};
use crate::signals::Signals;
use crate::terminal::{Paint, Screen, can_draw};

/// How often the picture is drawn at least: it has a clock.
const REDRAW: Duration = Duration::from_secs(1);

/// What is printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    /// A table, for people.
    Table,
    /// A JSON object a line, for programs.
    Json,
}

/// What one look at the registry brought.
type Look = Result<Report, String>;

/// Shows the servers until a signal comes or nobody reads any more.
///
/// # Errors
/// If signals can't be listened for, or the output can't be written.
pub(super) async fn run(
    store: Arc<RedisStore>,
    source: String,
    shown: Shown,
    period: Duration,
    form: Form,
) -> Result<(), Failure> {
    let mut signals = Signals::listen()?;
    let mut resized = signal(SignalKind::window_change())?;
    let (looks_tx, mut looks) = mpsc::channel(1);
    let _looking = AbortOnDropHandle::new(tokio::spawn(look_again_and_again(store, shown, period, looks_tx)));
    let mut show = match form {
        Form::Json => Show::Json,
        Form::Table if can_draw(&stdout()) => Show::Drawn(Box::new(Drawn::open(source, shown)?)),
        Form::Table => Show::Printed(Printed { source, shown, last: None, trouble: None }),
    };
    let mut redraw = interval(REDRAW);
    redraw.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        let told = tokio::select! {
            _ = signals.next() => return Ok(()),
            _ = resized.recv() => show.redraw(),
            _ = redraw.tick() => show.redraw(),
            Some(look) = looks.recv() => show.tell(look),
        };
        told.map_err(|error| Failure::unprinted(&error))?;
    }
}

async fn look_again_and_again(store: Arc<RedisStore>, shown: Shown, period: Duration, looks: mpsc::Sender<Look>) {
    let mut due = interval(period);
    due.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        due.tick().await;
        if looks.send(read(&store, shown).await).await.is_err() {
            return;
        }
    }
}

/// Where the looks go.
enum Show {
    Json,
    Printed(Printed),
    Drawn(Box<Drawn>),
}

impl Show {
    fn tell(&mut self, look: Look) -> std::io::Result<()> {
        match self {
            Self::Json => try_to_say(json_line(look)),
            Self::Printed(printed) => printed.tell(look),
            Self::Drawn(drawn) => drawn.tell(look),
        }
    }

    fn redraw(&mut self) -> std::io::Result<()> {
        match self {
            Self::Drawn(drawn) => drawn.redraw(),
            Self::Json | Self::Printed(_) => Ok(()),
        }
    }
}

fn json_line(look: Look) -> String {
    let value = match look {
        Ok(report) => json!(report),
        Err(problem) => {
            let since_1970 = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
            json!({ "at_ms": u64::try_from(since_1970.as_millis()).unwrap_or(u64::MAX), "error": problem })
        }
    };
    value.to_string()
}

/// Tables one below the other, each when something has changed.
struct Printed {
    source: String,
    shown: Shown,
    last: Option<Report>,
    /// Why there is nothing new, as far as it was told.
    trouble: Option<String>,
}

impl Printed {
    fn tell(&mut self, look: Look) -> std::io::Result<()> {
        let report = match look {
            Ok(report) => report,
            Err(problem) => {
                if self.trouble.is_none() {
                    warn(format_args!("warning: can't read the registry in Redis at {} ({problem})", self.source));
                }
                self.trouble = Some(problem);
                return Ok(());
            }
        };
        let is_back = self.trouble.take().is_some();
        if is_back {
            warn(format_args!("the registry in Redis at {} can be read", self.source));
        }
        let is_news = is_back || self.last.as_ref().is_none_or(|last| !last.is_like(&report));
        if is_news {
            try_to_say(format_args!("{}   {}", clock(SystemTime::now()), report.summary()))?;
            for line in table(&report, self.shown, None) {
                try_to_say(line.text())?;
            }
            try_to_say("")?;
            warn_of_all(&report);
            self.last = Some(report);
        }
        Ok(())
    }
}

/// A picture that is drawn in place.
struct Drawn {
    screen: Screen,
    paint: Paint,
    source: String,
    shown: Shown,
    last: Option<(Report, Instant)>,
    trouble: Option<String>,
}

impl Drawn {
    fn open(source: String, shown: Shown) -> std::io::Result<Self> {
        let paint = Paint::of(&stdout());
        Ok(Self { screen: Screen::open()?, paint, source, shown, last: None, trouble: None })
    }

    fn tell(&mut self, look: Look) -> std::io::Result<()> {
        match look {
            Ok(report) => {
                self.last = Some((report, Instant::now()));
                self.trouble = None;
            }
            Err(problem) => self.trouble = Some(problem),
        }
        self.redraw()
    }

    fn redraw(&mut self) -> std::io::Result<()> {
        let view = View {
            source: &self.source,
            shown: self.shown,
            now: SystemTime::now(),
            last: self.last.as_ref().map(|(report, at)| (report, at.elapsed())),
            trouble: self.trouble.as_deref(),
        };
        self.screen.draw(&picture(&view, self.screen.size()), self.paint)
    }
}
