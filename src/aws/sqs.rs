//! A queue of records: the only place that calls the SDK of SQS.

use std::time::Duration;

use aws_config::SdkConfig;
use aws_sdk_sqs::Client;
use aws_sdk_sqs::config::http::HttpResponse;
use aws_sdk_sqs::config::retry::RetryPartition;
use aws_sdk_sqs::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_sqs::types::{
    ChangeMessageVisibilityBatchRequestEntry, MessageAttributeValue, SendMessageBatchRequestEntry,
};
use decisions::configuration::Configuration;
use decisions::operation::Operation;
use decisions::queued_pair::QueuedPair;
use decisions::redacted::Redacted;
use futures_util::{StreamExt, stream};
use tokio::time::{Instant, timeout_at};

use crate::aws::error;
use crate::invocation::NO_ANSWER;

/// The most entries of a batch call (SQS API reference). Ten records stay far below the 1 MiB that a batch
/// may weigh, because [`Redacted`] bounds the only long member.
const ENTRIES_PER_CALL: usize = 10;

/// Calls to SQS at a time. Ours: 34 Regions need 4 calls for one account; an operator's long list needs more.
const CALLS_AT_ONCE: usize = 8;

/// How often the failed part of a `SendMessageBatch` is sent again, beyond the SDK's own retries of whole calls. Ours: an
/// error that a person sees is better than a hidden loop.
const RESENDS: usize = 2;

/// Where pairs go that are not enabled.
#[derive(Debug)]
pub(crate) struct Queues {
    /// Those that are retried.
    pub(crate) retries: Queue,
    /// Those that need a person.
    pub(crate) dead_letters: Queue,
}

impl Queues {
    pub(crate) fn new(aws: &SdkConfig, configuration: &Configuration) -> Self {
        Self {
            retries: Queue::new(aws, &configuration.retry_queue_url),
            dead_letters: Queue::new(aws, &configuration.dead_letter_queue_url),
        }
    }
}

/// One SQS queue.
#[derive(Debug)]
pub(crate) struct Queue {
    client: Client,
    url: String,
}

/// Some records did not reach the queue.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{} of {all} messages did not reach {queue}: {cause}", lost.len())]
pub(crate) struct NotSent {
    /// The indices of those that did not reach the queue.
    pub(crate) lost: Vec<usize>,
    all: usize,
    queue: String,
    cause: String,
}

impl Queue {
    fn new(aws: &SdkConfig, url: &str) -> Self {
        let config = aws_sdk_sqs::config::Builder::from(aws)
            .retry_partition(RetryPartition::custom(url.to_owned()).build())
            .build();
        Self { client: Client::from_conf(config), url: url.to_owned() }
    }

    /// Sends every record, each to become visible after `wait` (SQS allows up to 900 s).
    ///
    /// # Errors
    /// If at least one record did not reach the queue before `deadline`; the others did.
    pub(crate) async fn send(
        &self,
        records: &[QueuedPair],
        wait: Duration,
        deadline: Instant,
    ) -> Result<(), NotSent> {
        let not_sent =
            |lost, cause| NotSent { lost, all: records.len(), queue: self.url.clone(), cause };
        match timeout_at(deadline, self.send_all(records, wait)).await {
            Ok((lost, _)) if lost.is_empty() => Ok(()),
            Ok((lost, cause)) => Err(not_sent(lost, cause)),
            // Some may have arrived; a second one is harmless.
            Err(_) => Err(not_sent((0..records.len()).collect(), NO_ANSWER.to_owned())),
        }
    }

    /// Returns the indices of those that did not arrive, and why.
    async fn send_all(&self, records: &[QueuedPair], wait: Duration) -> (Vec<usize>, String) {
        let mut lost = Vec::new();
        let mut cause = String::new();
        let mut batches = stream::iter(records.chunks(ENTRIES_PER_CALL).enumerate())
            .map(async |(call, batch)| {
                (call * ENTRIES_PER_CALL, self.send_batch(batch, wait).await)
            })
            .buffer_unordered(CALLS_AT_ONCE);
        while let Some((start, result)) = batches.next().await {
            if let Err((unsent, why)) = result {
                lost.extend(unsent.into_iter().map(|index| start + index));
                cause = why;
            }
        }
        (lost, cause)
    }

    /// Sends up to 10 records; on failure says which are unsent and why.
    async fn send_batch(
        &self,
        records: &[QueuedPair],
        wait: Duration,
    ) -> Result<(), (Vec<usize>, String)> {
        let entries = records
            .iter()
            .enumerate()
            .map(|(index, record)| Ok((index, entry(index, record, wait)?)));
        let mut left: Vec<(usize, SendMessageBatchRequestEntry)> = entries
            .collect::<Result<_, _>>()
            .map_err(|why: String| ((0..records.len()).collect(), why))?;
        let unsent = |left: &[(usize, _)]| left.iter().map(|(index, _)| *index).collect();
        let mut why = String::new();
        for _ in 0..=RESENDS {
            let entries = left.iter().map(|(_, entry)| entry.clone()).collect();
            let call =
                self.client.send_message_batch().queue_url(&self.url).set_entries(Some(entries));
            let reply = match call.send().await {
                Ok(reply) => reply,
                Err(error) => {
                    return Err((unsent(&left), said(Operation::SendMessageBatch, &error)));
                }
            };
            // Only what SQS says it took counts: an entry in neither list is not in the queue.
            left.retain(|(_, entry)| {
                !reply.successful().iter().any(|sent| sent.id() == entry.id())
            });
            if left.is_empty() {
                return Ok(());
            }
            why = reply.failed().first().map_or_else(
                || "SQS did not say why".to_owned(),
                |failed| {
                    let message = failed.message().unwrap_or_default();
                    Redacted::new(&format!("{}: {message}", failed.code())).to_string()
                },
            );
        }
        Err((unsent(&left), why))
    }

    /// Lets each message, named by its receipt handle, become visible again after its own time. Returns what failed, for
    /// the log only: such a message comes back after the queue's visibility timeout instead.
    pub(crate) async fn postpone(
        &self,
        messages: &[(String, Duration)],
        deadline: Instant,
    ) -> Vec<String> {
        let failures = stream::iter(messages.chunks(ENTRIES_PER_CALL))
            .map(|batch| self.postpone_batch(batch))
            .buffer_unordered(CALLS_AT_ONCE)
            .concat();
        let failures = timeout_at(deadline, failures).await;
        failures.unwrap_or_else(|_| vec![NO_ANSWER.to_owned()])
    }

    async fn postpone_batch(&self, messages: &[(String, Duration)]) -> Vec<String> {
        let entries = messages.iter().enumerate().map(|(index, (receipt, after))| {
            ChangeMessageVisibilityBatchRequestEntry::builder()
                .id(index.to_string())
                .receipt_handle(receipt)
                .visibility_timeout(seconds(*after))
                .build()
        });
        let entries = match entries.collect::<Result<Vec<_>, _>>() {
            Ok(entries) => entries,
            Err(error) => return vec![error.to_string()],
        };
        let call = self
            .client
            .change_message_visibility_batch()
            .queue_url(&self.url)
            .set_entries(Some(entries));
        match call.send().await {
            Ok(reply) => {
                reply.failed().iter().map(|f| Redacted::new(f.code()).to_string()).collect()
            }
            Err(error) => vec![said(Operation::ChangeMessageVisibilityBatch, &error)],
        }
    }
}

/// What is said of a call that failed.
fn said<E>(operation: Operation, failed: &SdkError<E, HttpResponse>) -> String
where
    E: ProvideErrorMetadata + std::error::Error + 'static,
{
    error::of(operation)(error::failure(failed)).to_string()
}

fn entry(
    index: usize,
    record: &QueuedPair,
    wait: Duration,
) -> Result<SendMessageBatchRequestEntry, String> {
    let text = |value: &str| {
        MessageAttributeValue::builder()
            .data_type("String")
            .string_value(value)
            .build()
            .map_err(|error| error.to_string())
    };
    SendMessageBatchRequestEntry::builder()
        .id(index.to_string())
        .message_body(serde_json::to_string(record).map_err(|error| error.to_string())?)
        .delay_seconds(seconds(wait))
        .message_attributes("accountId", text(&record.account_id)?)
        .message_attributes("region", text(&record.region)?)
        .message_attributes("reason", text(record.reason.code())?)
        .build()
        .map_err(|error| error.to_string())
}

fn seconds(duration: Duration) -> i32 {
    i32::try_from(duration.as_secs()).unwrap_or(i32::MAX)
}
