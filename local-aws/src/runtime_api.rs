//! The Lambda Runtime API, as far as a runtime needs it: a function asks for an invocation, and says what came of it.

use std::time::{SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use http::{Method, Request, Response, StatusCode};
use serde_json::{Value, json};
use tokio::sync::{Mutex, SetOnce, mpsc, watch};
use tokio::time::Instant;

use crate::lambda::{FUNCTION_ARN, FunctionError, Invocation};

/// All its paths start with it.
const ROOT: &str = "/2018-06-01/runtime/";
const TRACE: &str = "Root=1-00000000-000000000000000000000001;Parent=0000000000000001;Sampled=0";

/// Both sides: of the function, and of who invokes it.
#[derive(Debug)]
pub(crate) struct RuntimeApi {
    /// The last invocation, since when it waits, as long as the function has not taken it.
    waiting: watch::Sender<Option<(Invocation, Instant)>>,
    reports: mpsc::UnboundedSender<Outcome>,
    outcomes: Mutex<mpsc::UnboundedReceiver<Outcome>>,
    /// When a function asked for an invocation for the first time.
    pub(crate) asked: SetOnce<Instant>,
    /// Set once nobody invokes any more: a function that waits for an invocation ends then.
    pub(crate) closed: SetOnce<()>,
}

/// The request id, which is missing if the function failed before its first invocation, and what the function has said.
type Outcome = (Option<String>, Result<Value, FunctionError>);

impl RuntimeApi {
    pub(crate) fn new() -> Self {
        let (reports, outcomes) = mpsc::unbounded_channel();
        Self {
            waiting: watch::Sender::new(None),
            reports,
            outcomes: Mutex::new(outcomes),
            asked: SetOnce::new(),
            closed: SetOnce::new(),
        }
    }

    /// Whether a function has taken the last invocation.
    pub(crate) fn was_taken(&self) -> bool {
        self.waiting.borrow().is_none()
    }

    /// Gives the function an event and waits for what it makes of it.
    pub(crate) async fn invoke(&self, invocation: &Invocation) -> Result<Value, FunctionError> {
        let mut outcomes = self.outcomes.lock().await;
        self.waiting.send_replace(Some((invocation.clone(), Instant::now())));
        loop {
            match outcomes.recv().await {
                // What a killed function said about an earlier invocation comes too late.
                Some((Some(id), _)) if id != invocation.request_id => {}
                Some((_, result)) => return result,
                None => std::future::pending().await,
            }
        }
    }

    /// Answers a request, and takes its time for one that asks for the next invocation; `None` if it is not for this API.
    pub(crate) async fn answer(&self, request: &Request<Bytes>) -> Option<Response<Bytes>> {
        let path = request.uri().path().strip_prefix(ROOT)?;
        let segments: Vec<_> = path.split('/').collect();
        let body = request.body();
        Some(match (request.method(), segments.as_slice()) {
            (&Method::GET, ["invocation", "next"]) => self.next().await,
            (&Method::POST, ["invocation", id, "response"]) => self.report(Some(id), reply(body)),
            (&Method::POST, ["invocation", id, "error"]) => {
                self.report(Some(id), Err(function_error(body)))
            }
            (&Method::POST, ["init", "error"]) => self.report(None, Err(function_error(body))),
            _ => status(StatusCode::NOT_FOUND, ""),
        })
    }

    async fn next(&self) -> Response<Bytes> {
        // Only the first of all functions sets it.
        let _ = self.asked.set(Instant::now());
        let mut waiting = self.waiting.subscribe();
        loop {
            tokio::select! {
                () = self.closed.wait() => return status(StatusCode::GONE, ""),
                _ = waiting.wait_for(Option::is_some) => {}
            }
            let mut taken = None;
            self.waiting.send_if_modified(|waiting| {
                taken = waiting.take();
                taken.is_some()
            });
            // Another function may have been faster.
            if let Some((invocation, since)) = taken {
                return show(&invocation, since)
                    .unwrap_or_else(|_| status(StatusCode::INTERNAL_SERVER_ERROR, ""));
            }
        }
    }

    fn report(
        &self,
        request_id: Option<&str>,
        result: Result<Value, FunctionError>,
    ) -> Response<Bytes> {
        // Nobody listens any more when the command ends.
        let _ = self.reports.send((request_id.map(str::to_owned), result));
        status(StatusCode::ACCEPTED, r#"{"status":"OK"}"#)
    }
}

fn show(invocation: &Invocation, since: Instant) -> http::Result<Response<Bytes>> {
    // For the function's own clock, which does not skip.
    let since_1970 = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let deadline = since_1970 + invocation.timeout.saturating_sub(since.elapsed());
    Response::builder()
        .header("content-type", "application/json")
        .header("lambda-runtime-aws-request-id", &invocation.request_id)
        .header("lambda-runtime-deadline-ms", deadline.as_millis().to_string())
        .header("lambda-runtime-invoked-function-arn", FUNCTION_ARN)
        .header("lambda-runtime-trace-id", TRACE)
        .body(invocation.payload.to_string().into())
}

fn status(status: StatusCode, body: &'static str) -> Response<Bytes> {
    let mut response = Response::new(Bytes::from_static(body.as_bytes()));
    *response.status_mut() = status;
    response
}

fn reply(body: &[u8]) -> Result<Value, FunctionError> {
    if body.is_empty() {
        return Ok(Value::Null);
    }
    serde_json::from_slice(body).map_err(|error| {
        let message = format!("The function's reply is not JSON: {error}");
        FunctionError::new("Local.NoJson", message)
    })
}

/// `{"errorType":…,"errorMessage":…}`.
fn function_error(body: &[u8]) -> FunctionError {
    let body: Value = serde_json::from_slice(body)
        .unwrap_or_else(|_| json!({ "errorMessage": String::from_utf8_lossy(body) }));
    let member = |name: &str| body.get(name).and_then(Value::as_str).unwrap_or("unknown");
    FunctionError::new(member("errorType"), member("errorMessage"))
}
