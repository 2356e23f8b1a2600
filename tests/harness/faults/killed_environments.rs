use std::collections::HashSet;
use std::sync::Arc;

use tokio::sync::watch;

/// The dead environments. None of their calls reaches a service.
#[derive(Debug, Clone)]
pub struct KilledEnvironments(Arc<watch::Sender<HashSet<u32>>>);

impl Default for KilledEnvironments {
    fn default() -> Self {
        Self(Arc::new(watch::Sender::new(HashSet::new())))
    }
}

impl KilledEnvironments {
    /// Kills an environment.
    pub fn kill(&self, environment: u32) {
        self.0.send_modify(|dead| {
            dead.insert(environment);
        });
    }

    /// True if an environment is dead.
    #[must_use]
    pub fn has(&self, environment: u32) -> bool {
        self.0.borrow().contains(&environment)
    }

    /// Waits until an environment is dead.
    ///
    /// # Panics
    /// Never: the waiting method keeps the sender alive.
    pub async fn of(&self, environment: u32) {
        self.0.subscribe().wait_for(|dead| dead.contains(&environment)).await.unwrap();
    }
}
