//! An AWS call that failed: which call, where, and how.

use alloc::string::{String, ToString};
use core::fmt;

use crate::operation::Operation;
use crate::redacted::Redacted;
use crate::region::Region;

/// An AWS call that gave no usable answer, after the SDK's own retries.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CallError {
    /// The operation that failed.
    pub operation: Operation,
    /// The Region it was called in; `None` for a service without Regions.
    pub region: Option<Region>,
    /// The detector it was called for, if the call got that far.
    pub detector_id: Option<String>,
    /// How it failed.
    pub failure: Failure,
}

/// How a call failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Failure {
    /// The service answered with an error.
    Answered {
        /// The HTTP status.
        status: u16,
        /// The error code; some answers, such as a bare 429, have none.
        code: Option<String>,
        /// The service's words.
        message: Redacted,
    },
    /// No answer, or an unreadable one. The call may have taken effect.
    NoAnswer(Redacted),
    /// `ListDetectors` answered, and named no detector: GuardDuty is not enabled in this Region.
    NoDetector,
}

impl Failure {
    /// No usable answer, and why.
    #[must_use]
    pub fn no_answer(why: &str) -> Self {
        Self::NoAnswer(Redacted::new(why))
    }
}

impl CallError {
    /// What a person reads in `result`: AWS's own words if there are any, else what was seen and where.
    #[must_use]
    pub(crate) fn result(&self) -> String {
        match &self.failure {
            Failure::Answered { .. } => self.failure.to_string(),
            Failure::NoAnswer(_) | Failure::NoDetector => self.to_string(),
        }
    }
}

impl fmt::Display for CallError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.operation)?;
        if let Some(region) = &self.region {
            write!(f, " in {region}")?;
        }
        write!(f, ": {}", self.failure)
    }
}

impl core::error::Error for CallError {}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Answered { code: Some(code), message, .. } => write!(f, "{code}: {message}"),
            Self::Answered { code: None, status, message } => write!(f, "HTTP {status}: {message}"),
            Self::NoAnswer(what) => write!(f, "{what}"),
            Self::NoDetector => f.write_str("GuardDuty has no detector, so it is not enabled here"),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::borrow::ToOwned;

    use super::*;

    fn error(failure: Failure) -> CallError {
        CallError {
            operation: Operation::GetMembers,
            region: Region::known("eu-west-1"),
            detector_id: None,
            failure,
        }
    }

    #[test]
    fn an_error_names_operation_and_region() {
        let denied = error(Failure::Answered {
            status: 403,
            code: Some("AccessDeniedException".to_owned()),
            message: Redacted::new("no"),
        });
        assert_eq!(denied.to_string(), "GetMembers in eu-west-1: AccessDeniedException: no");
        let global = CallError {
            operation: Operation::ListRegions,
            region: None,
            ..error(Failure::no_answer("no answer in time"))
        };
        assert_eq!(global.to_string(), "ListRegions: no answer in time");
    }

    #[test]
    fn a_result_has_awss_words_alone_or_says_which_call_got_none() {
        let bare =
            error(Failure::Answered { status: 503, code: None, message: Redacted::new("down") });
        assert_eq!(bare.result(), "HTTP 503: down");
        let silent = error(Failure::no_answer("no answer in time"));
        assert_eq!(silent.result(), "GetMembers in eu-west-1: no answer in time");
    }
}
