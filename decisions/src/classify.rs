//! What AWS's words mean: the one table from an error code, a text, an HTTP status, or a member's status to a reason.
//!
//! Sources: **docs** = the service's API reference or user guide; **users** = reported in public issues of similar
//! tools; **assumed** = nobody has shown it.

use crate::call_error::{CallError, Failure};
use crate::operation::{Operation, Service};
use crate::reason::{Reason, Scope};

use On::{Any, Global, To};
use Reason::{
    AccessDenied, AccountNotFound, AdministratorAccount, InternalError,
    ManagementAccountNotEnabled, MemberLimitReached, MemberSuspended, NoDetector, NotAdministrator,
    NotYetAssociated, NotYetEnabled, RegionDisabled, Throttled, Unavailable, Unknown,
};
use Seen::{Code, Error, Http, Member, Text};

/// Which operations a row is for.
#[derive(Clone, Copy)]
enum On {
    Any,
    /// Operations of services that nobody can switch off in a Region.
    Global,
    To(Operation),
}

/// What a row looks at.
#[derive(Clone, Copy)]
enum Seen {
    /// An error's code.
    Code(&'static str),
    /// A part of a text, in lower case: of `unprocessedAccounts` inside a 200, or of an error.
    Text(&'static str),
    /// An error's HTTP status.
    Http(u16),
    /// Any other error.
    Error,
    /// A member's `relationshipStatus`, in lower case.
    Member(&'static str),
}

/// The first row that matches decides. Codes come before texts, and texts before HTTP statuses.
///
/// GuardDuty explains a failure in free text only, and its error subtypes have moved before, so only words are matched.
/// "master" in older texts is "administrator" in newer ones: no row rests on either word alone.
const ROWS: &[(On, Seen, Reason)] = &[
    // docs: codes that AWS's SDKs treat as throttling (those of other services left out).
    (Any, Code("ThrottlingException"), Throttled),
    (Any, Code("Throttling"), Throttled),
    (Any, Code("ThrottledException"), Throttled),
    (Any, Code("RequestThrottled"), Throttled),
    (Any, Code("RequestThrottledException"), Throttled),
    (Any, Code("RequestLimitExceeded"), Throttled),
    (Any, Code("TooManyRequestsException"), Throttled),
    (Any, Code("SlowDown"), Throttled),
    (Any, Code("LimitExceededException"), Throttled),
    (Any, Code("BandwidthLimitExceeded"), Throttled),
    (Any, Code("PriorRequestNotComplete"), Throttled),
    // docs: a policy or a service control policy.
    (Any, Code("AccessDeniedException"), AccessDenied),
    (Any, Code("AccessDenied"), AccessDenied),
    // docs: Organizations, from an account that is in no organization.
    (Any, Code("AWSOrganizationsNotInUseException"), NotAdministrator),
    // docs: Organizations; right after a join it can be a delay.
    (Any, Code("AccountNotFoundException"), AccountNotFound),
    // assumed: a global service cannot be switched off, so the token is bad.
    (Global, Code("UnrecognizedClientException"), Unavailable),
    (Global, Code("InvalidClientTokenId"), Unavailable),
    // users: an opt-in Region that the administrator account has not enabled.
    (Any, Code("UnrecognizedClientException"), RegionDisabled),
    (Any, Code("InvalidClientTokenId"), RegionDisabled),
    // docs: the credentials expired while the function was frozen; the next attempt has new ones.
    (Any, Code("ExpiredTokenException"), Unavailable),
    (Any, Code("ExpiredToken"), Unavailable),
    // docs
    (Any, Code("InternalServerErrorException"), InternalError),
    (Any, Code("InternalFailure"), InternalError),
    (Any, Code("ServiceException"), InternalError),
    (Any, Code("ServiceUnavailable"), Unavailable),
    (Any, Code("ServiceUnavailableException"), Unavailable),
    // docs: the caller is a member of somebody else's administrator.
    (Any, Text("cannot create members since it is already"), NotAdministrator),
    // docs, users: success, once GetMembers says `Enabled`.
    (Any, Text("is already a member or associated member"), NotYetEnabled),
    // docs
    (Any, Text("cannot become a member of itself"), AdministratorAccount),
    // users: right after a join.
    (Any, Text("is not an associated member"), NotYetAssociated),
    // users: ends about a minute after the management account has enabled GuardDuty in the Region.
    (Any, Text("must first enable guardduty"), ManagementAccountNotEnabled),
    // docs
    (Any, Text("exceed the maximum number of allowed members"), MemberLimitReached),
    // docs: the detector was replaced, or somebody else's was looked up.
    (Any, Text("detectorid is not owned by the current account"), NoDetector),
    // users
    (Any, Text("internal error"), InternalError),
    (Any, Text("internal server error"), InternalError),
    // assumed: the words of AWS's throttling errors, inside a 200.
    (Any, Text("rate exceeded"), Throttled),
    (Any, Text("too many requests"), Throttled),
    // docs: RFC 9110. 429 without a code: users.
    (Any, Http(403), AccessDenied),
    (Any, Http(429), Throttled),
    (Any, Http(500), InternalError),
    (Any, Http(502), Unavailable),
    (Any, Http(503), Unavailable),
    (Any, Http(504), Unavailable),
    // docs: GuardDuty answers this call to the delegated administrator only.
    (To(Operation::DescribeOrganizationConfiguration), Error, NotAdministrator),
    // docs: StopMonitoringMembers sets it.
    (Any, Member("disabled"), MemberSuspended),
];

impl On {
    fn includes(self, operation: Operation) -> bool {
        match self {
            Any => true,
            Global => matches!(operation.service(), Service::Account | Service::Organizations),
            To(only) => only == operation,
        }
    }
}

/// What a text of `unprocessedAccounts` means. An unknown text is retried: most failures right after an account's birth
/// heal by themselves.
///
/// ```
/// use decisions::classify;
/// use decisions::reason::Reason;
///
/// let text = "Operation failed because your organization master must first enable GuardDuty";
/// assert_eq!(classify::text(text), Reason::ManagementAccountNotEnabled);
/// assert_eq!(classify::text("Never seen before"), Reason::Unknown);
/// ```
#[must_use]
pub fn text(text: &str) -> Reason {
    let text = text.to_lowercase();
    first(|_, seen| matches!(seen, Text(part) if text.contains(part))).unwrap_or(Unknown)
}

/// What a `relationshipStatus` other than `Enabled` means. It is a free string, and an unknown one is "not yet".
#[must_use]
pub(crate) fn member(relationship_status: &str) -> Reason {
    let is = |word: &str| relationship_status.eq_ignore_ascii_case(word);
    first(|_, seen| matches!(seen, Member(word) if is(word))).unwrap_or(NotYetEnabled)
}

/// What a failed call means for each account that it was made for.
#[must_use]
pub fn error(error: &CallError) -> Reason {
    let (status, code, message) = match &error.failure {
        Failure::NoDetector => return NoDetector,
        Failure::NoAnswer(_) => return Unavailable,
        Failure::Answered { status, code, message } => {
            (*status, code.as_deref(), message.as_str().to_lowercase())
        }
    };
    first(|row, seen| {
        row.0.includes(error.operation)
            && match seen {
                Code(known) => code == Some(known),
                // A failed call says nothing about single accounts, so it never skips one.
                Text(part) => message.contains(part) && !row.2.status().is_skipped(),
                Http(known) => status == known,
                Error => true,
                Member(_) => false,
            }
    })
    .unwrap_or(Unknown)
}

fn first(matches: impl Fn(&(On, Seen, Reason), Seen) -> bool) -> Option<Reason> {
    let row = ROWS.iter().find(|row| matches(row, row.1));
    row.map(|(_, _, reason)| *reason)
}

/// Whether a call may have failed because of one account in it, so that a smaller call can pass: one bad e-mail address
/// fails a whole `CreateMembers` with a 400 that names no account (docs).
#[must_use]
pub(crate) fn may_concern_one_account(failed: &CallError) -> bool {
    matches!(failed.failure, Failure::Answered { status: 400, .. })
        && error(failed).scope() == Scope::Account
}

#[cfg(test)]
mod tests {
    use std::borrow::ToOwned;
    use std::vec::Vec;

    use super::*;
    use crate::redacted::Redacted;

    fn failed(operation: Operation, failure: Failure) -> CallError {
        CallError { operation, region: None, detector_id: None, failure }
    }

    fn answered(status: u16, code: Option<&str>, message: &str) -> CallError {
        let failure = Failure::Answered {
            status,
            code: code.map(str::to_owned),
            message: Redacted::new(message),
        };
        failed(Operation::CreateMembers, failure)
    }

    fn bad_request(message: &str) -> CallError {
        answered(400, Some("BadRequestException"), message)
    }

    const INVALID: &str = "The request is rejected because an invalid or out-of-range value is specified as an input parameter.";
    const NOT_OURS: &str =
        "The request is rejected because the input detectorId is not owned by the current account.";

    #[test]
    fn every_known_text_has_its_reason() {
        for (words, reason) in [
            (
                "The request is rejected because the given account ID is already a member or associated member of the current account.",
                NotYetEnabled,
            ),
            (
                "The request is rejected. The specified account ID is already a member or associated member of the current account.",
                NotYetEnabled,
            ),
            (
                "The request is rejected because an account cannot become a member of itself.",
                AdministratorAccount,
            ),
            ("Internal error", InternalError),
            ("Internal server error.", InternalError),
            (
                "The request is rejected because the given account ID is not an associated member of account the current account.",
                NotYetAssociated,
            ),
            (
                "Operation failed because your organization master must first enable GuardDuty to be added as a member",
                ManagementAccountNotEnabled,
            ),
            (
                "Operation failed because your organization administrator must first enable GuardDuty to be added as a member",
                ManagementAccountNotEnabled,
            ),
            (
                "The request is rejected because the current account cannot create members since it is already an associated member of another master account.",
                NotAdministrator,
            ),
            (
                "The request is rejected because the current account cannot create anymore members since it cannot exceed the maximum number of allowed members.",
                MemberLimitReached,
            ),
            ("Rate exceeded", Throttled),
            ("Too many requests", Throttled),
            ("", Unknown),
            ("Something nobody has seen before", Unknown),
        ] {
            assert_eq!(text(words), reason, "{words}");
        }
    }

    #[test]
    fn a_code_counts_before_the_text_and_the_text_before_the_status() {
        for (status, code, message, reason) in [
            (400, Some("ThrottlingException"), "Rate exceeded", Throttled),
            (400, Some("TooManyRequestsException"), "", Throttled),
            (429, None, "", Throttled),
            (403, Some("AccessDeniedException"), "not authorized", AccessDenied),
            (
                403,
                Some("UnrecognizedClientException"),
                "The security token included in the request is invalid.",
                RegionDisabled,
            ),
            (403, Some("ExpiredTokenException"), "", Unavailable),
            (403, None, "Forbidden", AccessDenied),
            (400, Some("AccountNotFoundException"), "", AccountNotFound),
            (400, Some("AWSOrganizationsNotInUseException"), "", NotAdministrator),
            (500, Some("InternalServerErrorException"), "Internal server error.", InternalError),
            (500, None, "", InternalError),
            (502, None, "", Unavailable),
            (503, None, "", Unavailable),
            (504, None, "", Unavailable),
            (400, Some("BadRequestException"), NOT_OURS, NoDetector),
            (400, Some("BadRequestException"), "never seen", Unknown),
            (418, None, "teapot", Unknown),
        ] {
            let classified = error(&answered(status, code, message));
            assert_eq!(classified, reason, "{status} {code:?} {message}");
        }
    }

    #[test]
    fn a_call_without_an_answer_is_unavailable_and_a_region_without_a_detector_has_its_own_reason()
    {
        for (failure, reason) in
            [(Failure::no_answer("dropped"), Unavailable), (Failure::NoDetector, NoDetector)]
        {
            assert_eq!(error(&failed(Operation::ListDetectors, failure)), reason);
        }
    }

    #[test]
    fn the_operation_decides_where_the_same_words_mean_something_else() {
        let bad_token = answered(400, Some("UnrecognizedClientException"), "").failure;
        for (operation, reason) in [
            (Operation::DescribeAccount, Unavailable),
            (Operation::ListAccounts, Unavailable),
            (Operation::ListRegions, Unavailable),
            (Operation::ListDetectors, RegionDisabled),
        ] {
            assert_eq!(error(&failed(operation, bad_token.clone())), reason, "{operation}");
        }
        let odd = bad_request("never seen").failure;
        for (operation, reason) in [
            (Operation::DescribeOrganizationConfiguration, NotAdministrator),
            (Operation::ListMembers, Unknown),
        ] {
            assert_eq!(error(&failed(operation, odd.clone())), reason, "{operation}");
        }
    }

    #[test]
    fn a_failed_call_never_skips_the_accounts_in_it() {
        for (_, seen, _) in ROWS {
            let Text(part) = seen else { continue };
            for status in [400, 403, 500] {
                let reason = error(&answered(status, Some("BadRequestException"), part));
                assert!(!reason.status().is_skipped(), "{status} {part}");
            }
        }
    }

    #[test]
    fn only_a_400_that_may_concern_one_account_is_split() {
        for (message, split) in [
            (INVALID, true),
            ("is not an associated member", true),
            ("is already a member or associated member", true),
            ("cannot become a member of itself", true),
            ("must first enable GuardDuty", true),
            ("cannot create members since it is already", false),
            ("exceed the maximum number of allowed members", false),
            ("Rate exceeded", false),
            (NOT_OURS, false),
        ] {
            assert_eq!(may_concern_one_account(&bad_request(message)), split, "{message}");
        }
        assert!(!may_concern_one_account(&answered(400, Some("ThrottlingException"), "")));
        assert!(!may_concern_one_account(&answered(500, None, INVALID)));
        let silent = failed(Operation::CreateMembers, Failure::no_answer(INVALID));
        assert!(!may_concern_one_account(&silent));
    }

    #[test]
    fn a_member_that_someone_suspended_is_not_just_late() {
        assert_eq!(member("Disabled"), MemberSuspended);
        assert_eq!(member("DISABLED"), MemberSuspended);
        for status in ["Created", "Invited", "Removed", "Resigned", "NeverSeen", ""] {
            assert_eq!(member(status), NotYetEnabled, "{status}");
        }
    }

    #[test]
    fn no_row_is_hidden_by_one_before_it() {
        for (index, (on, seen, reason)) in ROWS.iter().enumerate() {
            let hides = |(before, other, _): &&(On, Seen, Reason)| {
                let hides = match (other, seen) {
                    (Code(other), Code(code)) => other == code,
                    (Text(other), Text(part)) => part.contains(other),
                    (Http(other), Http(status)) => other == status,
                    (Member(other), Member(word)) => other == word,
                    _ => false,
                };
                hides && matches!((before, on), (Any, _) | (Global, Global))
            };
            let before: Vec<_> = ROWS.iter().take(index).filter(hides).collect();
            assert!(before.is_empty(), "row {index} is never reached");
            match seen {
                Text(part) => assert_eq!(text(&part.to_uppercase()), *reason, "{part}"),
                Member(word) => assert_eq!(member(&word.to_uppercase()), *reason, "{word}"),
                Code(_) | Http(_) | Error => {}
            }
        }
    }
}
