//! The one table that turns what AWS said (a text, an error code, an HTTP status) into an outcome.
//!
//! Sources: **docs** = the service's API reference or user guide; **users** = reported in public issues of
//! similar tools; **assumed** = nobody has shown it. `docs/operations.md` has the cure for each reason.

use crate::failure::Failure;
use crate::outcome::{Outcome, Reason};

use Outcome::{Deferred, Pending, Refused, Skipped};

/// Part of a text, in lower case, and what it means. The first row that matches counts.
///
/// GuardDuty explains a failure in free text only, inside an HTTP 200 (`unprocessedAccounts`) or as the
/// message of a `BadRequestException`; its error subtypes have moved before, so only words are matched.
/// "master" in older texts is "administrator" in newer ones: no row rests on either word alone.
const TEXTS: &[(&str, Outcome)] = &[
    // docs: the caller is a member of somebody else's administrator.
    (
        "cannot create members since it is already",
        Refused(Reason::NotAdministrator),
    ),
    // docs, users: counts as done only after GetMembers says `Enabled`.
    (
        "is already a member or associated member",
        Pending(Reason::NotYetEnabled),
    ),
    // docs
    (
        "cannot become a member of itself",
        Skipped(Reason::AdministratorAccount),
    ),
    // users: right after a join.
    (
        "is not an associated member",
        Deferred(Reason::NotYetAssociated),
    ),
    // users: ends about a minute after the management account has enabled GuardDuty in the Region.
    (
        "must first enable guardduty",
        Refused(Reason::ManagementAccountNotEnabled),
    ),
    // docs
    (
        "exceed the maximum number of allowed members",
        Refused(Reason::MemberLimitReached),
    ),
    // docs: said twice, the second time of a detector that was looked up just before.
    (
        "detectorid is not owned by the current account",
        Refused(Reason::NoDetector),
    ),
    // users
    ("internal error", Deferred(Reason::InternalError)),
    ("internal server error", Deferred(Reason::InternalError)),
    // assumed: the words of AWS's throttling errors, inside a 200.
    ("rate exceeded", Deferred(Reason::Throttled)),
    ("too many requests", Deferred(Reason::Throttled)),
];

/// Error codes and what they mean, whatever the status. The first row that matches counts.
const CODES: &[(&str, Outcome)] = &[
    // docs: codes that AWS's SDKs treat as throttling (those of other services left out).
    ("ThrottlingException", Deferred(Reason::Throttled)),
    ("Throttling", Deferred(Reason::Throttled)),
    ("ThrottledException", Deferred(Reason::Throttled)),
    ("RequestThrottled", Deferred(Reason::Throttled)),
    ("RequestThrottledException", Deferred(Reason::Throttled)),
    ("RequestLimitExceeded", Deferred(Reason::Throttled)),
    ("TooManyRequestsException", Deferred(Reason::Throttled)),
    ("SlowDown", Deferred(Reason::Throttled)),
    ("LimitExceededException", Deferred(Reason::Throttled)),
    ("BandwidthLimitExceeded", Deferred(Reason::Throttled)),
    ("PriorRequestNotComplete", Deferred(Reason::Throttled)),
    // docs: a policy or a service control policy.
    ("AccessDeniedException", Refused(Reason::AccessDenied)),
    ("AccessDenied", Refused(Reason::AccessDenied)),
    // docs: Organizations, from an account that is in no organization.
    (
        "AWSOrganizationsNotInUseException",
        Refused(Reason::NotAdministrator),
    ),
    // docs: Organizations; right after a join it can be a delay.
    (
        "AccountNotFoundException",
        Deferred(Reason::AccountNotFound),
    ),
    // users: an opt-in Region that the administrator account has not enabled.
    (
        "UnrecognizedClientException",
        Refused(Reason::RegionDisabled),
    ),
    ("InvalidClientTokenId", Refused(Reason::RegionDisabled)),
    // docs: the function's credentials ran out while it was frozen; the next attempt has new ones.
    ("ExpiredTokenException", Deferred(Reason::Unavailable)),
    ("ExpiredToken", Deferred(Reason::Unavailable)),
    // docs
    (
        "InternalServerErrorException",
        Deferred(Reason::InternalError),
    ),
    ("InternalFailure", Deferred(Reason::InternalError)),
    ("ServiceException", Deferred(Reason::InternalError)),
    ("ServiceUnavailable", Deferred(Reason::Unavailable)),
    ("ServiceUnavailableException", Deferred(Reason::Unavailable)),
];

/// HTTP statuses without a code that [`CODES`] knows (docs: RFC 9110; 429 without a code: users).
const STATUSES: &[(u16, Outcome)] = &[
    (403, Refused(Reason::AccessDenied)),
    (429, Deferred(Reason::Throttled)),
    (500, Deferred(Reason::InternalError)),
    (502, Deferred(Reason::Unavailable)),
    (503, Deferred(Reason::Unavailable)),
    (504, Deferred(Reason::Unavailable)),
];

/// What a text of `unprocessedAccounts` means. A text that no row knows is retried: most failures right
/// after an account's birth heal by themselves.
///
/// ```
/// use guardduty_enroller::outcome::{Outcome, Reason};
/// use guardduty_enroller::verdict;
///
/// let text = "Operation failed because your organization master must first enable GuardDuty";
/// assert_eq!(verdict::of_text(text), Outcome::Refused(Reason::ManagementAccountNotEnabled));
/// assert_eq!(verdict::of_text("Never seen before"), Outcome::Deferred(Reason::Unknown));
/// ```
#[must_use]
pub fn of_text(text: &str) -> Outcome {
    let text = text.to_lowercase();
    TEXTS
        .iter()
        .find(|(part, _)| text.contains(part))
        .map_or(Deferred(Reason::Unknown), |&(_, outcome)| outcome)
}

/// What a failed call means for each pair that it was made for.
#[must_use]
pub fn of_failure(failure: &Failure) -> Outcome {
    let Failure::Answered {
        status,
        code,
        message,
    } = failure
    else {
        return Deferred(Reason::Unavailable);
    };
    let by_code = CODES
        .iter()
        .find(|(known, _)| code.as_deref() == Some(known))
        .map(|&(_, outcome)| outcome);
    by_code
        .or_else(|| match of_text(message.as_str()) {
            // A failed call says nothing good of every account in it: it cannot skip them.
            Deferred(Reason::Unknown) | Skipped(_) => None,
            outcome => Some(outcome),
        })
        .or_else(|| {
            STATUSES
                .iter()
                .find(|(known, _)| status == known)
                .map(|&(_, outcome)| outcome)
        })
        .unwrap_or(Deferred(Reason::Unknown))
}

/// Whether a `CreateMembers` may have failed because of one account in it, so that a smaller one can pass: one bad
/// e-mail address fails the whole call with a 400 that names no account (docs). A 400 that is about the caller, the
/// detector or the rate is none of these.
#[must_use]
pub fn blames_the_request(failure: &Failure) -> bool {
    matches!(failure, Failure::Answered { status: 400, .. })
        && matches!(
            of_failure(failure),
            Deferred(Reason::Unknown | Reason::NotYetAssociated)
                | Pending(_)
                | Refused(Reason::ManagementAccountNotEnabled)
        )
}

/// Whether the call can be made again, only slower.
#[must_use]
pub fn is_throttling(failure: &Failure) -> bool {
    of_failure(failure) == Deferred(Reason::Throttled)
}

/// Whether the cached detector is not ours (any more): look it up anew.
#[must_use]
pub fn blames_the_detector(failure: &Failure) -> bool {
    of_failure(failure) == Refused(Reason::NoDetector)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::text::SafeText;

    fn answered(status: u16, code: Option<&str>, message: &str) -> Failure {
        Failure::Answered {
            status,
            code: code.map(str::to_owned),
            message: SafeText::new(message),
        }
    }

    #[test]
    fn every_known_text_has_its_verdict() {
        for (text, outcome) in [
            (
                "The request is rejected because the given account ID is already a member or associated member of the current account.",
                Pending(Reason::NotYetEnabled),
            ),
            (
                "The request is rejected. The specified account ID is already a member or associated member of the current account.",
                Pending(Reason::NotYetEnabled),
            ),
            (
                "The request is rejected because an account cannot become a member of itself.",
                Skipped(Reason::AdministratorAccount),
            ),
            ("Internal error", Deferred(Reason::InternalError)),
            ("Internal server error.", Deferred(Reason::InternalError)),
            (
                "The request is rejected because the given account ID is not an associated member of account the current account.",
                Deferred(Reason::NotYetAssociated),
            ),
            (
                "Operation failed because your organization master must first enable GuardDuty to be added as a member",
                Refused(Reason::ManagementAccountNotEnabled),
            ),
            (
                "Operation failed because your organization administrator must first enable GuardDuty to be added as a member",
                Refused(Reason::ManagementAccountNotEnabled),
            ),
            (
                "The request is rejected because the current account cannot create members since it is already an associated member of another master account.",
                Refused(Reason::NotAdministrator),
            ),
            (
                "The request is rejected because the current account cannot create anymore members since it cannot exceed the maximum number of allowed members.",
                Refused(Reason::MemberLimitReached),
            ),
            ("Rate exceeded", Deferred(Reason::Throttled)),
            ("Too many requests", Deferred(Reason::Throttled)),
            ("", Deferred(Reason::Unknown)),
            (
                "Something nobody has seen before",
                Deferred(Reason::Unknown),
            ),
        ] {
            assert_eq!(of_text(text), outcome, "{text}");
        }
    }

    #[test]
    fn a_code_counts_before_the_text_and_the_text_before_the_status() {
        for (status, code, message, outcome) in [
            (
                400,
                Some("ThrottlingException"),
                "Rate exceeded",
                Deferred(Reason::Throttled),
            ),
            (
                400,
                Some("TooManyRequestsException"),
                "",
                Deferred(Reason::Throttled),
            ),
            (429, None, "", Deferred(Reason::Throttled)),
            (
                403,
                Some("AccessDeniedException"),
                "not authorized",
                Refused(Reason::AccessDenied),
            ),
            (
                403,
                Some("UnrecognizedClientException"),
                "The security token included in the request is invalid.",
                Refused(Reason::RegionDisabled),
            ),
            (
                403,
                Some("ExpiredTokenException"),
                "",
                Deferred(Reason::Unavailable),
            ),
            (403, None, "Forbidden", Refused(Reason::AccessDenied)),
            (
                400,
                Some("AccountNotFoundException"),
                "",
                Deferred(Reason::AccountNotFound),
            ),
            (
                400,
                Some("AWSOrganizationsNotInUseException"),
                "",
                Refused(Reason::NotAdministrator),
            ),
            (
                500,
                Some("InternalServerErrorException"),
                "Internal server error.",
                Deferred(Reason::InternalError),
            ),
            (500, None, "", Deferred(Reason::InternalError)),
            (502, None, "", Deferred(Reason::Unavailable)),
            (503, None, "", Deferred(Reason::Unavailable)),
            (504, None, "", Deferred(Reason::Unavailable)),
            (
                400,
                Some("BadRequestException"),
                "The request is rejected because the input detectorId is not owned by the current account.",
                Refused(Reason::NoDetector),
            ),
            (
                400,
                Some("BadRequestException"),
                "never seen",
                Deferred(Reason::Unknown),
            ),
            (418, None, "teapot", Deferred(Reason::Unknown)),
        ] {
            assert_eq!(
                of_failure(&answered(status, code, message)),
                outcome,
                "{status} {code:?} {message}"
            );
        }
        assert_eq!(
            of_failure(&Failure::no_answer("dropped")),
            Deferred(Reason::Unavailable)
        );
    }

    #[test]
    fn a_failed_call_never_skips_the_accounts_in_it() {
        for (text, _) in TEXTS {
            for status in [400, 403, 500] {
                let outcome = of_failure(&answered(status, Some("BadRequestException"), text));
                assert!(!matches!(outcome, Skipped(_)), "{status} {text}");
            }
        }
    }

    #[test]
    fn a_400_that_may_be_about_one_account_is_blamed_on_the_request() {
        for (text, blamed) in [
            ("is not an associated member", true),
            ("is already a member or associated member", true),
            ("cannot become a member of itself", true),
            ("must first enable GuardDuty", true),
            ("cannot create members since it is already", false),
            ("exceed the maximum number of allowed members", false),
            ("Rate exceeded", false),
        ] {
            let failure = answered(400, Some("BadRequestException"), text);
            assert_eq!(blames_the_request(&failure), blamed, "{text}");
        }
    }

    #[test]
    fn a_400_is_blamed_on_the_request_only_where_nothing_else_explains_it() {
        let invalid = "The request is rejected because an invalid or out-of-range value is specified as an input parameter.";
        assert!(blames_the_request(&answered(
            400,
            Some("BadRequestException"),
            invalid
        )));
        assert!(!blames_the_request(&answered(
            400,
            Some("ThrottlingException"),
            ""
        )));
        assert!(!blames_the_request(&answered(500, None, invalid)));
        assert!(!blames_the_request(&answered(
            400,
            Some("BadRequestException"),
            "The request is rejected because the input detectorId is not owned by the current account."
        )));
        assert!(!blames_the_request(&Failure::no_answer(invalid)));
    }

    #[test]
    fn only_a_detector_that_is_not_ours_is_looked_up_anew() {
        let text = "The request is rejected because the input detectorId is not owned by the current account.";
        assert!(blames_the_detector(&answered(
            400,
            Some("BadRequestException"),
            text
        )));
        assert!(!blames_the_detector(&answered(
            400,
            Some("BadRequestException"),
            ""
        )));
        assert!(!blames_the_detector(&answered(403, None, "")));
    }

    #[test]
    fn no_row_is_hidden_by_one_before_it() {
        for (index, (part, outcome)) in TEXTS.iter().enumerate() {
            let first = TEXTS.iter().position(|(other, _)| part.contains(other));
            assert_eq!(first, Some(index), "{part}");
            assert_eq!(of_text(&part.to_uppercase()), *outcome);
        }
        for (index, (code, outcome)) in CODES.iter().enumerate() {
            assert_eq!(
                CODES.iter().position(|(other, _)| other == code),
                Some(index),
                "{code}"
            );
            assert_eq!(of_failure(&answered(400, Some(code), "")), *outcome);
        }
    }
}
