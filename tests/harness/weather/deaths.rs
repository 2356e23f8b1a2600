use std::collections::HashSet;
use std::sync::Arc;

use tokio::sync::watch;

/// Which environments are gone: nothing that they still send reaches a service.
#[derive(Debug, Clone)]
pub struct Deaths(Arc<watch::Sender<HashSet<u32>>>);

impl Default for Deaths {
    fn default() -> Self {
        Self(Arc::new(watch::Sender::new(HashSet::new())))
    }
}

impl Deaths {
    /// Kills an environment.
    pub fn kill(&self, environment: u32) {
        self.0.send_modify(|dead| {
            dead.insert(environment);
        });
    }

    /// Whether an environment is gone.
    #[must_use]
    pub fn has(&self, environment: u32) -> bool {
        self.0.borrow().contains(&environment)
    }

    /// Waits until an environment is gone.
    ///
    /// # Panics
    /// Never: whoever waits holds what would have to be dropped.
    pub async fn of(&self, environment: u32) {
        self.0.subscribe().wait_for(|dead| dead.contains(&environment)).await.unwrap();
    }
}
