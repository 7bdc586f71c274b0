//! The only place that reads the wall clock.

use std::time::{Instant, SystemTime};

use decisions::timestamp::Timestamp;

/// This moment. A clock that is set before 1970 reads as 1970.
pub(crate) fn now() -> Timestamp {
    // A test can move tokio's clock ahead; otherwise this is zero.
    let ahead = tokio::time::Instant::now().into_std().saturating_duration_since(Instant::now());
    let since_1970 = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    Timestamp::since_1970(since_1970.unwrap_or_default() + ahead)
}
