//! The sessions that wait for the server of their game, without IO.
//!
//! A client that wants into a game waits here until it is known where the game is and there is a link to there. While a
//! game has no server, because its server was lost and no other has taken it over yet, all its players wait. So the
//! store is asked about games, not for players: at once for a game that nobody knows anything of, and from time to time
//! as long as someone waits.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::time::Duration;

use pintail_core::limits::ATTACH_WAIT;
use pintail_core::{GameId, Incarnation, SessionId};

/// How many sessions may wait at once. A gateway has hardly more; each takes some hundred bytes.
pub(crate) const WAITING_MAX: usize = 32 * 1024;

/// How many games the store is asked about at once; more wait their turn, so that a lost server with thousands of games
/// comes as a queue.
pub(crate) const QUESTIONS_MAX: usize = 32;

/// How often the store is asked about each game that is waited for.
pub(crate) const LOOK_PERIOD: Duration = Duration::from_millis(250);

/// A session that waits for a game.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Waiter<T> {
    pub(crate) session: SessionId,
    pub(crate) game: GameId,
    /// When it came, by the gateway's clock.
    pub(crate) since: Duration,
    /// What it wants.
    pub(crate) wish: T,
}

/// When the store is asked about a game that someone comes to wait for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum FirstLook {
    AtOnce,
    /// The game's server was lost a moment ago, which the store does not know yet.
    Later,
}

/// A question to the store: where is this game?
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Question {
    pub(crate) game: GameId,
    /// When it was asked.
    pub(crate) since: Duration,
}

/// What the store answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Answer {
    /// This start of a server runs the game, or is the last that did.
    Server(Incarnation),
    /// There is nobody to wait for.
    Nobody,
    /// Nothing: the call failed.
    Failed,
}

/// As many sessions wait as may.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct TooMany;

/// What is known of a game that is waited for.
#[derive(Debug)]
struct Search {
    /// Which start of a server had it, as far as is known.
    server: Option<Incarnation>,
    asked: Asked,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Asked {
    /// The store was asked then, or someone came to wait.
    Before(Duration),
    /// It is to be asked, in the order of these times.
    Due(Duration),
    UnderWay,
}

/// The sessions that wait, at most [`WAITING_MAX`], and the games that they wait for.
#[derive(Debug)]
pub(crate) struct Waiting<T> {
    waiters: BTreeMap<(GameId, SessionId), Waiter<T>>,
    sessions: HashMap<SessionId, GameId>,
    searches: BTreeMap<GameId, Search>,
    /// The games to ask about, longest due first.
    due: BTreeSet<(Duration, GameId)>,
    /// How many questions are under way.
    questions: usize,
}

impl<T> Default for Waiting<T> {
    fn default() -> Self {
        Self {
            waiters: BTreeMap::new(),
            sessions: HashMap::new(),
            searches: BTreeMap::new(),
            due: BTreeSet::new(),
            questions: 0,
        }
    }
}

impl<T> Waiting<T> {
    /// How many sessions wait.
    pub(crate) fn len(&self) -> usize {
        self.sessions.len()
    }

    /// A session waits, instead of for what it waited for before. `server` is the last that it knows to have had the
    /// game.
    pub(crate) fn add(
        &mut self,
        now: Duration,
        waiter: Waiter<T>,
        server: Option<Incarnation>,
        first_look: FirstLook,
    ) -> Result<(), TooMany> {
        let Waiter { session, game, .. } = waiter;
        self.remove(session);
        if self.sessions.len() >= WAITING_MAX {
            return Err(TooMany);
        }
        self.sessions.insert(session, game);
        self.waiters.insert((game, session), waiter);
        let search = self.searches.entry(game).or_insert(Search { server: None, asked: Asked::Before(now) });
        search.server = search.server.or(server);
        if first_look == FirstLook::AtOnce {
            self.make_due(now, game);
        }
        Ok(())
    }

    /// The session waits no more.
    pub(crate) fn remove(&mut self, session: SessionId) -> Option<Waiter<T>> {
        let game = self.sessions.remove(&session)?;
        let waiter = self.waiters.remove(&(game, session));
        self.end_search(game);
        waiter
    }

    /// What the session waits for.
    pub(crate) fn wish(&self, session: SessionId) -> Option<&T> {
        let game = self.sessions.get(&session)?;
        self.waiters.get(&(*game, session)).map(|waiter| &waiter.wish)
    }

    /// The next question to the store, if one is due and not too many are under way. It ends with
    /// [`answered`](Self::answered).
    pub(crate) fn next_question(&mut self, now: Duration) -> Option<Question> {
        if self.questions >= QUESTIONS_MAX {
            return None;
        }
        let (_, game) = self.due.pop_first()?;
        let search = self.searches.get_mut(&game).expect("what is due is searched");
        search.asked = Asked::UnderWay;
        self.questions += 1;
        Some(Question { game, since: now })
    }

    /// A question is answered. Whoever came after it was asked has not been asked about: if the answer is that there is
    /// nobody to wait for, the question is asked again.
    pub(crate) fn answered(&mut self, now: Duration, question: Question, answer: Answer) {
        self.questions -= 1;
        let Question { game, since } = question;
        let came_later = self.of(game).any(|waiter| waiter.since > since);
        // Everybody may have gone meanwhile, and others come.
        let Some(search) = self.searches.get_mut(&game) else { return };
        if search.asked == Asked::UnderWay {
            search.asked = Asked::Before(since);
        }
        match answer {
            Answer::Server(server) => search.server = Some(server),
            Answer::Nobody if came_later => self.make_due(now, game),
            Answer::Nobody | Answer::Failed => {}
        }
    }

    /// Takes all who wait for a game.
    pub(crate) fn take(&mut self, game: GameId) -> Vec<Waiter<T>> {
        self.take_where(game, |_| true)
    }

    /// Takes those who wait for a game and of whom this is so.
    pub(crate) fn take_where(&mut self, game: GameId, is_so: impl Fn(&Waiter<T>) -> bool) -> Vec<Waiter<T>> {
        let sessions: Vec<_> = self.of(game).filter(|waiter| is_so(waiter)).map(|waiter| waiter.session).collect();
        sessions.into_iter().filter_map(|session| self.remove(session)).collect()
    }

    /// The games that this start of a server had when they were last asked about.
    pub(crate) fn games_of(&self, server: Incarnation) -> Vec<GameId> {
        let theirs = self.searches.iter().filter(|(_, search)| search.server == Some(server));
        theirs.map(|(game, _)| *game).collect()
    }

    /// Time has passed: every game that is waited for is due, unless it was asked about just now. Takes those who have
    /// waited for too long. Call it each [`LOOK_PERIOD`].
    pub(crate) fn look(&mut self, now: Duration) -> Vec<Waiter<T>> {
        let late = |waiter: &&Waiter<T>| now >= waiter.since + ATTACH_WAIT;
        let late: Vec<_> = self.waiters.values().filter(late).map(|waiter| waiter.session).collect();
        let late = late.into_iter().filter_map(|session| self.remove(session)).collect();
        let is_old = |search: &Search| matches!(search.asked, Asked::Before(at) if now >= at + LOOK_PERIOD / 2);
        let old: Vec<_> = self.searches.iter().filter(|(_, search)| is_old(search)).map(|(game, _)| *game).collect();
        old.into_iter().for_each(|game| self.make_due(now, game));
        late
    }

    fn of(&self, game: GameId) -> impl Iterator<Item = &Waiter<T>> {
        self.waiters.range((game, SessionId(0))..=(game, SessionId(u64::MAX))).map(|(_, waiter)| waiter)
    }

    fn make_due(&mut self, now: Duration, game: GameId) {
        if let Some(search) = self.searches.get_mut(&game)
            && matches!(search.asked, Asked::Before(_))
        {
            search.asked = Asked::Due(now);
            self.due.insert((now, game));
        }
    }

    /// Nobody looks for a game that nobody waits for.
    fn end_search(&mut self, game: GameId) {
        if self.of(game).next().is_some() {
            return;
        }
        if let Entry::Occupied(search) = self.searches.entry(game)
            && let Asked::Due(at) = search.remove().asked
        {
            self.due.remove(&(at, game));
        }
    }
}

#[cfg(test)]
mod tests {
    use pintail_core::{RoomId, Round};
    use rand::rngs::SmallRng;
    use rand::{RngExt, SeedableRng};

    use super::*;

    const LOST: Incarnation = Incarnation(7);

    fn game(room: u64) -> GameId {
        GameId { room: RoomId(room), round: Round(1) }
    }

    fn at(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    fn waiter(now: u64, session: u64, room: u64) -> Waiter<u64> {
        Waiter { session: SessionId(session), game: game(room), since: at(now), wish: now }
    }

    fn come(waiting: &mut Waiting<u64>, now: u64, session: u64, room: u64) {
        waiting.add(at(now), waiter(now, session, room), None, FirstLook::AtOnce).unwrap();
    }

    fn questions(waiting: &mut Waiting<u64>, now: u64) -> Vec<GameId> {
        std::iter::from_fn(|| waiting.next_question(at(now))).map(|question| question.game).collect()
    }

    fn sessions(waiters: &[Waiter<u64>]) -> Vec<u64> {
        waiters.iter().map(|waiter| waiter.session.0).collect()
    }

    #[test]
    fn a_game_is_asked_about_once_for_all_its_players_and_again_each_period() {
        let mut waiting = Waiting::default();
        (0..2000).for_each(|session| come(&mut waiting, 0, session, session % 4));
        let first = questions(&mut waiting, 1);
        assert_eq!(first, (0..4).map(game).collect::<Vec<_>>());
        assert!(waiting.look(at(250)).is_empty());
        assert_eq!(questions(&mut waiting, 250), [], "those are under way");
        for game in first {
            waiting.answered(at(251), Question { game, since: at(1) }, Answer::Server(LOST));
        }
        assert!(waiting.look(at(500)).is_empty());
        assert_eq!(questions(&mut waiting, 500).len(), 4);
        assert_eq!(waiting.len(), 2000);
        assert_eq!(waiting.games_of(LOST).len(), 4);
        assert_eq!(waiting.take(game(2)).len(), 500);
        assert_eq!(waiting.games_of(LOST).len(), 3);
    }

    #[test]
    fn players_of_a_lost_server_don_t_ask_at_once() {
        let mut waiting = Waiting::default();
        for session in 0..1000 {
            waiting.add(at(200), waiter(200, session, session), Some(LOST), FirstLook::Later).unwrap();
        }
        assert_eq!(questions(&mut waiting, 200), []);
        assert_eq!(waiting.games_of(LOST).len(), 1000);
        assert!(waiting.look(at(250)).is_empty());
        assert_eq!(questions(&mut waiting, 250), [], "they came just now");
        assert!(waiting.look(at(500)).is_empty());
        assert_eq!(questions(&mut waiting, 500).len(), QUESTIONS_MAX, "and then not all at once");
        waiting.answered(at(501), Question { game: game(0), since: at(500) }, Answer::Failed);
        assert_eq!(questions(&mut waiting, 501), [game(QUESTIONS_MAX as u64)], "but one after the other");
    }

    #[test]
    fn a_session_waits_for_what_it_wanted_last() {
        let mut waiting = Waiting::default();
        come(&mut waiting, 0, 1, 1);
        come(&mut waiting, 10, 1, 2);
        assert_eq!(questions(&mut waiting, 10), [game(2)], "nobody waits for the first any more");
        come(&mut waiting, 20, 1, 2);
        assert_eq!((waiting.len(), waiting.wish(SessionId(1))), (1, Some(&20)));
        assert_eq!(waiting.remove(SessionId(1)), Some(waiter(20, 1, 2)));
        assert_eq!((waiting.len(), waiting.remove(SessionId(1))), (0, None));
        waiting.answered(at(30), Question { game: game(2), since: at(10) }, Answer::Nobody);
        assert_eq!(waiting.questions, 0);
    }

    #[test]
    fn who_came_after_a_question_gets_no_for_an_answer_only_from_the_next() {
        let mut waiting = Waiting::default();
        come(&mut waiting, 0, 1, 1);
        let question = waiting.next_question(at(1)).unwrap();
        come(&mut waiting, 5, 2, 1);
        waiting.answered(at(9), question, Answer::Nobody);
        assert_eq!(sessions(&waiting.take_where(game(1), |waiter| waiter.since <= question.since)), [1]);
        let again = waiting.next_question(at(9)).unwrap();
        assert_eq!(again.game, game(1));
        waiting.answered(at(11), again, Answer::Nobody);
        assert_eq!(waiting.next_question(at(11)), None);
    }

    #[test]
    fn nobody_waits_longer_than_the_limit_and_no_more_than_may() {
        let mut waiting = Waiting::default();
        come(&mut waiting, 0, 1, 1);
        come(&mut waiting, 1000, 2, 1);
        assert_eq!(sessions(&waiting.look(ATTACH_WAIT - at(1))), [0; 0]);
        assert_eq!(sessions(&waiting.look(ATTACH_WAIT)), [1]);
        assert_eq!(sessions(&waiting.look(ATTACH_WAIT + at(1000))), [2]);
        for session in 0..WAITING_MAX as u64 {
            come(&mut waiting, 0, session, 3);
        }
        assert_eq!(waiting.add(at(0), waiter(0, u64::MAX, 3), None, FirstLook::AtOnce), Err(TooMany));
        come(&mut waiting, 1, 0, 4);
        assert_eq!(waiting.len(), WAITING_MAX, "who waits already may wait for another game");
    }

    #[test]
    fn nothing_is_left_behind_whatever_comes_and_goes() {
        let seed = rand::random();
        println!("seed {seed}");
        let mut rng = SmallRng::seed_from_u64(seed);
        let mut waiting = Waiting::default();
        let mut under_way = Vec::new();
        for now in 0..20_000 {
            let (session, room) = (rng.random_range(0..60), rng.random_range(0..50));
            match rng.random_range(0..7) {
                0..2 => come(&mut waiting, now, session, room),
                2 => drop(waiting.remove(SessionId(session))),
                3 => under_way.extend(waiting.next_question(at(now))),
                4 if !under_way.is_empty() => {
                    let question = under_way.swap_remove(rng.random_range(0..under_way.len()));
                    let answer = [Answer::Server(LOST), Answer::Nobody, Answer::Failed][rng.random_range(0..3)];
                    waiting.answered(at(now), question, answer);
                }
                5 => drop(waiting.take(game(room))),
                _ => drop(waiting.look(at(now))),
            }
            let waited_for: BTreeSet<_> = waiting.sessions.values().copied().collect();
            assert_eq!(waiting.waiters.len(), waiting.sessions.len());
            assert!(waiting.searches.keys().eq(&waited_for));
            let due = waiting.searches.values().filter(|search| matches!(search.asked, Asked::Due(_))).count();
            assert_eq!((waiting.due.len(), waiting.questions), (due, under_way.len()));
            assert!(waiting.questions <= QUESTIONS_MAX);
        }
    }
}
