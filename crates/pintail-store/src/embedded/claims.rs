//! Journaled games on their way from owner to owner: claims of those that were set aside, and hand-overs.

use std::collections::{HashMap, HashSet};

use pintail_core::limits::CLAIM_ATTEMPTS_MAX;
use pintail_core::{GameId, GameType, Kind, Slot};
use tokio::time::Instant;

use super::State;
use super::games::Game;
use super::journal::{Claims, Standing};
use crate::journal::{CLAIM_MAX, poisoned};
use crate::{Claim, Claimed, ClaimedGame, HandOverOutcome, Letter, Owner, SavedSnapshot, WithoutServer};

/// What a claimer may be given.
struct Quota {
    /// Among how many servers, the claimer included, the games of each type are shared of which it has a share.
    sharers: HashMap<GameType, usize>,
    places: usize,
    suspects: usize,
    format: u32,
}

/// Games that wait and that a claimer could be given, the longest waiting first.
#[derive(Default)]
struct Candidates {
    trusted: Vec<GameId>,
    /// With how often each was claimed.
    suspects: Vec<(GameId, u32)>,
}

impl Quota {
    fn can_have(&self, game: &Game) -> bool {
        let format = game.journal.snapshot.as_ref().map_or(0, |snapshot| snapshot.format);
        format <= self.format && self.sharers.contains_key(&game.record.order.game_type)
    }

    /// The claimer's share of games of a type of which so many wait, as far as it has places.
    fn share(&self, game_type: &GameType, waiting: usize) -> usize {
        self.sharers.get(game_type).map_or(0, |sharers| waiting.div_ceil(*sharers).min(self.places))
    }

    /// The suspects that are tried together: one whose next failure is its last is tried alone.
    fn trial(&self, found: &[(GameId, u32)]) -> Vec<GameId> {
        let is_last = |attempts: u32| attempts + 1 >= CLAIM_ATTEMPTS_MAX;
        match found {
            _ if self.suspects == 0 => Vec::new(),
            [(id, attempts), ..] if is_last(*attempts) => vec![*id],
            _ => {
                let others = found.iter().filter(|(_, attempts)| !is_last(*attempts));
                others.map(|(id, _)| *id).take(self.suspects).collect()
            }
        }
    }
}

impl State {
    pub(super) fn claim_games(&mut self, claim: &Claim, now: Instant) -> Claimed {
        let mut claimed = Claimed::default();
        let Some(quota) = self.quota(claim, now) else { return claimed };
        self.end_poisoned(claim, now);
        let waiting = self.candidates(&quota);
        let group = quota.trial(&self.shared_out(&quota, waiting.suspects.clone(), |(id, _)| *id));
        let trusted = self.shared_out(&quota, waiting.trusted.clone(), |id| *id);
        let given: HashSet<GameId> = trusted.into_iter().chain(group.iter().copied()).collect();
        let oldest_first = self.games.set_aside.oldest_first().filter(|id| given.contains(id));
        let chosen: Vec<GameId> = oldest_first.take(quota.places).collect();
        let tried = chosen.iter().filter(|id| group.contains(id)).count();
        for id in &chosen {
            // A suspect that is tried alone is to blame if it fails.
            let is_alone = tried == 1 && group.contains(id);
            claimed.games.extend(self.claim_game(*id, claim, is_alone.then_some(CLAIM_ATTEMPTS_MAX), now));
        }
        if self.free_places(claim, now) > 0 {
            let suspects = (waiting.suspects.len() - tried).min(quota.suspects.saturating_sub(tried));
            let left = waiting.trusted.len() + tried - chosen.len() + suspects;
            claimed.waiting = u32::try_from(left).unwrap_or(u32::MAX);
        }
        claimed
    }

    /// Ends the games that nobody tries again, of those that the claimer hosts.
    fn end_poisoned(&mut self, claim: &Claim, now: Instant) {
        let server = self.registry.held_by(claim.slot, claim.incarnation);
        let types = server.map(|server| server.game_types.clone()).unwrap_or_default();
        let waiting: Vec<GameId> = self.games.set_aside.oldest_first().collect();
        let is_poisoned =
            |game: &Game| game.attempts() >= CLAIM_ATTEMPTS_MAX && types.contains(&game.record.order.game_type);
        for id in waiting {
            if self.games.running.get(&id).is_some_and(is_poisoned) {
                self.finish_game(id, poisoned(), now);
            }
        }
    }

    fn candidates(&self, quota: &Quota) -> Candidates {
        let mut found = Candidates::default();
        for id in self.games.set_aside.oldest_first() {
            match self.games.running.get(&id).filter(|game| quota.can_have(game)).map(Game::attempts) {
                None => {}
                Some(0) => found.trusted.push(id),
                Some(attempts) => found.suspects.push((id, attempts)),
            }
        }
        found
    }

    /// What is left of these games when the claimer has no more than its share of each type.
    fn shared_out<T>(&self, quota: &Quota, mut games: Vec<T>, id: impl Fn(&T) -> GameId) -> Vec<T> {
        let type_of = |game: &T| self.games.running.get(&id(game)).map(|game| &game.record.order.game_type);
        let mut waiting: HashMap<&GameType, usize> = HashMap::new();
        for game_type in games.iter().filter_map(type_of) {
            *waiting.entry(game_type).or_default() += 1;
        }
        let mut shares: HashMap<&GameType, usize> =
            waiting.into_iter().map(|(game_type, waiting)| (game_type, quota.share(game_type, waiting))).collect();
        games.retain(|game| {
            let share = type_of(game).and_then(|game_type| shares.get_mut(game_type)).filter(|share| **share > 0);
            share.map(|share| *share -= 1).is_some()
        });
        games
    }

    /// How many games the claimer could take, whatever it asks for.
    fn free_places(&mut self, claim: &Claim, now: Instant) -> u32 {
        let hosted = self.games.hosted_count(claim.slot, claim.incarnation);
        let server = self.registry.held_by(claim.slot, claim.incarnation).filter(|server| server.may_claim(now));
        server.map_or(0, |server| server.capacity.saturating_sub(hosted))
    }

    /// What the claimer may be given; `None` if nothing at all.
    fn quota(&mut self, claim: &Claim, now: Instant) -> Option<Quota> {
        let places = self.free_places(claim, now).min(claim.limit).min(CLAIM_MAX);
        let server = self.registry.held_by(claim.slot, claim.incarnation).filter(|_| places > 0)?;
        // Whoever hands a game over looks at it.
        server.format = Some(claim.format);
        let types = server.game_types.clone();
        let sharers = types.into_iter().filter_map(|game_type| {
            let sharers = self.sharers(claim.slot, &game_type, now)?;
            Some((game_type, sharers))
        });
        let (places, suspects) = (places as usize, claim.suspects as usize);
        Some(Quota { sharers: sharers.collect(), places, suspects, format: claim.format })
    }

    /// Among how many servers, the claimer included, the games of a type that wait are shared: those that are open for it.
    /// One that is not open itself (congested, accused, on probation) has a share only if no other is.
    fn sharers(&self, claimer: Slot, game_type: &GameType, now: Instant) -> Option<usize> {
        let open = self.registry.of_kind(Kind::Game).filter(|(slot, server)| {
            let hosted = server.incarnation.map_or(0, |incarnation| self.games.hosted_count(*slot, incarnation));
            server.takes(game_type, now) && hosted < server.capacity
        });
        let open: Vec<Slot> = open.map(|(slot, _)| slot).collect();
        (open.is_empty() || open.contains(&claimer)).then(|| open.len().max(1))
    }

    /// Gives a game to the claimer, with so many attempts, or with one more.
    fn claim_game(&mut self, id: GameId, claim: &Claim, attempts: Option<u32>, now: Instant) -> Option<ClaimedGame> {
        let game = self.games.running.get_mut(&id)?;
        let attempts = attempts.unwrap_or(game.attempts() + 1);
        game.claims = Some(Claims { attempts, since: now });
        let epoch = game.record.owner.epoch.next();
        let owner = Owner { slot: claim.slot, incarnation: claim.incarnation, epoch };
        self.move_game(id, owner);
        Some(ClaimedGame { id, owner, attempts })
    }

    pub(super) fn hand_over(
        &mut self,
        id: GameId,
        owner: Owner,
        snapshot: &SavedSnapshot,
        without_server: WithoutServer,
        now: Instant,
    ) -> HandOverOutcome {
        let Some(game) = self.games.running.get_mut(&id) else {
            return if self.games.get(id, now).is_some() { HandOverOutcome::Fenced } else { HandOverOutcome::Unknown };
        };
        if game.was_handed_over_by(owner) {
            // An earlier call did it.
            let to = HandOverOutcome::To(game.record.owner);
            return if self.games.set_aside.contains(id) { HandOverOutcome::SetAside } else { to };
        }
        let standing = game.standing(owner);
        if standing == Standing::Fenced {
            return HandOverOutcome::Fenced;
        } else if standing == Standing::Own && snapshot.number < game.journal.last() {
            // A late repeat of a call that handed nothing over.
            return HandOverOutcome::NoServer;
        }
        let game_type = game.record.order.game_type.clone();
        let target = self.choose_server(
            &game_type,
            |slot, server| slot != owner.slot && server.format.is_none_or(|format| snapshot.format <= format),
            now,
        );
        if target.is_none() && without_server == WithoutServer::Keep {
            return HandOverOutcome::NoServer;
        }
        if let Some(game) = self.games.running.get_mut(&id) {
            game.keep_snapshot(standing, snapshot);
            game.prove(now, self.periods.proven_after);
        }
        let epoch = owner.epoch.next();
        let outcome = match target {
            Some((slot, incarnation)) => self.hand_to(id, Owner { slot, incarnation, epoch }),
            None => self.hand_to_nobody(id, Owner { epoch, ..owner }, now),
        };
        if let Some(game) = self.games.running.get_mut(&id) {
            game.handed_by = Some(owner);
            // Who has it next has to prove it.
            game.claims = game.claims.map(|claims| Claims { since: now, ..claims });
        }
        outcome
    }

    fn hand_to(&mut self, id: GameId, owner: Owner) -> HandOverOutcome {
        self.move_game(id, owner);
        self.mail.send(owner.slot, Letter::GamePlaced(id));
        HandOverOutcome::To(owner)
    }

    /// The game has the next epoch, and waits: nobody writes to it any more.
    fn hand_to_nobody(&mut self, id: GameId, owner: Owner, now: Instant) -> HandOverOutcome {
        self.move_game(id, owner);
        self.set_game_aside(id, now);
        HandOverOutcome::SetAside
    }
}

impl Game {
    fn was_handed_over_by(&self, owner: Owner) -> bool {
        self.handed_by.is_some_and(|by| (by.incarnation, by.epoch) == (owner.incarnation, owner.epoch))
    }
}
