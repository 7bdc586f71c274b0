//! The life of a message in the retry queue: what it asks for, and when it ends.
//!
//! # Why no message is both lost and acknowledged
//!
//! A message names one pair (our [`Record`]) or the accounts of an event that was redriven. SQS keeps it until
//! this function says that it is done, and what the function says comes last:
//!
//! 1. SQS hides the message and Lambda hands it over. Dying here, or anywhere below, leaves it in the queue: it
//!    comes back after the visibility timeout with its receive count raised.
//! 2. The pairs are worked on. `CreateMembers` may take effect without our knowing; the next
//!    attempt asks `GetMembers` first, so a second one is harmless.
//! 3. Only where no pair can heal by itself any more, or the attempts are used up, its records go to the
//!    dead-letter queue. Dying after that, before step 5, gives a second dead letter, never none.
//! 4. A message with attempts left is postponed by `ChangeMessageVisibility`. Where that fails, the message comes
//!    back after the visibility timeout of the queue instead: sooner or later, not never.
//! 5. The reply names every message that is not done (`batchItemFailures`); Lambda deletes the others. A message
//!    whose dead letters did not reach their queue is named, so it is never deleted before they stand there.
//!
//! A function that dies at every attempt never comes to step 3. For that the queue itself has a redrive policy to
//! the same dead-letter queue, with a receive count well above [`LAST_ATTEMPT`]: SQS moves the message as it was
//! first written. The same net takes a body that this program cannot read, which is never done and holds
//! up no other.
//!
//! A redriven event is one message for many pairs. It stays whole while one of them can heal, so that nothing has to
//! be sent to the queue that it came from; the pairs that were refused meanwhile wait with it for step 3.
//!
//! A message is never sent to its own queue again: Lambda would take that for a loop and stop it.

use std::time::{Duration, SystemTime};

use aws_lambda_events::sqs::SqsMessage;
use serde_json::Value;

use crate::event::{Event, Join};
use crate::outcome::{Ending, Outcome};
use crate::pair::{Pair, PairEndings};
use crate::record::{self, Origin, Record};
use crate::region::Region;
use crate::text::SafeText;

/// The attempt at which a pair that still fails goes to the dead-letter queue. With [`backoff`] that is about
/// 46 minutes after the account was born; ours: what has not healed by then needs a person.
pub const LAST_ATTEMPT: u32 = 8;

/// How long to wait after an attempt that failed: 30 s, 1, 2, 4, 8, then 15 minutes (the most that SQS takes as
/// `DelaySeconds`).
///
/// ```
/// use guardduty_enroller::retry::{LAST_ATTEMPT, backoff};
///
/// let waits: Vec<u64> = (1..LAST_ATTEMPT).map(|attempt| backoff(attempt).as_secs()).collect();
/// assert_eq!(waits, [30, 60, 120, 240, 480, 900, 900]);
/// ```
#[must_use]
pub fn backoff(attempts: u32) -> Duration {
    let doublings = attempts.saturating_sub(1).min(5);
    Duration::from_secs((30 << doublings).min(900))
}

/// A message of the retry queue that this program can read.
pub struct Message {
    /// How Lambda names it in `batchItemFailures`.
    pub id: String,
    /// How SQS names it in `ChangeMessageVisibility`.
    pub receipt_handle: Option<String>,
    /// What it asks for.
    pub request: Request,
    /// Where its pairs come from, this attempt counted.
    pub origin: Origin,
}

/// What a message asks for.
pub enum Request {
    /// One pair.
    Pair(Pair),
    /// Accounts in every Region: an event that was redriven.
    Join(Join),
    /// Nothing: a redriven event that is no join.
    Nothing(String),
}

impl Message {
    /// Reads a message: our record, the event that EventBridge could not deliver, or the event in Lambda's
    /// on-failure record.
    ///
    /// # Errors
    /// Says, for the log, why the body is none of these.
    pub fn read(message: &SqsMessage) -> Result<Self, String> {
        let body: Value = serde_json::from_str(message.body.as_deref().unwrap_or_default())
            .map_err(|_| "the body is not JSON".to_owned())?;
        let received = receive_count(message);
        let mut origin = Origin {
            event_id: None,
            event_time: None,
            first_failed_at: None,
            attempts: received,
        };
        let version = body.get("version");
        let request = if version.is_some_and(Value::is_number) {
            let record = read_record(&body)?;
            origin.attempts = attempts_before(&record).saturating_add(received);
            origin.first_failed_at = Some(record.first_failed_at);
            origin.event_id = record.event_id.as_deref().map(bounded);
            origin.event_time = record.event_time;
            let account = record.account_id.parse();
            let region = Region::named(&record.region);
            Request::Pair(Pair {
                account: account.map_err(|error| format!("accountId: {error}"))?,
                region: region.ok_or("region is not the name of a Region")?,
            })
        } else if let Some(payload) = body.get("requestPayload") {
            let context = body.get("requestContext");
            let request_id = context.and_then(|context| context.get("requestId"));
            origin.event_id = request_id.and_then(Value::as_str).map(bounded);
            origin.first_failed_at = body
                .get("timestamp")
                .and_then(Value::as_str)
                .map(str::to_owned);
            read_event(payload)?
        } else {
            read_event(&body)?
        };
        if let Request::Join(join) = &request {
            origin.event_id = join.event_id.clone().or(origin.event_id);
            origin.event_time.clone_from(&join.time);
            origin.first_failed_at = origin.first_failed_at.or_else(|| join.time.clone());
        }
        for time in [&mut origin.first_failed_at, &mut origin.event_time] {
            *time = time.take().filter(|text| record::is_timestamp(text));
        }
        Ok(Self {
            id: message.message_id.clone().unwrap_or_default(),
            receipt_handle: message.receipt_handle.clone(),
            request,
            origin,
        })
    }

    /// How the message's own pairs ended.
    #[must_use]
    pub fn endings<'a>(&self, of_all: &'a PairEndings) -> Vec<(&'a Pair, &'a Ending)> {
        match &self.request {
            Request::Pair(pair) => of_all.get_key_value(pair).into_iter().collect(),
            Request::Join(join) => {
                let own =
                    |pair: &Pair| join.accounts.iter().any(|joined| joined.id == pair.account);
                of_all.iter().filter(|(pair, _)| own(pair)).collect()
            }
            Request::Nothing(_) => Vec::new(),
        }
    }
}

/// A text that goes on into our own record.
fn bounded(text: &str) -> String {
    SafeText::new(text).to_string()
}

fn read_record(body: &Value) -> Result<Record, String> {
    match body.get("version").and_then(Value::as_u64) {
        Some(record::VERSION) => {}
        _ => return Err("version is a number that this program does not know".to_owned()),
    }
    serde_json::from_value(body.clone())
        .map_err(|_| "the body has not the layout of a record of version 1".to_owned())
}

fn read_event(event: &Value) -> Result<Request, String> {
    match Event::of(event).map_err(|error| error.to_string())? {
        Event::Join(join) => Ok(Request::Join(join)),
        Event::Ignored(why) => Ok(Request::Nothing(why)),
        Event::Batch(_) => Err("the body is itself a batch of messages".to_owned()),
        Event::Reconcile(_) => Err("a reconcile request is not for the retry queue".to_owned()),
    }
}

/// How often the message was received. A missing count reads as the first.
fn receive_count(message: &SqsMessage) -> u32 {
    let count = attribute(message, "ApproximateReceiveCount").unwrap_or(1);
    u32::try_from(count).unwrap_or(u32::MAX)
}

fn attribute(message: &SqsMessage, name: &str) -> Option<u64> {
    message.attributes.get(name)?.parse().ok()
}

/// The attempts that a record counts from. One that waits for its next attempt goes on from its own count; one that was
/// a dead letter was redriven, and starts anew.
fn attempts_before(record: &Record) -> u32 {
    let waits =
        record.outcome != Outcome::Refused(record.reason).name() && record.attempts < LAST_ATTEMPT;
    if waits { record.attempts } else { 0 }
}

/// What becomes of a message after an attempt.
#[derive(Debug, PartialEq, Eq)]
pub enum Settlement {
    /// Done, once these records stand in the dead-letter queue.
    Done(Vec<Record>),
    /// Not done: it is to come back after this time.
    TryAgain(Duration),
}

/// Settles a message by the endings of its pairs. While one of them can heal by itself and there are attempts left,
/// the whole message stays; its pairs that are `Enabled` cost one `GetMembers` more.
#[must_use]
pub fn settle(endings: &[(&Pair, &Ending)], origin: &Origin, now: SystemTime) -> Settlement {
    let heals = endings
        .iter()
        .any(|(_, ending)| ending.outcome.heals_by_itself());
    if heals && origin.attempts < LAST_ATTEMPT {
        return Settlement::TryAgain(backoff(origin.attempts));
    }
    let records = endings
        .iter()
        .filter_map(|(pair, ending)| Record::of(pair, ending, origin, now));
    Settlement::Done(records.collect())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::outcome::Reason;

    fn message(body: &Value, received: u32) -> SqsMessage {
        serde_json::from_value(json!({
            "messageId": "m-1",
            "receiptHandle": "r-1",
            "body": body.to_string(),
            "attributes": {
                "ApproximateReceiveCount": received.to_string(),
                "SentTimestamp": "1780000000000",
            },
            "messageAttributes": {},
            "eventSource": "aws:sqs",
        }))
        .unwrap()
    }

    fn record(outcome: &str, attempts: u32) -> Value {
        json!({
            "version": 1,
            "accountId": "444455556666",
            "region": "eu-west-1",
            "outcome": outcome,
            "reason": "internal-error",
            "result": "Internal error",
            "detectorId": null,
            "attempts": attempts,
            "firstFailedAt": "2026-05-01T00:00:00Z",
            "lastFailedAt": "2026-05-01T00:00:00Z",
            "eventId": "e-1",
        })
    }

    fn join_event() -> Value {
        json!({
            "version": "0",
            "id": "e-2",
            "time": "2026-06-01T10:05:03Z",
            "detail": {
                "eventSource": "organizations.amazonaws.com",
                "eventName": "CreateAccountResult",
                "serviceEventDetails": {
                    "createAccountStatus": {"state": "SUCCEEDED", "accountId": "444455556666"},
                },
            },
        })
    }

    #[test]
    fn the_wait_doubles_from_half_a_minute_to_a_quarter_of_an_hour() {
        let waits: Vec<u64> = (1..=9).map(|attempt| backoff(attempt).as_secs()).collect();
        assert_eq!(waits, [30, 60, 120, 240, 480, 900, 900, 900, 900]);
        assert_eq!(backoff(0).as_secs(), 30);
        assert_eq!(backoff(u32::MAX).as_secs(), 900);
    }

    #[test]
    fn a_waiting_record_goes_on_from_its_own_count() {
        for (received, attempts) in [(1, 2), (3, 4), (7, 8), (12, 13)] {
            let message = Message::read(&message(&record("deferred", 1), received)).unwrap();
            assert_eq!(message.origin.attempts, attempts);
        }
    }

    #[test]
    fn a_redriven_dead_letter_starts_anew_and_keeps_its_first_failure() {
        for dead in [
            record("refused", 1),
            record("deferred", 8),
            record("pending", 13),
        ] {
            let message = Message::read(&message(&dead, 1)).unwrap();
            assert_eq!(message.origin.attempts, 1);
            assert_eq!(
                message.origin.first_failed_at.as_deref(),
                Some("2026-05-01T00:00:00Z")
            );
            assert_eq!(message.origin.event_id.as_deref(), Some("e-1"));
            assert!(matches!(message.request, Request::Pair(_)));
        }
    }

    #[test]
    fn the_event_that_eventbridge_could_not_deliver_is_read() {
        let message = Message::read(&message(&join_event(), 1)).unwrap();
        assert_eq!(message.origin.event_id.as_deref(), Some("e-2"));
        assert_eq!(
            message.origin.first_failed_at.as_deref(),
            Some("2026-06-01T10:05:03Z")
        );
        assert!(matches!(message.request, Request::Join(join) if join.accounts.len() == 1));
    }

    #[test]
    fn lambdas_on_failure_record_is_read_with_and_without_a_response() {
        let mut record = json!({
            "version": "1.0",
            "timestamp": "2026-06-01T11:00:00.123Z",
            "requestContext": {"requestId": "q-1", "condition": "RetriesExhausted"},
            "requestPayload": {"accounts": ["444455556666"]},
            "responsePayload": {"errorType": "NotHandedOn"},
        });
        for _ in 0..2 {
            let message = Message::read(&message(&record, 1)).unwrap();
            assert_eq!(message.origin.event_id.as_deref(), Some("q-1"));
            assert_eq!(
                message.origin.first_failed_at.as_deref(),
                Some("2026-06-01T11:00:00.123Z")
            );
            assert!(matches!(message.request, Request::Join(_)));
            record.as_object_mut().unwrap().remove("responsePayload");
        }
        record["requestPayload"] = join_event();
        let message = Message::read(&message(&record, 1)).unwrap();
        assert_eq!(message.origin.event_id.as_deref(), Some("e-2"));
    }

    #[test]
    fn a_redriven_event_that_is_no_join_asks_for_nothing() {
        let mut event = join_event();
        event["detail"]["eventName"] = json!("MoveAccount");
        let message = Message::read(&message(&event, 1)).unwrap();
        assert!(matches!(message.request, Request::Nothing(_)));
    }

    #[test]
    fn a_record_with_a_reason_of_a_later_version_is_still_read() {
        let mut later = record("deferred", 1);
        later["reason"] = json!("never-heard-of");
        assert!(Message::read(&message(&later, 1)).is_ok());
    }

    #[test]
    fn nothing_unchecked_goes_from_a_message_into_a_record() {
        let mut odd = record("deferred", 1);
        odd["eventId"] = json!(format!("someone@example.com {}", "x".repeat(100_000)));
        odd["firstFailedAt"] = json!("someone@example.com");
        let origin = Message::read(&message(&odd, 1)).unwrap().origin;
        assert!(
            origin
                .event_id
                .is_some_and(|id| id.len() < 1_100 && !id.contains('@'))
        );
        assert_eq!(origin.first_failed_at, None);
    }

    #[test]
    fn any_other_body_is_an_error() {
        let mut unknown_version = record("deferred", 1);
        unknown_version["version"] = json!(2);
        let mut bad_account = record("deferred", 1);
        bad_account["accountId"] = json!("12345678901");
        let mut bad_region = record("deferred", 1);
        bad_region["region"] = json!("nowhere");
        for body in [
            json!(null),
            json!("text"),
            json!({}),
            json!({"version": 1.5}),
            json!({"reconcile": {}}),
            json!({"requestPayload": {"Records": []}}),
            json!({"Records": [message(&record("deferred", 1), 1)]}),
            unknown_version,
            bad_account,
            bad_region,
        ] {
            assert!(Message::read(&message(&body, 1)).is_err(), "{body}");
        }
    }

    fn settled(outcomes: &[Outcome], attempts: u32) -> Settlement {
        let regions = ["eu-west-1", "us-east-1", "us-west-2"];
        let endings = outcomes.iter().zip(regions).map(|(outcome, region)| {
            let account = "444455556666".parse().unwrap();
            let region = Region::known(region).unwrap();
            (Pair { account, region }, Ending::plain(*outcome))
        });
        let endings: PairEndings = endings.collect();
        let endings: Vec<_> = endings.iter().collect();
        let origin = Origin {
            event_id: None,
            event_time: None,
            first_failed_at: None,
            attempts,
        };
        settle(&endings, &origin, SystemTime::UNIX_EPOCH)
    }

    #[test]
    fn a_message_is_done_once_every_pair_is_enabled_or_skipped() {
        let outcomes = [
            Outcome::Enrolled,
            Outcome::AlreadyEnabled,
            Outcome::Skipped(Reason::Excluded),
        ];
        assert_eq!(settled(&outcomes, 2), Settlement::Done(vec![]));
    }

    #[test]
    fn a_refused_pair_becomes_a_dead_letter_at_once() {
        let Settlement::Done(records) = settled(&[Outcome::Refused(Reason::NoDetector)], 2) else {
            panic!("not done");
        };
        assert_eq!(records.len(), 1);
        assert_eq!(records[0].attempts, 2);
    }

    #[test]
    fn a_message_stays_while_one_pair_can_heal_and_attempts_are_left() {
        let outcomes = [
            Outcome::Deferred(Reason::Throttled),
            Outcome::Refused(Reason::NoDetector),
        ];
        for attempts in 1..LAST_ATTEMPT {
            assert_eq!(
                settled(&outcomes, attempts),
                Settlement::TryAgain(backoff(attempts))
            );
        }
    }

    #[test]
    fn at_the_last_attempt_and_beyond_every_failed_pair_becomes_a_dead_letter() {
        let outcomes = [
            Outcome::Deferred(Reason::Throttled),
            Outcome::Pending(Reason::NotYetEnabled),
            Outcome::Enrolled,
        ];
        for attempts in [LAST_ATTEMPT, LAST_ATTEMPT + 1, 100] {
            let Settlement::Done(records) = settled(&outcomes, attempts) else {
                panic!("not done at {attempts}");
            };
            assert_eq!(records.len(), 2);
            assert_eq!(records[0].reason, Reason::Throttled);
            assert_eq!(records[0].attempts, attempts);
        }
    }
}
