//! A batch of the retry queue: works on the pairs of all its messages at once, then settles each message.
//! [`crate::retry`] says why nothing is lost.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use aws_lambda_events::sqs::SqsMessage;
use tokio::time::{Instant, timeout_at};
use tracing::{error, info, warn};

use crate::enroller::Enroller;
use crate::failure::Failure;
use crate::invocation::{Invocation, NO_ANSWER};
use crate::journal;
use crate::metrics;
use crate::pair::Pairs;
use crate::queue::Queue;
use crate::record::Record;
use crate::region::Region;
use crate::retry::{self, Message, Request, Settlement};

/// What a batch is worked on with.
#[derive(Debug, Clone, Copy)]
pub struct Batch<'a> {
    /// Enrolls the pairs.
    pub enroller: &'a Enroller,
    /// The queue that the messages came from.
    pub retries: &'a Queue,
    /// Where the pairs go that are given up.
    pub dead_letters: &'a Queue,
    /// The invocation that brought the batch.
    pub invocation: &'a Invocation,
}

impl Batch<'_> {
    /// Works on the messages and returns the ids of those that are not done: they must stay in the queue.
    pub async fn work(self, messages: &[SqsMessage]) -> BTreeSet<String> {
        let cutoff = self.invocation.cutoff();
        let (readable, mut not_done) = read(messages, &self.invocation.request_id);
        let (pairs, regions_known) = self.pairs(&readable, cutoff).await;
        let endings = self.enroller.enroll(pairs, cutoff).await;
        journal::summary(&endings);
        journal::skipped(&endings);
        metrics::pairs(&endings);

        let now = SystemTime::now();
        let mut seconds = Vec::new();
        let mut postponed = Vec::new();
        let mut letters = Vec::new();
        let mut owners = Vec::new();
        for message in &readable {
            let own = message.endings(&endings);
            let origin = &message.origin;
            let since = origin.event_time.as_ref();
            let since = since.or(origin.first_failed_at.as_ref());
            seconds.extend(metrics::seconds_to_protected(
                since.map(String::as_str),
                now,
                own.iter().copied(),
            ));
            let settlement = match &message.request {
                // Its pairs cannot be named yet.
                Request::Join(_) if !regions_known => {
                    Settlement::TryAgain(retry::backoff(origin.attempts))
                }
                _ => retry::settle(&own, origin, now),
            };
            match settlement {
                Settlement::Done(records) => {
                    owners.extend(records.iter().map(|_| message.id.clone()));
                    letters.extend(records);
                }
                Settlement::TryAgain(after) => {
                    not_done.insert(message.id.clone());
                    let receipt = message.receipt_handle.clone();
                    postponed.extend(receipt.map(|receipt| (receipt, after)));
                }
            }
        }
        metrics::protected(&seconds);
        let (lost, ()) = tokio::join!(self.send(&letters), self.postpone(&postponed));
        not_done.extend(lost.iter().filter_map(|at| owners.get(*at).cloned()));
        not_done
    }

    /// The pairs of all messages; and whether the Regions are known, without which a redriven event names none.
    async fn pairs(self, messages: &[Message], cutoff: Instant) -> (Pairs, bool) {
        let mut pairs = Pairs::default();
        let mut regions: Option<Result<Arc<BTreeSet<Region>>, Failure>> = None;
        for message in messages {
            match &message.request {
                Request::Pair(pair) => pairs.add(pair.clone()),
                Request::Join(join) => {
                    if regions.is_none() {
                        regions = Some(self.enroller.regions(cutoff).await);
                    }
                    if let Some(Ok(regions)) = &regions {
                        pairs.add_join(join, regions);
                    }
                }
                Request::Nothing(why) => info!(cause = why, "ignored"),
            }
        }
        if let Some(Err(failure)) = &regions {
            warn!(cause = %failure, "account:ListRegions named no Regions; redriven events wait");
        }
        (pairs, !matches!(regions, Some(Err(_))))
    }

    /// Sends dead letters and returns the places of those that did not arrive: their messages must stay.
    async fn send(self, letters: &[Record]) -> Vec<usize> {
        journal::dead_letters(letters);
        let send = self.dead_letters.send(letters, Duration::ZERO);
        let (lost, why) = match timeout_at(self.invocation.last_answer(), send).await {
            Ok(Ok(())) => {
                metrics::dead_letters(letters.len());
                return Vec::new();
            }
            Ok(Err(not_sent)) => (not_sent.lost.clone(), not_sent.to_string()),
            // Some may have arrived; a second letter is harmless.
            Err(_) => ((0..letters.len()).collect(), NO_ANSWER.to_owned()),
        };
        error!(
            cause = why,
            "dead letters could not be sent; their messages stay in the retry queue"
        );
        lost
    }

    /// Lets messages come back after their own time. A failure is harmless.
    async fn postpone(self, messages: &[(String, Duration)]) {
        let postpone = self.retries.postpone(messages);
        let failures = timeout_at(self.invocation.last_answer(), postpone).await;
        for failure in failures.unwrap_or_else(|_| vec![NO_ANSWER.to_owned()]) {
            warn!(
                cause = failure,
                "a message could not be postponed; it comes back after the queue's visibility timeout"
            );
        }
    }
}

/// The messages that can be read, and the ids of the others.
fn read(messages: &[SqsMessage], request_id: &str) -> (Vec<Message>, BTreeSet<String>) {
    let mut unreadable = BTreeSet::new();
    let mut readable = Vec::new();
    for message in messages {
        match Message::read(message) {
            Ok(mut message) => {
                let event_id = &mut message.origin.event_id;
                event_id.get_or_insert_with(|| request_id.to_owned());
                readable.push(message);
            }
            Err(why) => {
                let id = message.message_id.clone().unwrap_or_default();
                error!(
                    messageId = id,
                    cause = why,
                    "a message of the retry queue cannot be read; SQS will move it to the dead-letter queue"
                );
                unreadable.insert(id);
            }
        }
    }
    (readable, unreadable)
}
