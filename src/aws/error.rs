//! From the SDK's error type to plain data: the only place that reads it.

use std::error::Error;

use aws_smithy_runtime_api::client::orchestrator::HttpResponse;
use aws_smithy_runtime_api::client::result::SdkError;
use aws_smithy_types::error::metadata::ProvideErrorMetadata;
use decisions::call_error::{CallError, Failure};
use decisions::operation::Operation;

/// Names the operation of a service without Regions that failed.
pub(crate) fn of(operation: Operation) -> impl Fn(Failure) -> CallError {
    move |failure| CallError { operation, region: None, detector_id: None, failure }
}

/// How a call failed.
pub(crate) fn failure<E>(error: &SdkError<E, HttpResponse>) -> Failure
where
    E: ProvideErrorMetadata + Error + 'static,
{
    match error {
        // A success that cannot be read is an "unhandled" service error to the SDK.
        SdkError::ServiceError(answer) if !answer.raw().status().is_success() => {
            let metadata = answer.err().meta();
            answered(answer.raw(), metadata.code(), metadata.message())
        }
        SdkError::ResponseError(answer) if !answer.raw().status().is_success() => {
            answered(answer.raw(), None, None)
        }
        SdkError::ServiceError(_) | SdkError::ResponseError(_) => {
            Failure::no_answer("the answer could not be read")
        }
        SdkError::TimeoutError(_) => Failure::no_answer("no answer in time"),
        other => Failure::no_answer(&with_trust_store(&root_cause(other))),
    }
}

fn answered(raw: &HttpResponse, code: Option<&str>, message: Option<&str>) -> Failure {
    let body = raw.body().bytes().unwrap_or_default();
    Failure::answered(raw.status().as_u16(), code, message, body)
}

/// The longest page token, in bytes. Ours: a token can become a part of an address, and one of 65 kB cannot.
const MAX_PAGE_TOKEN: usize = 8_192;

/// The token of the next page, if there is one; `asked` is the token of the page that just came.
///
/// # Errors
/// If both are the same, so that the pages would never end, or if it is too long.
pub(crate) fn next_page(
    asked: Option<&str>,
    next: Option<&str>,
) -> Result<Option<String>, Failure> {
    let next = next.filter(|token| !token.is_empty());
    if next.is_some() && next == asked {
        return Err(Failure::no_answer("the same page token came twice"));
    }
    if next.is_some_and(|token| token.len() > MAX_PAGE_TOKEN) {
        return Err(Failure::no_answer("the page token is too long to be sent back"));
    }
    Ok(next.map(str::to_owned))
}

/// An untrusted certificate says nothing of where trust comes from, and is the same in every Region: without a word about
/// it, a lost bundle of root certificates looks like an outage of all of AWS.
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
        assert!(next_page(None, Some(&"x".repeat(MAX_PAGE_TOKEN))).is_ok());
        assert!(next_page(None, Some(&"x".repeat(MAX_PAGE_TOKEN + 1))).is_err());
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
