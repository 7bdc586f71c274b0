//! The queue message for one (account, Region) pair: one layout for the retry queue and the dead-letter queue.

use alloc::borrow::ToOwned;
use alloc::string::{String, ToString};

use serde::{Deserialize, Deserializer, Serialize};

use crate::outcome::Outcome;
use crate::pair::Pair;
use crate::reason::Reason;
use crate::timestamp::Timestamp;

/// The version that this program writes, and the only one that it reads. A number: the two foreign records that can be in
/// the same queue have the strings `"0"` (EventBridge) and `"1.0"` (Lambda).
pub(crate) const VERSION: u64 = 1;

/// A pair that is not `Enabled`, and why. It holds no e-mail address.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct QueuedPair {
    version: u64,
    /// The account, 12 digits.
    pub account_id: String,
    pub region: String,
    /// The status's name.
    pub outcome: String,
    pub reason: Reason,
    /// AWS's own words, or what was seen if AWS said nothing; `None` for a deadline.
    pub result: Option<String>,
    detector_id: Option<String>,
    /// The first attempt and each receive of the message since.
    pub attempts: u32,
    #[serde(deserialize_with = "time_if_it_is_one")]
    pub(crate) first_failed_at: Option<Timestamp>,
    last_failed_at: String,
    pub(crate) event_id: Option<String>,
    #[serde(default, deserialize_with = "time_if_it_is_one")]
    pub(crate) event_time: Option<Timestamp>,
}

/// Where a pair comes from, for its record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Origin {
    /// The event that named the account: the envelope's `id`, else the Lambda request id.
    pub event_id: Option<String>,
    /// When the account joined, as that event says.
    pub event_time: Option<Timestamp>,
    /// When the pair failed first, if it failed before.
    pub first_failed_at: Option<Timestamp>,
    /// Attempts so far, this one included.
    pub attempts: u32,
}

impl QueuedPair {
    /// The record of a pair that was not enabled at `now`; `None` if nothing follows.
    #[must_use]
    pub(crate) fn of(
        pair: &Pair,
        outcome: &Outcome,
        origin: &Origin,
        now: Timestamp,
    ) -> Option<Self> {
        let reason = outcome.reason.filter(|_| !outcome.status.is_skipped())?;
        Some(Self {
            version: VERSION,
            account_id: pair.account.to_string(),
            region: pair.region.to_string(),
            outcome: outcome.status.name().to_owned(),
            reason,
            result: outcome.result.as_ref().map(ToString::to_string),
            detector_id: outcome.detector_id.clone(),
            attempts: origin.attempts,
            first_failed_at: origin.first_failed_at.or(Some(now)),
            last_failed_at: now.to_string(),
            event_id: origin.event_id.clone(),
            event_time: origin.event_time,
        })
    }
}

/// A time that cannot be read is not worth a lost message.
fn time_if_it_is_one<'de, D: Deserializer<'de>>(time: D) -> Result<Option<Timestamp>, D::Error> {
    let text = Option::<String>::deserialize(time)?;
    Ok(text.and_then(|text| text.parse().ok()))
}

#[cfg(test)]
mod tests {
    use core::time::Duration;

    use serde_json::{Value, json};

    use super::*;
    use crate::region::Region;
    use crate::status::Status;

    fn record(outcome: &Outcome) -> Option<Value> {
        let origin = Origin {
            event_id: Some("e-1".to_owned()),
            event_time: "2026-05-28T20:26:00Z".parse().ok(),
            first_failed_at: None,
            attempts: 1,
        };
        let pair = Pair {
            account: "444455556666".parse().unwrap(),
            region: Region::known("eu-west-1").unwrap(),
        };
        let now = Timestamp::since_1970(Duration::from_millis(1_779_999_999_900));
        QueuedPair::of(&pair, outcome, &origin, now).map(|record| json!(record))
    }

    #[test]
    fn a_record_is_written_in_one_documented_layout() {
        let outcome = Outcome::because(Reason::MemberLimitReached).saying("no more members");
        assert_eq!(
            record(&outcome.at("d1")),
            Some(json!({
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
            }))
        );
    }

    #[test]
    fn absent_values_are_null() {
        let value = record(&Outcome::because(Reason::Deadline)).unwrap();
        assert_eq!(value.get("result"), Some(&Value::Null));
        assert_eq!(value.get("detectorId"), Some(&Value::Null));
    }

    #[test]
    fn only_pairs_that_need_a_retry_or_a_person_have_a_record() {
        assert_eq!(record(&Outcome::enrolled()), None);
        assert_eq!(record(&Outcome::already_enabled()), None);
        for &reason in Reason::ALL {
            let follows = reason.status() != Status::Skipped;
            assert_eq!(record(&Outcome::because(reason)).is_some(), follows, "{}", reason.code());
        }
    }
}
