use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use keypool_domain::{AttemptId, Fingerprint, LicenseKeyRecord, RequestId};
use keypool_store::{Begun, HeldOutcome, Recalled, Recorded, RequestSlot, Sale, SaleOutcome};

use crate::{FunctionError, Invocation, SignedReply, measure};

/// The part of an invocation in the record of its `Idempotency-Key`.
#[derive(Debug, Default)]
pub(crate) struct Once {
    /// The request, once this attempt holds its record.
    begun: OnceLock<Begun>,
    /// Whether the write of a sale is under way. The deadline must not cut it off.
    selling: AtomicBool,
}

/// The next step of a request that may be a repetition.
#[derive(Debug)]
pub enum NextAction<T> {
    /// Do it. Carries what the request needs to be remembered, if it has an `Idempotency-Key`.
    Proceed(Option<T>),
    /// Give the response that it got before.
    Repeat(SignedReply),
}

/// How often a request begins again because the record has changed since it was read.
const BEGIN_MAX: usize = 4;

/// How long ending the lease of a failed attempt may take, after the deadline.
const RELEASE_WITHIN: Duration = Duration::from_millis(300);

impl Invocation {
    /// Reads what is recorded of a request that sells keys. Without an `Idempotency-Key` nothing is read.
    pub async fn recall(&self, asked: Fingerprint) -> Result<NextAction<RequestSlot>, FunctionError> {
        let Some(id) = self.request_id_of_key() else { return Ok(NextAction::Proceed(None)) };
        match self.desk.store().recall(id, asked, self.now()).await? {
            Recalled::New(slot) => Ok(NextAction::Proceed(Some(slot))),
            Recalled::Recorded(recorded) => self.repeat(recorded).map(NextAction::Repeat),
        }
    }

    /// Begins a request that stores keys one by one. Without an `Idempotency-Key` nothing is read or written.
    pub async fn begin(&self, asked: Fingerprint) -> Result<NextAction<Begun>, FunctionError> {
        for _ in 0..BEGIN_MAX {
            let slot = match self.recall(asked).await? {
                NextAction::Proceed(Some(slot)) => slot,
                NextAction::Proceed(None) => return Ok(NextAction::Proceed(None)),
                NextAction::Repeat(reply) => return Ok(NextAction::Repeat(reply)),
            };
            let attempt = AttemptId::random(self.desk.randomness());
            let begun = self.desk.store().begin(slot, attempt, self.now(), self.desk.lease()).await?;
            if let Some(begun) = begun {
                return Ok(NextAction::Proceed(Some(self.once.begun.get_or_init(|| begun).clone())));
            }
        }
        Err(FunctionError::InFlight)
    }

    fn request_id_of_key(&self) -> Option<RequestId> {
        let (Some(key), Ok(api_key)) = (&self.idempotency_key, &self.api_key) else { return None };
        Some(RequestId::new(api_key.hash(), self.endpoint, key))
    }

    /// The response to a request of which another attempt has left a record.
    pub fn repeat(&self, recorded: Recorded) -> Result<SignedReply, FunctionError> {
        match recorded {
            Recorded::Answered(envelope) => {
                measure::repeated();
                // The first response may have been lost before it was logged.
                let row_ids = envelope.row_ids();
                let row_ids = row_ids.map_err(|_| FunctionError::Bug("what is remembered is no reply"))?;
                self.note_row_ids(row_ids);
                SignedReply::remembered(envelope)
            }
            Recorded::InProgress => Err(FunctionError::InFlight),
            Recorded::Mismatch => Err(FunctionError::Mismatch),
            Recorded::Void => Err(FunctionError::Contention),
        }
    }

    /// Notes the response that is about to be carried out, for a later attempt to take up.
    pub async fn note_response(
        &self,
        begun: Option<&Begun>,
        reply: &SignedReply,
    ) -> Result<(), FunctionError> {
        let Some(begun) = begun else { return Ok(()) };
        still_held(self.desk.store().note_response(begun, reply.envelope(), self.now()).await?)
    }

    /// Records the response to a request that was begun.
    pub async fn record_answer(
        &self,
        begun: Option<&Begun>,
        reply: &SignedReply,
    ) -> Result<(), FunctionError> {
        let Some(begun) = begun else { return Ok(()) };
        still_held(self.desk.store().answer(begun, reply.envelope(), self.now()).await?)
    }

    /// Sells keys: the last write of a sale. It must begin early enough before the deadline. Once it has
    /// begun, the deadline does not cut it off.
    pub async fn finish(
        &self,
        sale: &Sale,
        keys: &[LicenseKeyRecord],
        reply: &SignedReply,
    ) -> Result<SaleOutcome, FunctionError> {
        self.check_time_to_sell()?;
        self.note_row_ids(sale.taken().chain(keys).map(|key| key.id).collect());
        self.once.selling.store(true, Ordering::Relaxed);
        let deadline = self.deadline.instant();
        let outcome = self.desk.store().finish(sale, keys, reply.envelope(), self.now(), deadline).await;
        self.once.selling.store(false, Ordering::Relaxed);
        if let Ok(SaleOutcome::Missed { .. }) = outcome {
            self.note_row_ids(Vec::new());
        }
        Ok(outcome?)
    }

    /// Whether the write of a sale is under way.
    pub(crate) fn is_selling(&self) -> bool {
        self.once.selling.load(Ordering::Relaxed)
    }

    /// Ends the lease of an attempt that has failed, or deletes its record if it has changed nothing. If it
    /// cannot, the lease ends by itself.
    pub(crate) async fn release(&self, outcome: &Result<SignedReply, FunctionError>) {
        let Some(begun) = self.once.begun.get() else { return };
        let store = self.desk.store();
        let release = async {
            match outcome {
                Ok(reply) if reply.is_remembered() => Ok(()),
                // It has changed nothing, so the next request with this key may have other parameters.
                Ok(_) if !begun.is_resumed() => store.withdraw(begun).await,
                _ => store.release(begun).await,
            }
        };
        if let Ok(Err(error)) = tokio::time::timeout(RELEASE_WITHIN, release).await {
            tracing::debug!(%error, "a record is left to its lease");
        }
    }
}

fn still_held(held: HeldOutcome) -> Result<(), FunctionError> {
    match held {
        HeldOutcome::Written => Ok(()),
        HeldOutcome::Lost => Err(FunctionError::InFlight),
    }
}
