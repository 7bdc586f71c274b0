//! What the wall clock showed when the cloud started; the only place that turns virtual time into time stamps.

use std::time::Duration;

use aws_smithy_types::DateTime;
use aws_smithy_types::date_time::Format;

const DAY: Duration = Duration::from_hours(24);

/// The cloud's start as time since 1970. Virtual time counts from here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Epoch(pub Duration);

impl Default for Epoch {
    /// 2026-01-01T00:00:00Z: fixed, so that a test prints the same on every day.
    fn default() -> Self {
        Self(DAY * 20_454)
    }
}

impl Epoch {
    /// Whole seconds since 1970.
    #[must_use]
    pub fn seconds(self, now: Duration) -> u64 {
        (self.0 + now).as_secs()
    }

    /// Milliseconds since 1970, as SQS and the Lambda Runtime API write time.
    #[must_use]
    pub fn millis(self, now: Duration) -> u128 {
        (self.0 + now).as_millis()
    }

    /// `2026-01-01T00:00:00.25Z`.
    #[must_use]
    pub fn iso(self, now: Duration) -> String {
        let since_1970 = self.0 + now;
        let seconds = i64::try_from(since_1970.as_secs()).unwrap_or(i64::MAX);
        DateTime::from_secs_and_nanos(seconds, since_1970.subsec_millis() * 1_000_000)
            .fmt(Format::DateTime)
            .unwrap_or_default()
    }
}
