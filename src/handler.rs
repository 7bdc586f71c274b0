//! One invocation from its payload to its reply: names the pairs, has them enrolled, hands on what is not done.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, SystemTime};

use aws_config::SdkConfig;
use aws_lambda_events::sqs::{BatchItemFailure, SqsBatchResponse, SqsMessage};
use lambda_runtime::Diagnostic;
use serde_json::{Map, Value, json};
use tokio::time::{Instant, timeout_at};
use tracing::{error, info, warn};

use crate::account::{AccountId, Email};
use crate::configuration::Configuration;
use crate::enroller::{Enroller, PairEndings, Pairs};
use crate::event::{Event, InvalidEvent, Join};
use crate::failure::Failure;
use crate::outcome::{Ending, Outcome, Reason};
use crate::queue::Queue;
use crate::record::{Origin, Record};
use crate::region::Region;
use crate::retry::{self, Message, Request, Settlement};

/// The time kept back at the end of an invocation for handing pairs on. Ours: a connection, a
/// `SendMessageBatch` and its retries; never more than half of what is left at the start.
const HAND_ON_RESERVE: Duration = Duration::from_secs(10);

/// The time kept back for the reply itself.
const REPLY_RESERVE: Duration = Duration::from_millis(500);

/// What Lambda says of an invocation.
#[derive(Debug, Clone)]
pub struct Invocation {
    /// Its request id.
    pub request_id: String,
    /// When Lambda will kill it.
    pub deadline: Instant,
}

/// Why an invocation failed. Lambda tries an asynchronous one again, then hands it to the dead-letter queue.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The input is none that the function knows.
    #[error(transparent)]
    InvalidEvent(#[from] InvalidEvent),
    /// A pair could not be handed on, or not even be named.
    #[error(
        "{0}. Nothing is lost: Lambda runs the event again and then keeps it in the dead-letter queue"
    )]
    NotHandedOn(String),
}

impl From<Error> for Diagnostic {
    fn from(error: Error) -> Self {
        let error_type = match error {
            Error::InvalidEvent(_) => "InvalidEvent",
            Error::NotHandedOn(_) => "NotHandedOn",
        };
        Self {
            error_type: error_type.to_owned(),
            error_message: error.to_string(),
        }
    }
}

/// Handles invocations. Built once per environment.
#[derive(Debug)]
pub struct Handler {
    enroller: Enroller,
    retries: Queue,
    dead_letters: Queue,
}

impl Handler {
    /// Makes no call.
    #[must_use]
    pub fn new(configuration: Configuration, aws: &SdkConfig) -> Self {
        Self {
            retries: Queue::new(aws, &configuration.retry_queue_url),
            dead_letters: Queue::new(aws, &configuration.dead_letter_queue_url),
            enroller: Enroller::new(configuration, aws),
        }
    }

    /// Handles one invocation and returns its reply.
    ///
    /// # Errors
    /// Only where the input is none that the function knows, or where a pair could not be handed on. A pair that
    /// GuardDuty refused is no error: it stands in the reply and in the dead-letter queue.
    pub async fn handle(&self, payload: &str, invocation: &Invocation) -> Result<Value, Error> {
        match Event::parse(payload)? {
            Event::Ignored(why) => {
                info!(reason = why, "ignored");
                Ok(json!({ "ignored": why }))
            }
            Event::Join(join) => self.join(join, invocation).await,
            Event::Batch(messages) => Ok(self.batch(&messages, invocation).await),
        }
    }

    /// Enrolls the accounts of an event in every Region.
    async fn join(&self, join: Join, invocation: &Invocation) -> Result<Value, Error> {
        let cutoff = cutoff(invocation.deadline);
        let regions = self.regions(cutoff).await.map_err(|failure| {
            Error::NotHandedOn(format!(
                "REGIONS is `all`, but account:ListRegions named no Regions ({failure}), so no pair could be named"
            ))
        })?;
        let mut pairs = Pairs::new();
        let mut addresses = BTreeMap::new();
        add(&join, regions, &mut pairs, &mut addresses);
        let endings = self.enroller.enroll(pairs, &addresses, cutoff).await;
        log_pairs(&endings);

        let origin = Origin {
            event_id: Some(
                join.event_id
                    .unwrap_or_else(|| invocation.request_id.clone()),
            ),
            first_failed_at: None,
            attempts: 1,
        };
        let now = SystemTime::now();
        let records = endings.iter().filter_map(|((account, region), ending)| {
            let record = Record::of(*account, region, ending, &origin, now)?;
            Some((ending.outcome.heals_by_itself(), record))
        });
        let (heal, need_a_person): (Vec<_>, Vec<_>) = records.partition(|(heals, _)| *heals);
        let only_records = |pairs: Vec<(bool, Record)>| -> Vec<Record> {
            pairs.into_iter().map(|(_, record)| record).collect()
        };
        let (heal, need_a_person) = (only_records(heal), only_records(need_a_person));
        let hand_on = async {
            tokio::join!(
                self.retries.send(&heal, retry::backoff(origin.attempts)),
                self.dead_letters.send(&need_a_person, Duration::ZERO),
            )
        };
        let sent = timeout_at(invocation.deadline - REPLY_RESERVE, hand_on).await;
        match sent {
            Err(_) => Err(Error::NotHandedOn(
                "SQS did not answer before the deadline".to_owned(),
            )),
            Ok((Err(not_sent), _) | (_, Err(not_sent))) => {
                Err(Error::NotHandedOn(not_sent.to_string()))
            }
            Ok((Ok(()), Ok(()))) => Ok(reply(&endings)),
        }
    }

    /// Works on a batch of the retry queue; [`retry`] says why nothing is lost.
    async fn batch(&self, messages: &[SqsMessage], invocation: &Invocation) -> Value {
        let cutoff = cutoff(invocation.deadline);
        let mut not_done: BTreeSet<String> = BTreeSet::new();
        let mut readable = Vec::new();
        for message in messages {
            match Message::read(message) {
                Ok(message) => readable.push(message),
                Err(why) => {
                    let id = message.message_id.clone().unwrap_or_default();
                    error!(
                        messageId = id,
                        reason = why,
                        "a message of the retry queue cannot be read; SQS will move it to the dead-letter queue"
                    );
                    not_done.insert(id);
                }
            }
        }

        let mut pairs = Pairs::new();
        let mut addresses = BTreeMap::new();
        let mut regions = None;
        for message in &readable {
            match &message.request {
                Request::Pair(account, region) => {
                    pairs.entry(region.clone()).or_default().insert(*account);
                }
                Request::Join(join) => {
                    if regions.is_none() {
                        regions = Some(self.regions(cutoff).await);
                    }
                    if let Some(Ok(regions)) = regions {
                        add(join, regions, &mut pairs, &mut addresses);
                    }
                }
                Request::Nothing(why) => info!(reason = why, "ignored"),
            }
        }
        if let Some(Err(failure)) = &regions {
            warn!(reason = %failure, "account:ListRegions named no Regions; redriven events wait");
        }
        let endings = self.enroller.enroll(pairs, &addresses, cutoff).await;
        log_pairs(&endings);

        let mut postponed = Vec::new();
        let mut letters = Vec::new();
        let mut senders = Vec::new();
        for message in &readable {
            let settlement = match (&message.request, &regions) {
                // Its pairs cannot be named yet.
                (Request::Join(_), Some(Err(_))) => {
                    Settlement::TryAgain(retry::backoff(message.origin.attempts))
                }
                _ => retry::settle(
                    &endings_of(message, &endings),
                    &message.origin,
                    SystemTime::now(),
                ),
            };
            match settlement {
                Settlement::Done(records) => {
                    senders.extend(records.iter().map(|_| message.id.clone()));
                    letters.extend(records);
                }
                Settlement::TryAgain(after) => {
                    not_done.insert(message.id.clone());
                    let receipt = message.receipt_handle.clone();
                    postponed.extend(receipt.map(|receipt| (receipt, after)));
                }
            }
        }
        let limit = invocation.deadline - REPLY_RESERVE;
        let letters_sent = timeout_at(limit, self.dead_letters.send(&letters, Duration::ZERO));
        let postponing = timeout_at(limit, self.retries.postpone(&postponed));
        let (sent, not_postponed) = tokio::join!(letters_sent, postponing);
        match sent {
            Ok(Ok(())) => {}
            Ok(Err(not_sent)) => {
                error!(reason = %not_sent, "dead letters could not be sent; their messages stay in the retry queue");
                not_done.extend(
                    not_sent
                        .lost
                        .iter()
                        .filter_map(|at| senders.get(*at).cloned()),
                );
            }
            Err(_) => {
                error!(
                    "dead letters could not be sent before the deadline; their messages stay in the retry queue"
                );
                not_done.extend(senders);
            }
        }
        for failure in not_postponed.unwrap_or_default() {
            warn!(
                reason = failure,
                "a message could not be postponed; it comes back after the queue's visibility timeout"
            );
        }
        batch_response(not_done)
    }

    /// The Regions, or the deadline as a failure.
    async fn regions(&self, cutoff: Instant) -> Result<&BTreeSet<Region>, Failure> {
        timeout_at(cutoff, self.enroller.regions())
            .await
            .unwrap_or_else(|_| {
                Err(Failure::NoAnswer(
                    "no answer before the deadline".to_owned(),
                ))
            })
    }
}

/// When work on pairs ends, so that there is time to hand them on.
fn cutoff(deadline: Instant) -> Instant {
    let left = deadline.saturating_duration_since(Instant::now());
    deadline - HAND_ON_RESERVE.min(left / 2)
}

/// The pairs of an event: each account in each Region.
fn add(
    join: &Join,
    regions: &BTreeSet<Region>,
    pairs: &mut Pairs,
    addresses: &mut BTreeMap<AccountId, Email>,
) {
    for joined in &join.accounts {
        addresses.extend(joined.email.clone().map(|email| (joined.id, email)));
        for region in regions {
            pairs.entry(region.clone()).or_default().insert(joined.id);
        }
    }
}

/// The endings of a message's own pairs.
fn endings_of<'a>(
    message: &Message,
    endings: &'a PairEndings,
) -> BTreeMap<(AccountId, Region), &'a Ending> {
    let own = |(account, region): &(AccountId, Region)| match &message.request {
        Request::Pair(own_account, own_region) => account == own_account && region == own_region,
        Request::Join(join) => join.accounts.iter().any(|joined| joined.id == *account),
        Request::Nothing(_) => false,
    };
    let own = endings.iter().filter(|(pair, _)| own(pair));
    own.map(|(pair, ending)| (pair.clone(), ending)).collect()
}

fn batch_response(not_done: BTreeSet<String>) -> Value {
    let mut response = SqsBatchResponse::default();
    response.batch_item_failures = not_done
        .into_iter()
        .map(|id| {
            let mut failure = BatchItemFailure::default();
            failure.item_identifier = id;
            failure
        })
        .collect();
    json!(response)
}

/// `{"accounts": [{"accountId": …, "regions": {"eu-west-1": {"outcome": …, "reason": …, "result": …}}}]}`
fn reply(endings: &PairEndings) -> Value {
    let mut accounts: BTreeMap<AccountId, Map<String, Value>> = BTreeMap::new();
    for ((account, region), ending) in endings {
        let mut pair = Map::new();
        pair.insert("outcome".to_owned(), json!(ending.outcome.name()));
        if let Some(reason) = ending.outcome.reason() {
            pair.insert("reason".to_owned(), json!(reason.code()));
        }
        if let Some(result) = &ending.result {
            pair.insert("result".to_owned(), json!(result));
        }
        let regions = accounts.entry(*account).or_default();
        regions.insert(region.to_string(), Value::Object(pair));
    }
    let accounts: Vec<Value> = accounts
        .into_iter()
        .map(|(account, regions)| json!({ "accountId": account, "regions": regions }))
        .collect();
    json!({ "accounts": accounts })
}

/// One line for each refusal and each answer that is new to this program, one line for the whole invocation.
fn log_pairs(endings: &PairEndings) {
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    let mut reasons: BTreeMap<&str, usize> = BTreeMap::new();
    for ((account, region), ending) in endings {
        let outcome = ending.outcome;
        *counts.entry(outcome.name()).or_default() += 1;
        let Some(reason) = outcome.reason() else {
            continue;
        };
        *reasons.entry(reason.code()).or_default() += 1;
        let result = ending.result.as_ref().map(tracing::field::display);
        match outcome {
            Outcome::Refused(_) => error!(
                accountId = %account,
                region = %region,
                reason = reason.code(),
                result,
                "refused: a person must act, then redrive the dead letter"
            ),
            Outcome::Deferred(Reason::Unknown) => warn!(
                accountId = %account,
                region = %region,
                reason = reason.code(),
                result,
                "an answer that this version does not know; it is tried again"
            ),
            Outcome::Skipped(Reason::NoDetector) => warn!(
                accountId = %account,
                region = %region,
                reason = reason.code(),
                "skipped: GuardDuty has no detector in this Region"
            ),
            _ => {}
        }
    }
    let count = |name| counts.get(name).copied().unwrap_or_default();
    info!(
        pairs = endings.len(),
        enrolled = count("enrolled"),
        alreadyEnabled = count("already-enabled"),
        pending = count("pending"),
        deferred = count("deferred"),
        refused = count("refused"),
        skipped = count("skipped"),
        reasons = %json!(reasons),
        "summary"
    );
}
