//! Amazon SQS's operations, over [`Queues`]: what the function calls, and what a person does with the dead letters.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::{Value, json};

use crate::account_id::account_ids_in;
use crate::epoch::Epoch;
use crate::fault::Unprocessed;
use crate::input::Input;
use crate::message::{Message, md5_of_attributes, md5_of_body, system_attributes};
use crate::queues::{QueueProblem, Queues};
use crate::refusal::Refusal;
use crate::sqs_input::{self, Receive, invalid, refuse, required};

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
        if operation == "StartMessageMoveTask" {
            return self.start_message_move_task(queues, input);
        }
        let url = required(input, "QueueUrl")?;
        if !queues.queues.contains_key(url) {
            return Err(refusal(QueueProblem::NoSuchQueue));
        }
        match operation {
            "ReceiveMessage" => self.receive_message(queues, url, input),
            "DeleteMessage" => self.delete_message(queues, url, input),
            "SendMessageBatch" => self.each(input, |entry| self.send(queues, url, entry)),
            _ => self.each(input, |entry| self.change_visibility(queues, url, entry)),
        }
    }

    /// Deals with each entry of a batch alone.
    fn each(
        &self,
        input: &Input,
        mut deal: impl FnMut(&Input) -> Result<Value, Refusal>,
    ) -> Result<Value, Refusal> {
        let (mut successful, mut failed) = (Vec::new(), Vec::new());
        for (id, entry) in sqs_input::batch(input)? {
            // An entry without a body names no account: only a fault of every account spoils it.
            let body = entry.string("MessageBody")?.unwrap_or_default();
            let dealt_with = match self.unprocessed.text_for_any(&account_ids_in(body)) {
                Some(text) => Err(Refusal::new(500, "InternalError", text)),
                None => deal(&entry),
            };
            match dealt_with {
                Ok(mut shown) => {
                    if let Value::Object(members) = &mut shown {
                        members.insert("Id".to_owned(), id.into());
                    }
                    successful.push(shown);
                }
                Err(refusal) => failed.push(json!({
                    "Id": id,
                    "SenderFault": refusal.status < 500,
                    "Code": refusal.code,
                    "Message": refusal.message,
                })),
            }
        }
        // Real SQS leaves an empty list out; the SDK reads both the same.
        let some = |list: Vec<Value>| (!list.is_empty()).then_some(list);
        Ok(json!({ "Successful": some(successful), "Failed": some(failed) }))
    }

    fn send(&self, queues: &mut Queues, url: &str, entry: &Input) -> Result<Value, Refusal> {
        let draft = sqs_input::draft(entry)?;
        let body = md5_of_body(&draft.body);
        let attributes = md5_of_attributes(&draft.attributes);
        let id = queues.send(self.now, url, draft).map_err(refusal)?;
        Ok(json!({
            "MessageId": id,
            "MD5OfMessageBody": body,
            "MD5OfMessageAttributes": attributes,
        }))
    }

    fn change_visibility(
        &self,
        queues: &mut Queues,
        url: &str,
        entry: &Input,
    ) -> Result<Value, Refusal> {
        let (receipt, timeout) = (sqs_input::receipt(entry)?, sqs_input::visibility(entry)?);
        let changed = queues.change_visibility(self.now, url, receipt, timeout);
        changed.map(|()| json!({})).map_err(refusal)
    }

    fn receive_message(
        &self,
        queues: &mut Queues,
        url: &str,
        input: &Input,
    ) -> Result<Value, Refusal> {
        let wanted = sqs_input::receive(input)?;
        let received = queues.receive(self.now, url, wanted.max, wanted.timeout);
        let messages = received.map_err(refusal)?;
        let shown: Vec<_> = messages.iter().map(|each| self.show(each, &wanted)).collect();
        Ok(json!({ "Messages": (!shown.is_empty()).then_some(shown) }))
    }

    fn show(&self, message: &Message, wanted: &Receive) -> Value {
        let mut system = system_attributes(self.epoch, self.sender, message);
        system.retain(|name, _| {
            wanted.system_attributes.iter().any(|wanted| ["All", name].contains(wanted))
        });
        let mut attributes = message.attributes.clone();
        attributes.retain(|name, _| wanted.attributes.iter().any(|wanted| names(wanted, name)));
        json!({
            "MessageId": message.id,
            "ReceiptHandle": message.receipt,
            "MD5OfBody": md5_of_body(&message.body),
            "Body": message.body,
            "Attributes": some(system),
            "MD5OfMessageAttributes": md5_of_attributes(&attributes),
            "MessageAttributes": some(attributes),
        })
    }

    /// Moves at once what SQS moves in a while.
    fn start_message_move_task(
        &self,
        queues: &mut Queues,
        input: &Input,
    ) -> Result<Value, Refusal> {
        // Parsed, because a wrong type is refused; the pace is not kept.
        input.integer("MaxNumberOfMessagesPerSecond")?;
        let from = url_of(queues, required(input, "SourceArn")?)?.to_owned();
        let to = match input.string("DestinationArn")? {
            Some(arn) => url_of(queues, arn)?.to_owned(),
            None => {
                return Err(refuse(
                    "UnsupportedOperation",
                    "Here a DestinationArn is needed: most of these dead letters have no source queue.",
                ));
            }
        };
        if !queues.is_dead_letter_queue(&from) {
            return Err(invalid("Source queue must be configured as a Dead Letter Queue."));
        }
        queues.move_all(self.now, &from, &to).map_err(refusal)?;
        Ok(json!({ "TaskHandle": format!("task at {:?}", self.now) }))
    }

    fn delete_message(
        &self,
        queues: &mut Queues,
        url: &str,
        input: &Input,
    ) -> Result<Value, Refusal> {
        match queues.delete(self.now, url, sqs_input::receipt(input)?) {
            // Deleting with a handle that is out of date succeeds without deleting.
            Ok(()) | Err(QueueProblem::UnknownReceipt) => Ok(Value::Null),
            Err(problem) => Err(refusal(problem)),
        }
    }
}

/// The queue that an ARN names: its last part is that of the queue's address too.
fn url_of<'a>(queues: &'a Queues, arn: &str) -> Result<&'a str, Refusal> {
    let name = arn.strip_prefix("arn:").and_then(|rest| rest.rsplit(':').next());
    let mut urls = queues.queues.keys();
    let found = urls.find(|url| url.rsplit('/').next() == name);
    found.map(String::as_str).ok_or_else(|| {
        let message = "The resource that you specified for the SourceArn or DestinationArn parameter doesn't exist.";
        refuse("ResourceNotFoundException", message)
    })
}

/// SQS leaves out what is empty.
fn some<K, V>(map: BTreeMap<K, V>) -> Option<BTreeMap<K, V>> {
    (!map.is_empty()).then_some(map)
}

/// Whether a wanted name (`All`, `.*`, `prefix.*` or the name itself) means this attribute.
fn names(wanted: &str, name: &str) -> bool {
    match wanted.strip_suffix(".*") {
        Some(prefix) => prefix.is_empty() || name.starts_with(&format!("{prefix}.")),
        None => ["All", name].contains(&wanted),
    }
}

fn refusal(problem: QueueProblem) -> Refusal {
    match problem {
        QueueProblem::NoSuchQueue => {
            refuse("QueueDoesNotExist", "The specified queue does not exist.")
        }
        QueueProblem::UnknownReceipt => invalid(
            "Value for parameter ReceiptHandle is invalid. Reason: Message does not exist or is not available for visibility timeout change.",
        ),
        QueueProblem::NotInFlight => {
            refuse("MessageNotInflight", "The message referred to isn't in flight.")
        }
        QueueProblem::TooLong => {
            invalid("Total VisibilityTimeout for the message is beyond the limit [43200 seconds]")
        }
    }
}
