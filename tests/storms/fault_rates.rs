/// The rates of faults, in calls out of 10,000 that can have the fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FaultRates {
    /// Calls with a delay of some milliseconds.
    pub delayed: u32,
    /// Calls that the service never sees.
    pub request_lost: u32,
    /// Calls that the service executes, but whose response is lost.
    pub response_lost: u32,
    /// Calls that the service executes without ever responding.
    pub stalled: u32,
    /// Writes that arrive after their sender has given up.
    pub postponed: u32,
    /// Throttled calls, of each kind.
    pub throttled: u32,
    /// Writes that conflict with a transaction, of each kind.
    pub conflicts: u32,
    /// Calls that fail with an error of the service.
    pub internal_errors: u32,
    /// Reads of several keys that leave some unread.
    pub unread: u32,
    /// Stale reads, of the index and others that need not be consistent.
    pub stale: u32,
    /// Messages that the queue accepts and loses.
    pub messages_forgotten: u32,
    /// Messages that are sent twice.
    pub messages_doubled: u32,
    /// Calls that kill the environment.
    pub deaths: u32,
    /// Blocks of 16 calls that begin with a row of one fault, longer than any caller retries.
    pub rows: u32,
    /// The largest age of a stale response, in reads of its kind.
    pub stale_reads_max: u64,
    /// The largest offset of an environment's clock, in seconds.
    pub clock_skew_seconds: u32,
}

impl FaultRates {
    /// The absence of faults.
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

    /// More faults in an hour than AWS has in years, with most orders still served.
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

    /// Multiplies all rates.
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
