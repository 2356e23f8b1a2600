//! The queue against the embedded SQS.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use keypool_aws::{AwsErrorKind, Timeouts};
use keypool_domain::{Clock, SystemClock, Timestamp};
use keypool_local::{DeliveryFaults, QueueSettings, Services, Sqs};
use keypool_queue::Queue;

const NOW: Duration = Duration::ZERO;

#[derive(Default)]
struct ManualClock(AtomicI64);

impl ManualClock {
    fn advance_ms(&self, milliseconds: i64) {
        self.0.fetch_add(milliseconds * 1_000, Ordering::SeqCst);
    }
}

impl Clock for ManualClock {
    fn now(&self) -> Timestamp {
        Timestamp::from_unix_microseconds(self.0.load(Ordering::SeqCst)).unwrap()
    }
}

async fn start(clock: Arc<dyn Clock>, timeouts: Timeouts) -> (Sqs, Queue) {
    let sqs = Sqs::start(clock, QueueSettings::default()).await.unwrap();
    let settings = Services::settings(String::new(), String::new());
    let queue = Queue::new(settings.queue(timeouts, Some(sqs.url())), sqs.queue_url());
    (sqs, queue)
}

#[tokio::test]
async fn an_id_is_delivered_after_its_delay_until_deleted() {
    let clock = Arc::new(ManualClock::default());
    let (sqs, queue) = start(clock.clone(), Timeouts::CHECKOUT).await;
    sqs.set_faults(DeliveryFaults { twice: true, ..DeliveryFaults::default() });
    queue.wake("request-1", Duration::from_hours(1)).await.unwrap();
    clock.advance_ms(899_000);
    assert_eq!(queue.receive(NOW).await.unwrap(), []);
    clock.advance_ms(1_000);
    let received = queue.receive(NOW).await.unwrap();
    assert_eq!(received.iter().map(|message| message.id.as_str()).collect::<Vec<_>>(), ["request-1"; 2]);
    assert_eq!(received[0].message_id, received[1].message_id);
    queue.delete(&received[0].receipt_handle).await.unwrap();
    clock.advance_ms(30_000);
    let again = queue.receive(NOW).await.unwrap();
    assert_eq!(again.iter().map(|message| message.receive_count).collect::<Vec<_>>(), [2]);
}

#[tokio::test]
async fn a_message_is_hidden_up_to_the_longest_time() {
    let clock = Arc::new(ManualClock::default());
    let (_sqs, queue) = start(clock.clone(), Timeouts::CHECKOUT).await;
    queue.wake("request-1", NOW).await.unwrap();
    let received = queue.receive(NOW).await.unwrap().remove(0);
    // A part of a second counts as a second, and zero as none.
    queue.hide(&received.receipt_handle, Duration::from_millis(1)).await.unwrap();
    clock.advance_ms(999);
    assert_eq!(queue.receive(NOW).await.unwrap(), []);
    queue.hide(&received.receipt_handle, NOW).await.unwrap();
    let received = queue.receive(NOW).await.unwrap().remove(0);
    clock.advance_ms(29_000);
    queue.hide(&received.receipt_handle, Duration::MAX).await.unwrap();
    clock.advance_ms(42_299_000);
    assert_eq!(queue.receive(NOW).await.unwrap(), []);
    clock.advance_ms(1_000);
    assert_eq!(queue.receive(NOW).await.unwrap().remove(0).receive_count, 3);
}

#[tokio::test]
async fn a_wait_may_be_longer_than_the_clients_time_outs() {
    let within = Duration::from_millis(200);
    let timeouts = Timeouts { attempt_within: within, call_within: within, ..Timeouts::CHECKOUT };
    let (_sqs, queue) = start(Arc::new(SystemClock), timeouts).await;
    assert_eq!(queue.receive(Duration::from_millis(1)).await, Ok(Vec::new()), "it waits for a second");
}

#[tokio::test]
async fn errors_name_the_remedy_and_no_secret() {
    let (sqs, queue) = start(Arc::new(SystemClock), Timeouts::CHECKOUT).await;
    let rejected = queue.hide("secret-handle", NOW).await.unwrap_err();
    assert_eq!(
        rejected.to_string(),
        "ChangeMessageVisibility: SQS does not accept the request (ReceiptHandleIsInvalid)"
    );
    assert_eq!(queue.delete("secret-handle").await.unwrap_err().kind, AwsErrorKind::Rejected);
    assert_eq!(queue.wake("", NOW).await.unwrap_err().kind, AwsErrorKind::Rejected);
    let settings = Services::settings(String::new(), String::new());
    let client = settings.queue(Timeouts::CHECKOUT, Some(sqs.url()));
    let missing = Queue::new(client, format!("{}-not", sqs.queue_url())).receive(NOW).await;
    assert_eq!(missing.unwrap_err().kind, AwsErrorKind::Misconfigured);
    sqs.stop().await;
    assert_eq!(queue.wake("request-1", NOW).await.unwrap_err().kind, AwsErrorKind::Unavailable);
}
