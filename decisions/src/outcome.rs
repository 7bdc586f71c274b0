//! How an attempt ends for an (account, Region) pair: exactly one status, with a reason unless the pair is enabled.

use alloc::borrow::ToOwned;
use alloc::string::String;

use crate::call_error::CallError;
use crate::classify;
use crate::reason::Reason;
use crate::redacted::Redacted;
use crate::status::Status;

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
        Self { status, reason, result: None, detector_id: None }
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

    /// Whether the pair's Region is not to be covered, so that the account counts as protected without it.
    #[must_use]
    pub fn leaves_region_out(&self) -> bool {
        let reasons = [Reason::RegionNotConfigured, Reason::MemberRegionDisabled];
        self.is_uncovered() || self.reason.is_some_and(|reason| reasons.contains(&reason))
    }

    /// Whether the pair is skipped only because its Region is uncovered ([`crate::uncovered`]).
    #[must_use]
    pub fn is_uncovered(&self) -> bool {
        self.status.is_skipped() && self.reason.is_some_and(|reason| !reason.status().is_skipped())
    }

    /// The same, explained by AWS's words or by what was seen.
    #[must_use]
    pub fn saying(self, text: &str) -> Self {
        Self { result: Some(Redacted::new(text)), ..self }
    }

    /// The same, at a detector.
    #[must_use]
    pub fn at(self, detector_id: &str) -> Self {
        Self { detector_id: Some(detector_id.to_owned()), ..self }
    }

    /// The same, but nothing follows: the Region is uncovered.
    #[must_use]
    pub(crate) fn skipped(self) -> Self {
        Self { status: Status::Skipped, ..self }
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
            assert!(!matches!(outcome.status, Status::Enrolled | Status::AlreadyEnabled));
        }
    }
}
