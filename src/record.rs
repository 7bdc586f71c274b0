//! The queue message for one (account, Region) pair: one layout for the retry queue and the dead-letter queue.

use std::time::SystemTime;

use aws_smithy_types::DateTime;
use aws_smithy_types::date_time::Format;
use serde::{Deserialize, Serialize};

use crate::outcome::{Ending, Outcome, Reason};
use crate::pair::Pair;

/// The version that this program writes, and the only one that it reads. A number: the two foreign records
/// that can stand in the same queue have the strings `"0"` (EventBridge) and `"1.0"` (Lambda).
pub const VERSION: u64 = 1;

/// A pair that is not `Enabled`, and why. It holds no e-mail address.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Record {
    /// [`VERSION`].
    pub version: u64,
    /// The account, 12 digits.
    pub account_id: String,
    /// The Region.
    pub region: String,
    /// The outcome's name.
    pub outcome: String,
    /// The reason's code.
    pub reason: Reason,
    /// AWS's own text or its error's `code: message`, or what was seen where AWS said nothing; none for a deadline.
    pub result: Option<String>,
    /// The Region's detector, where one was asked for this account.
    pub detector_id: Option<String>,
    /// The first attempt and, of the message, each receive since.
    pub attempts: u32,
    /// When the pair failed first (RFC 3339, UTC).
    pub first_failed_at: String,
    /// When it failed last (RFC 3339, UTC).
    pub last_failed_at: String,
    /// The event that named the account: the envelope's `id`, else the Lambda request id.
    pub event_id: Option<String>,
    /// When the account joined, as that event says it (RFC 3339).
    #[serde(default)]
    pub event_time: Option<String>,
}

/// Where a pair came from, for its record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Origin {
    /// The event that named the account.
    pub event_id: Option<String>,
    /// When the account joined, as that event says it.
    pub event_time: Option<String>,
    /// When the pair failed first, where it failed before.
    pub first_failed_at: Option<String>,
    /// Attempts so far, this one included.
    pub attempts: u32,
}

impl Record {
    /// The record of a pair that failed now; `None` where there is nothing to hand on.
    #[must_use]
    pub fn of(pair: &Pair, ending: &Ending, origin: &Origin, now: SystemTime) -> Option<Self> {
        let reason = match ending.outcome {
            Outcome::Pending(reason) | Outcome::Deferred(reason) | Outcome::Refused(reason) => {
                reason
            }
            Outcome::Enrolled | Outcome::AlreadyEnabled | Outcome::Skipped(_) => return None,
        };
        let now = timestamp(now);
        Some(Self {
            version: VERSION,
            account_id: pair.account.to_string(),
            region: pair.region.to_string(),
            outcome: ending.outcome.name().to_owned(),
            reason,
            result: ending.result.as_ref().map(ToString::to_string),
            detector_id: ending.detector_id.clone(),
            attempts: origin.attempts,
            first_failed_at: origin
                .first_failed_at
                .clone()
                .unwrap_or_else(|| now.clone()),
            last_failed_at: now,
            event_id: origin.event_id.clone(),
            event_time: origin.event_time.clone(),
        })
    }
}

/// RFC 3339 in UTC, with whole seconds.
#[must_use]
pub fn timestamp(at: SystemTime) -> String {
    let seconds = DateTime::from(at).secs();
    DateTime::from_secs(seconds)
        .fmt(Format::DateTime)
        // Only years beyond 9999 cannot be formatted.
        .unwrap_or_default()
}

/// Whether a text is such a time, so that it may go on into a record.
#[must_use]
pub fn is_timestamp(text: &str) -> bool {
    DateTime::from_str(text, Format::DateTime).is_ok()
}

/// The seconds from such a time to `now`; none where the text is no time, or one that has not come yet.
#[must_use]
pub fn seconds_since(text: &str, now: SystemTime) -> Option<f64> {
    let then = DateTime::from_str(text, Format::DateTime).ok()?;
    let then = SystemTime::try_from(then).ok()?;
    Some(now.duration_since(then).ok()?.as_secs_f64())
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::region::Region;

    fn record(ending: &Ending) -> Option<Record> {
        let origin = Origin {
            event_id: Some("e-1".to_owned()),
            event_time: Some("2026-05-28T20:26:00Z".to_owned()),
            first_failed_at: None,
            attempts: 1,
        };
        let pair = Pair {
            account: "444455556666".parse().unwrap(),
            region: Region::known("eu-west-1").unwrap(),
        };
        Record::of(
            &pair,
            ending,
            &origin,
            SystemTime::UNIX_EPOCH + Duration::from_millis(1_779_999_999_900),
        )
    }

    #[test]
    fn a_record_is_written_in_one_documented_layout() {
        let ending = Ending::said(
            Outcome::Refused(Reason::MemberLimitReached),
            "no more members",
        )
        .at("d1");
        assert_eq!(
            serde_json::to_value(record(&ending)).unwrap(),
            serde_json::json!({
                "version": 1,
                "accountId": "444455556666",
                "region": "eu-west-1",
                "outcome": "refused",
                "reason": "member-limit-reached",
                "result": "no more members",
                "detectorId": "d1",
                "attempts": 1,
                "firstFailedAt": "2026-05-28T20:26:39Z",
                "lastFailedAt": "2026-05-28T20:26:39Z",
                "eventId": "e-1",
                "eventTime": "2026-05-28T20:26:00Z",
            })
        );
    }

    #[test]
    fn absent_values_are_null() {
        let ending = Ending::plain(Outcome::Deferred(Reason::Deadline));
        let value = serde_json::to_value(record(&ending)).unwrap();
        assert_eq!(value.get("result"), Some(&serde_json::Value::Null));
        assert_eq!(value.get("detectorId"), Some(&serde_json::Value::Null));
    }

    #[test]
    fn the_seconds_since_a_time_are_counted_and_nothing_else_is() {
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1_780_000_000);
        assert_eq!(seconds_since("2026-05-28T20:26:37.5Z", now), Some(2.5));
        assert_eq!(seconds_since("2026-05-28T20:26:41Z", now), None);
        assert_eq!(seconds_since("May 28, 2026", now), None);
        assert!(is_timestamp("2026-05-28T20:26:41Z"));
        assert!(!is_timestamp("May 28, 2026"));
    }

    #[test]
    fn only_pairs_that_are_not_done_have_a_record() {
        assert_eq!(record(&Ending::plain(Outcome::Enrolled)), None);
        assert_eq!(record(&Ending::plain(Outcome::AlreadyEnabled)), None);
        assert_eq!(
            record(&Ending::plain(Outcome::Skipped(Reason::Excluded))),
            None
        );
        for outcome in [Outcome::Pending, Outcome::Deferred, Outcome::Refused] {
            assert!(record(&Ending::plain(outcome(Reason::Unknown))).is_some());
        }
    }
}
