//! Lambda's Runtime API: the only place that calls the Lambda runtime crate's services.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use lambda_runtime::tower::util::MapRequestLayer;
use lambda_runtime::{Diagnostic, LambdaEvent, LambdaInvocation, Runtime, layers, service_fn};
use lambda_runtime_api_client::{BoxError, Client, body::Body, build_request};
use serde_json::value::RawValue;
use tokio::time::Instant;

use crate::configuration::InvalidConfiguration;
use crate::handler::{Handler, Invocation};

/// Takes invocations until the environment ends.
///
/// # Errors
/// Where the Runtime API is out of reach.
pub async fn serve(handler: Handler) -> Result<(), BoxError> {
    let handler = Arc::new(handler);
    let service = service_fn(move |event: LambdaEvent<Box<RawValue>>| {
        let handler = Arc::clone(&handler);
        async move {
            let invocation = Invocation {
                deadline: Instant::now() + time_left(event.context.deadline),
                request_id: event.context.request_id,
            };
            // Boxed: the compiler gives up on the layout of a future that is this deeply nested.
            let reply = Box::pin(handler.handle(event.payload.get(), &invocation)).await;
            reply.map_err(Diagnostic::from)
        }
    });
    Runtime::new(service)
        .layer(layers::TracingLayer::new())
        .layer(MapRequestLayer::new(as_json))
        .run()
        .await
}

/// How long Lambda leaves until `deadline_ms` (since 1970).
fn time_left(deadline_ms: u64) -> Duration {
    let deadline = SystemTime::UNIX_EPOCH + Duration::from_millis(deadline_ms);
    deadline
        .duration_since(SystemTime::now())
        .unwrap_or(Duration::ZERO)
}

/// Hands a payload that is not JSON to the handler as a JSON text, so that it is refused as `InvalidEvent` like
/// every other bad input. Lambda itself lets none through; emulators do.
fn as_json(mut invocation: LambdaInvocation) -> LambdaInvocation {
    if serde_json::from_slice::<&RawValue>(&invocation.body).is_err() {
        let text = String::from_utf8_lossy(&invocation.body);
        invocation.body = serde_json::Value::from(text).to_string().into();
    }
    invocation
}

/// Tells Lambda that the function cannot start (`errorType` `InvalidConfiguration`), so that the reason stands in
/// the reply of every invocation and not only in a log.
///
/// # Errors
/// Where the Runtime API is out of reach.
pub async fn report(error: &InvalidConfiguration) -> Result<(), BoxError> {
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
