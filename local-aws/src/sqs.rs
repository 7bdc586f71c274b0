//! Amazon SQS's operations, over [`Queues`].

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::{Map, Value, json};

use crate::account_id::account_ids_in;
use crate::epoch::Epoch;
use crate::fault::Unprocessed;
use crate::input::Input;
use crate::message::{Draft, Message, md5_of_attributes, md5_of_body, system_attributes};
use crate::queue_address::QueueAddress;
use crate::queues::{QueueProblem, Queues};
use crate::refusal::Refusal;
use crate::sqs_input::{self, LONGEST, invalid, required};

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
        self.send(queues, url, input).map(Value::Object)
    }

    fn send_message_batch(&self, queues: &mut Queues, input: &Input) -> Result<Value, Refusal> {
        let url = queue_url(queues, input)?;
        let entries = sqs_input::batch(input)?;
        sqs_input::check_length(&entries)?;
        Ok(self.each(entries, |entry| self.send(queues, url, entry)))
    }

    /// Sends what `SendMessage` or an entry of a batch describes.
    fn send(
        &self,
        queues: &mut Queues,
        url: &str,
        input: &Input,
    ) -> Result<Map<String, Value>, Refusal> {
        let draft = sqs_input::draft(input)?;
        let mut sent = checksums(&draft);
        let id = queues.send(self.now, url, draft).map_err(refusal)?;
        sent.insert("MessageId".to_owned(), json!(id));
        Ok(sent)
    }

    /// Deals with each entry of a batch alone. Real SQS leaves an empty list out; the SDK reads both the same.
    fn each(
        &self,
        entries: Vec<(String, Input)>,
        mut deal: impl FnMut(&Input) -> Result<Map<String, Value>, Refusal>,
    ) -> Value {
        let (mut successful, mut failed) = (Vec::new(), Vec::new());
        for (id, entry) in entries {
            // An entry without a body names no account: only a fault of every account spoils it.
            let body = entry.string("MessageBody").ok().flatten();
            let accounts = account_ids_in(body.unwrap_or_default());
            let dealt_with = match self.unprocessed.text_for_any(&accounts) {
                Some(text) => Err(Refusal::new(500, "InternalError", text)),
                None => deal(&entry),
            };
            match dealt_with {
                Ok(mut shown) => {
                    shown.insert("Id".to_owned(), Value::String(id));
                    successful.push(Value::Object(shown));
                }
                Err(refusal) => failed.push(json!({
                    "Id": id,
                    "SenderFault": refusal.status < 500,
                    "Code": refusal.code,
                    "Message": refusal.message,
                })),
            }
        }
        [("Successful", successful), ("Failed", failed)]
            .into_iter()
            .filter(|(_, list)| !list.is_empty())
            .map(|(name, list)| (name.to_owned(), Value::Array(list)))
            .collect::<Map<_, _>>()
            .into()
    }

    /// ASSUMED: a wait time is checked but not waited for; the answer comes at once.
    fn receive_message(&self, queues: &mut Queues, input: &Input) -> Result<Value, Refusal> {
        let url = queue_url(queues, input)?;
        let max = sqs_input::in_range(input, "MaxNumberOfMessages", 1, 10)?.unwrap_or(1);
        sqs_input::in_range(input, "WaitTimeSeconds", 0, 20)?;
        let timeout = sqs_input::visibility_timeout(input)?;
        sqs_input::only_for_fifo(input, "ReceiveRequestAttemptId")?;
        let wanted = sqs_input::wanted_of_a_message(input)?;
        let wanted_attributes = input.strings("MessageAttributeNames")?.unwrap_or_default();
        let max = usize::try_from(max).unwrap_or(1);
        let received = match timeout {
            Some(timeout) => queues.receive_for(self.now, url, max, timeout),
            None => queues.receive(self.now, url, max),
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
        let receipt = sqs_input::receipt(input)?;
        match queues.delete(self.now, url, receipt) {
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
        self.change_visibility(queues, url, input)?;
        Ok(Value::Null)
    }

    fn change_message_visibility_batch(
        &self,
        queues: &mut Queues,
        input: &Input,
    ) -> Result<Value, Refusal> {
        let url = queue_url(queues, input)?;
        let entries = sqs_input::batch(input)?;
        Ok(self.each(entries, |entry| {
            self.change_visibility(queues, url, entry)
                .map(|()| Map::new())
        }))
    }

    /// Does what `ChangeMessageVisibility` or an entry of a batch asks for.
    fn change_visibility(
        &self,
        queues: &mut Queues,
        url: &str,
        input: &Input,
    ) -> Result<(), Refusal> {
        let receipt = sqs_input::receipt(input)?;
        let timeout = sqs_input::visibility_timeout(input)?
            .ok_or_else(|| sqs_input::missing("VisibilityTimeout"))?;
        queues
            .change_visibility(self.now, url, receipt, timeout)
            .map_err(refusal)
    }

    fn get_queue_attributes(&self, queues: &mut Queues, input: &Input) -> Result<Value, Refusal> {
        let url = queue_url(queues, input)?;
        let wanted = sqs_input::wanted_of_a_queue(input)?;
        let depth = queues.depth(self.now, url);
        let queue = queues
            .queues
            .get(url)
            .ok_or_else(|| refusal(QueueProblem::NoSuchQueue))?;
        let created = self.epoch.seconds(Duration::ZERO).to_string();
        let mut attributes = vec![
            ("QueueArn", QueueAddress::read(url).arn()),
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
                "deadLetterTargetArn": QueueAddress::read(&redrive.dead_letter_url).arn(),
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
    let name = required(input, "QueueName")?;
    let owner = input.string("QueueOwnerAWSAccountId")?;
    let url = queues.queues.keys().find(|url| {
        let queue = QueueAddress::read(url);
        queue.name == name && owner.is_none_or(|owner| owner == queue.account)
    });
    url.map(|url| json!({ "QueueUrl": url }))
        .ok_or_else(|| refusal(QueueProblem::NoSuchQueue))
}

/// The address of a queue that exists.
fn queue_url<'a>(queues: &Queues, input: &'a Input) -> Result<&'a str, Refusal> {
    let url = required(input, "QueueUrl")?;
    if queues.queues.contains_key(url) {
        Ok(url)
    } else {
        Err(refusal(QueueProblem::NoSuchQueue))
    }
}

/// Whether a wanted name (`All`, `.*`, `prefix.*` or the name itself) means this attribute.
fn names(wanted: &str, name: &str) -> bool {
    match wanted.strip_suffix(".*") {
        Some(prefix) => prefix.is_empty() || name.starts_with(&format!("{prefix}.")),
        None => wanted == "All" || wanted == name,
    }
}

/// The checksums a sender gets back.
fn checksums(draft: &Draft) -> Map<String, Value> {
    let mut shown = Map::new();
    shown.insert(
        "MD5OfMessageBody".to_owned(),
        json!(md5_of_body(&draft.body)),
    );
    if let Some(md5) = md5_of_attributes(&draft.attributes) {
        shown.insert("MD5OfMessageAttributes".to_owned(), json!(md5));
    }
    shown
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
