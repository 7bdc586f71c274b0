//! How long a round trip takes, and which there were.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// The network between a client and the cloud: how long a round trip takes, and when there was one. A clone is the
/// same network.
#[derive(Clone, Debug, Default)]
pub struct RoundTrips {
    takes: Duration,
    seen: Arc<Mutex<Vec<RoundTrip>>>,
}

/// When a round trip began and ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct RoundTrip {
    pub(crate) start: Instant,
    pub(crate) end: Instant,
}

impl RoundTrips {
    /// A network on which a round trip takes so long.
    #[must_use]
    pub fn new(takes: Duration) -> Self {
        Self {
            takes,
            seen: Arc::default(),
        }
    }

    pub(crate) fn is_instant(&self) -> bool {
        self.takes.is_zero()
    }

    /// Begins a round trip, and tells when it ends.
    pub(crate) fn begin(&self, start: Instant) -> Instant {
        let end = start + self.takes;
        self.lock().push(RoundTrip { start, end });
        end
    }

    /// How many round trips followed one another since the last call, at the most: the longest chain in which each
    /// began when the one before had ended.
    ///
    /// Two that have nothing to do with each other count as a chain too where one happens to end first, so that it is
    /// never too few. `None` on a network without delay, where no order can be told.
    #[must_use]
    pub fn take_longest_chain(&self) -> Option<usize> {
        let seen = std::mem::take(&mut *self.lock());
        (!self.is_instant()).then(|| longest_chain(seen))
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<RoundTrip>> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Taking what ends first, again and again, makes the longest chain.
fn longest_chain(mut seen: Vec<RoundTrip>) -> usize {
    seen.sort_unstable_by_key(|trip| trip.end);
    let mut last: Option<Instant> = None;
    let mut length = 0;
    for trip in seen {
        if last.is_none_or(|last| last <= trip.start) {
            last = Some(trip.end);
            length += 1;
        }
    }
    length
}

#[cfg(test)]
mod tests {
    use super::*;

    const TAKES: Duration = Duration::from_millis(50);

    fn chain(starts: &[u64]) -> Option<usize> {
        let trips = RoundTrips::new(TAKES);
        let now = Instant::now();
        for start in starts {
            let _ = trips.begin(now + Duration::from_millis(*start));
        }
        trips.take_longest_chain()
    }

    #[test]
    fn round_trips_beside_each_other_count_as_one() {
        assert_eq!(chain(&[0, 1, 2, 49]), Some(1));
        assert_eq!(chain(&[0, 10, 50, 60, 99, 100]), Some(3));
        assert_eq!(chain(&[]), Some(0));
    }

    #[test]
    fn what_was_taken_is_not_counted_again() {
        let trips = RoundTrips::new(TAKES);
        let _ = trips.begin(Instant::now());
        assert_eq!(trips.take_longest_chain(), Some(1));
        assert_eq!(trips.take_longest_chain(), Some(0));
    }

    #[test]
    fn without_delay_no_order_can_be_told() {
        let trips = RoundTrips::default();
        let _ = trips.begin(Instant::now());
        assert_eq!(trips.take_longest_chain(), None);
    }
}
