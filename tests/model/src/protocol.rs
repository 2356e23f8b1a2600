//! The rules the protocol consists of. Each can be left out, to see what it is there for.

/// A rule of the protocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Rule {
    /// A sale and a reservation ask for the version that was read.
    ChecksVersion,
    /// A sale and a reservation ask whether the key is available.
    ChecksStatus,
    /// A repeated sale recognises the keys that it has assigned itself.
    KnowsOwnSale,
    /// A repeated reservation recognises itself.
    KnowsOwnReservation,
    /// The keys of a small order are sold by one transaction, all or none.
    SellsInOneTransaction,
    /// The response is signed before keys are given away.
    CommitsLast,
    /// A sale whose outcome is not known is fenced off before the buyer is told that it failed.
    Fences,
    /// A commit whose outcome is not known is called off by an abort before the buyer is told that it failed.
    AbortsUnknownCommit,
    /// The claim is finished by the very transaction that sells.
    FinishesClaimInSale,
    /// A claim whose lease is over is taken over by the next attempt.
    TakesOver,
    /// A sale asks for the claim to be held by its own attempt (and not by any).
    SaleChecksAttempt,
    /// A buyer whose attempt has lost its claim is not told that it failed: it may yet sell.
    LostClaimIsUnknown,
    /// A refusal releases the claim only if the attempt holds it.
    ReleaseChecksAttempt,
    /// A refusal releases the claim only if nothing was sold under it.
    ReleaseChecksState,
    /// Keys are listed in the order before they are touched.
    ListsBeforeReserving,
    /// Keys are listed only in an order that is still reserving.
    AppendsOnlyWhileReserving,
    /// Only a reservation that has definitely failed is replaced by another.
    ReplacesOnlyDefiniteMisses,
    /// An order is committed only while it is reserving.
    CommitChecksState,
    /// An order is aborted only while it is reserving.
    AbortChecksState,
    /// A key is marked as assigned only if this order reserves it.
    MarkChecksOrder,
    /// A key goes back to the stock only if this order reserves it.
    UndoChecksOrder,
    /// A key goes back to the stock only if it is reserved as it was listed, and not by a later reservation.
    UndoChecksVersion,
    /// Undoing an order moves on the version of listed keys that it does not hold, against late reservations.
    UndoFences,
    /// The list of keys is read after the abort, and not before.
    AbortsBeforeReading,
    /// The list of keys is read with strong consistency.
    ReadsListConsistently,
    /// The list is deleted only when all of it is undone or marked.
    DeletesListLast,
    /// A finished order stays in the table, closed, so that a late write cannot bring it to life again.
    KeepsFinishedOrders,
    /// Fresh keys are stored by a transaction that asks for the order to be reserving.
    InsertsOnlyWhileReserving,
}

impl Rule {
    /// All of them.
    pub const ALL: [Self; 28] = [
        Self::ChecksVersion,
        Self::ChecksStatus,
        Self::KnowsOwnSale,
        Self::KnowsOwnReservation,
        Self::SellsInOneTransaction,
        Self::CommitsLast,
        Self::Fences,
        Self::AbortsUnknownCommit,
        Self::FinishesClaimInSale,
        Self::TakesOver,
        Self::SaleChecksAttempt,
        Self::LostClaimIsUnknown,
        Self::ReleaseChecksAttempt,
        Self::ReleaseChecksState,
        Self::ListsBeforeReserving,
        Self::AppendsOnlyWhileReserving,
        Self::ReplacesOnlyDefiniteMisses,
        Self::CommitChecksState,
        Self::AbortChecksState,
        Self::MarkChecksOrder,
        Self::UndoChecksOrder,
        Self::UndoChecksVersion,
        Self::UndoFences,
        Self::AbortsBeforeReading,
        Self::ReadsListConsistently,
        Self::DeletesListLast,
        Self::KeepsFinishedOrders,
        Self::InsertsOnlyWhileReserving,
    ];
}

/// The protocol: all rules, or all but some.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Protocol {
    without: Vec<Rule>,
}

impl Protocol {
    /// The protocol as it is.
    #[must_use]
    pub fn complete() -> Self {
        Self::default()
    }

    /// The protocol without these rules.
    #[must_use]
    pub fn without(rules: impl IntoIterator<Item = Rule>) -> Self {
        Self { without: rules.into_iter().collect() }
    }

    /// Whether `rule` is kept.
    #[must_use]
    pub fn keeps(&self, rule: Rule) -> bool {
        !self.without.contains(&rule)
    }
}
