//! An AWS call that failed: which call, where, and how.

use alloc::borrow::ToOwned;
use alloc::string::{String, ToString};
use core::fmt;

use serde_json::Value;

use crate::operation::Operation;
use crate::redacted::Redacted;
use crate::region::Region;

/// How much of an error's body is kept if it is not JSON, in characters: what a proxy says fits.
const MAX_BODY: usize = 300;

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
    /// An error answer. Its words are those that the SDK found, or else those of its body: services and proxies do not
    /// agree on where code and text are.
    #[must_use]
    pub fn answered(status: u16, code: Option<&str>, message: Option<&str>, body: &[u8]) -> Self {
        let json: Value = serde_json::from_slice(body).unwrap_or_default();
        let member = |names: &[&str]| {
            let found = names.iter().find_map(|name| json.get(name)?.as_str());
            found.map(str::to_owned)
        };
        let code = code.map(str::to_owned).or_else(|| {
            let code = member(&["code", "Code", "__type"])?;
            // Some services write `namespace#Code`, and `Code:http://…`.
            let code = code.rsplit('#').next()?.split(':').next()?;
            Some(code.to_owned())
        });
        let text = message.filter(|text| !text.is_empty()).map(str::to_owned);
        let text = text.or_else(|| member(&["message", "Message", "errorMessage"]));
        let message = match text {
            Some(text) => Redacted::new(&text),
            // What a proxy says. Cut only after addresses are removed, so that no part of one stays.
            None if json.is_null() => Redacted::new(&String::from_utf8_lossy(body)).cut(MAX_BODY),
            None => Redacted::new(""),
        };
        Self::Answered {
            status,
            code: code.map(|code| Redacted::new(&code).to_string()).filter(|code| !code.is_empty()),
            message,
        }
    }

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
    fn the_words_of_an_error_are_found_wherever_a_service_or_a_proxy_puts_them() {
        for (code, message, body, shown) in [
            (Some("Odd"), Some("no"), "{}", "Odd: no"),
            (None, None, r#"{"message": "no"}"#, "HTTP 400: no"),
            (None, None, r#"{"Message": "no", "__type": "com.amazonaws#Odd"}"#, "Odd: no"),
            (None, None, r#"{"code": "Odd:http://x", "errorMessage": "no"}"#, "Odd: no"),
            (Some("Odd"), None, r#"{"Message": "no"}"#, "Odd: no"),
            (Some("Odd"), Some(""), r#"{"Message": "no"}"#, "Odd: no"),
            (
                None,
                None,
                "<html>blocked by a proxy</html>",
                "HTTP 400: <html>blocked by a proxy</html>",
            ),
            (None, None, "", "HTTP 400: "),
            (None, None, r#"{"message": 7}"#, "HTTP 400: "),
            (None, None, r#"{"message": "bad a@example.com"}"#, "HTTP 400: bad <e-mail>"),
        ] {
            let failure = Failure::answered(400, code, message, body.as_bytes());
            assert_eq!(failure.to_string(), shown, "{body}");
        }
        let hidden = "<m>&quot;zqsecret x&quot;&#64;example.com</m> ".repeat(20);
        let failure = Failure::answered(400, None, None, hidden.as_bytes());
        assert!(!failure.to_string().contains("zqsecret"), "{failure}");
        let long = "x".repeat(1_000_000);
        let failure = Failure::answered(400, Some(&long), None, long.as_bytes());
        assert!(failure.to_string().len() < 2_000);
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
