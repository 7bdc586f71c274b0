//! What AWS's words mean: the one table from an error code, a text, an HTTP status, or a member's status to a reason.
//!
//! Sources: **docs** = the service's API reference or user guide; **users** = reported in public issues of similar
//! tools; **assumed** = nobody has shown it.

use crate::call_error::{CallError, Failure};
use crate::operation::{Operation, Service};
use crate::reason::{Reason, Scope};

use On::{Any, Global, In, To};
use Reason::{
    AccessDenied, AccountNotFound, AccountSuspended, AdministratorAccount, InternalError,
    ManagementAccountNotEnabled, MemberLimitReached, MemberRegionDisabled, MemberSuspended,
    NoDetector, NotAdministrator, NotYetAssociated, NotYetEnabled, RegionDisabled, Throttled,
    Unavailable, Unknown,
};
use Seen::{Code, Http, Member, Text};

/// Which operations a row is for.
#[derive(Clone, Copy, PartialEq, Eq)]
enum On {
    Any,
    /// Operations of services that nobody can switch off in a Region.
    Global,
    In(Service),
    To(Operation),
}

/// What a row looks at. All words are in lower case.
#[derive(Clone, Copy)]
enum Seen {
    /// A part of an error's code.
    Code(&'static str),
    /// A part of a text: of `unprocessedAccounts` inside a 200, or of an error.
    Text(&'static str),
    /// An error's HTTP status.
    Http(u16),
    /// A member's `relationshipStatus`.
    Member(&'static str),
}

/// The first row that matches decides. What no row knows is unknown, whatever its HTTP status.
///
/// GuardDuty explains a failure in free text only, and its error subtypes have moved before, so only words are matched.
/// "master" in older texts is "administrator" in newer ones: no row rests on either word alone.
const ROWS: &[(On, Seen, Reason)] = &[
    // docs: said with the code of a limit too.
    (Any, Text("maximum number of allowed members"), MemberLimitReached),
    // users: Organizations to an account that is not a delegated administrator.
    (
        In(Service::Organizations),
        Text("have permissions to access this resource"),
        NotAdministrator,
    ),
    // docs: Organizations, from an account that is in no organization.
    (Any, Code("organizationsnotinuse"), NotAdministrator),
    // docs: the codes that AWS's SDKs treat as throttling.
    (Any, Code("throttl"), Throttled),
    (Any, Code("toomanyrequests"), Throttled),
    (Any, Code("slowdown"), Throttled),
    (Any, Code("limitexceeded"), Throttled),
    (Any, Code("priorrequestnotcomplete"), Throttled),
    // docs: a policy or a service control policy.
    (Any, Code("accessdenied"), AccessDenied),
    (Any, Code("unauthorizedoperation"), AccessDenied),
    // docs: Organizations; right after a join it can be a delay.
    (Any, Code("accountnotfound"), AccountNotFound),
    // assumed: a global service cannot be switched off, so the token is bad.
    (Global, Code("unrecognizedclient"), Unavailable),
    (Global, Code("invalidclienttokenid"), Unavailable),
    // users: an opt-in Region that the administrator account has not enabled.
    (Any, Code("unrecognizedclient"), RegionDisabled),
    (Any, Code("invalidclienttokenid"), RegionDisabled),
    // docs, users: a clock, a signature, or credentials from before a freeze; the next attempt has new ones.
    (Any, Code("signature"), Unavailable),
    (Any, Code("expired"), Unavailable),
    (Any, Code("skewed"), Unavailable),
    (Any, Code("token"), Unavailable),
    // docs
    (Any, Code("internal"), InternalError),
    (Any, Code("serviceexception"), InternalError),
    (Any, Code("unavailable"), Unavailable),
    (Any, Code("timeout"), Unavailable),
    // docs: the caller is a member of somebody else's administrator (two wordings).
    (Any, Text("cannot create members"), NotAdministrator),
    // assumed: GuardDuty answers this call to the delegated administrator only.
    (
        To(Operation::DescribeOrganizationConfiguration),
        Text("delegated administrator"),
        NotAdministrator,
    ),
    // docs, users: success, once GetMembers says `Enabled`.
    (Any, Text("is already a member or associated member"), NotYetEnabled),
    // docs
    (To(Operation::CreateMembers), Text("cannot become a member of itself"), AdministratorAccount),
    // users: right after a join.
    (Any, Text("is not an associated member"), NotYetAssociated),
    // users: ends about a minute after the management account has enabled GuardDuty in the Region.
    (Any, Text("must first enable guardduty"), ManagementAccountNotEnabled),
    // docs: the detector was replaced, or somebody else's was looked up.
    (Any, Text("detectorid is not owned by the current account"), NoDetector),
    // docs: Organizations, without its code.
    (Any, Text("account that doesn't exist"), AccountNotFound),
    // docs: a denial, without its code.
    (Any, Text("is not authorized to perform"), AccessDenied),
    // users: the words of the codes above, without them.
    (Global, Text("security token included in the request is invalid"), Unavailable),
    (Any, Text("security token included in the request is invalid"), RegionDisabled),
    (Any, Text("signature"), Unavailable),
    (Any, Text("security token"), Unavailable),
    // users
    (Any, Text("internal error"), InternalError),
    (Any, Text("internal server error"), InternalError),
    (Any, Text("internal failure"), InternalError),
    // assumed: the words of passing trouble, inside a 200 or without a code.
    (Any, Text("rate exceeded"), Throttled),
    (Any, Text("too many requests"), Throttled),
    (Any, Text("throttl"), Throttled),
    (Any, Text("unavailable"), Unavailable),
    (Any, Text("try again"), Unavailable),
    (Any, Text("timed out"), Unavailable),
    (Any, Text("timeout"), Unavailable),
    // docs: RFC 9110. 429 without a code: users.
    (Any, Http(408), Unavailable),
    (Any, Http(429), Throttled),
    (Any, Http(500), InternalError),
    (Any, Http(502), Unavailable),
    (Any, Http(503), Unavailable),
    (Any, Http(504), Unavailable),
    // docs: StopMonitoringMembers sets it.
    (Any, Member("disabled"), MemberSuspended),
    // docs: on its way.
    (Any, Member("created"), NotYetEnabled),
    (Any, Member("emailverificationinprogress"), NotYetEnabled),
    // assumed: Inspector and Macie have these (service models).
    (Any, Member("regiondisabled"), MemberRegionDisabled),
    (Any, Member("accountsuspended"), AccountSuspended),
    (Any, Member("cannotcreatedetectorinorgmaster"), ManagementAccountNotEnabled),
];

impl On {
    fn includes(self, operation: Operation) -> bool {
        match self {
            Any => true,
            Global => matches!(operation.service(), Service::Account | Service::Organizations),
            In(service) => service == operation.service(),
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

/// What a `relationshipStatus` other than `Enabled` means; `None` if the account is not a member any more, or if the status
/// is unknown: it is a free string.
#[must_use]
pub(crate) fn member(relationship_status: &str) -> Option<Reason> {
    let is = |word: &str| relationship_status.eq_ignore_ascii_case(word);
    first(|_, seen| matches!(seen, Member(word) if is(word)))
}

/// What a failed call means for each account that it was made for.
#[must_use]
pub fn error(error: &CallError) -> Reason {
    let (status, code, message) = match &error.failure {
        Failure::NoDetector => return NoDetector,
        Failure::NoAnswer(_) => return Unavailable,
        Failure::Answered { status, code, message } => {
            (*status, code.as_deref().unwrap_or_default(), message.as_str())
        }
    };
    let (code, message) = (code.to_lowercase(), message.to_lowercase());
    first(|row, seen| {
        row.0.includes(error.operation)
            && match seen {
                Code(part) => code.contains(part),
                Text(part) => message.contains(part),
                Http(known) => status == known,
                Member(_) => false,
            }
    })
    .unwrap_or(Unknown)
}

fn first(matches: impl Fn(&(On, Seen, Reason), Seen) -> bool) -> Option<Reason> {
    let row = ROWS.iter().find(|row| matches(row, row.1));
    row.map(|(_, _, reason)| *reason)
}

/// Whether smaller calls can pass where this one failed: not if it is about the Region, or about the rate. One bad e-mail
/// address fails a whole `CreateMembers` with a 400 that names no account (docs); and what else one account can do to a
/// call, with whatever status, nobody knows.
#[must_use]
pub(crate) fn is_worth_splitting(failed: &CallError) -> bool {
    let reason = error(failed);
    reason.scope() != Scope::Region && reason != Throttled
}

/// Whether a write may have taken effect although it failed.
#[must_use]
pub(crate) fn may_have_taken_effect(failed: &CallError) -> bool {
    match failed.failure {
        Failure::NoAnswer(_) => true,
        Failure::Answered { status, .. } => status >= 500,
        Failure::NoDetector => false,
    }
}

/// Whether GuardDuty refused what was in the call, and did not say why in words that a row knows.
#[must_use]
pub(crate) fn is_unexplained_bad_request(failed: &CallError) -> bool {
    matches!(failed.failure, Failure::Answered { status: 400, .. }) && error(failed) == Unknown
}

/// Whether the same call can succeed a little later.
#[must_use]
pub fn passes(failed: &CallError) -> bool {
    error(failed).scope() == Scope::Service
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
    fn texts_of_passing_trouble_are_known_in_other_words_too() {
        for (words, reason) in [
            ("Request throttled", Throttled),
            ("ThrottlingException", Throttled),
            ("Service is temporarily unavailable. Try again later.", Unavailable),
            ("The request timed out", Unavailable),
            ("An internal failure occurred", InternalError),
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
            (403, None, "User: x is not authorized to perform: guardduty:GetMembers", AccessDenied),
            (
                403,
                Some("UnrecognizedClientException"),
                "The security token included in the request is invalid.",
                RegionDisabled,
            ),
            (403, None, "The security token included in the request is invalid.", RegionDisabled),
            (400, Some("AccountNotFoundException"), "", AccountNotFound),
            (400, Some("AWSOrganizationsNotInUseException"), "", NotAdministrator),
            (500, Some("InternalServerErrorException"), "Internal server error.", InternalError),
            (500, None, "", InternalError),
            (502, None, "", Unavailable),
            (503, None, "", Unavailable),
            (504, None, "", Unavailable),
            (400, Some("BadRequestException"), NOT_OURS, NoDetector),
            (400, None, NOT_OURS, NoDetector),
            (
                400,
                Some("LimitExceededException"),
                "exceeds the maximum number of allowed members",
                MemberLimitReached,
            ),
            (
                400,
                Some("BadRequestException"),
                "cannot create members because it is already a member of another master account",
                NotAdministrator,
            ),
        ] {
            let classified = error(&answered(status, code, message));
            assert_eq!(classified, reason, "{status} {code:?} {message}");
        }
    }

    #[test]
    fn a_clock_a_signature_or_a_token_is_not_a_denial() {
        let expired = "Signature expired: 20261125T150000Z is now earlier than 20261125T150500Z";
        for code in [
            "InvalidSignatureException",
            "SignatureDoesNotMatch",
            "IncompleteSignature",
            "IncompleteSignatureException",
            "MissingAuthenticationToken",
            "MissingAuthenticationTokenException",
            "ExpiredTokenException",
            "ExpiredToken",
            "RequestExpired",
            "RequestTimeTooSkewed",
            "InvalidToken",
        ] {
            assert_eq!(error(&answered(403, Some(code), "")), Unavailable, "{code}");
        }
        assert_eq!(error(&answered(403, None, expired)), Unavailable);
    }

    #[test]
    fn what_nobody_knows_is_unknown_whatever_the_status() {
        for (status, code, message) in [
            (400, Some("BadRequestException"), "never seen"),
            (403, Some("SubscriptionRequiredException"), "needs a subscription"),
            (403, Some("OptInRequired"), "You are not subscribed to this service"),
            (403, None, "Forbidden"),
            (404, Some("NotFoundException"), ""),
            (418, None, "teapot"),
        ] {
            let classified = error(&answered(status, code, message));
            assert_eq!(classified, Unknown, "{status} {code:?} {message}");
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
        let denied = answered(
            400,
            Some("AccessDeniedException"),
            "You don't have permissions to access this resource.",
        )
        .failure;
        let not_administrator =
            bad_request("the current account is not the GuardDuty delegated administrator account")
                .failure;
        for (operation, failure, reason) in [
            (Operation::DescribeAccount, &bad_token, Unavailable),
            (Operation::ListAccounts, &bad_token, Unavailable),
            (Operation::ListRegions, &bad_token, Unavailable),
            (Operation::ListDetectors, &bad_token, RegionDisabled),
            (Operation::ListAccounts, &denied, NotAdministrator),
            (Operation::DescribeAccount, &denied, NotAdministrator),
            (Operation::ListMembers, &denied, AccessDenied),
            (Operation::DescribeOrganizationConfiguration, &not_administrator, NotAdministrator),
            (Operation::DescribeOrganizationConfiguration, &bad_request("odd").failure, Unknown),
        ] {
            assert_eq!(error(&failed(operation, failure.clone())), reason, "{operation}");
        }
    }

    #[test]
    fn only_the_call_that_makes_members_can_skip_one() {
        let itself = bad_request("an account cannot become a member of itself").failure;
        for (operation, reason) in [
            (Operation::CreateMembers, AdministratorAccount),
            (Operation::DescribeAccount, Unknown),
            (Operation::ListDetectors, Unknown),
            (Operation::ListMembers, Unknown),
        ] {
            assert_eq!(error(&failed(operation, itself.clone())), reason, "{operation}");
        }
    }

    #[test]
    fn a_call_is_split_unless_it_failed_because_of_the_region_or_the_rate() {
        for (failed, split) in [
            (bad_request(INVALID), true),
            (bad_request("is not an associated member"), true),
            (bad_request("must first enable GuardDuty"), true),
            (answered(500, None, ""), true),
            (answered(403, Some("Odd"), ""), true),
            (failed(Operation::GetMembers, Failure::no_answer("dropped")), true),
            (bad_request("cannot create members since it is already"), false),
            (bad_request("exceed the maximum number of allowed members"), false),
            (bad_request("Rate exceeded"), false),
            (bad_request(NOT_OURS), false),
            (answered(403, Some("AccessDeniedException"), ""), false),
        ] {
            assert_eq!(is_worth_splitting(&failed), split, "{failed}");
        }
    }

    #[test]
    fn a_write_may_have_taken_effect_unless_it_was_refused() {
        for (failed, may) in [
            (failed(Operation::CreateMembers, Failure::no_answer("dropped")), true),
            (answered(500, None, ""), true),
            (answered(503, None, ""), true),
            (answered(429, None, ""), false),
            (bad_request("no"), false),
        ] {
            assert_eq!(may_have_taken_effect(&failed), may, "{failed}");
        }
    }

    #[test]
    fn only_a_failure_of_the_service_passes() {
        for (failed, passes_by_itself) in [
            (answered(429, None, ""), true),
            (answered(503, None, ""), true),
            (failed(Operation::ListMembers, Failure::no_answer("dropped")), true),
            (bad_request("never seen"), false),
            (answered(403, Some("AccessDeniedException"), ""), false),
        ] {
            assert_eq!(passes(&failed), passes_by_itself, "{failed}");
        }
    }

    #[test]
    fn the_words_for_a_member_that_is_not_enabled_have_their_reasons() {
        for (status, reason) in [
            ("Disabled", Some(MemberSuspended)),
            ("DISABLED", Some(MemberSuspended)),
            ("Created", Some(NotYetEnabled)),
            ("EmailVerificationInProgress", Some(NotYetEnabled)),
            ("RegionDisabled", Some(MemberRegionDisabled)),
            ("AccountSuspended", Some(AccountSuspended)),
            ("CannotCreateDetectorInOrgMaster", Some(ManagementAccountNotEnabled)),
            ("Invited", None),
            ("Removed", None),
            ("Resigned", None),
            ("Deleted", None),
            ("NeverSeen", None),
            ("", None),
        ] {
            assert_eq!(member(status), reason, "{status}");
        }
    }

    #[test]
    fn no_row_is_hidden_by_one_before_it_and_all_words_are_in_lower_case() {
        for (index, (on, seen, reason)) in ROWS.iter().enumerate() {
            let hides = |(before, other, _): &&(On, Seen, Reason)| {
                let hides = match (other, seen) {
                    (Code(other), Code(part)) | (Text(other), Text(part)) => part.contains(other),
                    (Http(other), Http(status)) => other == status,
                    (Member(other), Member(word)) => other == word,
                    _ => false,
                };
                hides && (*before == Any || before == on)
            };
            let before: Vec<_> = ROWS.iter().take(index).filter(hides).collect();
            assert!(before.is_empty(), "row {index} ({}) is never reached", reason.code());
            if let Code(word) | Text(word) | Member(word) = seen {
                assert_eq!(*word, word.to_lowercase(), "a row's words are in lower case");
            }
        }
    }
}
