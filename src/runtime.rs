//! Lambda's Runtime API: the only place that calls the Lambda runtime crate's services.

use std::any::Any;
use std::fmt;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use decisions::configuration::InvalidConfiguration;
use decisions::redacted::Redacted;
use futures_util::FutureExt;
use lambda_runtime::tower::util::MapRequestLayer;
use lambda_runtime::{Diagnostic, LambdaEvent, LambdaInvocation, Runtime, layers, service_fn};
use lambda_runtime_api_client::{BoxError, Client, body::Body, build_request};
use serde_json::value::RawValue;
use tokio::sync::Mutex;
use tokio::time::Instant;

use crate::handler::Handler;
use crate::invocation::{Error, Invocation};

/// Takes invocations until the environment ends. After a panic the next invocation has a new handler: what made the SDK
/// panic can be in its clients, and would be met again.
///
/// # Errors
/// If the Runtime API is out of reach.
pub async fn serve(handler: Handler) -> Result<(), BoxError> {
    let current = Arc::new(Mutex::new(Arc::new(handler)));
    let service = service_fn(move |event: LambdaEvent<Box<RawValue>>| {
        let current = Arc::clone(&current);
        async move {
            let handler = Arc::clone(&*current.lock().await);
            let invocation = Invocation {
                deadline: Instant::now() + time_left(event.context.deadline),
                request_id: event.context.request_id,
            };
            // Boxed: the compiler gives up on the layout of a future that is this deeply nested.
            let reply = Box::pin(handler.handle(event.payload.get(), &invocation));
            match AssertUnwindSafe(reply).catch_unwind().await {
                Ok(reply) => reply.map_err(|error| Failed(error.into())),
                Err(panic) => {
                    *current.lock().await = Arc::new(handler.renewed());
                    Err(Failed(panicked(&*panic)))
                }
            }
        }
    });
    Runtime::new(service)
        .layer(layers::TracingLayer::new())
        .layer(MapRequestLayer::new(as_json))
        .run()
        .await
}

/// A panic, as Lambda is told of it.
fn panicked(panic: &(dyn Any + Send)) -> Diagnostic {
    let text = panic.downcast_ref::<&str>().copied();
    let text = text.or_else(|| panic.downcast_ref::<String>().map(String::as_str));
    Diagnostic {
        error_type: "Panicked".to_owned(),
        error_message: format!(
            "{}. This is a defect of the function or of a library: please report it. Nothing is lost: Lambda runs an event again and then keeps it in the dead-letter queue",
            Redacted::new(text.unwrap_or("unknown panic"))
        ),
    }
}

/// What Lambda is told of an invocation that failed. The runtime also writes its `Debug` output as a log line.
struct Failed(Diagnostic);

impl fmt::Debug for Failed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Diagnostic { error_type, error_message, .. } = &self.0;
        write!(f, "the invocation failed: {error_type}: {error_message}")
    }
}

impl From<Failed> for Diagnostic {
    fn from(failed: Failed) -> Self {
        failed.0
    }
}

impl From<Error> for Diagnostic {
    fn from(error: Error) -> Self {
        let error_type = match error {
            Error::InvalidEvent(_) => "InvalidEvent",
            Error::NotEnqueued(_) => "NotEnqueued",
        };
        Self { error_type: error_type.to_owned(), error_message: error.to_string() }
    }
}

/// The longest timeout of a function, in milliseconds (Lambda quotas).
const LONGEST_TIMEOUT: u64 = 900_000;

/// How long Lambda leaves until `deadline_ms` (since 1970). `cargo lambda watch` says how long it leaves instead, which
/// as a time would be in 1970.
fn time_left(deadline_ms: u64) -> Duration {
    if deadline_ms <= LONGEST_TIMEOUT {
        return Duration::from_millis(deadline_ms);
    }
    let deadline = SystemTime::UNIX_EPOCH + Duration::from_millis(deadline_ms);
    deadline.duration_since(SystemTime::now()).unwrap_or(Duration::ZERO)
}

fn as_json(mut invocation: LambdaInvocation) -> LambdaInvocation {
    if let Some(text) = quoted_unless_json(&invocation.body) {
        invocation.body = text.into();
    }
    invocation
}

/// A payload that is not JSON, as a JSON text: so the handler refuses it as `InvalidEvent`, like every other bad
/// input. Lambda itself lets none through; emulators do.
fn quoted_unless_json(payload: &[u8]) -> Option<String> {
    match serde_json::from_slice::<&RawValue>(payload) {
        Ok(_) => None,
        Err(_) => Some(serde_json::Value::from(String::from_utf8_lossy(payload)).to_string()),
    }
}

/// Tells Lambda that the function cannot start (`errorType` `InvalidConfiguration`), so that the reason is in
/// the reply of every invocation and not only in a log.
///
/// # Errors
/// If the Runtime API is out of reach.
pub async fn cannot_start(error: &InvalidConfiguration) -> Result<(), BoxError> {
    let diagnostic = Diagnostic {
        error_type: "InvalidConfiguration".to_owned(),
        error_message: error.to_string(),
    };
    let request = build_request()
        .method("POST")
        .uri("/2018-06-01/runtime/init/error")
        .header("lambda-runtime-function-error-type", "InvalidConfiguration")
        .body(Body::from(serde_json::to_vec(&diagnostic)?))?;
    Client::builder().build()?.call(request).await?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_reaches_the_handler_as_it_is() {
        for payload in ["{}", " [1, 2] ", "null", "\"text\"", "{\"a\": \"ä\"}"] {
            assert_eq!(quoted_unless_json(payload.as_bytes()), None, "{payload}");
        }
    }

    #[test]
    fn anything_else_reaches_the_handler_as_a_json_text() {
        for payload in [&b""[..], b"{", b"not JSON", b"{} {}", b"\xff\xfe", b"\"\n"] {
            let text = quoted_unless_json(payload).unwrap_or_default();
            let value: Result<serde_json::Value, _> = serde_json::from_str(&text);
            assert!(value.is_ok_and(|value| value.is_string()), "{payload:?}");
        }
    }

    #[test]
    fn a_deadline_that_cargo_lambda_watch_gives_as_a_duration_is_one() {
        assert_eq!(time_left(600_000), Duration::from_mins(10));
    }

    #[test]
    fn no_time_is_left_after_the_deadline() {
        assert_eq!(time_left(0), Duration::ZERO);
        assert_eq!(time_left(1_780_000_000_000 - 600_000_000_000), Duration::ZERO);
        assert!(time_left(u64::from(u32::MAX) * 1_000) > Duration::from_secs(1));
    }
}
