//! What is asked of an invocation, and when a message of the retry queue is done.
//!
//! # Why no message is both lost and acknowledged
//!
//! A message names one pair (a [`QueuedPair`]) or the accounts of a redriven event. SQS keeps it until the function says
//! that it is done, and the function says so last:
//!
//! 1. SQS hides the message, and Lambda hands it over. If the function dies here or later, the message stays in the
//!    queue and comes back after the visibility timeout, with a higher receive count.
//! 2. The pairs are worked on. `CreateMembers` may take effect unnoticed; the next attempt asks `GetMembers` first, so a
//!    second call is harmless.
//! 3. Once no pair is retried any more, or the attempts are used up, the failed pairs go to the dead-letter queue. If the
//!    function dies between this step and step 5, there is a second dead letter, but never none.
//! 4. A message with attempts left is postponed by `ChangeMessageVisibility`. If that fails, it comes back after the
//!    visibility timeout of the queue instead.
//! 5. The reply names every message that is not done (`batchItemFailures`), and Lambda deletes the others. A message
//!    whose dead letters did not reach their queue is named, so it is never deleted before they are there.
//!
//! A function that dies at every attempt never gets to step 3. For that case the queue has a redrive policy to the same
//! dead-letter queue, with a receive count well above [`LAST_ATTEMPT`]: SQS moves the message as it was first written.
//! The same happens to a body that the function cannot read: it is never done, and it holds up no other message.
//!
//! A redriven event is one message for several pairs. It stays whole while one of them can still be retried, so that the
//! function never sends to the queue that it reads from: Lambda would take that for a loop and stop it. Pairs that were
//! refused meanwhile wait with it for step 3.

use alloc::borrow::ToOwned;
use alloc::collections::BTreeSet;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::time::Duration;

use crate::body::{Body, Redriven};
use crate::enrollment::Before;
use crate::event::{Ignored, NewAccount, NewAccounts};
use crate::message::Message;
use crate::outcome::Outcome;
use crate::pair::{Pair, PairOutcomes, Pairs};
use crate::queued_pair::{Origin, QueuedPair};
use crate::redacted::Redacted;
use crate::region::Region;
use crate::status::Status;
use crate::timestamp::Timestamp;

/// The attempt at which a pair that still fails becomes a dead letter. With [`backoff`] that is about 46 minutes after the
/// account was created; ours: what has not healed by then needs a person.
pub const LAST_ATTEMPT: u32 = 8;

/// The wait after an attempt that failed: 30 s, 1, 2, 4, 8, then 15 minutes (the most that SQS takes as `DelaySeconds`).
///
/// ```
/// use decisions::retry::{LAST_ATTEMPT, backoff};
///
/// let waits: Vec<u64> = (1..LAST_ATTEMPT).map(|attempt| backoff(attempt).as_secs()).collect();
/// assert_eq!(waits, [30, 60, 120, 240, 480, 900, 900]);
/// ```
#[must_use]
pub fn backoff(attempts: u32) -> Duration {
    let doublings = attempts.saturating_sub(1).min(5);
    Duration::from_secs((30 << doublings).min(900))
}

/// How the function came to work on an account.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    /// An event of Organizations or Control Tower.
    Event,
    /// A person's call.
    Call,
    /// A message of the retry queue.
    Retry,
    /// A reconcile.
    Reconcile,
}

impl Way {
    /// The name in the ledger.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Event => "event",
            Self::Call => "call",
            Self::Retry => "retry",
            Self::Reconcile => "reconcile",
        }
    }
}

/// Pairs that an event, a call, or a message asks for.
pub struct Request {
    /// How it came.
    pub way: Way,
    /// Which pairs.
    pub wanted: Wanted,
    /// Where they come from, this attempt counted.
    pub origin: Origin,
}

/// Which pairs a request is for.
pub enum Wanted {
    /// One pair, and what became of it before.
    Pair(Pair, Before),
    /// Accounts in every Region.
    Everywhere(Vec<NewAccount>),
    /// None: a redriven event that names no account to enroll.
    Nothing(Ignored),
}

impl Request {
    /// The first attempt for the accounts of an event or a call.
    #[must_use]
    pub fn first(new: NewAccounts, request_id: &str) -> Self {
        Self {
            way: if new.is_call { Way::Call } else { Way::Event },
            wanted: Wanted::Everywhere(new.accounts),
            origin: Origin {
                event_id: Some(new.event_id.unwrap_or_else(|| request_id.to_owned())),
                event_time: new.time,
                first_failed_at: None,
                attempts: 1,
            },
        }
    }

    /// What a message of the retry queue asks for.
    ///
    /// # Errors
    /// Says, for the log, why its body cannot be read.
    pub fn read(message: &Message, request_id: &str) -> Result<Self, String> {
        match Body::parse(&message.body)? {
            Body::Pair(record) => Self::queued(&record, message.receives, request_id),
            Body::Undelivered(event) => {
                Ok(Self::redriven(event, None, None, message.receives, request_id))
            }
            Body::Failed { event, request_id: failed, at } => {
                Ok(Self::redriven(event, failed, at, message.receives, request_id))
            }
        }
    }

    fn queued(record: &QueuedPair, receives: u32, request_id: &str) -> Result<Self, String> {
        let account = record.account_id.parse();
        let region = Region::named(&record.region);
        let event_id = record.event_id.as_deref().unwrap_or(request_id);
        let attempts = attempts_before(record).saturating_add(receives);
        Ok(Self {
            way: Way::Retry,
            origin: Origin {
                event_id: Some(Redacted::new(event_id).to_string()),
                event_time: record.event_time,
                first_failed_at: record.first_failed_at,
                attempts,
            },
            wanted: Wanted::Pair(
                Pair {
                    account: account.map_err(|error| format!("accountId: {error}"))?,
                    region: region.ok_or("region is not the name of a Region")?,
                },
                before(record, attempts),
            ),
        })
    }

    fn redriven(
        event: Redriven,
        failed_request: Option<String>,
        failed_at: Option<Timestamp>,
        attempts: u32,
        request_id: &str,
    ) -> Self {
        let (wanted, event_id, event_time) = match event {
            Redriven::Nothing(ignored) => (Wanted::Nothing(ignored), None, None),
            Redriven::NewAccounts(new) => {
                (Wanted::Everywhere(new.accounts), new.event_id, new.time)
            }
        };
        let event_id = event_id.or(failed_request);
        Self {
            way: Way::Retry,
            wanted,
            origin: Origin {
                event_id: Some(event_id.unwrap_or_else(|| request_id.to_owned())),
                event_time,
                first_failed_at: failed_at.or(event_time),
                attempts,
            },
        }
    }

    /// Whether it asks for a pair, in a Region that must be covered.
    #[must_use]
    pub fn needs_regions(&self) -> bool {
        !matches!(self.wanted, Wanted::Nothing(_))
    }

    /// Whether it must wait if AWS does not name the enabled Regions. The pair of a record need not, if this version knows
    /// its Region.
    #[must_use]
    pub fn waits_for_regions(&self) -> bool {
        match &self.wanted {
            Wanted::Pair(pair, _) => Region::known(pair.region.as_str()).is_none(),
            Wanted::Everywhere(_) => true,
            Wanted::Nothing(_) => false,
        }
    }

    /// How many pairs it asks for, in this many Regions.
    #[must_use]
    pub fn count_pairs(&self, regions: usize) -> usize {
        match &self.wanted {
            Wanted::Pair(..) => 1,
            Wanted::Everywhere(accounts) => accounts.len() * regions,
            Wanted::Nothing(_) => 0,
        }
    }

    /// Adds its pairs.
    pub fn add_to(&self, pairs: &mut Pairs, regions: &BTreeSet<Region>) {
        match &self.wanted {
            Wanted::Pair(pair, before) => pairs.add(pair.clone(), *before),
            Wanted::Everywhere(accounts) => {
                for new in accounts {
                    pairs.add_everywhere(new, regions);
                }
            }
            Wanted::Nothing(_) => {}
        }
    }

    /// The outcomes of its own pairs.
    pub(crate) fn own<'a>(&self, all: &'a PairOutcomes) -> Vec<(&'a Pair, &'a Outcome)> {
        match &self.wanted {
            Wanted::Pair(pair, _) => all.get_key_value(pair).into_iter().collect(),
            Wanted::Everywhere(accounts) => {
                let own = |pair: &Pair| accounts.iter().any(|new| new.id == pair.account);
                all.iter().filter(|(pair, _)| own(pair)).collect()
            }
            Wanted::Nothing(_) => Vec::new(),
        }
    }

    /// The records of its pairs that were not enabled at `now`: those that are retried, and the dead letters.
    #[must_use]
    pub fn records(
        &self,
        all: &PairOutcomes,
        now: Timestamp,
    ) -> (Vec<QueuedPair>, Vec<QueuedPair>) {
        let (mut retries, mut letters) = (Vec::new(), Vec::new());
        for (pair, outcome) in self.own(all) {
            let queue = if outcome.status.is_retried() { &mut retries } else { &mut letters };
            queue.extend(QueuedPair::of(pair, outcome, &self.origin, now));
        }
        (retries, letters)
    }

    /// What becomes of its message after an attempt. While one pair can be retried and there are attempts left, the whole
    /// message stays; its pairs that are `Enabled` cost one more `GetMembers`.
    #[must_use]
    pub fn disposition(&self, all: &PairOutcomes, now: Timestamp) -> Disposition {
        let (retries, mut letters) = self.records(all, now);
        if !retries.is_empty() && self.origin.attempts < LAST_ATTEMPT {
            return self.again();
        }
        letters.extend(retries);
        Disposition::Done(letters)
    }

    /// The message stays, because nothing could be attempted.
    #[must_use]
    pub fn again(&self) -> Disposition {
        Disposition::Again(backoff(self.origin.attempts))
    }

    /// The seconds from its event (or, without an event's time, from the first failure) to `now`, once for each account
    /// whose own pairs are all enabled, and at least one of them was enrolled now. A Region that is not to be covered does
    /// not count.
    #[must_use]
    pub fn seconds_to_protected(&self, all: &PairOutcomes, now: Timestamp) -> Vec<f64> {
        let since = self.origin.event_time.or(self.origin.first_failed_at);
        let Some(took) = since.and_then(|since| now.since(since)) else {
            return Vec::new();
        };
        // The pairs of an account follow each other.
        let own = self.own(all);
        let accounts = own.chunk_by(|(one, _), (other, _)| one.account == other.account);
        let is_protected = |pairs: &&[(&Pair, &Outcome)]| {
            let covered = pairs.iter().filter(|(_, outcome)| !outcome.leaves_region_out());
            let mut statuses = covered.map(|(_, outcome)| outcome.status);
            let is_enabled = |status| matches!(status, Status::Enrolled | Status::AlreadyEnabled);
            statuses.clone().all(is_enabled) && statuses.any(|status| status == Status::Enrolled)
        };
        accounts.filter(is_protected).map(|_| took.as_secs_f64()).collect()
    }
}

/// What became of a pair before, as its record says. At the last attempt GuardDuty is asked once more before a person is.
fn before(record: &QueuedPair, attempts: u32) -> Before {
    if record.outcome != Status::Pending.name() {
        Before::Nothing
    } else if attempts_before(record) == 0 || attempts >= LAST_ATTEMPT {
        Before::GivenUp
    } else {
        Before::Accepted
    }
}

/// The attempts that a record counts from. A record that waits for its next attempt goes on from its own count; a
/// redriven dead letter starts from 0.
fn attempts_before(record: &QueuedPair) -> u32 {
    let waits = record.outcome != Status::Refused.name() && record.attempts < LAST_ATTEMPT;
    if waits { record.attempts } else { 0 }
}

/// What becomes of a message after an attempt.
#[derive(Debug, PartialEq, Eq)]
pub enum Disposition {
    /// Done, once these records are in the dead-letter queue.
    Done(Vec<QueuedPair>),
    /// Not done: it comes back after this time.
    Again(Duration),
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::reason::Reason;

    fn read(body: &Value, receives: u32) -> Result<Request, String> {
        let message = Message::of(&json!({
            "messageId": "m-1",
            "body": body.to_string(),
            "attributes": {"ApproximateReceiveCount": receives.to_string()},
        }));
        Request::read(&message.unwrap(), "request-1")
    }

    fn origin(body: &Value, receives: u32) -> Origin {
        read(body, receives).map(|request| request.origin).unwrap()
    }

    fn time(text: &str) -> Option<Timestamp> {
        text.parse().ok()
    }

    fn now() -> Timestamp {
        time("2026-05-28T20:26:40Z").unwrap()
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

    fn created() -> Value {
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
        for (receives, attempts) in [(1, 2), (3, 4), (7, 8), (12, 13)] {
            assert_eq!(origin(&record("deferred", 1), receives).attempts, attempts);
        }
    }

    #[test]
    fn a_redriven_dead_letter_starts_from_0_and_keeps_its_first_failure() {
        for dead in [record("refused", 1), record("deferred", 8), record("pending", 13)] {
            let request = read(&dead, 1).unwrap();
            let expected = Origin {
                event_id: Some("e-1".to_owned()),
                event_time: None,
                first_failed_at: time("2026-05-01T00:00:00Z"),
                attempts: 1,
            };
            assert_eq!(request.origin, expected);
            assert!(matches!(request.wanted, Wanted::Pair(..)));
        }
    }

    #[test]
    fn the_event_that_eventbridge_could_not_deliver_is_read() {
        let request = read(&created(), 1).unwrap();
        assert_eq!(request.origin.event_id.as_deref(), Some("e-2"));
        assert_eq!(request.origin.first_failed_at, time("2026-06-01T10:05:03Z"));
        assert!(matches!(request.wanted, Wanted::Everywhere(accounts) if accounts.len() == 1));
    }

    #[test]
    fn lambdas_on_failure_record_is_read_with_and_without_a_response() {
        let mut failed = json!({
            "version": "1.0",
            "timestamp": "2026-06-01T11:00:00.123Z",
            "requestContext": {"requestId": "q-1", "condition": "RetriesExhausted"},
            "requestPayload": {"accounts": ["444455556666"]},
            "responsePayload": {"errorType": "NotEnqueued"},
        });
        for _ in 0..2 {
            let request = read(&failed, 1).unwrap();
            assert_eq!(request.origin.event_id.as_deref(), Some("q-1"));
            assert_eq!(request.origin.first_failed_at, time("2026-06-01T11:00:00.123Z"));
            assert!(matches!(request.wanted, Wanted::Everywhere(_)));
            failed.as_object_mut().unwrap().remove("responsePayload");
        }
        failed["requestPayload"] = created();
        assert_eq!(origin(&failed, 1).event_id.as_deref(), Some("e-2"));
    }

    #[test]
    fn a_request_without_an_event_id_has_that_of_its_invocation() {
        let mut bare = record("deferred", 1);
        bare["eventId"] = json!(null);
        for body in [bare, json!({"accounts": ["444455556666"]})] {
            assert_eq!(origin(&body, 1).event_id.as_deref(), Some("request-1"));
        }
    }

    #[test]
    fn a_redriven_event_that_names_no_account_asks_for_nothing() {
        let mut event = created();
        event["detail"]["eventName"] = json!("MoveAccount");
        assert!(matches!(read(&event, 1).unwrap().wanted, Wanted::Nothing(_)));
    }

    #[test]
    fn a_record_with_a_reason_of_a_later_version_is_still_read() {
        let mut later = record("deferred", 1);
        later["reason"] = json!("never-heard-of");
        assert!(read(&later, 1).is_ok());
    }

    #[test]
    fn nothing_unchecked_goes_from_a_message_into_a_record() {
        let mut odd = record("deferred", 1);
        odd["eventId"] = json!(format!("someone@example.com {}", "x".repeat(100_000)));
        odd["firstFailedAt"] = json!("someone@example.com");
        let origin = origin(&odd, 1);
        assert!(origin.event_id.is_some_and(|id| id.len() < 1_100 && !id.contains('@')));
        assert_eq!(origin.first_failed_at, None);
    }

    #[test]
    fn any_other_body_is_an_error() {
        let with = |name: &str, value: Value| {
            let mut record = record("deferred", 1);
            record[name] = value;
            record
        };
        for body in [
            json!(null),
            json!("text"),
            json!({}),
            json!({"version": 1.5}),
            json!({"reconcile": {}}),
            json!({"requestPayload": {"Records": []}}),
            json!({"Records": [{"messageId": "m-1", "eventSource": "aws:sqs"}]}),
            with("version", json!(2)),
            with("accountId", json!("12345678901")),
            with("region", json!("nowhere")),
        ] {
            assert!(read(&body, 1).is_err(), "{body}");
        }
    }

    /// A request for an account in as many Regions as there are outcomes.
    fn request(attempts: u32) -> Request {
        let new = NewAccount { id: "444455556666".parse().unwrap(), email: None };
        Request {
            way: Way::Retry,
            wanted: Wanted::Everywhere(vec![new]),
            origin: Origin {
                event_id: None,
                event_time: time("2026-05-28T20:26:30Z"),
                first_failed_at: None,
                attempts,
            },
        }
    }

    fn outcomes<const N: usize>(account: &str, outcomes: [Outcome; N]) -> PairOutcomes {
        let regions = ["eu-west-1", "us-east-1", "us-west-2"];
        let outcomes = regions.into_iter().zip(outcomes).map(|(region, outcome)| {
            let account = account.parse().unwrap();
            let region = Region::known(region).unwrap();
            (Pair { account, region }, outcome)
        });
        outcomes.collect()
    }

    fn disposition<const N: usize>(of: [Outcome; N], attempts: u32) -> Disposition {
        request(attempts).disposition(&outcomes("444455556666", of), now())
    }

    #[test]
    fn guardduty_is_asked_again_for_a_pending_pair_at_its_last_attempt_and_after_a_redrive() {
        for (attempts, receives, before) in [
            (1, 1, Before::Accepted),
            (1, LAST_ATTEMPT - 2, Before::Accepted),
            (1, LAST_ATTEMPT - 1, Before::GivenUp),
            (LAST_ATTEMPT, 1, Before::GivenUp),
        ] {
            let request = read(&record("pending", attempts), receives).unwrap();
            let Wanted::Pair(_, found) = request.wanted else { panic!("a pair") };
            assert_eq!(found, before, "{attempts} + {receives}");
        }
    }

    #[test]
    fn a_message_is_done_once_every_pair_is_enabled_or_skipped() {
        let good =
            [Outcome::enrolled(), Outcome::already_enabled(), Outcome::because(Reason::Excluded)];
        assert_eq!(disposition(good, 2), Disposition::Done(vec![]));
    }

    #[test]
    fn a_refused_pair_becomes_a_dead_letter_at_once() {
        let Disposition::Done(records) = disposition([Outcome::because(Reason::NoDetector)], 2)
        else {
            panic!("not done");
        };
        assert_eq!(records.len(), 1);
        assert_eq!(records[0].attempts, 2);
    }

    #[test]
    fn a_message_stays_while_one_pair_can_be_retried_and_attempts_are_left() {
        for attempts in 1..LAST_ATTEMPT {
            let mixed = [Reason::Throttled, Reason::NoDetector].map(Outcome::because);
            let again = Disposition::Again(backoff(attempts));
            assert_eq!(disposition(mixed, attempts), again);
        }
    }

    #[test]
    fn at_the_last_attempt_and_beyond_every_failed_pair_becomes_a_dead_letter() {
        for attempts in [LAST_ATTEMPT, LAST_ATTEMPT + 1, 100] {
            let throttled = Outcome::because(Reason::Throttled);
            let late = Outcome::because(Reason::NotYetEnabled);
            let all = [throttled, late, Outcome::enrolled()];
            let Disposition::Done(records) = disposition(all, attempts) else {
                panic!("not done at {attempts}");
            };
            assert_eq!(records.len(), 2);
            assert_eq!(records[0].reason, Reason::Throttled);
            assert_eq!(records[0].attempts, attempts);
        }
    }

    #[test]
    fn an_event_sends_what_is_retried_and_the_dead_letters_to_their_own_queues() {
        let all = outcomes(
            "444455556666",
            [Reason::Throttled, Reason::NoDetector, Reason::Excluded].map(Outcome::because),
        );
        let (retries, letters) = request(1).records(&all, now());
        assert_eq!((retries.len(), letters.len()), (1, 1));
        assert_eq!(retries[0].reason, Reason::Throttled);
    }

    #[test]
    fn an_account_is_measured_once_it_is_enabled_where_it_is_to_be_and_somewhere_just_now() {
        let new = Outcome::enrolled;
        let old = Outcome::already_enabled;
        let waits = || Outcome::because(Reason::Throttled);
        let region_left_out = || Outcome::because(Reason::RegionNotConfigured);
        let no_detector = || Outcome::because(Reason::NoDetector).skipped();
        let suspended = || Outcome::because(Reason::AccountSuspended);
        for (of, seconds) in [
            ([new(), old(), region_left_out()], vec![10.0]),
            ([new(), no_detector(), Outcome::because(Reason::MemberRegionDisabled)], vec![10.0]),
            ([new(), waits(), region_left_out()], vec![]),
            ([new(), old(), suspended()], vec![]),
            ([new(), old(), Outcome::because(Reason::NoDetector)], vec![]),
            ([old(), region_left_out(), region_left_out()], vec![]),
        ] {
            let mut all = outcomes("444455556666", of);
            // Another request's account in the same invocation.
            all.extend(outcomes("555566667777", [new()]));
            assert_eq!(request(1).seconds_to_protected(&all, now()), seconds);
        }
    }

    #[test]
    fn without_the_events_time_an_account_is_measured_from_its_first_failure_or_not_at_all() {
        let all = outcomes("444455556666", [Outcome::enrolled()]);
        let mut request = request(2);
        request.origin.event_time = None;
        assert!(request.seconds_to_protected(&all, now()).is_empty());
        request.origin.first_failed_at = time("2026-05-28T20:26:39Z");
        assert_eq!(request.seconds_to_protected(&all, now()), [1.0]);
    }
}
