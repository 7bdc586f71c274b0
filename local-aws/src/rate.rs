//! How many requests a service takes before it throttles: a token bucket for each operation and Region.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::protocol::Service;
use crate::refusal::Refusal;

/// A token more or less by rounding: one request per second is within one per second.
const ROUNDING: f64 = 1e-6;

/// The rate of one operation in one Region.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Rate {
    /// Requests per second that pass for ever.
    pub per_second: f64,
    /// Requests that pass at once after a pause.
    pub burst: f64,
}

/// What is left of each rate. A bucket is full until its first request.
#[derive(Clone, Debug, Default)]
pub(crate) struct Buckets(BTreeMap<(String, String), Bucket>);

#[derive(Clone, Copy, Debug)]
struct Bucket {
    tokens: f64,
    at: Duration,
}

impl Buckets {
    /// Takes a token for a request at `now`; false if there is none. A request that is throttled takes none.
    pub(crate) fn take(
        &mut self,
        now: Duration,
        operation: &str,
        region: &str,
        rate: Rate,
    ) -> bool {
        let name = (operation.to_owned(), region.to_owned());
        let bucket = self.0.entry(name).or_insert(Bucket { tokens: rate.burst, at: now });
        let gained = now.saturating_sub(bucket.at).as_secs_f64() * rate.per_second;
        bucket.tokens = (bucket.tokens + gained).min(rate.burst);
        bucket.at = bucket.at.max(now);
        let passes = bucket.tokens + ROUNDING >= 1.0;
        if passes {
            bucket.tokens -= 1.0;
        }
        passes
    }
}

/// The answer to a request above the rate.
pub(crate) fn refusal(service: Service) -> Refusal {
    match service {
        // ASSUMED: GuardDuty's model has no throttling error; this is what AWS's front ends answer for a service.
        Service::GuardDuty => Refusal::new(429, "ThrottlingException", "Rate exceeded"),
        // ASSUMED: the text, here and below; the codes are in the service models.
        Service::Organizations => Refusal::new(
            400,
            "TooManyRequestsException",
            "You have sent too many requests in too short a period of time.",
        ),
        Service::Account => Refusal::new(429, "TooManyRequestsException", "Rate exceeded"),
        Service::Sqs => Refusal::new(400, "RequestThrottled", "Rate exceeded"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RATE: Rate = Rate { per_second: 8.0, burst: 12.0 };

    fn passed(buckets: &mut Buckets, at: Duration, requests: usize, rate: Rate) -> usize {
        (0..requests).filter(|_| buckets.take(at, "ListAccounts", "us-east-1", rate)).count()
    }

    #[test]
    fn a_burst_passes_at_once_and_then_the_rate() {
        let mut buckets = Buckets::default();
        assert_eq!(passed(&mut buckets, Duration::ZERO, 20, RATE), 12);
        assert_eq!(passed(&mut buckets, Duration::from_secs(1), 20, RATE), 8);
        assert_eq!(passed(&mut buckets, Duration::from_hours(1), 20, RATE), 12);
    }

    #[test]
    fn requests_exactly_at_the_rate_all_pass() {
        for per_second in [1.0, 3.0, 7.0, 10.0] {
            let rate = Rate { per_second, burst: 1.0 };
            let mut buckets = Buckets::default();
            for number in 0..10_000 {
                let at = Duration::from_secs_f64(f64::from(number) / per_second);
                assert_eq!(passed(&mut buckets, at, 1, rate), 1, "{number}");
            }
        }
    }

    #[test]
    fn each_operation_has_its_own_rate_in_each_region() {
        let mut buckets = Buckets::default();
        let rate = Rate { per_second: 1.0, burst: 1.0 };
        let mut take = |operation, region| buckets.take(Duration::ZERO, operation, region, rate);
        assert!(take("CreateMembers", "eu-west-1"));
        assert!(!take("CreateMembers", "eu-west-1"));
        assert!(take("CreateMembers", "us-east-1"));
        assert!(take("GetMembers", "eu-west-1"));
    }

    #[test]
    fn nothing_passes_a_rate_without_a_burst() {
        let mut buckets = Buckets::default();
        let rate = Rate { per_second: 0.0, burst: 0.0 };
        assert_eq!(passed(&mut buckets, Duration::from_hours(1), 5, rate), 0);
    }
}
