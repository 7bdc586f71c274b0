//! How an (account, Region) pair ends: exactly one outcome, and a reason for all but the two good ones.

use serde::{Deserialize, Serialize};

use crate::text::SafeText;

/// Declares the reasons once: the code that logs, queues and docs use, and what it means.
macro_rules! reasons {
    ($($(#[doc = $doc:literal])+ $variant:ident = $code:literal $(($other:ident))?,)+) => {
        /// Why a pair is not `Enabled`. The list only ever grows: alarms and scripts rest on it.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        pub enum Reason {
            $($(#[doc = $doc])+ #[serde(rename = $code $(, $other)?)] $variant,)+
        }

        impl Reason {
            /// Every reason.
            pub const ALL: &[Self] = &[$(Self::$variant,)+];

            /// The code, as it stands in logs, queue messages and the docs.
            #[must_use]
            pub const fn code(self) -> &'static str {
                match self { $(Self::$variant => $code,)+ }
            }
        }
    };
}

reasons! {
    /// AWS asked for fewer calls.
    Throttled = "throttled",
    /// AWS answered with an internal error.
    InternalError = "internal-error",
    /// No usable answer: a timeout, a dropped connection, a 502 or 503, an unreadable body.
    Unavailable = "unavailable",
    /// The function ran out of time before the pair's turn, or Organizations did not describe its account in half of it.
    Deadline = "deadline",
    /// GuardDuty took the account, but does not call it `Enabled` yet.
    NotYetEnabled = "not-yet-enabled",
    /// GuardDuty does not see the account in the organization yet.
    NotYetAssociated = "not-yet-associated",
    /// Organizations does not know the account (yet).
    AccountNotFound = "account-not-found",
    /// Organizations is still creating the account.
    PendingActivation = "pending-activation",
    /// The account is closed, or its closure was asked for.
    AccountClosed = "account-closed",
    /// AWS suspended the account.
    AccountSuspended = "account-suspended",
    /// `EXCLUDED_ACCOUNTS` names the account.
    Excluded = "excluded",
    /// The administrator's own account: it is not its own member.
    AdministratorAccount = "administrator-account",
    /// The management account must enable GuardDuty in this Region itself first.
    ManagementAccountNotEnabled = "management-account-not-enabled",
    /// The account that the function runs in is not GuardDuty's delegated administrator here.
    NotAdministrator = "not-administrator",
    /// The administrator has as many members as GuardDuty allows.
    MemberLimitReached = "member-limit-reached",
    /// Someone suspended the member; it is left alone, because `RESUME_SUSPENDED_MEMBERS` is not `true`.
    MemberSuspended = "member-suspended",
    /// GuardDuty has no detector of ours in this Region.
    NoDetector = "no-detector",
    /// The Region is not enabled for the administrator account.
    RegionDisabled = "region-disabled",
    /// A policy forbids the call.
    AccessDenied = "access-denied",
    /// GuardDuty does not accept the account's e-mail address, or there is none.
    EmailRejected = "email-rejected",
    /// The Region is no longer among `REGIONS`.
    RegionNotConfigured = "region-not-configured",
    /// An answer that this version does not know. A record of a later version with a reason of its own reads so too.
    Unknown = "unknown" (other),
}

/// How a pair ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Outcome {
    /// Made a member now, and seen `Enabled`.
    Enrolled,
    /// Was `Enabled` before: nothing was changed.
    AlreadyEnabled,
    /// Accepted by GuardDuty, not seen `Enabled` yet.
    Pending(Reason),
    /// A transient failure: trying again can help.
    Deferred(Reason),
    /// Trying again cannot help before a person has acted.
    Refused(Reason),
    /// Not to be enrolled.
    Skipped(Reason),
}

impl Outcome {
    /// The outcome's name, as it stands in replies, logs, queue messages and the docs.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Enrolled => "enrolled",
            Self::AlreadyEnabled => "already-enabled",
            Self::Pending(_) => "pending",
            Self::Deferred(_) => "deferred",
            Self::Refused(_) => "refused",
            Self::Skipped(_) => "skipped",
        }
    }

    /// The reason; none for the two good outcomes.
    #[must_use]
    pub const fn reason(self) -> Option<Reason> {
        match self {
            Self::Enrolled | Self::AlreadyEnabled => None,
            Self::Pending(reason)
            | Self::Deferred(reason)
            | Self::Refused(reason)
            | Self::Skipped(reason) => Some(reason),
        }
    }

    /// Whether trying again, without anyone's help, can make the pair `Enabled`.
    #[must_use]
    pub const fn heals_by_itself(self) -> bool {
        matches!(self, Self::Pending(_) | Self::Deferred(_))
    }
}

/// A pair's outcome with what led to it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ending {
    /// How it ended.
    pub outcome: Outcome,
    /// AWS's own text or its error's `code: message`, or what was seen where AWS said nothing.
    pub result: Option<SafeText>,
    /// The Region's detector, where one was asked for this account, whoever had the last word.
    pub detector_id: Option<String>,
}

impl Ending {
    /// An ending without a text of AWS.
    #[must_use]
    pub const fn plain(outcome: Outcome) -> Self {
        Self {
            outcome,
            result: None,
            detector_id: None,
        }
    }

    /// An ending that AWS, or this program, explained.
    #[must_use]
    pub fn said(outcome: Outcome, text: &str) -> Self {
        Self {
            result: Some(SafeText::new(text)),
            ..Self::plain(outcome)
        }
    }

    /// The same, at a detector.
    #[must_use]
    pub fn at(mut self, detector_id: &str) -> Self {
        self.detector_id = Some(detector_id.to_owned());
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_reason_has_a_code_of_its_own_in_kebab_case() {
        let codes: std::collections::BTreeSet<_> = Reason::ALL.iter().map(|r| r.code()).collect();
        assert_eq!(codes.len(), Reason::ALL.len());
        for code in codes {
            assert!(
                code.bytes().all(|b| b.is_ascii_lowercase() || b == b'-'),
                "{code}"
            );
        }
    }

    #[test]
    fn every_outcome_but_the_two_good_ones_has_its_reason() {
        let reason = Reason::Excluded;
        assert_eq!(Outcome::Enrolled.reason(), None);
        assert_eq!(Outcome::AlreadyEnabled.reason(), None);
        for outcome in [
            Outcome::Pending,
            Outcome::Deferred,
            Outcome::Refused,
            Outcome::Skipped,
        ] {
            assert_eq!(outcome(reason).reason(), Some(reason));
        }
    }

    #[test]
    fn only_pending_and_deferred_pairs_heal_by_themselves() {
        let reason = Reason::Unknown;
        assert!(Outcome::Pending(reason).heals_by_itself());
        assert!(Outcome::Deferred(reason).heals_by_itself());
        for outcome in [
            Outcome::Enrolled,
            Outcome::AlreadyEnabled,
            Outcome::Refused(reason),
            Outcome::Skipped(reason),
        ] {
            assert!(!outcome.heals_by_itself());
        }
    }
}
