//! Amazon SQS's operations, over [`Queues`].

use std::collections::BTreeMap;
use std::time::Duration;

use aws_smithy_types::base64;
use md5::{Digest, Md5};
use serde_json::{Map, Value, json};

use crate::account_id::account_ids_in;
use crate::epoch::Epoch;
use crate::fault::Unprocessed;
use crate::input::Input;
use crate::queues::{Attribute, Draft, Message, QueueProblem, Queues};
use crate::refusal::Refusal;

/// A message, and a batch as a whole, can be this long (SQS quotas: 1 MiB).
const LONGEST: usize = 1_048_576;
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

/// `arn:aws:sqs:REGION:ACCOUNT:NAME` of `https://sqs.REGION.amazonaws.com/ACCOUNT/NAME`.
pub(crate) fn queue_arn(url: &str) -> String {
    let mut parts = url.rsplit('/');
    let (name, account, host) = (
        parts.next().unwrap_or_default(),
        parts.next().unwrap_or_default(),
        parts.next().unwrap_or_default(),
    );
    let region = host.split('.').nth(1).unwrap_or_default();
    format!("arn:aws:sqs:{region}:{account}:{name}")
}

/// The system attributes of a message, as a receive and an event of Lambda show them.
pub(crate) fn system_attributes(
    epoch: Epoch,
    sender: &str,
    message: &Message,
) -> Map<String, Value> {
    let mut attributes = Map::new();
    let mut add =
        |name: &str, value: String| attributes.insert(name.to_owned(), Value::String(value));
    add("ApproximateReceiveCount", message.receive_count.to_string());
    add("SentTimestamp", epoch.millis(message.sent).to_string());
    add("SenderId", sender.to_owned());
    if let Some(first) = message.first_received {
        add(
            "ApproximateFirstReceiveTimestamp",
            epoch.millis(first).to_string(),
        );
    }
    if let Some(header) = &message.trace_header {
        add("AWSTraceHeader", header.clone());
    }
    attributes
}

pub(crate) fn md5_of_body(body: &str) -> String {
    format!("{:x}", Md5::digest(body))
}

/// The MD5 over all attributes: names sorted, every part behind its length, one byte for the kind of value.
fn md5_of_attributes(attributes: &BTreeMap<String, Attribute>) -> Option<String> {
    if attributes.is_empty() {
        return None;
    }
    let mut digest = Md5::new();
    let part = |digest: &mut Md5, bytes: &[u8]| {
        digest.update(u32::try_from(bytes.len()).unwrap_or(u32::MAX).to_be_bytes());
        digest.update(bytes);
    };
    for (name, attribute) in attributes {
        part(&mut digest, name.as_bytes());
        part(&mut digest, attribute.data_type.as_bytes());
        if let Some(text) = &attribute.string_value {
            digest.update([1]);
            part(&mut digest, text.as_bytes());
        } else if let Some(binary) = &attribute.binary_value {
            digest.update([2]);
            part(&mut digest, &base64::decode(binary).unwrap_or_default());
        }
    }
    Some(format!("{:x}", digest.finalize()))
}

/// What an operation needs to know beyond the queues.
pub(crate) struct Request<'a> {
    pub(crate) now: Duration,
    pub(crate) epoch: Epoch,
    pub(crate) sender: &'a str,
    /// Entries of a batch that a fault lets fail.
    pub(crate) unprocessed: &'a Unprocessed,
}

impl Request<'_> {
    pub(crate) fn handle(
        &self,
        queues: &mut Queues,
        operation: &str,
        input: &Input,
    ) -> Result<Value, Refusal> {
        match operation {
            "SendMessage" => self.send_message(queues, input),
            "SendMessageBatch" => self.send_message_batch(queues, input),
            "ReceiveMessage" => self.receive_message(queues, input),
            "DeleteMessage" => self.delete_message(queues, input),
            "ChangeMessageVisibility" => self.change_message_visibility(queues, input),
            "ChangeMessageVisibilityBatch" => self.change_message_visibility_batch(queues, input),
            "GetQueueUrl" => get_queue_url(queues, input),
            _ => self.get_queue_attributes(queues, input),
        }
    }

    fn send_message(&self, queues: &mut Queues, input: &Input) -> Result<Value, Refusal> {
        let url = queue_url(queues, input)?;
        let draft = draft(input)?;
        let mut sent = sent(&draft);
        let id = queues.send(self.now, &url, draft).map_err(refusal)?;
        sent.insert("MessageId".to_owned(), json!(id));
        Ok(Value::Object(sent))
    }

    fn send_message_batch(&self, queues: &mut Queues, input: &Input) -> Result<Value, Refusal> {
        let url = queue_url(queues, input)?;
        let entries = batch(input)?;
        check_length(&entries)?;
        let (mut successful, mut failed) = (Vec::new(), Vec::new());
        for (id, entry) in entries {
            let body = entry.string("MessageBody")?.unwrap_or_default();
            if let Some(text) = self.unprocessed.text_for_any(&account_ids_in(body)) {
                failed.push(json!({ "Id": id, "SenderFault": false, "Code": "InternalError", "Message": text }));
                continue;
            }
            match draft(&entry) {
                Err(refusal) => failed.push(
                    json!({ "Id": id, "SenderFault": true, "Code": refusal.code, "Message": refusal.message }),
                ),
                Ok(draft) => {
                    let mut sent = sent(&draft);
                    let message_id = queues.send(self.now, &url, draft).map_err(refusal)?;
                    sent.insert("Id".to_owned(), json!(id));
                    sent.insert("MessageId".to_owned(), json!(message_id));
                    successful.push(Value::Object(sent));
                }
            }
        }
        Ok(show_batch(successful, failed))
    }

    /// ASSUMED: a wait time is checked but not waited for; the answer comes at once.
    fn receive_message(&self, queues: &mut Queues, input: &Input) -> Result<Value, Refusal> {
        let url = queue_url(queues, input)?;
        let max = in_range(input, "MaxNumberOfMessages", 1, 10)?.unwrap_or(1);
        in_range(input, "WaitTimeSeconds", 0, 20)?;
        let timeout =
            in_range(input, "VisibilityTimeout", 0, LONGEST_VISIBILITY)?.map(Duration::from_secs);
        only_for_fifo(input, "ReceiveRequestAttemptId")?;
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
        if let Some(unknown) = wanted.iter().find(|name| !is_known(name)) {
            // ASSUMED: the code; InvalidAttributeName is an exception of GetQueueAttributes alone (service model).
            return Err(invalid(&format!("Unknown Attribute {unknown}.")));
        }
        let wanted_attributes = input.strings("MessageAttributeNames")?.unwrap_or_default();
        let max = usize::try_from(max).unwrap_or(1);
        let received = match timeout {
            Some(timeout) => queues.receive_for(self.now, &url, max, timeout),
            None => queues.receive(self.now, &url, max),
        };
        let messages: Vec<_> = received
            .map_err(refusal)?
            .iter()
            .map(|message| self.show(message, &wanted, &wanted_attributes))
            .collect();
        Ok(if messages.is_empty() {
            json!({})
        } else {
            json!({ "Messages": messages })
        })
    }

    fn show(&self, message: &Message, wanted: &[&str], wanted_attributes: &[&str]) -> Value {
        let mut shown = Map::new();
        shown.insert("MessageId".to_owned(), json!(message.id));
        shown.insert("ReceiptHandle".to_owned(), json!(message.receipt));
        shown.insert("MD5OfBody".to_owned(), json!(md5_of_body(&message.body)));
        shown.insert("Body".to_owned(), json!(message.body));
        let mut system = system_attributes(self.epoch, self.sender, message);
        system.retain(|name, _| wanted.contains(&"All") || wanted.contains(&name.as_str()));
        if !system.is_empty() {
            shown.insert("Attributes".to_owned(), Value::Object(system));
        }
        let attributes: BTreeMap<_, _> = message
            .attributes
            .iter()
            .filter(|(name, _)| wanted_attributes.iter().any(|wanted| names(wanted, name)))
            .map(|(name, attribute)| (name.clone(), attribute.clone()))
            .collect();
        if let Some(md5) = md5_of_attributes(&attributes) {
            shown.insert("MD5OfMessageAttributes".to_owned(), json!(md5));
            shown.insert("MessageAttributes".to_owned(), json!(attributes));
        }
        Value::Object(shown)
    }

    fn delete_message(&self, queues: &mut Queues, input: &Input) -> Result<Value, Refusal> {
        let url = queue_url(queues, input)?;
        let receipt = receipt(input)?;
        match queues.delete(self.now, &url, receipt) {
            // Deleting with a handle that is out of date succeeds without deleting.
            Ok(()) | Err(QueueProblem::UnknownReceipt) => Ok(Value::Null),
            Err(problem) => Err(refusal(problem)),
        }
    }

    fn change_message_visibility(
        &self,
        queues: &mut Queues,
        input: &Input,
    ) -> Result<Value, Refusal> {
        let url = queue_url(queues, input)?;
        let receipt = receipt(input)?;
        let timeout = in_range(input, "VisibilityTimeout", 0, LONGEST_VISIBILITY)?
            .ok_or_else(|| missing("VisibilityTimeout"))?;
        queues
            .change_visibility(self.now, &url, receipt, Duration::from_secs(timeout))
            .map(|()| Value::Null)
            .map_err(refusal)
    }

    fn change_message_visibility_batch(
        &self,
        queues: &mut Queues,
        input: &Input,
    ) -> Result<Value, Refusal> {
        let url = queue_url(queues, input)?;
        let (mut successful, mut failed) = (Vec::new(), Vec::new());
        for (id, mut entry) in batch(input)? {
            // These entries name no account: a fault spoils them all or none.
            if let Some(text) = self.unprocessed.text_for_any(&[]) {
                failed.push(json!({ "Id": id, "SenderFault": false, "Code": "InternalError", "Message": text }));
                continue;
            }
            entry.set("QueueUrl", url.clone());
            match self.change_message_visibility(queues, &entry) {
                Ok(_) => successful.push(json!({ "Id": id })),
                Err(refusal) => failed.push(
                    json!({ "Id": id, "SenderFault": true, "Code": refusal.code, "Message": refusal.message }),
                ),
            }
        }
        Ok(show_batch(successful, failed))
    }

    fn get_queue_attributes(&self, queues: &mut Queues, input: &Input) -> Result<Value, Refusal> {
        let url = queue_url(queues, input)?;
        let wanted = input.strings("AttributeNames")?.unwrap_or_default();
        if let Some(unknown) = wanted.iter().find(|name| !QUEUE_ATTRIBUTES.contains(name)) {
            return Err(Refusal::new(
                400,
                "InvalidAttributeName",
                format!("Unknown Attribute {unknown}."),
            ));
        }
        let depth = queues.depth(self.now, &url);
        let queue = queues
            .queues
            .get(&url)
            .ok_or_else(|| refusal(QueueProblem::NoSuchQueue))?;
        let created = self.epoch.seconds(Duration::ZERO).to_string();
        let mut attributes = vec![
            ("QueueArn", queue_arn(&url)),
            ("ApproximateNumberOfMessages", depth.visible.to_string()),
            (
                "ApproximateNumberOfMessagesNotVisible",
                depth.in_flight.to_string(),
            ),
            (
                "ApproximateNumberOfMessagesDelayed",
                depth.delayed.to_string(),
            ),
            ("CreatedTimestamp", created.clone()),
            ("LastModifiedTimestamp", created),
            (
                "VisibilityTimeout",
                queue.visibility_timeout.as_secs().to_string(),
            ),
            ("MaximumMessageSize", LONGEST.to_string()),
            (
                "MessageRetentionPeriod",
                queue.retention.as_secs().to_string(),
            ),
            ("DelaySeconds", "0".to_owned()),
            ("ReceiveMessageWaitTimeSeconds", "0".to_owned()),
            ("SqsManagedSseEnabled", "true".to_owned()),
        ];
        if let Some(redrive) = &queue.redrive {
            let policy = json!({
                "deadLetterTargetArn": queue_arn(&redrive.dead_letter_url),
                "maxReceiveCount": redrive.max_receive_count,
            });
            attributes.push(("RedrivePolicy", policy.to_string()));
        }
        let shown: Map<_, _> = attributes
            .into_iter()
            .filter(|(name, _)| wanted.contains(&"All") || wanted.contains(name))
            .map(|(name, value)| (name.to_owned(), Value::String(value)))
            .collect();
        Ok(if shown.is_empty() {
            json!({})
        } else {
            json!({ "Attributes": shown })
        })
    }
}

fn get_queue_url(queues: &Queues, input: &Input) -> Result<Value, Refusal> {
    let name = input
        .string("QueueName")?
        .ok_or_else(|| missing("QueueName"))?;
    let owner = input.string("QueueOwnerAWSAccountId")?;
    let url = queues.queues.keys().find(|url| {
        let mut parts = url.rsplit('/');
        parts.next() == Some(name) && owner.is_none_or(|owner| parts.next() == Some(owner))
    });
    url.map(|url| json!({ "QueueUrl": url }))
        .ok_or_else(|| refusal(QueueProblem::NoSuchQueue))
}

fn queue_url(queues: &Queues, input: &Input) -> Result<String, Refusal> {
    let url = input
        .string("QueueUrl")?
        .ok_or_else(|| missing("QueueUrl"))?;
    if queues.queues.contains_key(url) {
        Ok(url.to_owned())
    } else {
        Err(refusal(QueueProblem::NoSuchQueue))
    }
}

/// Real SQS leaves an empty list out; the SDK reads both the same.
fn show_batch(successful: Vec<Value>, failed: Vec<Value>) -> Value {
    let lists = [("Successful", successful), ("Failed", failed)];
    lists
        .into_iter()
        .filter(|(_, list)| !list.is_empty())
        .map(|(name, list)| (name.to_owned(), Value::Array(list)))
        .collect::<Map<_, _>>()
        .into()
}

/// Whether a wanted name (`All`, `.*`, `prefix.*` or the name itself) means this attribute.
fn names(wanted: &str, name: &str) -> bool {
    match wanted.strip_suffix(".*") {
        Some(prefix) => prefix.is_empty() || name.starts_with(&format!("{prefix}.")),
        None => wanted == "All" || wanted == name,
    }
}

fn receipt(input: &Input) -> Result<&str, Refusal> {
    let receipt = input
        .string("ReceiptHandle")?
        .ok_or_else(|| missing("ReceiptHandle"))?;
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
fn batch(input: &Input) -> Result<Vec<(String, Input)>, Refusal> {
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
        let id = entry.string("Id")?.ok_or_else(|| missing("Id"))?.to_owned();
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
fn check_length(entries: &[(String, Input)]) -> Result<(), Refusal> {
    let mut length = 0;
    for (_, entry) in entries {
        length += entry
            .string("MessageBody")?
            .ok_or_else(|| missing("MessageBody"))?
            .len();
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

/// The message that `SendMessage` or an entry of a batch describes.
fn draft(input: &Input) -> Result<Draft, Refusal> {
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
fn only_for_fifo(input: &Input, name: &str) -> Result<(), Refusal> {
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

/// The checksums a sender gets back.
fn sent(draft: &Draft) -> Map<String, Value> {
    let mut sent = Map::new();
    sent.insert(
        "MD5OfMessageBody".to_owned(),
        json!(md5_of_body(&draft.body)),
    );
    if let Some(md5) = md5_of_attributes(&draft.attributes) {
        sent.insert("MD5OfMessageAttributes".to_owned(), json!(md5));
    }
    sent
}

fn in_range(input: &Input, name: &str, least: i64, most: i64) -> Result<Option<u64>, Refusal> {
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

fn missing(name: &str) -> Refusal {
    Refusal::new(
        400,
        "MissingParameter",
        format!("The request must contain the parameter {name}."),
    )
}

fn invalid(message: &str) -> Refusal {
    Refusal::new(400, "InvalidParameterValue", message)
}

fn refusal(problem: QueueProblem) -> Refusal {
    match problem {
        QueueProblem::NoSuchQueue => Refusal::new(
            400,
            "QueueDoesNotExist",
            "The specified queue does not exist.",
        ),
        QueueProblem::UnknownReceipt => invalid(
            "Value for parameter ReceiptHandle is invalid. Reason: Message does not exist or is not available for visibility timeout change.",
        ),
        QueueProblem::NotInFlight => Refusal::new(
            400,
            "MessageNotInflight",
            "The message referred to isn't in flight.",
        ),
        QueueProblem::TooLong => {
            invalid("Total VisibilityTimeout for the message is beyond the limit [43200 seconds]")
        }
    }
}
