//! One invocation as Lambda announces it, and how its time is shared out.

use std::time::Duration;

use tokio::time::Instant;

/// The time kept back at the end of an invocation for handing pairs on. Ours: a connection, a
/// `SendMessageBatch` and its retries; never more than half of what is left.
const HAND_ON_RESERVE: Duration = Duration::from_secs(10);

/// The time kept back for the reply itself. Ours: the runtime posts it to an address of the same machine.
const REPLY_RESERVE: Duration = Duration::from_millis(500);

/// What is said of a call that was not answered while there was time.
pub const NO_ANSWER: &str = "no answer before the deadline";

/// What Lambda says of an invocation.
#[derive(Debug, Clone)]
pub struct Invocation {
    /// Its request id.
    pub request_id: String,
    /// When Lambda will kill it.
    pub deadline: Instant,
}

impl Invocation {
    /// When the work on pairs must end, so that there is time to hand them on. Asked once, at the start.
    #[must_use]
    pub fn cutoff(&self) -> Instant {
        let left = self.deadline.saturating_duration_since(Instant::now());
        self.deadline - HAND_ON_RESERVE.min(left / 2)
    }

    /// When the last call must have been answered, so that there is time to reply.
    #[must_use]
    pub fn last_answer(&self) -> Instant {
        self.deadline - REPLY_RESERVE
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn invocation(seconds: u64) -> (Instant, Invocation) {
        let now = Instant::now();
        let invocation = Invocation {
            request_id: "q-1".to_owned(),
            deadline: now + Duration::from_secs(seconds),
        };
        (now, invocation)
    }

    #[tokio::test(start_paused = true)]
    async fn work_ends_ten_seconds_before_the_deadline_or_half_way_to_it() {
        for (seconds, cutoff) in [(900, 890), (60, 50), (20, 10), (10, 5), (0, 0)] {
            let (now, invocation) = invocation(seconds);
            assert_eq!(invocation.cutoff() - now, Duration::from_secs(cutoff));
        }
    }

    #[tokio::test(start_paused = true)]
    async fn the_last_answer_is_taken_half_a_second_before_the_deadline() {
        let (now, invocation) = invocation(60);
        let last = invocation.last_answer() - now;
        assert_eq!(last, Duration::from_millis(59_500));
    }
}
