use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use keypool_domain::Clock;
use serde_json::Value;
use tokio::sync::watch;

use super::queue::{Queue, QueueSettings, SqsError};
use super::{DEAD_LETTER_QUEUE, QUEUE};

/// The two queues, and the receives that wait for their messages.
pub(super) struct Broker {
    queues: Mutex<[Queue; 2]>,
    clock: Arc<dyn Clock>,
    /// Notified when the queues or the clock change. The value is true once the server stops.
    changed: watch::Sender<bool>,
    /// The number of receives that wait for a message.
    waiting: watch::Sender<usize>,
}

impl Broker {
    pub(super) fn new(clock: Arc<dyn Clock>, settings: QueueSettings) -> Self {
        // No message moves out of the dead letter queue.
        let dead_letters = QueueSettings { max_receive_count: u32::MAX, ..settings };
        let queues = [Queue::new(QUEUE, settings), Queue::new(DEAD_LETTER_QUEUE, dead_letters)];
        Self {
            queues: Mutex::new(queues),
            clock,
            changed: watch::Sender::new(false),
            waiting: watch::Sender::new(0),
        }
    }

    pub(super) fn now_ms(&self) -> i64 {
        self.clock.now().unix_microseconds() / 1_000
    }

    fn lock(&self) -> MutexGuard<'_, [Queue; 2]> {
        self.queues.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Runs `act` on the queue with this name, and wakes the waiting receives.
    pub(super) fn with_queue<T>(
        &self,
        name: &str,
        act: impl FnOnce(&mut Queue, i64) -> Result<T, SqsError>,
    ) -> Result<T, SqsError> {
        let now_ms = self.now_ms();
        let done = act(find(&mut *self.lock(), name)?, now_ms);
        self.wake_receives();
        done
    }

    /// Makes waiting receives check the queues and the clock again.
    pub(super) fn wake_receives(&self) {
        self.changed.send_modify(|_| {});
    }

    /// Makes all present and future waiting receives return.
    pub(super) fn stop_waiting(&self) {
        self.changed.send_replace(true);
    }

    /// Waits until `count` receives wait.
    pub(super) async fn receives_wait(&self, count: usize) {
        // This broker owns the sender, so this cannot fail.
        let _ = self.waiting.subscribe().wait_for(|waiting| *waiting == count).await;
    }

    /// Receives messages, and waits up to `wait_seconds` for the first one.
    pub(super) async fn receive(
        &self,
        name: &str,
        max: usize,
        visibility_seconds: Option<i64>,
        wait_seconds: i64,
    ) -> Result<Vec<Value>, SqsError> {
        let mut changed = self.changed.subscribe();
        let until_ms = self.now_ms() + wait_seconds * 1_000;
        loop {
            let is_stopping = *changed.borrow_and_update();
            let now_ms = self.now_ms();
            let (deliveries, next_ms) = self.receive_now(name, max, visibility_seconds, now_ms)?;
            if !deliveries.is_empty() || now_ms >= until_ms || is_stopping {
                return Ok(deliveries);
            }
            let wait_ms = next_ms.map_or(until_ms, |next_ms| next_ms.min(until_ms)) - now_ms;
            let wait = Duration::from_millis(u64::try_from(wait_ms).unwrap_or_default());
            let _waiting = Waiting::begin(&self.waiting);
            tokio::select! {
                _ = changed.changed() => {}
                () = tokio::time::sleep(wait) => {}
            }
        }
    }

    fn receive_now(
        &self,
        name: &str,
        max: usize,
        visibility_seconds: Option<i64>,
        now_ms: i64,
    ) -> Result<(Vec<Value>, Option<i64>), SqsError> {
        let mut queues = self.lock();
        let mut dead = Vec::new();
        let queue = find(&mut *queues, name)?;
        let deliveries = queue.receive(max, visibility_seconds, now_ms, &mut dead);
        let next_ms = queue.next_visible_ms(now_ms);
        if !dead.is_empty() {
            let dead_letters = find(&mut *queues, DEAD_LETTER_QUEUE)?;
            for message in dead {
                dead_letters.take_dead(message, now_ms);
            }
            self.wake_receives();
        }
        Ok((deliveries, next_ms))
    }
}

fn find<'a>(queues: &'a mut [Queue], name: &str) -> Result<&'a mut Queue, SqsError> {
    let queue = queues.iter_mut().find(|queue| queue.name == name);
    queue.ok_or(SqsError("QueueDoesNotExist", "The specified queue does not exist.".into()))
}

/// A waiting receive. Its drop keeps the count right, even if the client is gone.
struct Waiting<'a>(&'a watch::Sender<usize>);

impl<'a> Waiting<'a> {
    fn begin(waiting: &'a watch::Sender<usize>) -> Self {
        waiting.send_modify(|waiting| *waiting += 1);
        Self(waiting)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.send_modify(|waiting| *waiting -= 1);
    }
}
