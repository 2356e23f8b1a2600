//! The rules of the protocol. Each can be left out, to show its purpose.

/// A rule of the protocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Rule {
    /// A sale and a take change a key only at the version that the draw has seen.
    ChecksVersion,
    /// A repeated sale of one key recognizes the key that its first copy assigned.
    KnowsOwnSale,
    /// All repetitions of a transaction carry one token, so repeating a committed one succeeds.
    RepeatsWithOneToken,
    /// A sale changes all its keys in one transaction; a take reserves its keys and lists them in one.
    WritesInOneTransaction,
    /// An attempt signs the response before it sells the keys.
    SignsFirst,
    /// An attempt resolves a write of unknown outcome before it continues. It repeats a sale until DynamoDB
    /// makes or refuses it. It puts a tombstone in place of a first take before it deletes the entry.
    ResolvesUnknownOutcome,
    /// The transaction of the sale also records the response under the Idempotency-Key.
    RecordsResponseInSale,
    /// A later take and a finish require an open record of their attempt. A small sale requires that no
    /// record is open or done.
    ChecksRecord,
    /// An attempt begins once: its first take names the state that it replaces, which never comes back.
    BeginsOnce,
    /// A void record, including a tombstone, stays while late writes may arrive. A done record stays as long
    /// as its entry.
    KeepsRecords,
    /// Only an open record is voided.
    VoidsOnlyOpen,
    /// The parts are read after the void, with strong consistency.
    ReadsPartsAfterVoid,
    /// An undo and a hand-over change a key only if it is reserved for their attempt.
    ChangesOnlyOwnReservation,
    /// A part is deleted in the transaction that changes its keys.
    DeletesPartWithKeys,
    /// An entry is deleted after all its parts.
    DeletesEntryLast,
    /// A replacement blocks the old key in the transaction that sells the new one, unless another replacement
    /// has blocked it.
    ReplacesOnce,
    /// A new attempt settles an open record whose lease is over, and replaces it.
    TakesOver,
}

impl Rule {
    /// All rules.
    pub const ALL: [Self; 17] = [
        Self::ChecksVersion,
        Self::KnowsOwnSale,
        Self::RepeatsWithOneToken,
        Self::WritesInOneTransaction,
        Self::SignsFirst,
        Self::ResolvesUnknownOutcome,
        Self::RecordsResponseInSale,
        Self::ChecksRecord,
        Self::BeginsOnce,
        Self::KeepsRecords,
        Self::VoidsOnlyOpen,
        Self::ReadsPartsAfterVoid,
        Self::ChangesOnlyOwnReservation,
        Self::DeletesPartWithKeys,
        Self::DeletesEntryLast,
        Self::ReplacesOnce,
        Self::TakesOver,
    ];
}

/// The protocol: all rules, or all but some.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Protocol {
    without: Vec<Rule>,
}

impl Protocol {
    /// The protocol with all rules.
    #[must_use]
    pub fn complete() -> Self {
        Self::default()
    }

    /// The protocol without these rules.
    #[must_use]
    pub fn without(rules: impl IntoIterator<Item = Rule>) -> Self {
        Self { without: rules.into_iter().collect() }
    }

    /// True if `rule` is kept.
    #[must_use]
    pub fn keeps(&self, rule: Rule) -> bool {
        !self.without.contains(&rule)
    }
}
