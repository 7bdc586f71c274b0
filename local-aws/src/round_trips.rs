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

/// Round trips that followed one another.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Chain {
    /// How many.
    pub length: usize,
    /// How long they took in all. Timers are late by a millisecond or so, which is nobody's fault but the simulation's.
    pub took: Duration,
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
        Self { takes, seen: Arc::default() }
    }

    pub(crate) fn is_instant(&self) -> bool {
        self.takes.is_zero()
    }

    /// When a round trip ends that begins now.
    pub(crate) fn end_of(&self, start: Instant) -> Instant {
        start + self.takes
    }

    pub(crate) fn record(&self, trip: RoundTrip) {
        self.lock().push(trip);
    }

    /// The longest chain of round trips since the last call, in which each began when the one before had ended.
    ///
    /// Two that have nothing to do with each other count as a chain too where one happens to end first, so that it is
    /// never too few. `None` on a network without delay, where no order can be told.
    #[must_use]
    pub fn take_longest_chain(&self) -> Option<Chain> {
        let seen = std::mem::take(&mut *self.lock());
        (!self.is_instant()).then(|| longest_chain(seen))
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<RoundTrip>> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Taking what ends first, again and again, makes the longest chain.
fn longest_chain(mut seen: Vec<RoundTrip>) -> Chain {
    seen.sort_unstable_by_key(|trip| trip.end);
    let mut last: Option<Instant> = None;
    let mut chain = Chain::default();
    for trip in seen {
        if last.is_none_or(|last| last <= trip.start) {
            last = Some(trip.end);
            chain.length += 1;
            chain.took += trip.end - trip.start;
        }
    }
    chain
}

#[cfg(test)]
mod tests {
    use super::*;

    const TAKES: Duration = Duration::from_millis(50);

    fn network(takes: Duration, starts: &[u64]) -> RoundTrips {
        let trips = RoundTrips::new(takes);
        let now = Instant::now();
        for start in starts {
            let start = now + Duration::from_millis(*start);
            let end = trips.end_of(start);
            trips.record(RoundTrip { start, end });
        }
        trips
    }

    fn chain(starts: &[u64]) -> Option<Chain> {
        network(TAKES, starts).take_longest_chain()
    }

    fn of(length: u32) -> Chain {
        Chain { length: usize::try_from(length).unwrap(), took: TAKES * length }
    }

    #[test]
    fn round_trips_beside_each_other_count_as_one() {
        assert_eq!(chain(&[0, 1, 2, 49]), Some(of(1)));
        assert_eq!(chain(&[0, 10, 50, 60, 99, 100]), Some(of(3)));
        assert_eq!(chain(&[]), Some(of(0)));
    }

    #[test]
    fn what_was_taken_is_not_counted_again() {
        let trips = network(TAKES, &[0]);
        assert_eq!(trips.take_longest_chain(), Some(of(1)));
        assert_eq!(trips.take_longest_chain(), Some(of(0)));
    }

    #[test]
    fn without_delay_no_order_can_be_told() {
        assert_eq!(network(Duration::ZERO, &[0]).take_longest_chain(), None);
    }
}
