//! How an attempt ends for an (account, Region) pair: exactly one status, with a reason unless the pair is enabled.

use alloc::borrow::ToOwned;
use alloc::string::String;

use crate::call_error::CallError;
use crate::classify;
use crate::reason::Reason;
use crate::redacted::Redacted;

/// How an attempt ended for a pair, and what follows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Status {
    /// Made a member now, and seen `Enabled`.
    Enrolled,
    /// Was `Enabled` before: nothing was changed.
    AlreadyEnabled,
    /// GuardDuty accepted the account but does not list it as `Enabled`: retried.
    Pending,
    /// A transient failure: retried.
    Deferred,
    /// Retrying is useless until a person has acted: a dead letter.
    Refused,
    /// Not to be enrolled: nothing follows.
    Skipped,
}

impl Status {
    /// Every status, in the order of a pair's life.
    pub const ALL: [Self; 6] = [
        Self::Enrolled,
        Self::AlreadyEnabled,
        Self::Pending,
        Self::Deferred,
        Self::Refused,
        Self::Skipped,
    ];

    /// The name in replies, logs, queue messages and the docs, where it is called `outcome`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Enrolled => "enrolled",
            Self::AlreadyEnabled => "already-enabled",
            Self::Pending => "pending",
            Self::Deferred => "deferred",
            Self::Refused => "refused",
            Self::Skipped => "skipped",
        }
    }

    /// Whether a retry, without anyone's help, can make the pair `Enabled`.
    #[must_use]
    pub const fn is_retried(self) -> bool {
        matches!(self, Self::Pending | Self::Deferred)
    }

    /// Whether the pair is not to be enrolled.
    #[must_use]
    pub const fn is_skipped(self) -> bool {
        matches!(self, Self::Skipped)
    }
}

/// How an attempt ended for a pair, with what led to it.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Outcome {
    /// How it ended.
    pub status: Status,
    /// Why the pair is not enabled; `None` only if it is.
    pub reason: Option<Reason>,
    /// AWS's own words, or what was seen if AWS said nothing.
    pub result: Option<Redacted>,
    /// The detector that was called for this account.
    pub detector_id: Option<String>,
}

impl Outcome {
    const fn of(status: Status, reason: Option<Reason>) -> Self {
        Self {
            status,
            reason,
            result: None,
            detector_id: None,
        }
    }

    /// The pair was made a member and seen `Enabled`.
    #[must_use]
    pub const fn enrolled() -> Self {
        Self::of(Status::Enrolled, None)
    }

    /// The pair was `Enabled` before.
    #[must_use]
    pub const fn already_enabled() -> Self {
        Self::of(Status::AlreadyEnabled, None)
    }

    /// The pair is not enabled for this reason.
    #[must_use]
    pub const fn because(reason: Reason) -> Self {
        Self::of(reason.status(), Some(reason))
    }

    /// The pair is not enabled because a call failed.
    #[must_use]
    pub fn failed(error: &CallError) -> Self {
        Self {
            detector_id: error.detector_id.clone(),
            ..Self::because(classify::error(error)).saying(&error.result())
        }
    }

    /// The same, explained by AWS's words or by what was seen.
    #[must_use]
    pub fn saying(self, text: &str) -> Self {
        Self {
            result: Some(Redacted::new(text)),
            ..self
        }
    }

    /// The same, at a detector.
    #[must_use]
    pub fn at(self, detector_id: &str) -> Self {
        Self {
            detector_id: Some(detector_id.to_owned()),
            ..self
        }
    }

    /// The same, but nothing follows.
    #[must_use]
    pub(crate) fn skipped(self) -> Self {
        Self {
            status: Status::Skipped,
            ..self
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_outcome_but_the_two_good_ones_has_its_reason() {
        assert_eq!(Outcome::enrolled().reason, None);
        assert_eq!(Outcome::already_enabled().reason, None);
        for &reason in Reason::ALL {
            let outcome = Outcome::because(reason);
            assert_eq!(outcome.reason, Some(reason));
            assert!(!matches!(
                outcome.status,
                Status::Enrolled | Status::AlreadyEnabled
            ));
        }
    }

    #[test]
    fn only_pending_and_deferred_pairs_are_retried() {
        let retried = Status::ALL.into_iter().filter(|status| status.is_retried());
        assert!(retried.eq([Status::Pending, Status::Deferred]));
    }
}
