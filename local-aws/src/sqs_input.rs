//! The parameters of SQS's operations, read and checked: receipts, batches, and the message that a sender describes.

use std::collections::BTreeMap;
use std::time::Duration;

use aws_smithy_types::base64;
use serde_json::Value;

use crate::input::Input;
use crate::message::{Attribute, Draft};
use crate::refusal::Refusal;

/// A message, and a batch as a whole, can be this long (SQS quotas: 1 MiB).
pub(crate) const LONGEST: usize = 1_048_576;
/// Entries in a batch, and messages in one receive (SQS quotas).
const MOST: usize = 10;
/// The longest `DelaySeconds` (15 minutes) and visibility timeout (12 hours).
const LONGEST_DELAY: i64 = 900;
const LONGEST_VISIBILITY: i64 = 43_200;

const SYSTEM_ATTRIBUTES: [&str; 10] = [
    "All",
    "SenderId",
    "SentTimestamp",
    "ApproximateReceiveCount",
    "ApproximateFirstReceiveTimestamp",
    "SequenceNumber",
    "MessageDeduplicationId",
    "MessageGroupId",
    "AWSTraceHeader",
    "DeadLetterQueueSourceArn",
];
const QUEUE_ATTRIBUTES: [&str; 22] = [
    "All",
    "Policy",
    "VisibilityTimeout",
    "MaximumMessageSize",
    "MessageRetentionPeriod",
    "ApproximateNumberOfMessages",
    "ApproximateNumberOfMessagesNotVisible",
    "CreatedTimestamp",
    "LastModifiedTimestamp",
    "QueueArn",
    "ApproximateNumberOfMessagesDelayed",
    "DelaySeconds",
    "ReceiveMessageWaitTimeSeconds",
    "RedrivePolicy",
    "FifoQueue",
    "ContentBasedDeduplication",
    "KmsMasterKeyId",
    "KmsDataKeyReusePeriodSeconds",
    "DeduplicationScope",
    "FifoThroughputLimit",
    "RedriveAllowPolicy",
    "SqsManagedSseEnabled",
];

pub(crate) fn required<'a>(input: &'a Input, name: &str) -> Result<&'a str, Refusal> {
    input.string(name)?.ok_or_else(|| missing(name))
}

pub(crate) fn receipt(input: &Input) -> Result<&str, Refusal> {
    let receipt = required(input, "ReceiptHandle")?;
    if receipt.starts_with("receipt-") {
        return Ok(receipt);
    }
    Err(Refusal::new(
        400,
        "ReceiptHandleIsInvalid",
        format!("The input receipt handle \"{receipt}\" is not a valid receipt handle."),
    ))
}

/// The entries of a batch, once the batch as a whole is in order.
pub(crate) fn batch(input: &Input) -> Result<Vec<(String, Input)>, Refusal> {
    let items = input.list("Entries")?.unwrap_or_default();
    if items.is_empty() {
        return Err(Refusal::new(
            400,
            "EmptyBatchRequest",
            "There should be at least one entry in the request.",
        ));
    }
    if items.len() > MOST {
        return Err(Refusal::new(
            400,
            "TooManyEntriesInBatchRequest",
            format!(
                "Maximum number of entries per request are {MOST}. You have sent {}.",
                items.len()
            ),
        ));
    }
    let mut entries: Vec<(String, Input)> = Vec::new();
    for item in items {
        let entry = Input::of(item)?;
        let id = required(&entry, "Id")?.to_owned();
        if id.is_empty()
            || id.len() > 80
            || !id
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte))
        {
            return Err(Refusal::new(
                400,
                "InvalidBatchEntryId",
                "A batch entry id can only contain alphanumeric characters, hyphens and underscores. It can be at most 80 letters long.",
            ));
        }
        if entries.iter().any(|(known, _)| *known == id) {
            return Err(Refusal::new(
                400,
                "BatchEntryIdsNotDistinct",
                format!("Id {id} repeated."),
            ));
        }
        entries.push((id, entry));
    }
    Ok(entries)
}

/// Messages of one batch share one limit.
pub(crate) fn check_length(entries: &[(String, Input)]) -> Result<(), Refusal> {
    let mut length = 0;
    for (_, entry) in entries {
        length += required(entry, "MessageBody")?.len();
        length += attributes_length(&attributes(entry).unwrap_or_default());
    }
    if length > LONGEST {
        return Err(Refusal::new(
            400,
            "BatchRequestTooLong",
            format!(
                "Batch requests cannot be longer than {LONGEST} bytes. You have sent {length} bytes."
            ),
        ));
    }
    Ok(())
}

/// The visibility timeout that is asked for.
pub(crate) fn visibility_timeout(input: &Input) -> Result<Option<Duration>, Refusal> {
    let seconds = in_range(input, "VisibilityTimeout", 0, LONGEST_VISIBILITY)?;
    Ok(seconds.map(Duration::from_secs))
}

/// The system attributes that a receiver wants to see.
pub(crate) fn wanted_of_a_message(input: &Input) -> Result<Vec<&str>, Refusal> {
    let mut wanted = input
        .strings("MessageSystemAttributeNames")?
        .unwrap_or_default();
    // The model's list for the older name is that of a queue's attributes, the documentation's that of a message's.
    let older = input.strings("AttributeNames")?.unwrap_or_default();
    let is_known = |name: &&str| {
        SYSTEM_ATTRIBUTES.contains(name)
            || (older.contains(name) && QUEUE_ATTRIBUTES.contains(name))
    };
    wanted.extend(&older);
    match wanted.iter().find(|name| !is_known(name)) {
        None => Ok(wanted),
        // ASSUMED: the code; InvalidAttributeName is an exception of GetQueueAttributes alone (service model).
        Some(unknown) => Err(invalid(&format!("Unknown Attribute {unknown}."))),
    }
}

/// The attributes that are asked for with `GetQueueAttributes`.
pub(crate) fn wanted_of_a_queue(input: &Input) -> Result<Vec<&str>, Refusal> {
    let wanted = input.strings("AttributeNames")?.unwrap_or_default();
    match wanted.iter().find(|name| !QUEUE_ATTRIBUTES.contains(name)) {
        None => Ok(wanted),
        Some(unknown) => Err(Refusal::new(
            400,
            "InvalidAttributeName",
            format!("Unknown Attribute {unknown}."),
        )),
    }
}

/// The message that `SendMessage` or an entry of a batch describes.
pub(crate) fn draft(input: &Input) -> Result<Draft, Refusal> {
    let body = input
        .string("MessageBody")?
        .filter(|body| !body.is_empty())
        .ok_or_else(|| missing("MessageBody"))?;
    // SQS takes the characters XML 1.0 allows.
    let is_allowed = |character: char| match character {
        '\t' | '\n' | '\r' => true,
        '\u{FFFE}' | '\u{FFFF}' => false,
        other => other >= ' ',
    };
    if !body.chars().all(is_allowed) {
        return Err(Refusal::new(
            400,
            "InvalidMessageContents",
            "Invalid characters found in the message body.",
        ));
    }
    let attributes = attributes(input)?;
    if body.len() + attributes_length(&attributes) > LONGEST {
        return Err(invalid(&format!(
            "One or more parameters are invalid. Reason: Message must be shorter than {LONGEST} bytes."
        )));
    }
    let delay = in_range(input, "DelaySeconds", 0, LONGEST_DELAY)?.unwrap_or(0);
    only_for_fifo(input, "MessageDeduplicationId")?;
    // ASSUMED: has no effect, since fair queues only change the order.
    input.string("MessageGroupId")?;
    let mut trace_header = None;
    for (name, value) in input.map("MessageSystemAttributes")?.into_iter().flatten() {
        match (name.as_str(), attribute(name, value)?) {
            ("AWSTraceHeader", given) if given.data_type == "String" => {
                trace_header = given.string_value;
            }
            _ => {
                return Err(invalid(&format!(
                    "Message system attribute name '{name}' is invalid, or its type is not String."
                )));
            }
        }
    }
    Ok(Draft {
        body: body.to_owned(),
        attributes,
        trace_header,
        delay: Duration::from_secs(delay),
    })
}

fn attributes(input: &Input) -> Result<BTreeMap<String, Attribute>, Refusal> {
    let mut attributes = BTreeMap::new();
    for (name, value) in input.map("MessageAttributes")?.into_iter().flatten() {
        attributes.insert(name.clone(), attribute(name, value)?);
    }
    if attributes.len() > MOST {
        return Err(invalid(&format!(
            "Number of message attributes [{}] exceeds the allowed maximum [{MOST}].",
            attributes.len()
        )));
    }
    Ok(attributes)
}

fn attribute(name: &str, value: &Value) -> Result<Attribute, Refusal> {
    let value = Input::of(value)?;
    let attribute = Attribute {
        data_type: value.string("DataType")?.unwrap_or_default().to_owned(),
        string_value: value.string("StringValue")?.map(str::to_owned),
        binary_value: value.string("BinaryValue")?.map(str::to_owned),
    };
    // Reserved for future use (service model). ASSUMED: the code.
    let has_lists = value.strings("StringListValues")?.is_some()
        || value.strings("BinaryListValues")?.is_some();
    let name_is_right = (1..=256).contains(&name.len())
        && name
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte));
    let kind = attribute.data_type.split('.').next().unwrap_or_default();
    let value_is_right = match kind {
        "String" | "Number" => attribute
            .string_value
            .as_ref()
            .is_some_and(|text| !text.is_empty()),
        "Binary" => attribute
            .binary_value
            .as_ref()
            .is_some_and(|text| base64::decode(text).is_ok_and(|bytes| !bytes.is_empty())),
        _ => false,
    };
    if !name_is_right || !value_is_right || has_lists {
        return Err(invalid(&format!(
            "The message attribute '{name}' has an invalid name, type or value."
        )));
    }
    Ok(attribute)
}

/// Refuses what only a FIFO queue takes: those here are standard queues.
pub(crate) fn only_for_fifo(input: &Input, name: &str) -> Result<(), Refusal> {
    match input.string(name)? {
        None => Ok(()),
        Some(value) => Err(invalid(&format!(
            "Value {value} for parameter {name} is invalid. Reason: The request include parameter that is not valid for this queue type."
        ))),
    }
}

fn attributes_length(attributes: &BTreeMap<String, Attribute>) -> usize {
    attributes
        .iter()
        .map(|(name, attribute)| {
            let value = attribute
                .string_value
                .as_ref()
                .or(attribute.binary_value.as_ref())
                .map_or(0, String::len);
            name.len() + attribute.data_type.len() + value
        })
        .sum()
}

pub(crate) fn in_range(
    input: &Input,
    name: &str,
    least: i64,
    most: i64,
) -> Result<Option<u64>, Refusal> {
    let Some(value) = input.integer(name)? else {
        return Ok(None);
    };
    match u64::try_from(value) {
        Ok(number) if (least..=most).contains(&value) => Ok(Some(number)),
        _ => Err(invalid(&format!(
            "Value {value} for parameter {name} is invalid. Reason: Must be between {least} and {most}."
        ))),
    }
}

pub(crate) fn missing(name: &str) -> Refusal {
    Refusal::new(
        400,
        "MissingParameter",
        format!("The request must contain the parameter {name}."),
    )
}

pub(crate) fn invalid(message: &str) -> Refusal {
    Refusal::new(400, "InvalidParameterValue", message)
}
