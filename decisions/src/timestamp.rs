//! A moment, read and written as RFC 3339 in UTC. The reader takes any separator of date and time.

use core::fmt;
use core::str::FromStr;
use core::time::Duration;

use serde::{Serialize, Serializer};
use time::UtcDateTime;
use time::format_description::well_known::Rfc3339;

/// A moment in UTC. This crate has no clock: it only compares and shows moments.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Timestamp(UtcDateTime);

/// The first year that is believed: AWS began then.
const FIRST_YEAR: i32 = 2006;

/// The text is not an RFC 3339 time, or one before 2006.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("expected an RFC 3339 time since 2006 such as 2026-05-28T20:26:40Z")]
pub struct NotATimestamp;

impl Timestamp {
    /// The moment this long after 1970, in whole seconds. The year 9999 is the last.
    #[must_use]
    pub fn since_1970(elapsed: Duration) -> Self {
        let seconds = i64::try_from(elapsed.as_secs()).unwrap_or(i64::MAX);
        Self(UtcDateTime::from_unix_timestamp(seconds).unwrap_or(UtcDateTime::MAX))
    }

    /// The time from `earlier` until this moment; `None` if `earlier` is later.
    #[must_use]
    pub fn since(self, earlier: Self) -> Option<Duration> {
        Duration::try_from(self.0 - earlier.0).ok()
    }
}

/// Where to start in a list of this length, so that another part comes first each time and none is always last.
#[must_use]
pub fn rotation(now: Timestamp, length: usize) -> usize {
    // Knuth's multiplicative hash: seconds that differ little, or by a whole schedule, start far apart.
    let seconds = now.0.unix_timestamp().cast_unsigned();
    let scattered = seconds.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 33;
    usize::try_from(scattered).unwrap_or_default().checked_rem(length).unwrap_or_default()
}

impl FromStr for Timestamp {
    type Err = NotATimestamp;

    fn from_str(text: &str) -> Result<Self, NotATimestamp> {
        let time = UtcDateTime::parse(text, &Rfc3339).map_err(|_| NotATimestamp)?;
        if time.year() < FIRST_YEAR { Err(NotATimestamp) } else { Ok(Self(time)) }
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.format(&Rfc3339).map_err(|_| fmt::Error)?)
    }
}

impl Serialize for Timestamp {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

#[cfg(test)]
mod tests {
    use std::string::ToString;

    use super::*;

    fn time(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    #[test]
    fn a_timestamp_is_shown_in_utc() {
        for (text, shown) in [
            ("2026-05-28T20:26:40Z", "2026-05-28T20:26:40Z"),
            ("2026-05-28T20:26:40.123Z", "2026-05-28T20:26:40.123Z"),
            ("2026-05-28T22:26:40+02:00", "2026-05-28T20:26:40Z"),
        ] {
            assert_eq!(time(text).to_string(), shown);
        }
        let made = Timestamp::since_1970(Duration::from_millis(1_779_999_999_900));
        assert_eq!(made.to_string(), "2026-05-28T20:26:39Z");
        let end = Timestamp::since_1970(Duration::MAX).to_string();
        assert!(end.starts_with("9999-12-31T23:59:59"), "{end}");
    }

    #[test]
    fn a_timestamp_stays_short_however_many_digits_it_was_written_with() {
        let text = format!("2026-05-28T20:26:40.{}Z", "1".repeat(1_000));
        assert!(text.parse().is_ok_and(|time: Timestamp| time.to_string().len() < 40));
    }

    #[test]
    fn any_other_text_is_not_a_timestamp() {
        for text in ["", "May 28, 2026", "2026-05-28", "2026-13-28T20:26:40Z"] {
            assert_eq!(text.parse::<Timestamp>(), Err(NotATimestamp), "{text}");
        }
    }

    #[test]
    fn a_blank_may_stand_between_date_and_time() {
        assert_eq!(time("2026-11-25 15:53:47Z").to_string(), "2026-11-25T15:53:47Z");
    }

    #[test]
    fn a_moment_before_aws_began_is_not_a_timestamp() {
        for text in ["0001-01-01T00:00:00Z", "1970-01-01T00:00:00Z", "2005-12-31T23:59:59.9Z"] {
            assert_eq!(text.parse::<Timestamp>(), Err(NotATimestamp), "{text}");
        }
        assert_eq!(time("2006-01-01T00:00:00Z").to_string(), "2006-01-01T00:00:00Z");
        assert!("2006-01-01T01:00:00+02:00".parse::<Timestamp>().is_err());
    }

    #[test]
    fn the_time_since_a_later_moment_is_unknown() {
        let (early, late) = (time("2026-05-28T20:26:37.5Z"), time("2026-05-28T20:26:40Z"));
        assert_eq!(late.since(early), Some(Duration::from_millis(2_500)));
        assert_eq!(early.since(late), None);
    }

    #[test]
    fn a_list_is_started_at_another_place_with_every_run_of_a_schedule() {
        for length in [2_usize, 10, 450, 21_600, 50_000] {
            let starts = (0..20_u64).map(|run| {
                let now = Timestamp::since_1970(Duration::from_secs(1_780_000_000 + run * 21_600));
                rotation(now, length)
            });
            let starts: std::collections::BTreeSet<_> = starts.collect();
            assert!(starts.len() >= length.min(8), "{length}: {starts:?}");
            assert!(starts.iter().all(|start| *start < length));
        }
        assert_eq!(rotation(Timestamp::since_1970(Duration::ZERO), 0), 0);
    }
}
