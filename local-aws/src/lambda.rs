//! Lambda's own rules: asynchronous retries, the on-failure queue, and a queue as event source. In virtual time,
//! without running anything.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::Serialize;
use serde_json::{Value, json};

use crate::epoch::Epoch;
use crate::message::{Draft, Message, md5_of_body, system_attributes};
use crate::queue_address::QueueAddress;
use crate::queues::Queues;

/// How long Lambda waits before the second and the third attempt of an asynchronous invocation (Lambda documentation,
/// "How Lambda handles errors and retries with asynchronous invocation").
const RETRY_AFTER: [Duration; 2] = [Duration::from_mins(1), Duration::from_mins(2)];

pub(crate) const FUNCTION_ARN: &str =
    "arn:aws:lambda:eu-west-1:222222222222:function:guardduty-enroller";

/// One function with its way of being invoked.
#[derive(Clone, Debug)]
pub struct Lambda {
    /// The function's timeout.
    pub timeout: Duration,
    /// A queue that feeds the function.
    pub mapping: Option<Mapping>,
    /// What the wall clock shows at virtual time zero.
    pub epoch: Epoch,
    /// The on-failure destination of asynchronous invocations: a queue's address.
    on_failure: Option<String>,
    events: Vec<Event>,
    /// The batches that are running, by request id.
    batches: BTreeMap<String, Vec<Message>>,
    counter: u64,
}

/// An event source mapping with `ReportBatchItemFailures`.
#[derive(Clone, Debug)]
pub struct Mapping {
    /// The queue's address.
    pub queue_url: String,
    /// The most messages of one invocation.
    pub batch_size: usize,
    /// How long Lambda collects messages before it invokes with fewer.
    pub window: Duration,
}

/// One invocation of the function.
#[derive(Clone, Debug, PartialEq)]
pub struct Invocation {
    /// Stays the same over the attempts of one event.
    pub request_id: String,
    /// What the function is given.
    pub payload: Value,
    /// How long the function may take.
    pub timeout: Duration,
    /// Which attempt it is, counting from 1.
    pub attempt: usize,
}

/// How an invocation failed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct FunctionError {
    /// `errorType`.
    pub error_type: String,
    /// `errorMessage`.
    #[serde(rename = "errorMessage")]
    pub message: String,
}

impl FunctionError {
    /// An error of this type.
    #[must_use]
    pub fn new(error_type: &str, message: impl Into<String>) -> Self {
        Self { error_type: error_type.to_owned(), message: message.into() }
    }
}

/// An asynchronous event that was accepted and is not done.
#[derive(Clone, Debug)]
struct Event {
    request_id: String,
    payload: Value,
    attempt: usize,
    /// `None` while it runs.
    due: Option<Duration>,
}

impl Lambda {
    /// A function that nothing feeds, without an on-failure destination.
    #[must_use]
    pub fn new(timeout: Duration) -> Self {
        Self {
            timeout,
            mapping: None,
            epoch: Epoch::default(),
            on_failure: None,
            events: Vec::new(),
            batches: BTreeMap::new(),
            counter: 0,
        }
    }

    /// Sends the events that fail three times to this queue.
    #[must_use]
    pub fn on_failure(mut self, queue_url: &str) -> Self {
        self.on_failure = Some(queue_url.to_owned());
        self
    }

    /// Feeds the function from a queue.
    #[must_use]
    pub fn fed_by(mut self, queue_url: &str, batch_size: usize, window: Duration) -> Self {
        self.mapping = Some(Mapping { queue_url: queue_url.to_owned(), batch_size, window });
        self
    }

    fn next_id(&mut self) -> String {
        self.counter += 1;
        format!("00000000-0000-4000-a000-{:012x}", self.counter)
    }

    /// Accepts an asynchronous invocation, as EventBridge makes it, and gives its request id.
    pub fn submit(&mut self, now: Duration, payload: Value) -> String {
        let request_id = self.next_id();
        let due = Some(now);
        self.events.push(Event { request_id: request_id.clone(), payload, attempt: 1, due });
        request_id
    }

    /// The next invocation, if one is due. Asynchronous events go before the queue.
    pub fn next(&mut self, now: Duration, queues: &mut Queues) -> Option<Invocation> {
        let due = self.events.iter_mut().filter(|event| event.due.is_some_and(|due| due <= now));
        let Some(event) = due.min_by_key(|event| event.due) else {
            return self.next_batch(now, queues);
        };
        event.due = None;
        let Event { request_id, payload, attempt, .. } = event.clone();
        Some(Invocation { request_id, payload, timeout: self.timeout, attempt })
    }

    fn next_batch(&mut self, now: Duration, queues: &mut Queues) -> Option<Invocation> {
        if self.batch_due(queues)? > now {
            return None;
        }
        let Mapping { queue_url, batch_size, .. } = self.mapping.as_ref()?;
        let messages = queues.receive(now, queue_url, *batch_size, None).ok()?;
        let attempt = messages.iter().map(|message| message.receive_count).max()?;
        let attempt = usize::try_from(attempt).unwrap_or(usize::MAX);
        let records = messages.iter().map(|message| self.record(queue_url, message));
        let payload = json!({ "Records": records.collect::<Vec<_>>() });
        let request_id = self.next_id();
        self.batches.insert(request_id.clone(), messages);
        Some(Invocation { request_id, payload, timeout: self.timeout, attempt })
    }

    /// A message as a record of the event.
    fn record(&self, queue_url: &str, message: &Message) -> Value {
        let queue = QueueAddress::read(queue_url);
        let shown = message.attributes.iter().map(|(name, attribute)| {
            let shown = json!({
                "stringValue": attribute.string_value,
                "stringListValues": [],
                "binaryListValues": [],
                "dataType": attribute.data_type,
            });
            (name, shown)
        });
        json!({
            "messageId": message.id,
            "receiptHandle": message.receipt,
            "body": message.body,
            "attributes": system_attributes(self.epoch, queue.account, message),
            "messageAttributes": shown.collect::<BTreeMap<_, _>>(),
            "md5OfBody": md5_of_body(&message.body),
            "eventSource": "aws:sqs",
            "eventSourceARN": queue.arn(),
            "awsRegion": queue.region,
        })
    }

    /// Takes the outcome of an invocation: done, to be retried, or given up. An invocation that is not running is
    /// ignored.
    ///
    /// A queue's batch: the messages that the function does not name as failed are deleted. After an error, or a reply
    /// that names an unknown message, all of them stay, and come back after their visibility timeout.
    pub fn finish(
        &mut self,
        now: Duration,
        queues: &mut Queues,
        invocation: &Invocation,
        outcome: &Result<Value, FunctionError>,
    ) {
        let id = &invocation.request_id;
        if let Some(messages) = self.batches.remove(id)
            && let Some(mapping) = &self.mapping
            && let Some(failed) =
                outcome.as_ref().ok().and_then(|reply| failed_messages(reply, &messages))
        {
            for message in messages {
                if !failed.contains(&message.id.as_str()) {
                    let receipt = message.receipt.unwrap_or_default();
                    // The visibility timeout may be over and somebody else may have received it since: then it stays.
                    let _ = queues.delete(now, &mapping.queue_url, &receipt);
                }
            }
        }
        let running = |event: &Event| event.due.is_none() && event.request_id == *id;
        let event = self.events.iter().position(running).map(|index| self.events.remove(index));
        if let (Some(event), Err(error)) = (event, outcome) {
            self.retry_or_give_up(now, queues, event, error);
        }
    }

    fn retry_or_give_up(
        &mut self,
        now: Duration,
        queues: &mut Queues,
        event: Event,
        error: &FunctionError,
    ) {
        if let Some(wait) = RETRY_AFTER.get(event.attempt - 1) {
            let due = Some(now + *wait);
            self.events.push(Event { attempt: event.attempt + 1, due, ..event });
        } else if let Some(queue_url) = &self.on_failure {
            let record = json!({
                "version": "1.0",
                "timestamp": self.epoch.iso(now),
                "requestContext": {
                    "requestId": event.request_id,
                    "functionArn": format!("{FUNCTION_ARN}:$LATEST"),
                    "condition": "RetriesExhausted",
                    "approximateInvokeCount": event.attempt,
                },
                "requestPayload": event.payload,
                "responseContext": {
                    "statusCode": 200,
                    "executedVersion": "$LATEST",
                    "functionError": "Unhandled",
                },
                "responsePayload": error,
            });
            // A queue that does not exist loses the event, as on AWS.
            let _ = queues.send(now, queue_url, Draft::text(record.to_string()));
        }
    }

    /// When the next batch is due: the first message has waited for the window, or enough messages can be received.
    fn batch_due(&self, queues: &Queues) -> Option<Duration> {
        let mapping = self.mapping.as_ref()?;
        let times = queues.visible_times(&mapping.queue_url);
        let first = *times.first()? + mapping.window;
        let full = times.get(mapping.batch_size.saturating_sub(1));
        Some(full.map_or(first, |full| first.min(*full)))
    }

    /// When there is something to do next, which may be in the past; `None` when everything is quiet.
    #[must_use]
    pub fn next_due(&self, queues: &Queues) -> Option<Duration> {
        let waiting = self.events.iter().filter_map(|event| event.due);
        waiting.chain(self.batch_due(queues)).min()
    }

    /// The asynchronous events that were accepted and have neither succeeded nor been given up.
    #[must_use]
    pub fn owed(&self) -> Vec<&Value> {
        self.events.iter().map(|event| &event.payload).collect()
    }
}

/// The ids a reply names as failed; `None` if the reply means that all failed.
fn failed_messages<'a>(reply: &'a Value, messages: &[Message]) -> Option<Vec<&'a str>> {
    let failures = match reply.get("batchItemFailures") {
        Some(Value::Array(failures)) => failures,
        Some(Value::Null) => return Some(Vec::new()),
        // An empty reply is a success. Lambda's documentation counts one with the wrong keys as a failure of the whole
        // batch; any other is not understood.
        _ if reply.is_null() || reply == &json!({}) => return Some(Vec::new()),
        _ => return None,
    };
    let ids = failures.iter().map(|failure| {
        let id = failure.get("itemIdentifier")?.as_str()?;
        let is_known = messages.iter().any(|message| message.id == id);
        is_known.then_some(id)
    });
    ids.collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::queues::{DEAD_LETTER_QUEUE_URL, RETRY_QUEUE_URL};

    fn at(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    fn failure() -> Result<Value, FunctionError> {
        Err(FunctionError::new("Runtime.ExitError", "signal: killed"))
    }

    fn lambda(batch_size: usize, window: u64) -> Lambda {
        Lambda::new(at(150)).on_failure(DEAD_LETTER_QUEUE_URL).fed_by(
            RETRY_QUEUE_URL,
            batch_size,
            at(window),
        )
    }

    fn send(queues: &mut Queues, count: usize) {
        for number in 0..count {
            queues.send(at(0), RETRY_QUEUE_URL, Draft::text(number.to_string())).unwrap();
        }
    }

    fn left(queues: &Queues) -> Vec<&str> {
        queues.alive(at(0), RETRY_QUEUE_URL).map(|message| message.body.as_str()).collect()
    }

    #[test]
    fn an_event_is_tried_three_times_and_then_given_up() {
        let (mut lambda, mut queues) = (lambda(10, 0), Queues::default());
        let id = lambda.submit(at(0), json!({ "n": 1 }));
        for (attempt, due) in [(1, 0), (2, 60), (3, 180)] {
            assert_eq!(lambda.next_due(&queues), Some(at(due)));
            if due > 0 {
                assert_eq!(lambda.next(at(due - 1), &mut queues), None);
            }
            let invocation = lambda.next(at(due), &mut queues).unwrap();
            assert_eq!((&invocation.request_id, invocation.attempt), (&id, attempt));
            assert_eq!(lambda.owed(), [&json!({ "n": 1 })]);
            lambda.finish(at(due), &mut queues, &invocation, &failure());
        }
        assert_eq!((lambda.next_due(&queues), lambda.owed().len()), (None, 0));
        let letter: Value =
            serde_json::from_str(&queues.queues[DEAD_LETTER_QUEUE_URL].messages[0].body).unwrap();
        assert_eq!(
            letter,
            json!({
                "version": "1.0",
                "timestamp": "2026-01-01T00:03:00Z",
                "requestContext": {
                    "requestId": id,
                    "functionArn": "arn:aws:lambda:eu-west-1:222222222222:function:guardduty-enroller:$LATEST",
                    "condition": "RetriesExhausted",
                    "approximateInvokeCount": 3,
                },
                "requestPayload": { "n": 1 },
                "responseContext": { "statusCode": 200, "executedVersion": "$LATEST", "functionError": "Unhandled" },
                "responsePayload": { "errorType": "Runtime.ExitError", "errorMessage": "signal: killed" },
            })
        );
    }

    #[test]
    fn an_event_that_succeeds_is_done() {
        let (mut lambda, mut queues) = (lambda(10, 0), Queues::default());
        lambda.submit(at(0), json!({}));
        let invocation = lambda.next(at(0), &mut queues).unwrap();
        let reply = Ok(json!({ "accounts": [] }));
        lambda.finish(at(1), &mut queues, &invocation, &reply);
        assert_eq!((lambda.next_due(&queues), lambda.owed().len()), (None, 0));
        assert_eq!(queues.depth(at(1), DEAD_LETTER_QUEUE_URL).total(), 0);
    }

    #[test]
    fn a_message_becomes_a_record() {
        let (mut lambda, mut queues) = (lambda(10, 0), Queues::default());
        send(&mut queues, 1);
        let payload = lambda.next(at(7), &mut queues).unwrap().payload;
        let record = &payload["Records"][0];
        for (path, expected) in [
            ("body", "0"),
            ("md5OfBody", "cfcd208495d565ef66e7dff9f98764da"),
            ("eventSource", "aws:sqs"),
            ("eventSourceARN", "arn:aws:sqs:eu-west-1:222222222222:guardduty-enroller-retry"),
            ("awsRegion", "eu-west-1"),
            ("attributes/ApproximateReceiveCount", "1"),
            ("attributes/SenderId", "222222222222"),
            ("attributes/ApproximateFirstReceiveTimestamp", "1767225607000"),
        ] {
            assert_eq!(record.pointer(&format!("/{path}")), Some(&json!(expected)), "{path}");
        }
    }

    #[test]
    fn only_the_messages_named_as_failed_stay() {
        let (mut lambda, mut queues) = (lambda(10, 0), Queues::default());
        send(&mut queues, 3);
        let invocation = lambda.next(at(0), &mut queues).unwrap();
        let id = &invocation.payload["Records"][1]["messageId"];
        let reply = json!({ "batchItemFailures": [{ "itemIdentifier": id }] });
        lambda.finish(at(1), &mut queues, &invocation, &Ok(reply));
        assert_eq!(left(&queues), ["1"]);
        let timeout = queues.queues[RETRY_QUEUE_URL].visibility_timeout;
        assert_eq!(lambda.next_due(&queues), Some(timeout));
    }

    #[test]
    fn an_empty_reply_deletes_all_and_an_error_or_a_wrong_reply_none() {
        let failed = |id| Ok(json!({ "batchItemFailures": [{ "itemIdentifier": id }] }));
        let cases = [
            (Ok(Value::Null), 0),
            (Ok(json!({})), 0),
            (Ok(json!({ "batchItemFailures": [] })), 0),
            (Ok(json!({ "batchItemFailures": null })), 0),
            (failure(), 2),
            (failed(json!("unknown")), 2),
            (failed(json!(null)), 2),
            (failed(json!("")), 2),
            (Ok(json!({ "failures": [] })), 2),
            (Ok(json!("done")), 2),
        ];
        for (outcome, expected) in cases {
            let (mut lambda, mut queues) = (lambda(10, 0), Queues::default());
            send(&mut queues, 2);
            let invocation = lambda.next(at(0), &mut queues).unwrap();
            lambda.finish(at(1), &mut queues, &invocation, &outcome);
            assert_eq!(left(&queues).len(), expected, "{outcome:?}");
        }
    }

    #[test]
    fn a_batch_waits_for_its_window_or_its_size() {
        let (mut lambda, mut queues) = (lambda(2, 20), Queues::default());
        send(&mut queues, 1);
        assert_eq!(lambda.next_due(&queues), Some(at(20)));
        assert_eq!(lambda.next(at(19), &mut queues), None);
        send(&mut queues, 2);
        let mut records = |now| {
            let invocation = lambda.next(at(now), &mut queues)?;
            invocation.payload["Records"].as_array().map(Vec::len)
        };
        assert_eq!([0, 19, 20].map(&mut records), [Some(2), None, Some(1)]);
    }

    #[test]
    fn a_message_that_always_fails_ends_in_the_dead_letters() {
        let (mut lambda, mut queues) = (lambda(10, 0), Queues::default());
        send(&mut queues, 1);
        let mut invocations = 0;
        while let Some(now) = lambda.next_due(&queues) {
            let Some(invocation) = lambda.next(now, &mut queues) else {
                continue;
            };
            invocations += 1;
            lambda.finish(now, &mut queues, &invocation, &failure());
        }
        let redrive = queues.queues[RETRY_QUEUE_URL].redrive.as_ref();
        assert_eq!(invocations, redrive.unwrap().max_receive_count);
        assert_eq!(queues.depth(at(86_400), DEAD_LETTER_QUEUE_URL).visible, 1);
    }
}
