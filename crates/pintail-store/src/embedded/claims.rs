//! Journaled games on their way from owner to owner: claims of those that were set aside, and hand-overs.

use std::collections::HashMap;

use pintail_core::limits::CLAIM_ATTEMPTS_MAX;
use pintail_core::{GameId, GameType, Kind, Slot};
use tokio::time::Instant;

use super::State;
use super::games::Game;
use super::journal::{Claims, Standing};
use crate::journal::{CLAIM_MAX, poisoned};
use crate::{Claim, Claimed, ClaimedGame, HandOverOutcome, Letter, Owner, SavedSnapshot, WithoutServer};

/// What a claim has still to give.
struct Quota {
    /// How many games of each type that the claimer may be given any of.
    shares: HashMap<GameType, u32>,
    places: u32,
    suspects: u32,
    format: u32,
}

/// What is to be done with a game that waits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Verdict {
    Give,
    /// The claimer could be given it with its next claim.
    Later,
    /// The claimer can't be given it.
    NotThis,
    /// Nobody can.
    End,
}

impl Quota {
    fn judge(&mut self, game: &Game) -> Verdict {
        let Some(share) = self.shares.get_mut(&game.record.order.game_type) else { return Verdict::NotThis };
        let attempts = game.attempts();
        let format = game.journal.snapshot.as_ref().map_or(0, |snapshot| snapshot.format);
        if attempts >= CLAIM_ATTEMPTS_MAX {
            return Verdict::End;
        } else if format > self.format || (attempts > 0 && self.suspects == 0) {
            return Verdict::NotThis;
        } else if self.places == 0 || *share == 0 {
            return Verdict::Later;
        }
        *share -= 1;
        self.places -= 1;
        self.suspects -= attempts.min(1);
        Verdict::Give
    }
}

impl State {
    pub(super) fn claim_games(&mut self, claim: &Claim, now: Instant) -> Claimed {
        let mut claimed = Claimed::default();
        let Some(mut quota) = self.quota(claim, now) else { return claimed };
        let waiting: Vec<GameId> = self.games.set_aside.oldest_first().collect();
        for id in waiting {
            let Some(game) = self.games.running.get(&id) else { continue };
            match quota.judge(game) {
                Verdict::Give => claimed.games.extend(self.claim_game(id, claim, now)),
                Verdict::Later => claimed.waiting += 1,
                Verdict::NotThis => {}
                Verdict::End => self.finish_game(id, poisoned(), now),
            }
        }
        if self.free_places(claim, now) == 0 {
            claimed.waiting = 0;
        }
        claimed
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
        let shares = types.into_iter().map(|game_type| {
            let share = self.share(claim.slot, &game_type, now);
            (game_type, share)
        });
        let shares = shares.filter(|(_, share)| *share > 0).collect();
        Some(Quota { shares, places, suspects: claim.suspects, format: claim.format })
    }

    /// A server's share of the games of a type that wait: that among the servers that are open for it. One that is not
    /// open itself (congested, accused, on probation) takes games only if no other is.
    fn share(&self, claimer: Slot, game_type: &GameType, now: Instant) -> u32 {
        let is_of_type =
            |id: &GameId| self.games.running.get(id).is_some_and(|game| game.record.order.game_type == *game_type);
        let waiting = self.games.set_aside.oldest_first().filter(is_of_type).count();
        let waiting = u32::try_from(waiting).unwrap_or(u32::MAX);
        let open = self.registry.of_kind(Kind::Game).filter(|(slot, server)| {
            let hosted = server.incarnation.map_or(0, |incarnation| self.games.hosted_count(*slot, incarnation));
            server.takes(game_type, now) && hosted < server.capacity
        });
        let open: Vec<Slot> = open.map(|(slot, _)| slot).collect();
        if open.is_empty() {
            waiting
        } else if open.contains(&claimer) {
            waiting.div_ceil(u32::try_from(open.len()).unwrap_or(u32::MAX))
        } else {
            0
        }
    }

    fn claim_game(&mut self, id: GameId, claim: &Claim, now: Instant) -> Option<ClaimedGame> {
        let game = self.games.running.get_mut(&id)?;
        let attempts = game.attempts() + 1;
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
