//! Whether a server may speak for its journaled games.

use std::collections::HashMap;

use pintail_net::LinkId;
use pintail_wire::heartbeat::StoreSight;

use crate::runtime::Now;

/// Whether a server may speak for its journaled games.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Stance {
    /// It holds its lease, so nobody else has its games.
    Speaks,
    /// Its lease may have run out, and the store is away for its gateways too: nobody can claim its games.
    StoreAway,
    /// Its lease may have run out, and others reach the store: its games may be theirs.
    #[default]
    CutOff,
}

/// What a server knows of its lease, and its gateways of the store.
#[derive(Debug, Default)]
pub(crate) struct Voice {
    /// Until when the lease is held for certain; `None` before it first was.
    lease: Option<Now>,
    /// What each linked gateway said last. Bounded by the number of links.
    sights: HashMap<LinkId, StoreSight>,
}

/// What a renewal of the lease means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Renewal {
    /// It was held all the time.
    InTime,
    /// There was a time when others could have taken the server for gone.
    AfterLapse,
}

impl Voice {
    /// The lease is held until then. An earlier time than before means that it is lost.
    pub(crate) fn renew(&mut self, now: Now, until: Now) -> Renewal {
        let former = self.lease.replace(until);
        if former.is_some_and(|former| former <= now) && now < until { Renewal::AfterLapse } else { Renewal::InTime }
    }

    /// A gateway said how the store looks to it.
    pub(crate) fn see(&mut self, link: LinkId, sight: StoreSight) {
        self.sights.insert(link, sight);
    }

    pub(crate) fn forget(&mut self, link: LinkId) {
        self.sights.remove(&link);
    }

    pub(crate) fn stance(&self, now: Now) -> Stance {
        if self.lease.is_some_and(|until| now < until) {
            return Stance::Speaks;
        }
        let away = self.sights.values().filter(|sight| **sight == StoreSight::Away).count();
        if away * 2 > self.sights.len() { Stance::StoreAway } else { Stance::CutOff }
    }

    /// When the lease runs out.
    pub(crate) fn lapses_at(&self) -> Option<Now> {
        self.lease
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn at(millis: u64) -> Now {
        Now(Duration::from_millis(millis))
    }

    #[test]
    fn who_holds_the_lease_speaks_and_nobody_else() {
        let mut voice = Voice::default();
        assert_eq!(voice.stance(at(0)), Stance::CutOff, "before it is registered");
        assert_eq!(voice.renew(at(0), at(1500)), Renewal::InTime, "there was nothing to lose");
        assert_eq!((voice.stance(at(1499)), voice.stance(at(1500))), (Stance::Speaks, Stance::CutOff));
        assert_eq!(voice.renew(at(1400), at(2900)), Renewal::InTime);
        assert_eq!(voice.stance(at(2899)), Stance::Speaks);
        assert_eq!(voice.renew(at(2900), at(2950)), Renewal::AfterLapse);
        assert_eq!(voice.renew(at(3000), at(2990)), Renewal::InTime, "what has run out again is no renewal");
        assert_eq!(voice.stance(at(3000)), Stance::CutOff);
        assert_eq!(voice.renew(at(3010), at(4000)), Renewal::AfterLapse);
        assert_eq!(voice.renew(at(3020), Now::default()), Renewal::InTime);
        assert_eq!(voice.stance(at(3020)), Stance::CutOff, "it is lost");
        assert_eq!(voice.renew(at(3030), at(4000)), Renewal::AfterLapse);
    }

    #[test]
    fn the_store_is_away_for_all_if_most_gateways_say_so() {
        use StoreSight::{Away, Reached};
        for (sights, expected) in [
            (&[][..], Stance::CutOff),
            (&[Reached][..], Stance::CutOff),
            (&[Away][..], Stance::StoreAway),
            (&[Away, Reached][..], Stance::CutOff),
            (&[Away, Away, Reached][..], Stance::StoreAway),
        ] {
            let mut voice = Voice::default();
            for (link, sight) in (0..).map(LinkId).zip(sights) {
                voice.see(link, Reached);
                voice.see(link, *sight);
            }
            assert_eq!(voice.stance(at(1)), expected, "{sights:?}");
            voice.renew(at(1), at(2));
            assert_eq!(voice.stance(at(1)), Stance::Speaks, "{sights:?}: the lease is what counts");
        }
        let mut voice = Voice::default();
        voice.see(LinkId(1), Away);
        voice.see(LinkId(2), Reached);
        voice.forget(LinkId(2));
        assert_eq!(voice.stance(at(0)), Stance::StoreAway, "a gateway that is gone has no say");
    }
}
