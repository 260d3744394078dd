//! What a game server says that it does, for operators: `/debug/tasks`. Its loop is asked, and answers between two turns.

use std::cmp::Reverse;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use pintail_core::Slot;
use pintail_net::admin::Tasks;
use serde::Serialize;
use serde_json::{Value, json};
use tokio::sync::{mpsc, oneshot};

use super::game_loop::GameLoop;
use crate::runtime::{GameNow, Now};

/// How many questions may wait for the loop, as many as the admin port has connections; whoever asks more waits.
pub(super) const QUESTIONS_MAX: usize = 64;

/// How far one look is from the next. A look takes about a millisecond for a thousand games, so those who ask again and
/// again cost the games a hundredth of their time, however many they are.
const LOOK_SPACING: Duration = Duration::from_millis(100);

/// What the server does, with as much of it as the most that was asked for.
#[derive(Debug)]
pub(super) struct GameServerNow {
    server: Option<String>,
    draining: bool,
    players_attached: usize,
    games_unprotected: usize,
    link_count: usize,
    /// Those on which most waits come first.
    links: Vec<LinkNow>,
    game_count: usize,
    /// The slowest come first.
    games: Vec<GameNow>,
}

#[derive(Debug, Serialize)]
struct LinkNow {
    gateway: String,
    queue_bytes: usize,
}

impl GameServerNow {
    /// With at most so many of whatever can be many.
    fn told(&self, limit: usize) -> Value {
        json!({
            "server": self.server,
            "draining": self.draining,
            "players_attached": self.players_attached,
            "games_unprotected": self.games_unprotected,
            "link_count": self.link_count,
            "links": &self.links[..self.links.len().min(limit)],
            "game_count": self.game_count,
            "games": &self.games[..self.games.len().min(limit)],
        })
    }
}

/// A question of what the server does now.
#[derive(Debug)]
pub(super) struct Question {
    limit: usize,
    answer: oneshot::Sender<Arc<GameServerNow>>,
}

/// Asks the loop.
pub(super) struct GameTasks(pub(super) mpsc::Sender<Question>);

#[async_trait]
impl Tasks for GameTasks {
    async fn tasks(&self, limit: usize) -> Option<Value> {
        let (answer, answered) = oneshot::channel();
        self.0.send(Question { limit, answer }).await.ok()?;
        // What is written is written here, where it takes no time from the games.
        Some(answered.await.ok()?.told(limit))
    }
}

/// The questions that wait for the next look, which answers all of them.
#[derive(Debug, Default)]
pub(super) struct Questions {
    waiting: Vec<Question>,
    /// When the loop looks next at the earliest.
    next_at: Now,
}

impl Questions {
    pub(super) const fn has_room(&self) -> bool {
        self.waiting.len() < QUESTIONS_MAX
    }

    pub(super) fn ask(&mut self, question: Question) {
        self.waiting.push(question);
    }

    /// When the loop has to look, if anybody asks.
    pub(super) fn due(&self) -> Option<Now> {
        (!self.waiting.is_empty()).then_some(self.next_at)
    }

    /// Answers all with one look, if it is time. `look` is told how much of whatever can be many somebody wants.
    fn answer(&mut self, now: Now, look: impl FnOnce(usize) -> GameServerNow) {
        if self.due().is_none_or(|at| now < at) {
            return;
        }
        self.next_at = now + LOOK_SPACING;
        let limit = self.waiting.iter().map(|question| question.limit).max().unwrap_or_default();
        let seen = Arc::new(look(limit));
        for question in self.waiting.drain(..) {
            // Whoever asked may have given up.
            let _ = question.answer.send(seen.clone());
        }
    }
}

impl GameLoop {
    /// Says what it does, if somebody asks and it is time.
    pub(super) fn answer_questions(&mut self, now: Now) {
        let mut questions = std::mem::take(&mut self.questions);
        questions.answer(now, |limit| self.look(now, limit));
        self.questions = questions;
    }

    fn look(&self, now: Now, limit: usize) -> GameServerNow {
        let mut links: Vec<_> = self.links.queues().collect();
        let link_count = links.len();
        // What waits longest is what is looked for.
        links.sort_unstable_by_key(|(gateway, bytes)| (Reverse(*bytes), *gateway));
        links.truncate(limit);
        let link = |(gateway, queue_bytes): (Slot, usize)| LinkNow { gateway: gateway.to_string(), queue_bytes };
        GameServerNow {
            server: self.slot.map(|slot| slot.to_string()),
            draining: self.neighbours.vitals.is_draining(),
            players_attached: self.host.attached_players(),
            games_unprotected: self.host.unprotected_games(),
            link_count,
            links: links.into_iter().map(link).collect(),
            game_count: self.host.games_count(),
            games: self.host.slowest_games(now, limit),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(limit: usize) -> GameServerNow {
        let links = (0..limit).map(|bytes| LinkNow { gateway: String::new(), queue_bytes: bytes }).collect();
        GameServerNow {
            server: None,
            draining: false,
            players_attached: 0,
            games_unprotected: 0,
            link_count: 1000,
            links,
            game_count: 0,
            games: Vec::new(),
        }
    }

    #[test]
    fn all_who_ask_in_some_time_are_answered_by_one_look_each_with_what_it_wants() {
        let (mut questions, mut looks) = (Questions::default(), 0);
        let mut told = Vec::new();
        let start = Now(Duration::from_secs(5));
        // A closed loop: whoever has an answer asks again at once.
        for millis in 0..1000 {
            let now = start + Duration::from_millis(millis);
            while questions.has_room() {
                let limit = questions.waiting.len();
                let (answer, answered) = oneshot::channel();
                questions.ask(Question { limit, answer });
                told.push((limit, answered));
            }
            assert!(questions.due().is_some_and(|at| at <= now + LOOK_SPACING));
            questions.answer(now, |limit| {
                looks += 1;
                assert_eq!(limit, QUESTIONS_MAX - 1, "the most that anybody wants");
                seen(limit)
            });
        }
        assert_eq!(looks, 10, "in a second");
        let mut answers = 0;
        for (limit, mut answered) in told {
            if let Ok(now) = answered.try_recv() {
                answers += 1;
                assert_eq!(now.told(limit)["links"].as_array().map(Vec::len), Some(limit));
            }
        }
        assert_eq!(answers, 10 * QUESTIONS_MAX, "everybody is answered");
    }

    #[test]
    fn nobody_looks_when_nobody_asks() {
        let mut questions = Questions::default();
        assert_eq!(questions.due(), None);
        questions.answer(Now(Duration::from_secs(1)), |_| unreachable!("nobody asked"));
    }
}
