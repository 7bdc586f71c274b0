//! One invocation as Lambda announces it, how its time is divided, and why it can fail.

use std::time::Duration;

use decisions::event::InvalidEvent;
use tokio::time::Instant;

/// The time kept back at the end of an invocation for the queues. Ours: a connection, a `SendMessageBatch` and its
/// retries; never more than half of what is left.
const QUEUE_RESERVE: Duration = Duration::from_secs(10);

/// The time kept back for the reply. Ours: the runtime posts it to an address on the same machine.
const REPLY_RESERVE: Duration = Duration::from_millis(500);

/// What is said of a call that was not answered while there was time.
pub(crate) const NO_ANSWER: &str = "no answer before the deadline";

/// One invocation.
#[derive(Debug, Clone)]
pub struct Invocation {
    /// Its request id.
    pub request_id: String,
    /// When Lambda will kill it.
    pub deadline: Instant,
}

impl Invocation {
    /// When the work on pairs must end, so that there is time for the queues. Asked once, at the start.
    pub(crate) fn cutoff(&self) -> Instant {
        let left = self.deadline.saturating_duration_since(Instant::now());
        self.deadline - QUEUE_RESERVE.min(left / 2)
    }

    /// When the last call must have been answered, so that there is time to reply.
    pub(crate) fn last_answer(&self) -> Instant {
        self.deadline - REPLY_RESERVE
    }
}

/// Why an invocation failed. Lambda runs an asynchronous one again, then hands it to the dead-letter queue.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The input is of an unknown kind.
    #[error(transparent)]
    InvalidEvent(#[from] InvalidEvent),
    /// A pair could not be sent to a queue, or not even be named.
    #[error(
        "{0}. Nothing is lost: Lambda runs an event again and then keeps it in the dead-letter queue; a call that waits for its reply must be made again"
    )]
    NotEnqueued(String),
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
