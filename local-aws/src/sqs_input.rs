//! The parameters of SQS's operations, read and checked: receipts, batches, and the message that a sender describes.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::Value;

use crate::input::Input;
use crate::message::{Attribute, Draft};
use crate::refusal::Refusal;

/// A message, and a batch as a whole, can be this long (SQS quotas: 1 MiB).
const LONGEST: usize = 1_048_576;
/// Entries in a batch, messages in one receive, and attributes of a message (SQS quotas).
const MOST: usize = 10;
/// The longest `DelaySeconds` (15 minutes) and visibility timeout (12 hours).
const LONGEST_DELAY: u64 = 900;
const LONGEST_VISIBILITY: u64 = 43_200;

/// What a receiver can ask for (service model).
const SYSTEM_ATTRIBUTES: &str = "All SenderId SentTimestamp ApproximateReceiveCount \
    ApproximateFirstReceiveTimestamp SequenceNumber MessageDeduplicationId MessageGroupId AWSTraceHeader \
    DeadLetterQueueSourceArn";

/// What a receiver asks for.
pub(crate) struct Receive<'a> {
    pub(crate) max: usize,
    pub(crate) timeout: Option<Duration>,
    pub(crate) system_attributes: Vec<&'a str>,
    pub(crate) attributes: Vec<&'a str>,
}

/// ASSUMED: a wait time is checked but not waited for; the answer comes at once.
pub(crate) fn receive(input: &Input) -> Result<Receive<'_>, Refusal> {
    only(
        input,
        "QueueUrl MaxNumberOfMessages WaitTimeSeconds VisibilityTimeout MessageSystemAttributeNames \
         MessageAttributeNames",
    )?;
    let max = in_range(input, "MaxNumberOfMessages", 1, 10)?.unwrap_or(1);
    in_range(input, "WaitTimeSeconds", 0, 20)?;
    let system_attributes = input.strings("MessageSystemAttributeNames")?;
    let is_known = |name: &&str| SYSTEM_ATTRIBUTES.split(' ').any(|known| known == *name);
    if let Some(unknown) = system_attributes.iter().find(|name| !is_known(name)) {
        // ASSUMED: the code.
        return Err(invalid(&format!("Unknown Attribute {unknown}.")));
    }
    Ok(Receive {
        max: usize::try_from(max).unwrap_or(1),
        timeout: visibility_timeout(input)?,
        system_attributes,
        attributes: input.strings("MessageAttributeNames")?,
    })
}

pub(crate) fn receipt(input: &Input) -> Result<&str, Refusal> {
    let receipt = required(input, "ReceiptHandle")?;
    if receipt.starts_with("receipt-") {
        return Ok(receipt);
    }
    Err(refuse(
        "ReceiptHandleIsInvalid",
        &format!("The input receipt handle \"{receipt}\" is not a valid receipt handle."),
    ))
}

/// The entries of a batch, once the batch as a whole is in order.
pub(crate) fn batch(input: &Input) -> Result<Vec<(String, Input)>, Refusal> {
    let items = input.list("Entries")?;
    if items.is_empty() {
        let message = "There should be at least one entry in the request.";
        return Err(refuse("EmptyBatchRequest", message));
    }
    if items.len() > MOST {
        let message = format!("Maximum number of entries per request are {MOST}.");
        return Err(refuse("TooManyEntriesInBatchRequest", &message));
    }
    let (mut entries, mut length): (Vec<(String, Input)>, _) = (Vec::new(), 0);
    for item in items {
        let entry = Input::of(item)?;
        let id = required(&entry, "Id")?.to_owned();
        if !is_word(&id, 80, b"-_") {
            let message = "A batch entry id can only contain alphanumeric characters, hyphens and underscores. It can be at most 80 letters long.";
            return Err(refuse("InvalidBatchEntryId", message));
        }
        if entries.iter().any(|(known, _)| *known == id) {
            let message = format!("Id {id} repeated.");
            return Err(refuse("BatchEntryIdsNotDistinct", &message));
        }
        length += entry.string("MessageBody")?.map_or(0, str::len);
        length += attributes_length(&attributes(&entry).unwrap_or_default());
        entries.push((id, entry));
    }
    if length > LONGEST {
        let message = format!("Batch requests cannot be longer than {LONGEST} bytes.");
        return Err(refuse("BatchRequestTooLong", &message));
    }
    Ok(entries)
}

/// The new visibility timeout of a message.
pub(crate) fn visibility(entry: &Input) -> Result<Duration, Refusal> {
    visibility_timeout(entry)?.ok_or_else(|| missing("VisibilityTimeout"))
}

fn visibility_timeout(input: &Input) -> Result<Option<Duration>, Refusal> {
    let seconds = in_range(input, "VisibilityTimeout", 0, LONGEST_VISIBILITY)?;
    Ok(seconds.map(Duration::from_secs))
}

/// The message that an entry of a batch describes.
pub(crate) fn draft(entry: &Input) -> Result<Draft, Refusal> {
    only(entry, "Id MessageBody DelaySeconds MessageAttributes")?;
    let body = required(entry, "MessageBody")?;
    if body.is_empty() {
        return Err(missing("MessageBody"));
    }
    // SQS takes the characters XML 1.0 allows.
    let is_allowed = |character: char| match character {
        '\t' | '\n' | '\r' => true,
        '\u{FFFE}' | '\u{FFFF}' => false,
        other => other >= ' ',
    };
    if !body.chars().all(is_allowed) {
        let message = "Invalid characters found in the message body.";
        return Err(refuse("InvalidMessageContents", message));
    }
    let delay = in_range(entry, "DelaySeconds", 0, LONGEST_DELAY)?.unwrap_or(0);
    Ok(Draft {
        body: body.to_owned(),
        attributes: attributes(entry)?,
        delay: Duration::from_secs(delay),
    })
}

fn attributes(entry: &Input) -> Result<BTreeMap<String, Attribute>, Refusal> {
    let mut attributes = BTreeMap::new();
    for (name, value) in entry.map("MessageAttributes")?.into_iter().flatten() {
        attributes.insert(name.clone(), attribute(name, value)?);
    }
    if attributes.len() > MOST {
        return Err(invalid(&format!(
            "Number of message attributes exceeds the allowed maximum [{MOST}]."
        )));
    }
    Ok(attributes)
}

fn attribute(name: &str, value: &Value) -> Result<Attribute, Refusal> {
    let value = Input::of(value)?;
    only(&value, "DataType StringValue")?;
    let data_type = value.string("DataType")?.unwrap_or_default();
    let text = value.string("StringValue")?.filter(|text| !text.is_empty());
    let is_text = ["String", "Number"].contains(&data_type.split('.').next().unwrap_or_default());
    if !is_word(name, 256, b"-_.") || !is_text || text.is_none() {
        return Err(invalid(&format!(
            "The message attribute '{name}' has an invalid name, type or value."
        )));
    }
    Ok(Attribute { data_type: data_type.to_owned(), string_value: text.map(str::to_owned) })
}

fn attributes_length(attributes: &BTreeMap<String, Attribute>) -> usize {
    let lengths = attributes.iter().map(|(name, attribute)| {
        let value = attribute.string_value.as_ref().map_or(0, String::len);
        name.len() + attribute.data_type.len() + value
    });
    lengths.sum()
}

fn is_word(text: &str, longest: usize, marks: &[u8]) -> bool {
    let is_right = |byte: u8| byte.is_ascii_alphanumeric() || marks.contains(&byte);
    (1..=longest).contains(&text.len()) && text.bytes().all(is_right)
}

/// Refuses the members that SQS has and this SQS does not: passing over them would be wrong without a word.
pub(crate) fn only(input: &Input, known: &str) -> Result<(), Refusal> {
    match input.names().find(|name| !known.split(' ').any(|known| known == *name)) {
        None => Ok(()),
        Some(name) => {
            Err(refuse("UnsupportedOperation", &format!("This small AWS does not take {name}.")))
        }
    }
}

fn in_range(input: &Input, name: &str, least: u64, most: u64) -> Result<Option<u64>, Refusal> {
    let Some(value) = input.integer(name)? else {
        return Ok(None);
    };
    match u64::try_from(value) {
        Ok(number) if (least..=most).contains(&number) => Ok(Some(number)),
        _ => Err(invalid(&format!(
            "Value {value} for parameter {name} is invalid. Reason: Must be between {least} and {most}."
        ))),
    }
}

pub(crate) fn required<'a>(input: &'a Input, name: &str) -> Result<&'a str, Refusal> {
    input.string(name)?.ok_or_else(|| missing(name))
}

fn missing(name: &str) -> Refusal {
    let message = format!("The request must contain the parameter {name}.");
    refuse("MissingParameter", &message)
}

pub(crate) fn invalid(message: &str) -> Refusal {
    refuse("InvalidParameterValue", message)
}

pub(crate) fn refuse(code: &str, message: &str) -> Refusal {
    Refusal::new(400, code, message)
}
