use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use keypool_domain::Timestamp;
use tokio::sync::OnceCell;

use crate::{FunctionError, SignedReply};

/// Signed refusals of the present second, by their code. A refusal without members of its own has the same
/// bytes for a whole second. So each is signed once a second for all callers, and a flood costs no more.
#[derive(Debug, Default)]
pub(crate) struct Refusals(Mutex<HashMap<u16, Signed>>);

#[derive(Debug)]
struct Signed {
    unix_seconds: i64,
    answer: Arc<OnceCell<SignedReply>>,
}

impl Refusals {
    /// The refusal `code` of the second of `now`. Awaits `sign` if there is none yet. Callers who arrive
    /// meanwhile wait for it.
    pub(crate) async fn answer(
        &self,
        code: u16,
        now: Timestamp,
        sign: impl Future<Output = Result<SignedReply, FunctionError>>,
    ) -> Result<SignedReply, FunctionError> {
        let answer = self.of_second(code, now.unix_seconds());
        answer.get_or_try_init(|| sign).await.cloned()
    }

    fn of_second(&self, code: u16, unix_seconds: i64) -> Arc<OnceCell<SignedReply>> {
        let mut by_code = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let signed = by_code
            .entry(code)
            .and_modify(|signed| {
                if signed.unix_seconds != unix_seconds {
                    *signed = Signed { unix_seconds, answer: Arc::default() };
                }
            })
            .or_insert_with(|| Signed { unix_seconds, answer: Arc::default() });
        Arc::clone(&signed.answer)
    }
}
