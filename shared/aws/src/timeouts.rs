use std::time::Duration;

use aws_smithy_types::retry::RetryConfig;
use aws_smithy_types::timeout::TimeoutConfig;

/// The time limits of everything that waits for AWS: [`Self::CHECKOUT`] or [`Self::OPERATOR`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Timeouts {
    /// Opening a connection.
    pub connect_within: Duration,
    /// One attempt at a call of AWS.
    pub attempt_within: Duration,
    /// A call of AWS with its retries.
    pub call_within: Duration,
    /// The most attempts at a call that the SDK makes.
    pub attempts_max: u32,
    /// The longest wait before the second attempt. It doubles with each further one.
    pub first_wait: Duration,
    /// The longest wait before any attempt.
    pub wait_max: Duration,
    /// The least time for the write of a sale and its repetitions. With less time left a sale must not begin,
    /// because its outcome might stay unknown.
    pub sale_within: Duration,
    /// A whole request.
    pub answer_within: Duration,
}

impl Timeouts {
    /// The limits of a checkout. A shop gives up after 5 seconds (WordPress's default) and asks again. By
    /// then it has the answer, unless DynamoDB leaves the write of a sale without an answer until the deadline.
    pub const CHECKOUT: Self = Self {
        // Two attempts fit into a call. Within one region an answer takes a few milliseconds.
        connect_within: Duration::from_millis(600),
        attempt_within: Duration::from_millis(800),
        call_within: Duration::from_millis(1_700),
        attempts_max: 3,
        // The SDK's default is up to a second. The second attempt must be quick: an environment that was
        // frozen wakes up with connections that the other side has closed.
        first_wait: Duration::from_millis(20),
        wait_max: Duration::from_millis(150),
        sale_within: Duration::from_millis(2_550),
        answer_within: Duration::from_millis(4_400),
    };

    /// The limits of an operator, a schedule, and others that can wait.
    pub const OPERATOR: Self = Self {
        connect_within: Duration::from_secs(3),
        attempt_within: Duration::from_secs(5),
        call_within: Duration::from_secs(15),
        attempts_max: 5,
        first_wait: Duration::from_millis(50),
        wait_max: Duration::from_secs(2),
        sale_within: Duration::from_mins(1),
        answer_within: Duration::from_mins(2),
    };

    pub(crate) fn of_calls(&self) -> TimeoutConfig {
        TimeoutConfig::builder()
            .connect_timeout(self.connect_within)
            .operation_attempt_timeout(self.attempt_within)
            .operation_timeout(self.call_within)
            .build()
    }

    pub(crate) fn retries(&self) -> RetryConfig {
        RetryConfig::standard()
            .with_max_attempts(self.attempts_max)
            .with_initial_backoff(self.first_wait)
            .with_max_backoff(self.wait_max)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_times_of_a_caller_fit_into_each_other() {
        for timeouts in [Timeouts::CHECKOUT, Timeouts::OPERATOR] {
            assert!(timeouts.connect_within < timeouts.attempt_within);
            assert!(timeouts.attempt_within * 2 <= timeouts.call_within);
            assert!(timeouts.attempt_within * 2 < timeouts.sale_within);
            assert!(timeouts.sale_within < timeouts.answer_within);
        }
        assert!(Timeouts::CHECKOUT.answer_within < Duration::from_secs(5), "a shop gives up");
    }
}
