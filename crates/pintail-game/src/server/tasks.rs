//! What a game server says that it does, for operators: `/debug/tasks`. Its loop is asked, and answers between two turns.

use async_trait::async_trait;
use pintail_net::admin::Tasks;
use serde_json::{Value, json};
use tokio::sync::{mpsc, oneshot};

use super::game_loop::GameLoop;

/// How many questions may wait for the loop; whoever asks more waits.
pub(super) const QUESTIONS_MAX: usize = 4;

/// A question of what the server does now.
#[derive(Debug)]
pub(super) struct Question {
    limit: usize,
    answer: oneshot::Sender<Value>,
}

/// Asks the loop.
pub(super) struct GameTasks(pub(super) mpsc::Sender<Question>);

#[async_trait]
impl Tasks for GameTasks {
    async fn tasks(&self, limit: usize) -> Option<Value> {
        let (answer, answered) = oneshot::channel();
        self.0.send(Question { limit, answer }).await.ok()?;
        answered.await.ok()
    }
}

impl GameLoop {
    /// Says what it does. A thousand games take about a millisecond.
    pub(super) fn answer(&self, question: Question) {
        let now = self.now();
        let mut links: Vec<_> = self.links.queues().collect();
        let link_count = links.len();
        // What waits longest is what is looked for.
        links.sort_unstable_by_key(|(gateway, bytes)| (std::cmp::Reverse(*bytes), *gateway));
        links.truncate(question.limit);
        let links: Vec<_> = links
            .into_iter()
            .map(|(gateway, bytes)| json!({ "gateway": gateway.to_string(), "queue_bytes": bytes }))
            .collect();
        let tasks = json!({
            "server": self.slot.map(|slot| slot.to_string()),
            "draining": self.neighbours.vitals.is_draining(),
            "players_attached": self.host.attached_players(),
            "games_unprotected": self.host.unprotected_games(),
            "link_count": link_count,
            "links": links,
            "game_count": self.host.games_count(),
            "games": self.host.slowest_games(now, question.limit),
        });
        // Whoever asked has given up.
        let _ = question.answer.send(tasks);
    }
}
