//! How fast calls follow each other: a steady step that grows while AWS asks for fewer calls.

use std::time::Duration;

use tokio::time::{Instant, sleep_until};

/// The slowest pace. Ours: a call a minute still finds out that the throttling is over.
const SLOWEST: Duration = Duration::from_mins(1);

/// Keeps calls at least a step apart.
#[derive(Debug)]
pub struct Pace {
    base: Duration,
    step: Duration,
    next: Instant,
}

impl Pace {
    /// The first call may be made at once, the others follow at `per_second`.
    #[must_use]
    pub fn of(per_second: u32) -> Self {
        let step = Duration::from_secs(1) / per_second.max(1);
        Self {
            base: step,
            step,
            next: Instant::now(),
        }
    }

    /// Every call may be made at once.
    #[must_use]
    pub fn none() -> Self {
        Self {
            base: Duration::ZERO,
            step: Duration::ZERO,
            next: Instant::now(),
        }
    }

    /// Waits for the next call's turn.
    pub async fn turn(&mut self) {
        // A timer that is due already may still take a millisecond.
        if self.next > Instant::now() {
            sleep_until(self.next).await;
        }
        self.next = Instant::now() + self.step;
    }

    /// Makes a call at its turn, and again at a slower pace while it is throttled. `count` grows by the throttled calls.
    pub async fn keep<T>(
        &mut self,
        count: &mut usize,
        is_throttled: impl Fn(&T) -> bool,
        call: impl AsyncFn() -> T,
    ) -> T {
        loop {
            self.turn().await;
            let answer = call().await;
            let throttled = is_throttled(&answer);
            self.learn(throttled);
            if !throttled {
                return answer;
            }
            *count += 1;
        }
    }

    /// Goes at half the pace after a throttled call, and back by half towards the base after any other.
    pub fn learn(&mut self, throttled: bool) {
        self.step = if throttled {
            (self.step * 2).min(SLOWEST)
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
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn calls_are_a_step_apart_and_the_first_does_not_wait() {
        let start = Instant::now();
        let mut pace = Pace::of(4);
        let mut turns = Vec::new();
        for _ in 0..3 {
            pace.turn().await;
            turns.push(start.elapsed().as_millis());
        }
        assert_eq!(turns, [0, 250, 500]);
    }

    #[tokio::test(start_paused = true)]
    async fn without_a_pace_nobody_waits() {
        let start = Instant::now();
        let mut pace = Pace::none();
        for _ in 0..3 {
            pace.turn().await;
        }
        assert_eq!(start.elapsed(), Duration::ZERO);
    }

    #[tokio::test(start_paused = true)]
    async fn a_throttled_call_is_followed_by_a_longer_wait() {
        let mut pace = Pace::of(1);
        pace.turn().await;
        let start = Instant::now();
        pace.learn(true);
        pace.turn().await;
        assert_eq!(start.elapsed().as_secs(), 2);
    }

    #[tokio::test(start_paused = true)]
    async fn a_throttled_call_is_made_again_until_it_is_answered() {
        let start = Instant::now();
        let calls = std::cell::Cell::new(0);
        let mut count = 0;
        let call = async || {
            calls.set(calls.get() + 1);
            calls.get()
        };
        let answer = Pace::of(1).keep(&mut count, |call| *call < 4, call).await;
        assert_eq!((answer, count), (4, 3));
        assert_eq!(start.elapsed().as_secs(), 2 + 4 + 8);
    }

    #[tokio::test(start_paused = true)]
    async fn the_step_doubles_while_throttled_up_to_a_minute_and_comes_back() {
        let mut pace = Pace::of(1);
        let mut steps = Vec::new();
        for throttled in [true, true, true, true, true, true, true, false, false] {
            pace.learn(throttled);
            steps.push(pace.step.as_secs());
        }
        assert_eq!(steps, [2, 4, 8, 16, 32, 60, 60, 30, 15]);
        for _ in 0..10 {
            pace.learn(false);
        }
        assert_eq!(pace.step.as_secs(), 1);
    }
}
