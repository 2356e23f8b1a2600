//! Faults between the functions and AWS, decided for each call.

mod killed_environments;

use std::fmt::Debug;

pub use self::killed_environments::KilledEnvironments;
use crate::Fault;

/// A call of an environment that a fault plan decides on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ObservedCall {
    /// The number of the environment.
    pub environment: u32,
    /// The operation, like `UpdateItem`.
    pub operation: String,
    /// The number of earlier calls of this operation by the environment.
    pub nth: u64,
    /// True if it is a read whose response may be stale.
    pub may_be_stale: bool,
}

impl ObservedCall {
    /// True if an operation changes the table.
    pub(crate) fn is_write(operation: &str) -> bool {
        matches!(operation, "PutItem" | "UpdateItem" | "DeleteItem" | "BatchWriteItem" | "TransactWriteItems")
    }

    /// True if an operation belongs to SQS.
    pub(crate) fn is_of_queue(operation: &str) -> bool {
        matches!(operation, "SendMessage" | "ChangeMessageVisibility")
    }
}

/// A call of a request, identified by its operation and the number of earlier calls of it. Calls of different
/// operations may run side by side in any order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CallSite {
    /// The operation.
    pub operation: String,
    /// The number of earlier calls of the operation.
    pub nth: usize,
}

/// Decides the faults of environments' calls.
pub trait FaultPlan: Debug + Send + Sync {
    /// Returns the fault of a call.
    fn fault(&self, seen: &ObservedCall) -> Fault;

    /// Records a fault that happened.
    fn count(&self, seen: &ObservedCall, fault: &Fault);

    /// The largest age of a stale response, in reads of its kind. `None` disables stale responses.
    fn stale_reads_max(&self) -> Option<u64> {
        None
    }
}

/// Returns the number of a buyer's n-th environment.
pub(crate) fn environment_of(buyer: u32, nth: u32) -> u32 {
    (buyer << 16) + nth
}

/// Returns the buyer of the environment with this number.
pub(crate) fn buyer_of(environment: u32) -> u32 {
    environment >> 16
}

/// Returns a number that looks random and depends only on the given numbers.
pub(crate) fn mix(numbers: &[u64]) -> u64 {
    // SplitMix64, with a round for each number.
    numbers.iter().fold(0, |state, number| {
        let mut mixed = (state ^ number).wrapping_add(0x9e37_79b9_7f4a_7c15);
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    })
}

/// Returns a number for a text, the same in every run.
pub(crate) fn number(text: &str) -> u64 {
    // FNV-1a.
    text.bytes().fold(0xcbf2_9ce4_8422_2325, |state, byte| {
        (state ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
    })
}
