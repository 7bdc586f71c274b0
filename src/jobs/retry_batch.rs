//! A batch of the retry queue: one attempt at the pairs of all its messages, then each message is done or comes back.
//! [`decisions::retry`] says why nothing is lost.

use std::collections::BTreeSet;
use std::sync::Arc;

use aws_lambda_events::sqs::SqsBatchResponse;
use decisions::ledger::Ledger;
use decisions::message::Message;
use decisions::queued_pair::QueuedPair;
use decisions::region::Region;
use decisions::retry::{Disposition, Request, Wanted};
use tokio::time::Instant;

use crate::aws::sqs::Queues;
use crate::enroll::all_regions::Enroller;
use crate::invocation::Invocation;
use crate::jobs::attempt::{attempt, send_dead_letters};
use crate::observe::{logs, metrics};

/// The most pairs per invocation. Ours: at the processor share of 128 MB they take some seconds beside AWS's own time; a
/// batch of redriven events can name 34,000.
const MAX_PAIRS: usize = 5_000;

/// Returns the messages that are not done, so that Lambda leaves them in the queue.
pub(crate) async fn run(
    enroller: &Enroller,
    queues: &Queues,
    messages: &[Message],
    invocation: &Invocation,
) -> SqsBatchResponse {
    let cutoff = invocation.cutoff();
    let mut not_done = BTreeSet::new();
    let (readable, mut requests) = read(messages, invocation, &mut not_done);
    let regions = regions(enroller, &requests, cutoff).await;
    let unnamed = regions.is_none();
    let covered = regions.unwrap_or_else(|| Arc::new(Region::all_known().collect()));
    // What is too much for one invocation comes back after the queue's visibility timeout.
    let in_time = fitting(&requests, covered.len());
    requests.truncate(in_time);
    not_done.extend(readable.iter().skip(in_time).map(|message| &message.id));
    let waits = |request: &Request| unnamed && request.waits_for_regions();
    let attempted: Vec<_> = requests.iter().filter(|request| !waits(request)).collect();
    let (outcomes, now) = attempt(enroller, &attempted, &covered, cutoff).await;

    let mut ledger = Ledger::default();
    let mut letters: Vec<QueuedPair> = Vec::new();
    let mut owners = Vec::new();
    let mut postponed = Vec::new();
    for (message, request) in readable.iter().zip(&requests) {
        let disposition =
            if waits(request) { request.again() } else { request.disposition(&outcomes, now) };
        ledger.add(request, &outcomes, matches!(disposition, Disposition::Again(_)));
        match disposition {
            Disposition::Done(records) => {
                owners.extend(records.iter().map(|_| &message.id));
                letters.extend(records);
            }
            Disposition::Again(after) => {
                not_done.insert(&message.id);
                let receipt = message.receipt_handle.clone();
                postponed.extend(receipt.map(|receipt| (receipt, after)));
            }
        }
    }
    logs::ledger(ledger.entries(), now);
    let (sent, failures) = tokio::join!(
        send_dead_letters(queues, &letters, invocation),
        queues.retries.postpone(&postponed, invocation.last_answer()),
    );
    if let Err(not_sent) = sent {
        logs::dead_letters_not_sent(&not_sent);
        not_done.extend(not_sent.lost.iter().filter_map(|index| owners.get(*index)));
    }
    logs::not_postponed(&failures);
    let mut response = SqsBatchResponse::default();
    response.set_failures(not_done);
    response
}

/// How many requests, from the first on, have no more pairs than an invocation can work on; at least one.
fn fitting(requests: &[Request], regions: usize) -> usize {
    let mut pairs = 0;
    let fits = requests.iter().take_while(|request| {
        let is_first = pairs == 0;
        pairs += request.count_pairs(regions);
        is_first || pairs <= MAX_PAIRS
    });
    fits.count()
}

/// The messages that can be read, and what each asks for. The others are not done.
fn read<'a>(
    messages: &'a [Message],
    invocation: &Invocation,
    not_done: &mut BTreeSet<&'a String>,
) -> (Vec<&'a Message>, Vec<Request>) {
    let mut readable = (Vec::new(), Vec::new());
    for message in messages {
        match Request::read(message, &invocation.request_id) {
            Ok(request) => {
                if let Wanted::Nothing(ignored) = &request.wanted {
                    logs::ignored(ignored);
                    metrics::ignored(ignored);
                }
                readable.0.push(message);
                readable.1.push(request);
            }
            Err(why) => {
                logs::unreadable(&message.id, &why);
                not_done.insert(&message.id);
            }
        }
    }
    readable
}

/// The Regions, if a message asks for a pair. `None` if one does and AWS did not name them.
async fn regions(
    enroller: &Enroller,
    requests: &[Request],
    cutoff: Instant,
) -> Option<Arc<BTreeSet<Region>>> {
    if !requests.iter().any(Request::needs_regions) {
        return Some(Arc::default());
    }
    let regions = enroller.regions(cutoff).await;
    regions.inspect_err(logs::regions_unknown).ok()
}
