//! What goes wrong between the functions and AWS, decided call by call.

mod deaths;
mod rates;
mod row;
mod storm;

use std::fmt::Debug;

pub use self::deaths::Deaths;
pub use self::rates::Rates;
pub use self::row::Row;
pub use self::storm::Storm;
use crate::Fault;

/// A call of an environment, as the weather sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seen {
    /// Which environment calls.
    pub environment: u32,
    /// What, like `UpdateItem`.
    pub operation: String,
    /// How many calls of this operation the environment has made before.
    pub nth: u64,
    /// Whether it is a read whose answer may be an older one.
    pub may_be_stale: bool,
}

impl Seen {
    /// Whether an operation changes something.
    pub(crate) fn is_write(operation: &str) -> bool {
        matches!(operation, "PutItem" | "UpdateItem" | "DeleteItem" | "BatchWriteItem" | "TransactWriteItems")
    }

    /// Whether an operation is one of SQS.
    pub(crate) fn is_of_queue(operation: &str) -> bool {
        matches!(operation, "SendMessage" | "ChangeMessageVisibility")
    }
}

/// A call of a request. It is told by its operation and how many of that came before: calls of different operations may go out
/// side by side, in any order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Point {
    /// The operation.
    pub operation: String,
    /// How many calls of the operation came before.
    pub nth: usize,
}

/// Decides what happens to the calls of environments.
pub trait Weather: Debug + Send + Sync {
    /// What happens to a call.
    fn fault(&self, seen: &Seen) -> Fault;

    /// Takes note of a fault that happened.
    fn count(&self, seen: &Seen, fault: &Fault);

    /// How old a stale answer is at most, in reads of its kind; `None` if there are no stale answers.
    fn stale_reads_max(&self) -> Option<u64> {
        None
    }
}

/// The number of a buyer's n-th environment.
pub(crate) fn environment_of(buyer: u32, nth: u32) -> u32 {
    (buyer << 16) + nth
}

/// Which buyer has the environment of this number.
pub(crate) fn buyer_of(environment: u32) -> u32 {
    environment >> 16
}

/// A number that looks random, and is the same for the same numbers.
pub(crate) fn mix(numbers: &[u64]) -> u64 {
    // SplitMix64, a round for each number.
    numbers.iter().fold(0, |state, number| {
        let mut mixed = (state ^ number).wrapping_add(0x9e37_79b9_7f4a_7c15);
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    })
}

/// A number for a text, the same in every run.
pub(crate) fn number(text: &str) -> u64 {
    // FNV-1a.
    text.bytes().fold(0xcbf2_9ce4_8422_2325, |state, byte| {
        (state ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
    })
}
