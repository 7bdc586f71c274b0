//! How fast calls follow each other: a steady step that grows while AWS asks for fewer calls.

use std::time::Duration;

use decisions::call_error::CallError;
use decisions::classify;
use decisions::reason::Reason;
use tokio::time::{Instant, sleep_until};

use crate::observe::logs;

/// The longest step. Ours: a call per minute still finds out that the throttling is over.
const LONGEST_STEP: Duration = Duration::from_mins(1);

/// Keeps calls at least a step apart.
#[derive(Debug)]
pub(crate) struct RateLimiter {
    base: Duration,
    step: Duration,
    next: Instant,
}

/// That a call may be made now.
#[derive(Debug)]
pub(crate) struct Permit(());

impl RateLimiter {
    /// The first call may be made at once, the others follow at `per_second`.
    pub(crate) fn of(per_second: u32) -> Self {
        Self::with_step(Duration::from_secs(1) / per_second.max(1))
    }

    /// Every call may be made at once.
    pub(crate) fn unlimited() -> Self {
        Self::with_step(Duration::ZERO)
    }

    fn with_step(step: Duration) -> Self {
        Self { base: step, step, next: Instant::now() }
    }

    /// Waits until the next call may be made.
    pub(crate) async fn wait(&mut self) -> Permit {
        // A timer that is due already may still take a millisecond.
        if self.next > Instant::now() {
            sleep_until(self.next).await;
        }
        self.next = Instant::now() + self.step;
        Permit(())
    }

    /// Makes a call when it may be made, and again, more slowly, while it fails for a reason that passes and the next try
    /// would be before `until`. Adds the throttled calls to `count`.
    pub(crate) async fn call<T>(
        &mut self,
        count: &mut usize,
        until: Instant,
        call: impl AsyncFn() -> Result<T, CallError>,
    ) -> Result<T, CallError> {
        loop {
            self.wait().await;
            let answer = call().await.inspect_err(logs::call_failed);
            let failed = answer.as_ref().err();
            let throttled = failed.is_some_and(|error| classify::error(error) == Reason::Throttled);
            *count += usize::from(throttled);
            let passes = failed.is_some_and(classify::passes);
            self.on_result(passes);
            if !passes || self.next >= until {
                return answer;
            }
        }
    }

    /// Doubles the step after a throttled call, and halves it towards the base after any other.
    pub(crate) fn on_result(&mut self, throttled: bool) {
        self.step = if throttled {
            (self.step * 2).min(LONGEST_STEP)
        } else {
            (self.step / 2).max(self.base)
        };
        if throttled {
            self.next = Instant::now() + self.step;
        }
    }
}

#[cfg(test)]
mod tests {
    use decisions::call_error::Failure;
    use decisions::operation::Operation;
    use decisions::redacted::Redacted;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn calls_are_a_step_apart_and_the_first_does_not_wait() {
        let start = Instant::now();
        let mut limiter = RateLimiter::of(4);
        let mut turns = Vec::new();
        for _ in 0..3 {
            limiter.wait().await;
            turns.push(start.elapsed().as_millis());
        }
        assert_eq!(turns, [0, 250, 500]);
    }

    #[tokio::test(start_paused = true)]
    async fn without_a_limit_nothing_waits() {
        let start = Instant::now();
        let mut limiter = RateLimiter::unlimited();
        for _ in 0..3 {
            limiter.wait().await;
        }
        assert_eq!(start.elapsed(), Duration::ZERO);
    }

    #[tokio::test(start_paused = true)]
    async fn a_throttled_call_is_followed_by_a_longer_wait() {
        let mut limiter = RateLimiter::of(1);
        limiter.wait().await;
        let start = Instant::now();
        limiter.on_result(true);
        limiter.wait().await;
        assert_eq!(start.elapsed().as_secs(), 2);
    }

    fn error(status: u16) -> CallError {
        CallError {
            operation: Operation::ListMembers,
            region: None,
            detector_id: None,
            failure: Failure::Answered { status, code: None, message: Redacted::new("") },
        }
    }

    /// Calls what fails the first times; returns whether it ended well, the throttled calls, and the seconds.
    async fn call(status: u16, failures: usize, until: u64) -> (bool, usize, u64) {
        let start = Instant::now();
        let calls = std::cell::Cell::new(0);
        let mut count = 0;
        let call = async || {
            calls.set(calls.get() + 1);
            if calls.get() > failures { Ok(()) } else { Err(error(status)) }
        };
        let until = start + Duration::from_secs(until);
        let answer = RateLimiter::of(1).call(&mut count, until, call).await;
        (answer.is_ok(), count, start.elapsed().as_secs())
    }

    #[tokio::test(start_paused = true)]
    async fn a_call_that_fails_for_a_reason_that_passes_is_made_again_until_it_is_answered() {
        assert_eq!(call(429, 3, 100).await, (true, 3, 2 + 4 + 8));
        assert_eq!(call(503, 3, 100).await, (true, 0, 2 + 4 + 8));
    }

    #[tokio::test(start_paused = true)]
    async fn a_call_is_not_made_again_without_time_or_for_a_reason_that_stays() {
        assert_eq!(call(503, 99, 10).await, (false, 0, 2 + 4));
        assert_eq!(call(404, 1, 100).await, (false, 0, 0));
    }

    #[tokio::test(start_paused = true)]
    async fn the_step_doubles_while_throttled_up_to_a_minute_and_comes_back() {
        let mut limiter = RateLimiter::of(1);
        let mut steps = Vec::new();
        for throttled in [true, true, true, true, true, true, true, false, false] {
            limiter.on_result(throttled);
            steps.push(limiter.step.as_secs());
        }
        assert_eq!(steps, [2, 4, 8, 16, 32, 60, 60, 30, 15]);
        for _ in 0..10 {
            limiter.on_result(false);
        }
        assert_eq!(limiter.step.as_secs(), 1);
    }
}
