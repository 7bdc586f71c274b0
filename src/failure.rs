//! An AWS call that gave no usable answer, as plain data: the only place that reads the SDK's error type.

use std::error::Error;
use std::fmt;

use aws_smithy_runtime_api::client::orchestrator::HttpResponse;
use aws_smithy_runtime_api::client::result::SdkError;
use aws_smithy_types::error::metadata::ProvideErrorMetadata;

use crate::text::SafeText;

/// Why a call gave no usable answer, after the SDK's own retries.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Failure {
    /// The service answered with an error.
    Answered {
        /// The HTTP status.
        status: u16,
        /// The error code; some answers, such as a bare 429, have none.
        code: Option<String>,
        /// The service's words.
        message: SafeText,
    },
    /// No answer, or one that could not be read; whether the call took effect is not known.
    NoAnswer(SafeText),
}

impl Failure {
    /// No usable answer, and why.
    #[must_use]
    pub fn no_answer(why: &str) -> Self {
        Self::NoAnswer(SafeText::new(why))
    }
}

impl<E> From<SdkError<E, HttpResponse>> for Failure
where
    E: ProvideErrorMetadata + Error + 'static,
{
    fn from(error: SdkError<E, HttpResponse>) -> Self {
        match &error {
            SdkError::ServiceError(answer) => {
                let status = answer.raw().status().as_u16();
                let message = SafeText::new(answer.err().message().unwrap_or_default());
                match answer.err().code() {
                    // A 200 whose body cannot be read is an "unhandled" service error to the SDK.
                    None if answer.raw().status().is_success() => {
                        Self::no_answer("the answer could not be read")
                    }
                    code => Self::Answered {
                        status,
                        code: code.map(str::to_owned),
                        message,
                    },
                }
            }
            SdkError::TimeoutError(_) => Self::no_answer("no answer in time"),
            // An error of a proxy, such as a bare 429, has no body that the SDK can read; its status says enough.
            SdkError::ResponseError(answer) if !answer.raw().status().is_success() => {
                Self::Answered {
                    status: answer.raw().status().as_u16(),
                    code: None,
                    message: SafeText::new(""),
                }
            }
            SdkError::ResponseError(_) => Self::no_answer("the answer could not be read"),
            other => Self::no_answer(&with_trust_store(&root_cause(other))),
        }
    }
}

/// The token of the next page, if there is one; `asked` is that of the page that just came.
///
/// # Errors
/// Where both are the same: the pages would never end.
pub fn next_page(asked: Option<&str>, next: Option<&str>) -> Result<Option<String>, Failure> {
    let next = next.filter(|token| !token.is_empty());
    if next.is_some() && next == asked {
        return Err(Failure::no_answer("the same page token came twice"));
    }
    Ok(next.map(str::to_owned))
}

/// A certificate that is not trusted says nothing of where trust comes from, and is the same in every Region: without a
/// word about it, a lost bundle of root certificates looks like an outage of all of AWS.
fn with_trust_store(cause: &str) -> String {
    if !cause.contains("certificate") {
        return cause.to_owned();
    }
    format!(
        "{cause}; the trust store is the system's bundle of root certificates, or what SSL_CERT_FILE and SSL_CERT_DIR name"
    )
}

/// The innermost cause: the SDK's own text says no more than "dispatch failure".
fn root_cause(error: &(dyn Error + 'static)) -> String {
    let mut cause = error;
    while let Some(inner) = cause.source() {
        cause = inner;
    }
    cause.to_string()
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Answered {
                code: Some(code),
                message,
                ..
            } => write!(f, "{code}: {message}"),
            Self::Answered {
                code: None,
                status,
                message,
            } => write!(f, "HTTP {status}: {message}"),
            Self::NoAnswer(what) => write!(f, "NoAnswer: {what}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_token_that_comes_twice_ends_the_paging() {
        assert_eq!(next_page(None, Some("a")), Ok(Some("a".to_owned())));
        assert_eq!(next_page(Some("a"), Some("b")), Ok(Some("b".to_owned())));
        for none in [None, Some("")] {
            assert_eq!(next_page(Some("a"), none), Ok(None));
        }
        assert!(next_page(Some("a"), Some("a")).is_err());
    }

    #[test]
    fn an_untrusted_certificate_names_the_trust_store_and_nothing_else_does() {
        let untrusted = with_trust_store("invalid peer certificate: UnknownIssuer");
        assert!(
            untrusted.starts_with("invalid peer certificate: UnknownIssuer; the trust store is")
        );
        assert!(untrusted.contains("SSL_CERT_FILE"));
        assert_eq!(with_trust_store("connection refused"), "connection refused");
    }
}
