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
        watch::channel(Lineage::default()).1
    }
}
