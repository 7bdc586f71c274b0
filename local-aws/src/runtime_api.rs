//! The Lambda Runtime API, as far as a runtime needs it: a function asks for an invocation, and says what came of it.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use http::{HeaderValue, Method, Request, Response, StatusCode};
use serde_json::{Value, json};
use tokio::sync::{Mutex, mpsc, watch};
use tokio::time::Instant;

use crate::lambda::{FunctionError, Invocation};

/// What stands before all its paths.
const ROOT: &str = "/2018-06-01/runtime/";

/// The side of the function.
#[derive(Debug)]
pub(crate) struct RuntimeApi {
    function_arn: String,
    /// Invocations on their way to the function.
    waiting: Mutex<mpsc::UnboundedReceiver<Outgoing>>,
    outcomes: mpsc::UnboundedSender<Outcome>,
    /// The number of the invocation that is wanted now; a function that died has left earlier ones behind.
    wanted: AtomicUsize,
    /// The number of the last invocation that a function has taken.
    taken: AtomicUsize,
    /// When a function asked for an invocation for the first time.
    asked: watch::Sender<Option<Instant>>,
}

/// The side of who invokes the function.
#[derive(Debug)]
pub(crate) struct Invoker {
    api: Arc<RuntimeApi>,
    invocations: mpsc::UnboundedSender<Outgoing>,
    outcomes: mpsc::UnboundedReceiver<Outcome>,
    asked: watch::Receiver<Option<Instant>>,
}

#[derive(Debug)]
struct Outgoing {
    number: usize,
    invocation: Invocation,
    sent: Instant,
}

/// What the function has said.
#[derive(Debug)]
struct Outcome {
    /// `None` if the function failed before its first invocation.
    request_id: Option<String>,
    result: Result<Value, FunctionError>,
}

impl Invoker {
    /// An invoker, and the API that its function is to talk to.
    pub(crate) fn new(function_arn: &str) -> (Self, Arc<RuntimeApi>) {
        let (invocations, waiting) = mpsc::unbounded_channel();
        let (reports, outcomes) = mpsc::unbounded_channel();
        let (asking, asked) = watch::channel(None);
        let api = Arc::new(RuntimeApi {
            function_arn: function_arn.to_owned(),
            waiting: Mutex::new(waiting),
            outcomes: reports,
            wanted: AtomicUsize::new(0),
            taken: AtomicUsize::new(0),
            asked: asking,
        });
        let invoker = Self {
            api: Arc::clone(&api),
            invocations,
            outcomes,
            asked,
        };
        (invoker, api)
    }

    /// Waits until a function asks for an invocation for the first time, and tells when that was.
    pub(crate) async fn asked(&mut self) -> Instant {
        match self.asked.wait_for(Option::is_some).await.as_deref() {
            Ok(Some(asked)) => *asked,
            // Nobody can ask any more.
            _ => std::future::pending().await,
        }
    }

    /// Whether a function has taken the last invocation.
    pub(crate) fn was_taken(&self) -> bool {
        self.api.taken.load(Ordering::Relaxed) == self.api.wanted.load(Ordering::Relaxed)
    }

    /// Gives the function an event and waits for what it makes of it.
    pub(crate) async fn invoke(&mut self, invocation: &Invocation) -> Result<Value, FunctionError> {
        let gone = || FunctionError::new("Local.Gone", "The Runtime API is gone.");
        let outgoing = Outgoing {
            number: self.api.wanted.fetch_add(1, Ordering::Relaxed) + 1,
            invocation: invocation.clone(),
            sent: Instant::now(),
        };
        self.invocations.send(outgoing).map_err(|_| gone())?;
        loop {
            let outcome = self.outcomes.recv().await.ok_or_else(gone)?;
            // What a killed function said about an earlier invocation comes too late.
            if outcome
                .request_id
                .is_none_or(|id| id == invocation.request_id)
            {
                return outcome.result;
            }
        }
    }
}

impl RuntimeApi {
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
            _ => status(StatusCode::NOT_FOUND),
        })
    }

    async fn next(&self) -> Response<Bytes> {
        let now = Instant::now();
        self.asked.send_if_modified(|asked| {
            let first = asked.is_none();
            asked.get_or_insert(now);
            first
        });
        let mut waiting = self.waiting.lock().await;
        let outgoing = loop {
            let Some(outgoing) = waiting.recv().await else {
                return status(StatusCode::GONE);
            };
            if outgoing.number == self.wanted.load(Ordering::Relaxed) {
                break outgoing;
            }
        };
        self.taken.store(outgoing.number, Ordering::Relaxed);
        self.show(&outgoing)
            .unwrap_or_else(|_| status(StatusCode::INTERNAL_SERVER_ERROR))
    }

    fn show(&self, outgoing: &Outgoing) -> Result<Response<Bytes>, http::Error> {
        let invocation = &outgoing.invocation;
        // For the function's own clock, which does not skip.
        let since_1970 = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default();
        let left = invocation.timeout.saturating_sub(outgoing.sent.elapsed());
        let deadline: Duration = since_1970 + left;
        Response::builder()
            .header("content-type", HeaderValue::from_static("application/json"))
            .header("lambda-runtime-aws-request-id", &invocation.request_id)
            .header(
                "lambda-runtime-deadline-ms",
                deadline.as_millis().to_string(),
            )
            .header("lambda-runtime-invoked-function-arn", &self.function_arn)
            .header(
                "lambda-runtime-trace-id",
                "Root=1-00000000-000000000000000000000001;Parent=0000000000000001;Sampled=0",
            )
            .body(invocation.payload.to_string().into())
    }

    fn report(
        &self,
        request_id: Option<&str>,
        result: Result<Value, FunctionError>,
    ) -> Response<Bytes> {
        let outcome = Outcome {
            request_id: request_id.map(str::to_owned),
            result,
        };
        // Nobody listens any more when the command ends.
        let _ = self.outcomes.send(outcome);
        let mut response = Response::new(Bytes::from_static(br#"{"status":"OK"}"#));
        *response.status_mut() = StatusCode::ACCEPTED;
        response
    }
}

fn status(status: StatusCode) -> Response<Bytes> {
    let mut response = Response::new(Bytes::new());
    *response.status_mut() = status;
    response
}

fn reply(body: &[u8]) -> Result<Value, FunctionError> {
    if body.is_empty() {
        return Ok(Value::Null);
    }
    serde_json::from_slice(body).map_err(|error| {
        let message = format!("The function's reply is no JSON: {error}");
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
