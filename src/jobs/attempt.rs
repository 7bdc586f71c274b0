//! What events and batches have in common: an attempt at all pairs at once, and dead letters.

use std::collections::BTreeSet;
use std::time::Duration;

use decisions::pair::{PairOutcomes, Pairs};
use decisions::queued_pair::QueuedPair;
use decisions::region::Region;
use decisions::retry::Request;
use decisions::timestamp::Timestamp;
use tokio::time::Instant;

use crate::aws::sqs::{NotSent, Queues};
use crate::clock;
use crate::enroll::all_regions::Enroller;
use crate::invocation::Invocation;
use crate::observe::{logs, metrics};

/// Enrolls the pairs of all requests, and writes what became of them. Returns when that was.
pub(super) async fn attempt(
    enroller: &Enroller,
    requests: &[&Request],
    regions: &BTreeSet<Region>,
    cutoff: Instant,
) -> (PairOutcomes, Timestamp) {
    let mut pairs = Pairs::default();
    for request in requests {
        request.add_to(&mut pairs, regions);
    }
    let outcomes = enroller.enroll(pairs, regions, cutoff).await;
    let now = clock::now();
    logs::attempt_ended(&outcomes);
    metrics::pairs(&outcomes);
    let seconds = requests.iter().flat_map(|request| request.seconds_to_protected(&outcomes, now));
    metrics::protected(&seconds.collect::<Vec<_>>());
    (outcomes, now)
}

/// Sends dead letters, with a log line for each.
///
/// # Errors
/// If some did not reach the queue.
pub(super) async fn send_dead_letters(
    queues: &Queues,
    letters: &[QueuedPair],
    invocation: &Invocation,
) -> Result<(), NotSent> {
    logs::dead_letters(letters);
    let last_answer = invocation.last_answer();
    queues.dead_letters.send(letters, Duration::ZERO, last_answer).await?;
    metrics::dead_letters(letters.len());
    Ok(())
}
