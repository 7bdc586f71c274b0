//! A queue of records: the only place that calls the SQS SDK.

use std::time::Duration;

use aws_config::SdkConfig;
use aws_sdk_sqs::Client;
use aws_sdk_sqs::config::retry::RetryPartition;
use aws_sdk_sqs::types::{
    ChangeMessageVisibilityBatchRequestEntry, MessageAttributeValue, SendMessageBatchRequestEntry,
};
use futures_util::{StreamExt, stream};

use crate::failure::Failure;
use crate::record::Record;
use crate::text::SafeText;

/// The most entries of a batch call (SQS API reference). Ten records stay far below the 1 MiB that a batch
/// may weigh, because [`crate::text::SafeText`] bounds the only long member.
const ENTRIES_A_CALL: usize = 10;

/// Calls to SQS at a time. Ours: 34 Regions need 4 calls for one account; an operator's long list needs more.
const CALLS_AT_ONCE: usize = 8;

/// How often the failed part of a `SendMessageBatch` is sent again, beyond the SDK's own retries of whole
/// calls. Ours: a person-visible error is better than a hidden loop.
const RESENDS: usize = 2;

/// One SQS queue.
#[derive(Debug)]
pub struct Queue {
    client: Client,
    url: String,
}

/// Some records did not reach the queue.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{} of {all} messages did not reach {queue}: {cause}", lost.len())]
pub struct NotSent {
    /// The places, in the records that were to be sent, of those that did not reach the queue.
    pub lost: Vec<usize>,
    all: usize,
    queue: String,
    cause: String,
}

impl Queue {
    /// Makes no call.
    #[must_use]
    pub fn new(aws: &SdkConfig, url: &str) -> Self {
        let config = aws_sdk_sqs::config::Builder::from(aws)
            .retry_partition(RetryPartition::custom(url.to_owned()).build())
            .build();
        Self {
            client: Client::from_conf(config),
            url: url.to_owned(),
        }
    }

    /// Sends every record, each to become visible after `delay` (SQS allows up to 900 s).
    ///
    /// # Errors
    /// Where at least one record did not reach the queue; the others did.
    pub async fn send(&self, records: &[Record], delay: Duration) -> Result<(), NotSent> {
        let mut lost = Vec::new();
        let mut cause = String::new();
        let mut batches = stream::iter(records.chunks(ENTRIES_A_CALL).enumerate())
            .map(|(call, batch)| async move {
                (call * ENTRIES_A_CALL, self.send_batch(batch, delay).await)
            })
            .buffer_unordered(CALLS_AT_ONCE);
        while let Some((start, result)) = batches.next().await {
            if let Err((unsent, why)) = result {
                lost.extend(unsent.into_iter().map(|index| start + index));
                cause = why;
            }
        }
        if lost.is_empty() {
            return Ok(());
        }
        Err(NotSent {
            lost,
            all: records.len(),
            queue: self.url.clone(),
            cause,
        })
    }

    /// Sends up to 10 records; on failure says which are unsent and why.
    async fn send_batch(
        &self,
        records: &[Record],
        delay: Duration,
    ) -> Result<(), (Vec<usize>, String)> {
        let entries = records
            .iter()
            .enumerate()
            .map(|(index, record)| Ok((index, entry(index, record, delay)?)));
        let mut left: Vec<(usize, SendMessageBatchRequestEntry)> = entries
            .collect::<Result<_, _>>()
            .map_err(|why: String| ((0..records.len()).collect(), why))?;
        let unsent = |left: &[(usize, _)]| left.iter().map(|(index, _)| *index).collect();
        let mut why = String::new();
        for _ in 0..=RESENDS {
            let entries = left.iter().map(|(_, entry)| entry.clone()).collect();
            let call = self
                .client
                .send_message_batch()
                .queue_url(&self.url)
                .set_entries(Some(entries));
            let reply = match call.send().await {
                Ok(reply) => reply,
                Err(error) => return Err((unsent(&left), Failure::from(error).to_string())),
            };
            // What counts is what SQS says it took: an entry in neither list is not in the queue.
            left.retain(|(_, entry)| {
                !reply
                    .successful()
                    .iter()
                    .any(|sent| sent.id() == entry.id())
            });
            if left.is_empty() {
                return Ok(());
            }
            why = reply.failed().first().map_or_else(
                || "SQS did not say why".to_owned(),
                |failed| {
                    let message = failed.message().unwrap_or_default();
                    format!("{}: {}", failed.code(), SafeText::new(message))
                },
            );
        }
        Err((unsent(&left), why))
    }

    /// Lets each message, named by its receipt handle, become visible again after its own time. A message that
    /// SQS does not accept the change for comes back after the queue's visibility timeout instead: the failures
    /// are harmless, and returned for the log only.
    pub async fn postpone(&self, messages: &[(String, Duration)]) -> Vec<String> {
        let failures: Vec<Vec<String>> = stream::iter(messages.chunks(ENTRIES_A_CALL))
            .map(|batch| self.postpone_batch(batch))
            .buffer_unordered(CALLS_AT_ONCE)
            .collect()
            .await;
        failures.concat()
    }

    async fn postpone_batch(&self, messages: &[(String, Duration)]) -> Vec<String> {
        let entries = messages
            .iter()
            .enumerate()
            .map(|(index, (receipt, after))| {
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
            Ok(reply) => reply.failed().iter().map(|f| f.code().to_owned()).collect(),
            Err(error) => vec![Failure::from(error).to_string()],
        }
    }
}

fn entry(
    index: usize,
    record: &Record,
    delay: Duration,
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
        .delay_seconds(seconds(delay))
        .message_attributes("accountId", text(&record.account_id)?)
        .message_attributes("region", text(&record.region)?)
        .message_attributes("reason", text(record.reason.code())?)
        .build()
        .map_err(|error| error.to_string())
}

fn seconds(duration: Duration) -> i32 {
    i32::try_from(duration.as_secs()).unwrap_or(i32::MAX)
}
