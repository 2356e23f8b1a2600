/// How often what goes wrong: so many of 10,000 calls that it can happen to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rates {
    /// Calls that are held up for some milliseconds.
    pub delayed: u32,
    /// Calls that the service never sees.
    pub request_lost: u32,
    /// Calls that are done, but whose answer is lost.
    pub response_lost: u32,
    /// Calls that are done, but never answered.
    pub stalled: u32,
    /// Writes that arrive after their sender has given up.
    pub postponed: u32,
    /// Calls that are throttled, in each of the ways there are.
    pub throttled: u32,
    /// Writes that meet a transaction, in each of the ways there are.
    pub conflicts: u32,
    /// Calls that end in an error of the service.
    pub internal_errors: u32,
    /// Reads of several keys that leave some unread.
    pub unread: u32,
    /// Reads, of the index and others that need not be consistent, that have an older answer.
    pub stale: u32,
    /// Messages that the queue accepts and forgets.
    pub messages_forgotten: u32,
    /// Messages that are sent twice.
    pub messages_doubled: u32,
    /// Calls at which the environment dies.
    pub deaths: u32,
    /// Blocks of 16 calls that begin with a row of the same fault: longer than anybody repeats a call.
    pub rows: u32,
    /// How old a stale answer is at most, in reads of its kind.
    pub stale_reads_max: u64,
    /// How far the clock of an environment may be off, in seconds.
    pub clock_skew_seconds: u32,
}

impl Rates {
    /// Nothing goes wrong.
    pub const CALM: Self = Self {
        delayed: 0,
        request_lost: 0,
        response_lost: 0,
        stalled: 0,
        postponed: 0,
        throttled: 0,
        conflicts: 0,
        internal_errors: 0,
        unread: 0,
        stale: 0,
        messages_forgotten: 0,
        messages_doubled: 0,
        deaths: 0,
        rows: 0,
        stale_reads_max: 0,
        clock_skew_seconds: 0,
    };

    /// More goes wrong in an hour than AWS manages in years, and still most orders are served.
    pub const STORM: Self = Self {
        delayed: 300,
        request_lost: 100,
        response_lost: 300,
        stalled: 10,
        postponed: 200,
        throttled: 300,
        conflicts: 400,
        internal_errors: 100,
        unread: 1_000,
        stale: 2_000,
        messages_forgotten: 500,
        messages_doubled: 1_000,
        deaths: 30,
        rows: 300,
        stale_reads_max: 80,
        clock_skew_seconds: 20,
    };

    /// So many times as often.
    #[must_use]
    pub fn times(self, strength: u32) -> Self {
        Self {
            delayed: self.delayed * strength,
            request_lost: self.request_lost * strength,
            response_lost: self.response_lost * strength,
            stalled: self.stalled * strength,
            postponed: self.postponed * strength,
            throttled: self.throttled * strength,
            conflicts: self.conflicts * strength,
            internal_errors: self.internal_errors * strength,
            unread: self.unread * strength,
            stale: self.stale * strength,
            messages_forgotten: self.messages_forgotten * strength,
            messages_doubled: self.messages_doubled * strength,
            deaths: self.deaths * strength,
            rows: self.rows * strength,
            ..self
        }
    }
}
