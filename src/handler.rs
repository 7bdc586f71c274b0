//! One invocation from its payload to its reply: names the pairs, has them enrolled, hands on what is not done.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use aws_config::SdkConfig;
use aws_lambda_events::sqs::SqsMessage;
use serde_json::{Value, json};
use tokio::time::{Instant, timeout_at};
use tracing::{error, info, warn};

use crate::account::{AccountId, Email};
use crate::configuration::Configuration;
use crate::enroller::{Enroller, PairEndings, Pairs};
use crate::event::{Event, InvalidEvent, Join};
use crate::failure::Failure;
use crate::journal;
use crate::metrics;
use crate::outcome::{Ending, Outcome};
use crate::queue::Queue;
use crate::reconcile::Reconciler;
use crate::record::{self, Origin, Record};
use crate::region::Region;
use crate::reply;
use crate::retry::{self, Message, Request, Settlement};

/// The time kept back at the end of an invocation for handing pairs on. Ours: a connection, a
/// `SendMessageBatch` and its retries; never more than half of what is left at the start.
const HAND_ON_RESERVE: Duration = Duration::from_secs(10);

/// The time kept back for the reply itself.
const REPLY_RESERVE: Duration = Duration::from_millis(500);

const NO_ANSWER: &str = "no answer before the deadline";

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
        "{0}. Nothing is lost: Lambda runs an event again and then keeps it in the dead-letter queue; a call that waits for its reply must be made again"
    )]
    NotHandedOn(String),
}

/// Handles invocations. Built once per environment.
#[derive(Debug)]
pub struct Handler {
    enroller: Enroller,
    retries: Queue,
    dead_letters: Queue,
    configuration: Configuration,
    aws: SdkConfig,
}

impl Handler {
    /// Makes no call.
    #[must_use]
    pub fn new(configuration: Configuration, aws: &SdkConfig) -> Self {
        Self {
            retries: Queue::new(aws, &configuration.retry_queue_url),
            dead_letters: Queue::new(aws, &configuration.dead_letter_queue_url),
            enroller: Enroller::new(configuration.clone(), aws),
            configuration,
            aws: aws.clone(),
        }
    }

    /// Handles one invocation and returns its reply.
    ///
    /// # Errors
    /// Only where the input is none that the function knows, or where a pair could not be handed on. A pair that
    /// GuardDuty refused is no error: it stands in the reply and in the dead-letter queue.
    pub async fn handle(&self, payload: &str, invocation: &Invocation) -> Result<Value, Error> {
        let event = Event::parse(payload)?;
        let reply = self.answer(event, invocation).await;
        metrics::flush();
        reply
    }

    async fn answer(&self, event: Event, invocation: &Invocation) -> Result<Value, Error> {
        match event {
            Event::Ignored(why) => {
                info!(cause = why, "ignored");
                Ok(reply::ignored(&why))
            }
            Event::Join(join) => self.join(join, invocation).await,
            Event::Reconcile(request) => {
                let reconciler = Reconciler::new(&self.configuration, &self.aws, request);
                let report = reconciler.run(cutoff(invocation.deadline)).await;
                metrics::reconcile(&report);
                Ok(json!(report))
            }
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
        add(&join, &regions, &mut pairs, &mut addresses);
        let endings = self.enroller.enroll(pairs, &addresses, cutoff).await;
        journal::summary(&endings);
        metrics::pairs(&endings);

        let origin = Origin {
            event_id: Some(
                join.event_id
                    .unwrap_or_else(|| invocation.request_id.clone()),
            ),
            event_time: join.time.filter(|text| record::is_timestamp(text)),
            first_failed_at: None,
            attempts: 1,
        };
        let now = SystemTime::now();
        let since = origin.event_time.as_deref();
        let seconds = metrics::seconds_to_protected(since, now, outcomes(endings.iter()));
        metrics::protected(&seconds);
        let (mut heal, mut need_a_person) = (Vec::new(), Vec::new());
        for ((account, region), ending) in &endings {
            let heals = ending.outcome.heals_by_itself();
            let queue = if heals { &mut heal } else { &mut need_a_person };
            queue.extend(Record::of(*account, region, ending, &origin, now));
        }
        journal::dead_letters(&need_a_person);
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
            Ok((Ok(()), Ok(()))) => {
                metrics::dead_letters(need_a_person.len());
                Ok(reply::pairs(&endings))
            }
        }
    }

    /// Works on a batch of the retry queue; [`retry`] says why nothing is lost.
    async fn batch(&self, messages: &[SqsMessage], invocation: &Invocation) -> Value {
        let cutoff = cutoff(invocation.deadline);
        let (readable, mut not_done) = read(messages, &invocation.request_id);
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
                    if let Some(Ok(regions)) = &regions {
                        add(join, regions, &mut pairs, &mut addresses);
                    }
                }
                Request::Nothing(why) => info!(cause = why, "ignored"),
            }
        }
        if let Some(Err(failure)) = &regions {
            warn!(cause = %failure, "account:ListRegions named no Regions; redriven events wait");
        }
        let endings = self.enroller.enroll(pairs, &addresses, cutoff).await;
        journal::summary(&endings);
        journal::skipped(&endings);
        metrics::pairs(&endings);

        let now = SystemTime::now();
        let mut seconds = Vec::new();
        let mut postponed = Vec::new();
        let mut letters = Vec::new();
        let mut owners = Vec::new();
        for message in &readable {
            let own = endings_of(message, &endings);
            let origin = &message.origin;
            let since = origin
                .event_time
                .as_ref()
                .or(origin.first_failed_at.as_ref());
            let since = since.map(String::as_str);
            let outcomes = outcomes(own.iter().map(|(pair, ending)| (pair, *ending)));
            seconds.extend(metrics::seconds_to_protected(since, now, outcomes));
            let settlement = match (&message.request, &regions) {
                // Its pairs cannot be named yet.
                (Request::Join(_), Some(Err(_))) => {
                    Settlement::TryAgain(retry::backoff(message.origin.attempts))
                }
                _ => retry::settle(&own, &message.origin, now),
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
        let limit = invocation.deadline - REPLY_RESERVE;
        let (lost, ()) = tokio::join!(
            self.send_letters(&letters, limit),
            self.postpone(&postponed, limit)
        );
        not_done.extend(lost.iter().filter_map(|at| owners.get(*at).cloned()));
        reply::not_done(not_done)
    }

    /// Sends dead letters and returns the places of those that did not arrive: their messages must stay.
    async fn send_letters(&self, letters: &[Record], limit: Instant) -> Vec<usize> {
        journal::dead_letters(letters);
        let (lost, why) =
            match timeout_at(limit, self.dead_letters.send(letters, Duration::ZERO)).await {
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
    async fn postpone(&self, messages: &[(String, Duration)], limit: Instant) {
        let failures = timeout_at(limit, self.retries.postpone(messages)).await;
        for failure in failures.unwrap_or_else(|_| vec![NO_ANSWER.to_owned()]) {
            warn!(
                cause = failure,
                "a message could not be postponed; it comes back after the queue's visibility timeout"
            );
        }
    }

    /// The Regions, or the deadline as a failure.
    async fn regions(&self, cutoff: Instant) -> Result<Arc<BTreeSet<Region>>, Failure> {
        timeout_at(cutoff, self.enroller.regions())
            .await
            .unwrap_or_else(|_| Err(Failure::no_answer(NO_ANSWER)))
    }
}

/// The outcomes by account, for the metric of the time that an account took.
fn outcomes<'a>(
    endings: impl Iterator<Item = (&'a (AccountId, Region), &'a Ending)>,
) -> impl Iterator<Item = (AccountId, Outcome)> {
    endings.map(|((account, _), ending)| (*account, ending.outcome))
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
    let named = |(pair, ending): (&(AccountId, Region), &'a Ending)| (pair.clone(), ending);
    match &message.request {
        Request::Pair(account, region) => {
            let pair = (*account, region.clone());
            endings
                .get_key_value(&pair)
                .map(named)
                .into_iter()
                .collect()
        }
        Request::Join(join) => {
            let own = |account| join.accounts.iter().any(|joined| joined.id == account);
            let own = endings.iter().filter(|((account, _), _)| own(*account));
            own.map(named).collect()
        }
        Request::Nothing(_) => BTreeMap::new(),
    }
}
