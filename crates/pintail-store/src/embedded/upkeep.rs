//! What an operator should know about the store itself.

use async_trait::async_trait;
use tokio::sync::watch;

use super::EmbeddedStore;
use crate::{Hazard, Lineage, Result, Upkeep};

#[async_trait]
impl Upkeep for EmbeddedStore {
    async fn hazards(&self) -> Result<Vec<Hazard>> {
        Ok(Vec::new())
    }

    fn lineage(&self) -> watch::Receiver<Lineage> {
        self.lineage.subscribe()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_going_back_changes_its_history() {
        let store = EmbeddedStore::new();
        let mut lineage = store.lineage();
        let before = store.checkpoint();
        assert!(!lineage.has_changed().expect("the store is there"));
        store.roll_back(&before);
        assert_eq!(*lineage.borrow_and_update(), Lineage(1));
        assert_eq!(*store.lineage().borrow(), Lineage(1));
    }
}
