//! Why a pair is not `Enabled`. Each reason is one row with everything that follows from it: the status, what a failure
//! for this reason concerns, what it means, and what a person does. The runbook's table is this one; a test compares.

use serde::{Deserialize, Serialize};

use crate::status::Status;

/// What a failure concerns, and so what else it makes useless to try.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope {
    /// One account. A call for several accounts that fails for such a reason is split.
    Account,
    /// Every account in the Region. A reconcile stops there.
    Region,
    /// A service, or the attempt as a whole. The same call can succeed later.
    Service,
}

macro_rules! reasons {
    ($($reason:ident = $code:literal $(($other:ident))?, $status:ident, $scope:ident, $meaning:literal, $remedy:literal;)+) => {
        /// Why a pair is not `Enabled`. The list only grows: alarms and scripts rest on the codes.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        pub enum Reason {
            $(#[doc = $meaning] #[serde(rename = $code $(, $other)?)] $reason,)+
        }

        impl Reason {
            /// Every reason.
            pub const ALL: &[Self] = &[$(Self::$reason,)+];

            /// The code in logs, queue messages and the docs.
            #[must_use]
            pub const fn code(self) -> &'static str {
                match self { $(Self::$reason => $code,)+ }
            }

            /// The status of a pair that ends for this reason, and so what follows.
            #[must_use]
            pub const fn status(self) -> Status {
                match self { $(Self::$reason => Status::$status,)+ }
            }

            /// What a failure for this reason concerns.
            #[must_use]
            pub const fn scope(self) -> Scope {
                match self { $(Self::$reason => Scope::$scope,)+ }
            }

            /// What it means.
            #[must_use]
            pub const fn meaning(self) -> &'static str {
                match self { $(Self::$reason => $meaning,)+ }
            }

            /// What a person does about it.
            #[must_use]
            pub const fn remedy(self) -> &'static str {
                match self { $(Self::$reason => $remedy,)+ }
            }
        }
    };
}

reasons! {
    Throttled = "throttled", Deferred, Service,
        "AWS asked for fewer calls",
        "Wait: it is retried. If it lasts, find what else uses up the request rate in the account or the organization";
    InternalError = "internal-error", Deferred, Service,
        "AWS answered with an internal error; common in the first minutes of an account",
        "Wait: it is retried. If it lasts, see the AWS Health Dashboard; if it lasts in one Region alone, take the Region out of `Regions`";
    Unavailable = "unavailable", Deferred, Service,
        "There was no usable answer: a timeout, a dropped connection, a 502 or 503, an unreadable body, an expired token, a clock or a signature that AWS did not accept",
        "Wait: it is retried. If it lasts, see the AWS Health Dashboard; for one Region alone, see whether GuardDuty has an endpoint there, and if not, name the Regions in `Regions` instead of `all`";
    Deadline = "deadline", Deferred, Service,
        "The function ran out of time before the pair's turn, or Organizations took half of the time to describe the account",
        "Wait: it is retried, and the next reconcile goes on from here. If it lasts, use more memory or fewer accounts per call; for a reconcile, see `throttled` in its report and raise `ListAccountsPerSecond` or `ListMembersPerSecond`";
    NotYetEnabled = "not-yet-enabled", Pending, Account,
        "GuardDuty accepted the account or calls it a member, but does not list it as `Enabled`",
        "Wait: it is retried. If it lasts with `Created` or `Invited`, make the account that the function runs in the delegated administrator in this Region";
    NotYetAssociated = "not-yet-associated", Deferred, Account,
        "GuardDuty does not see the account in the organization yet",
        "Wait: it is retried. If it lasts, check that the account is still in the organization";
    AccountNotFound = "account-not-found", Deferred, Account,
        "Organizations does not know the account; right after a join that can be a delay",
        "Wait: it is retried. If it lasts, the account left or its id is wrong: delete the message";
    PendingActivation = "pending-activation", Deferred, Account,
        "Organizations is still creating the account",
        "Wait: it is retried. If it lasts, finish the account's activation";
    AccountClosed = "account-closed", Skipped, Account,
        "The account is closed or about to be closed",
        "Nothing";
    AccountSuspended = "account-suspended", Skipped, Account,
        "AWS suspended the account",
        "Nothing. When AWS lifts the suspension, call the function with the account";
    Excluded = "excluded", Skipped, Account,
        "`ExcludedAccounts` names the account, or `ExcludedPaths` an organizational unit that it is in",
        "Nothing";
    AdministratorAccount = "administrator-account", Skipped, Account,
        "The administrator is not its own member",
        "Nothing: its own detector protects it";
    ManagementAccountNotEnabled = "management-account-not-enabled", Refused, Account,
        "The account is the management account, which must enable GuardDuty in this Region itself before it can be a member",
        "In the management account, enable GuardDuty in this Region and wait a minute";
    NotAdministrator = "not-administrator", Refused, Region,
        "The account that the function runs in is not GuardDuty's delegated administrator in this Region, or is in no organization",
        "From the management account, make it the delegated administrator in this Region (`guardduty enable-organization-admin-account`)";
    MemberLimitReached = "member-limit-reached", Refused, Region,
        "The administrator has as many members as GuardDuty allows (50,000 through Organizations)",
        "Remove members that left the organization (check each stale account with `describe-account` first), or ask AWS for a higher limit";
    MemberSuspended = "member-suspended", Refused, Account,
        "Someone suspended the member, and `ResumeSuspendedMembers` is `false`",
        "If that was right, delete the message. Otherwise use `guardduty start-monitoring-members`, or set `ResumeSuspendedMembers` to `true`";
    MemberRegionDisabled = "member-region-disabled", Skipped, Account,
        "The account itself has not enabled this Region",
        "Nothing. Once the account enables the Region, the next reconcile enrolls it there";
    NoDetector = "no-detector", Refused, Region,
        "GuardDuty is not enabled for the administrator account in this Region; with `Regions` = `all` the Region is uncovered",
        "Enable GuardDuty in the administrator account in this Region and make it the delegated administrator there, or take the Region out of `Regions`";
    RegionDisabled = "region-disabled", Refused, Region,
        "The Region is not enabled for the administrator account",
        "Enable the Region for the administrator account, or take it out of `Regions`";
    AccessDenied = "access-denied", Refused, Region,
        "A policy forbids the call; `result` names it",
        "Correct the function's role, or the service control policy that forbids the call; if a policy denies the whole Region, take it out of `Regions`";
    EmailRejected = "email-rejected", Refused, Account,
        "GuardDuty does not accept the account's e-mail address, or there is none",
        "Change the root user's e-mail address (from the management account, `account start-primary-email-update`) to one that GuardDuty accepts: 6 to 64 characters, ASCII, before the `@` no leading dot, no blank and none of `\"'()<>[]:,\\|%&`, after it letters, digits, `-` and at least one `.`, and neither `.` nor `-` at an end";
    RegionNotConfigured = "region-not-configured", Skipped, Account,
        "A queued pair's Region is not one of those to be covered",
        "Nothing";
    Unknown = "unknown" (other), Deferred, Account,
        "AWS gave an answer that this version does not know, or a record is from a later version",
        "Read `result`, and do what it says. Please report the text, so that a later version knows it";
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_reason_has_a_code_of_its_own_in_kebab_case() {
        let codes: BTreeSet<_> = Reason::ALL.iter().map(|reason| reason.code()).collect();
        assert_eq!(codes.len(), Reason::ALL.len());
        for code in codes {
            let mut bytes = code.bytes();
            assert!(bytes.all(|b| b.is_ascii_lowercase() || b == b'-'), "{code}");
        }
    }

    #[test]
    fn a_reason_that_is_retried_tells_a_person_to_wait_first() {
        for &reason in Reason::ALL {
            let waits = reason.remedy().starts_with("Wait");
            let retried = reason.status().is_retried() && reason != Reason::Unknown;
            assert_eq!(waits, retried, "{}", reason.code());
        }
    }

    #[test]
    fn what_blocks_a_whole_region_needs_a_person() {
        for &reason in Reason::ALL {
            if reason.scope() == Scope::Region {
                assert_eq!(reason.status(), Status::Refused, "{}", reason.code());
            }
        }
    }
}
