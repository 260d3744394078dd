//! What the sentinels say, and what follows from it. No IO.

use crate::redis::url::Address;

/// A master as a sentinel names it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Naming {
    pub(super) master: Address,
    /// The number of the failover that made it the master. No two failovers have the same.
    pub(super) epoch: u64,
}

/// The last that was heard of a sentinel.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Word {
    /// Nothing yet.
    None,
    /// It names a master.
    Named(Naming),
    /// It knows no master of this name.
    UnknownName,
    /// It can't be asked, for this reason.
    Trouble(String),
}

/// Where the master is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::redis) enum Place {
    /// There.
    At(Address),
    /// Nobody has said it yet, for this reason.
    Nowhere(String),
}

/// The last word of each sentinel, and the master that follows from all of them.
///
/// Sentinels are not equal: one that was cut off or restarted goes on naming a master that has been replaced. So it is
/// the highest epoch that counts, also when whoever told it is gone; and a master stays while nobody can be asked. Only
/// if more than half of all sentinels name lower epochs (because they were set up anew) does the highest of those count.
#[derive(Debug)]
pub(super) struct Opinions {
    master_name: String,
    words: Vec<Word>,
    held: Option<Naming>,
}

impl Opinions {
    pub(super) fn new(master_name: String, sentinels: usize) -> Self {
        Self { master_name, words: vec![Word::None; sentinels], held: None }
    }

    /// Takes a sentinel's word.
    pub(super) fn hear(&mut self, sentinel: usize, word: Word) {
        self.words[sentinel] = word;
        let Some(best) = self.best() else { return };
        let known = self.held.as_ref().map_or(0, |held| held.epoch);
        if best.epoch >= known || self.namings().count() * 2 > self.words.len() {
            self.held = Some(best.clone());
        }
    }

    /// Where the master is as far as is known.
    pub(super) fn place(&self) -> Place {
        match &self.held {
            Some(held) => Place::At(held.master.clone()),
            None => Place::Nowhere(self.why_nowhere()),
        }
    }

    fn namings(&self) -> impl Iterator<Item = &Naming> {
        self.words.iter().filter_map(|word| match word {
            Word::Named(naming) => Some(naming),
            _ => None,
        })
    }

    /// The naming of the highest epoch; among several, the one that is held already, else the one that most name.
    fn best(&self) -> Option<&Naming> {
        self.namings().max_by_key(|naming| {
            let held = self.held.as_ref() == Some(naming);
            (naming.epoch, held, self.namings().filter(|other| other == naming).count())
        })
    }

    fn why_nowhere(&self) -> String {
        let name = &self.master_name;
        if self.words.contains(&Word::UnknownName) {
            return format!(
                "the sentinels know no master named `{name}`: check the last part of the URL (SENTINEL MASTERS lists names)"
            );
        }
        let troubles: Vec<&str> = self
            .words
            .iter()
            .filter_map(|word| match word {
                Word::Trouble(trouble) => Some(trouble.as_str()),
                _ => None,
            })
            .collect();
        if troubles.len() < self.words.len() {
            return "the sentinels have not answered yet".to_owned();
        }
        format!("no sentinel can be asked where `{name}` is: {}", troubles.join("; "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(host: &str) -> Address {
        Address { host: host.to_owned(), port: 1 }
    }

    fn named(host: &str, epoch: u64) -> Word {
        Word::Named(Naming { master: address(host), epoch })
    }

    fn gone() -> Word {
        Word::Trouble("gone".to_owned())
    }

    /// What follows after each of these words.
    fn masters(sentinels: usize, words: Vec<(usize, Word)>) -> Vec<String> {
        let mut opinions = Opinions::new("main".to_owned(), sentinels);
        let place = |opinions: &Opinions| match opinions.place() {
            Place::At(address) => address.host,
            Place::Nowhere(_) => "-".to_owned(),
        };
        words
            .into_iter()
            .map(|(sentinel, word)| {
                opinions.hear(sentinel, word);
                place(&opinions)
            })
            .collect()
    }

    #[test]
    fn the_highest_epoch_counts() {
        let cases = [
            (
                "a failover",
                3,
                vec![(0, named("a", 0)), (1, named("a", 0)), (1, named("b", 1)), (0, named("b", 1))],
                "a a b b",
            ),
            ("one that is behind", 3, vec![(0, named("b", 1)), (1, named("a", 0)), (2, named("b", 1))], "b b b"),
            ("the only one left is behind", 3, vec![(0, named("b", 1)), (0, gone()), (1, named("a", 0))], "b b b"),
            ("nobody is left", 2, vec![(0, named("b", 1)), (0, gone()), (1, gone())], "b b b"),
            (
                "set up anew",
                3,
                vec![(0, named("b", 7)), (0, gone()), (1, named("c", 0)), (2, named("c", 0))],
                "b b b c",
            ),
            ("the only one is set up anew", 1, vec![(0, named("b", 7)), (0, named("c", 0))], "b c"),
            ("two names for one server", 2, vec![(0, named("a", 0)), (1, named("b", 0)), (0, named("a", 0))], "a a a"),
            ("the master is told anew", 2, vec![(0, named("a", 0)), (1, named("b", 0)), (0, named("b", 0))], "a a b"),
            ("most agree", 3, vec![(0, Word::UnknownName), (1, named("a", 0))], "- a"),
        ];
        for (case, sentinels, words, expected) in cases {
            assert_eq!(masters(sentinels, words).join(" "), expected, "{case}");
        }
    }

    #[test]
    fn a_master_that_nobody_names_is_nowhere_for_a_reason() {
        let mut opinions = Opinions::new("main".to_owned(), 2);
        let reason = |opinions: &Opinions| match opinions.place() {
            Place::At(address) => panic!("at {address}"),
            Place::Nowhere(reason) => reason,
        };
        assert!(reason(&opinions).contains("not answered yet"));
        opinions.hear(0, gone());
        assert!(reason(&opinions).contains("not answered yet"));
        opinions.hear(1, gone());
        assert_eq!(reason(&opinions), "no sentinel can be asked where `main` is: gone; gone");
        opinions.hear(1, Word::UnknownName);
        assert!(reason(&opinions).contains("know no master named `main`"));
    }
}
