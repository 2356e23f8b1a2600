use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use keypool_domain::{AssignmentId, ClaimId, Fingerprint};
use keypool_store::{Attempt, Claim, ClaimOutcome, Held};

use crate::{FunctionError, Invocation, SignedReply, measure};

/// The part of an invocation in the claim of its `Idempotency-Key`.
#[derive(Debug, Default)]
pub(crate) struct Once {
    /// This attempt at the request, from when on it may hold the claim.
    attempt: OnceLock<Attempt>,
    /// Whether it has taken over from another attempt, which may have done a part of it.
    resumed: AtomicBool,
}

/// What to do about a request that may have been made before.
#[derive(Debug)]
pub(crate) enum NextAction {
    /// Do it; with a claim, if it is to be done once.
    Proceed(Option<Claim>),
    /// It was done before, and answered so.
    Repeat(SignedReply),
}

/// How long a failed attempt may take to let go of its claim, after the time for an answer is over.
const LET_GO_WITHIN: Duration = Duration::from_millis(300);

impl Invocation {
    /// To be asked before anything is done: whether the request was made before under its `Idempotency-Key`. Without
    /// one it is simply to be done, and nothing is read or written.
    pub(crate) async fn next_action(&self, asked: Fingerprint) -> Result<NextAction, FunctionError> {
        let (Some(key), Ok(api_key)) = (&self.idempotency_key, &self.api_key) else {
            return Ok(NextAction::Proceed(None));
        };
        let claim = ClaimId::new(api_key.hash(), self.endpoint, key);
        let attempt = self
            .once
            .attempt
            .get_or_init(|| Attempt::new(claim, AssignmentId::random(self.desk.randomness())));
        match self.desk.store().claim(attempt, asked, self.now(), self.desk.lease()).await? {
            ClaimOutcome::Claimed(claim) => {
                self.once.resumed.store(claim.is_resumed(), Ordering::Relaxed);
                Ok(NextAction::Proceed(Some(claim)))
            }
            ClaimOutcome::Answered(envelope) => {
                measure::repeated();
                // The first answer may have been lost before it was logged.
                let row_ids =
                    envelope.row_ids().map_err(|_| FunctionError::Bug("what is remembered is no reply"))?;
                self.note_row_ids(row_ids);
                Ok(NextAction::Repeat(SignedReply::remembered(envelope)?))
            }
            ClaimOutcome::InFlight => Err(FunctionError::InFlight),
            ClaimOutcome::Mismatch => Err(FunctionError::Mismatch),
        }
    }

    /// Notes what is about to be done and answered under a claim, for a later attempt to take up.
    pub async fn plan(&self, claim: Option<&Claim>, answer: &SignedReply) -> Result<(), FunctionError> {
        let Some(recording) = answer.recording(claim) else { return Ok(()) };
        still_held(self.desk.store().plan(recording).await?)
    }

    /// Finishes a claim with the answer to what was done.
    pub async fn finish(&self, claim: Option<&Claim>, answer: &SignedReply) -> Result<(), FunctionError> {
        let Some(recording) = answer.recording(claim) else { return Ok(()) };
        still_held(self.desk.store().finish(recording).await?)
    }

    /// Lets go of the claim that this attempt may hold, unless what it did is to be remembered. If it cannot, the lease
    /// ends by itself.
    pub(crate) async fn let_go(&self, outcome: &Result<SignedReply, FunctionError>) {
        let Some(attempt) = self.once.attempt.get() else { return };
        let store = self.desk.store();
        let let_go = async {
            match outcome {
                Ok(answer) if answer.is_remembered() => Ok(()),
                // It never was this attempt's.
                Err(FunctionError::InFlight | FunctionError::Mismatch) => Ok(()),
                // Nothing was done: the request may be made again, and may be another then.
                Ok(_) if !self.once.resumed.load(Ordering::Relaxed) => store.withdraw(attempt).await,
                _ => store.release(attempt).await,
            }
        };
        if let Ok(Err(error)) = tokio::time::timeout(LET_GO_WITHIN, let_go).await {
            tracing::debug!(%error, "a claim is left to its lease");
        }
    }
}

fn still_held(held: Held) -> Result<(), FunctionError> {
    match held {
        Held::Yes => Ok(()),
        Held::No => Err(FunctionError::InFlight),
    }
}
