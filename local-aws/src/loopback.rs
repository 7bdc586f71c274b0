//! The cloud and the Lambda Runtime API behind one loopback address, in real time.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderValue, Method, Request, Response, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Mutex as AsyncMutex, mpsc, watch};
use tokio::task::JoinHandle;
use tokio::time::Instant;

use crate::cloud::Cloud;
use crate::delayed::Delayed;
use crate::lambda::{FunctionError, Invocation};
use crate::round_trips::RoundTrips;
use crate::tls::TestAuthority;

/// What the Runtime API puts before its paths.
const RUNTIME: &str = "/2018-06-01/runtime/";

/// A listening cloud. It stops listening when it is dropped.
#[derive(Debug)]
pub struct Loopback {
    address: SocketAddr,
    shared: Arc<Shared>,
    invocations: mpsc::UnboundedSender<Outgoing>,
    outcomes: mpsc::UnboundedReceiver<Outcome>,
    asked: watch::Receiver<Option<Instant>>,
    listeners: Vec<JoinHandle<()>>,
}

#[derive(Debug)]
struct Shared {
    cloud: Cloud,
    skipped: Mutex<Duration>,
    function_arn: String,
    /// Invocations on their way to the function.
    waiting: AsyncMutex<mpsc::UnboundedReceiver<Outgoing>>,
    reports: mpsc::UnboundedSender<Outcome>,
    /// The number of the invocation that is wanted now; a function that died has left earlier ones behind.
    wanted: AtomicUsize,
    /// The number of the last invocation that a function has taken.
    taken: AtomicUsize,
    /// When a function asked for an invocation for the first time.
    asked: watch::Sender<Option<Instant>>,
}

#[derive(Debug)]
struct Outgoing {
    number: usize,
    invocation: Invocation,
    sent: Duration,
}

/// What the function has said.
#[derive(Debug)]
struct Outcome {
    /// `None` if the function failed before its first invocation.
    request_id: Option<String>,
    result: Result<Value, FunctionError>,
}

impl Loopback {
    /// Listens on a port of 127.0.0.1; port 0 is any free one.
    ///
    /// # Errors
    /// If the port cannot be had.
    pub async fn start(cloud: &Cloud, port: u16, function_arn: &str) -> io::Result<Self> {
        let socket = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).await?;
        let address = socket.local_addr()?;
        let (invocations, waiting) = mpsc::unbounded_channel();
        let (reports, outcomes) = mpsc::unbounded_channel();
        let (asking, asked) = watch::channel(None);
        // Virtual time starts now.
        let _ = cloud.start();
        let shared = Arc::new(Shared {
            cloud: cloud.clone(),
            skipped: Mutex::default(),
            function_arn: function_arn.to_owned(),
            waiting: AsyncMutex::new(waiting),
            reports,
            wanted: AtomicUsize::new(0),
            taken: AtomicUsize::new(0),
            asked: asking,
        });
        let listener = tokio::spawn(listen(socket, Arc::clone(&shared)));
        Ok(Self {
            address,
            shared,
            invocations,
            outcomes,
            asked,
            listeners: vec![listener],
        })
    }

    /// Answers at a further address too: over TLS, and as far away as `round_trips` says.
    ///
    /// # Errors
    /// If no port can be had.
    pub async fn listen_over_tls(
        &mut self,
        authority: &TestAuthority,
        round_trips: &RoundTrips,
    ) -> io::Result<SocketAddr> {
        let socket = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let address = socket.local_addr()?;
        let (acceptor, round_trips) = (authority.acceptor(), round_trips.clone());
        let shared = Arc::clone(&self.shared);
        self.listeners.push(tokio::spawn(async move {
            loop {
                let Some(stream) = accept(&socket).await else {
                    continue;
                };
                let stream = Delayed::new(stream, &round_trips);
                let (acceptor, shared) = (acceptor.clone(), Arc::clone(&shared));
                tokio::spawn(async move {
                    if let Ok(stream) = acceptor.accept(stream).await {
                        serve(stream, shared).await;
                    }
                });
            }
        }));
        Ok(address)
    }

    /// Waits until a function asks for an invocation for the first time, and tells when that was: it has started.
    pub async fn asked(&mut self) -> Instant {
        match self.asked.wait_for(Option::is_some).await.as_deref() {
            Ok(Some(asked)) => *asked,
            // Nobody can ask any more.
            _ => std::future::pending().await,
        }
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Virtual time: real time since the start, and what was skipped.
    #[must_use]
    pub fn now(&self) -> Duration {
        self.shared.now()
    }

    /// Lets virtual time jump, if it is not there yet.
    pub fn skip_to(&self, time: Duration) {
        let missing = time.saturating_sub(self.now());
        *self
            .shared
            .skipped
            .lock()
            .unwrap_or_else(PoisonError::into_inner) += missing;
    }

    /// Whether a function has taken the last invocation. If not, it failed before, and is about to end.
    #[must_use]
    pub fn was_taken(&self) -> bool {
        self.shared.taken.load(Ordering::Relaxed) == self.shared.wanted.load(Ordering::Relaxed)
    }

    /// Gives the function an event and waits for what it makes of it, without a limit: a function that is killed or
    /// hangs never answers.
    ///
    /// # Errors
    /// If the function fails; also if it fails before its first invocation.
    pub async fn invoke(&mut self, invocation: &Invocation) -> Result<Value, FunctionError> {
        let gone = || FunctionError {
            error_type: "Local.Gone".to_owned(),
            message: "The Runtime API is gone.".to_owned(),
        };
        let outgoing = Outgoing {
            number: self.shared.wanted.fetch_add(1, Ordering::Relaxed) + 1,
            invocation: invocation.clone(),
            sent: self.now(),
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

impl Drop for Loopback {
    fn drop(&mut self) {
        for listener in &self.listeners {
            listener.abort();
        }
    }
}

impl Shared {
    fn now(&self) -> Duration {
        self.cloud.elapsed() + *self.skipped.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn listen(socket: TcpListener, shared: Arc<Shared>) {
    loop {
        if let Some(stream) = accept(&socket).await {
            tokio::spawn(serve(stream, Arc::clone(&shared)));
        }
    }
}

async fn accept(socket: &TcpListener) -> Option<TcpStream> {
    let (stream, _) = socket.accept().await.ok()?;
    stream.set_nodelay(true).ok()?;
    Some(stream)
}

async fn serve(stream: impl AsyncRead + AsyncWrite + Unpin, shared: Arc<Shared>) {
    let service = service_fn(move |request| answer(Arc::clone(&shared), request));
    // A connection that ends early is the function's end or a fault on purpose.
    let _ = http1::Builder::new()
        .serve_connection(TokioIo::new(stream), service)
        .await;
}

/// An error ends the connection without an answer.
async fn answer(
    shared: Arc<Shared>,
    request: Request<Incoming>,
) -> io::Result<Response<Full<Bytes>>> {
    let (parts, body) = request.into_parts();
    let body = body.collect().await.map_err(io::Error::other)?.to_bytes();
    let request = Request::from_parts(parts, body);
    if let Some(path) = request.uri().path().strip_prefix(RUNTIME) {
        let response = runtime(&shared, request.method(), path, request.body()).await;
        return Ok(response.map(Full::new));
    }
    let answer = shared.cloud.handle(shared.now(), &request);
    // A timer takes a millisecond even for no time at all.
    if !answer.delay.is_zero() {
        tokio::time::sleep(answer.delay).await;
    }
    let reply = answer
        .reply
        .ok_or_else(|| io::Error::other("the connection drops on purpose"))?;
    Ok(reply.map(Full::new))
}

/// The Lambda Runtime API, as far as a runtime needs it.
async fn runtime(shared: &Shared, method: &Method, path: &str, body: &[u8]) -> Response<Bytes> {
    let segments: Vec<_> = path.split('/').collect();
    let outcome = match (method, segments.as_slice()) {
        (&Method::GET, ["invocation", "next"]) => {
            let now = Instant::now();
            shared.asked.send_if_modified(|asked| {
                let first = asked.is_none();
                asked.get_or_insert(now);
                first
            });
            let mut waiting = shared.waiting.lock().await;
            let outgoing = loop {
                let Some(outgoing) = waiting.recv().await else {
                    return status(StatusCode::GONE);
                };
                if outgoing.number == shared.wanted.load(Ordering::Relaxed) {
                    break outgoing;
                }
            };
            shared.taken.store(outgoing.number, Ordering::Relaxed);
            return invocation(shared, &outgoing)
                .unwrap_or_else(|_| status(StatusCode::INTERNAL_SERVER_ERROR));
        }
        (&Method::POST, ["invocation", id, "response"]) => Outcome {
            request_id: Some((*id).to_owned()),
            result: if body.is_empty() {
                Ok(Value::Null)
            } else {
                serde_json::from_slice(body).map_err(|error| no_json(&error))
            },
        },
        (&Method::POST, ["invocation", id, "error"]) => Outcome {
            request_id: Some((*id).to_owned()),
            result: Err(function_error(body)),
        },
        (&Method::POST, ["init", "error"]) => Outcome {
            request_id: None,
            result: Err(function_error(body)),
        },
        _ => return status(StatusCode::NOT_FOUND),
    };
    // Nobody listens any more when the command ends.
    let _ = shared.reports.send(outcome);
    let mut response = Response::new(Bytes::from_static(br#"{"status":"OK"}"#));
    *response.status_mut() = StatusCode::ACCEPTED;
    response
}

fn invocation(shared: &Shared, outgoing: &Outgoing) -> Result<Response<Bytes>, http::Error> {
    let Outgoing {
        invocation, sent, ..
    } = outgoing;
    // The deadline is for the function's own clock, which does not skip.
    let deadline = real_epoch_now()
        + invocation
            .timeout
            .saturating_sub(shared.now().saturating_sub(*sent));
    Response::builder()
        .header("content-type", HeaderValue::from_static("application/json"))
        .header("lambda-runtime-aws-request-id", &invocation.request_id)
        .header(
            "lambda-runtime-deadline-ms",
            deadline.as_millis().to_string(),
        )
        .header("lambda-runtime-invoked-function-arn", &shared.function_arn)
        .header(
            "lambda-runtime-trace-id",
            "Root=1-00000000-000000000000000000000001;Parent=0000000000000001;Sampled=0",
        )
        .body(invocation.payload.to_string().into())
}

/// Time since 1970.
fn real_epoch_now() -> Duration {
    std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .unwrap_or_default()
}

fn status(status: StatusCode) -> Response<Bytes> {
    let mut response = Response::new(Bytes::new());
    *response.status_mut() = status;
    response
}

fn no_json(error: &serde_json::Error) -> FunctionError {
    FunctionError {
        error_type: "Local.NoJson".to_owned(),
        message: format!("The function's reply is no JSON: {error}"),
    }
}

/// `{"errorType":…,"errorMessage":…}`.
fn function_error(body: &[u8]) -> FunctionError {
    let body: Value = serde_json::from_slice(body)
        .unwrap_or_else(|_| json!({ "errorMessage": String::from_utf8_lossy(body) }));
    let member = |name: &str| {
        body.get(name)
            .and_then(Value::as_str)
            .unwrap_or("unknown")
            .to_owned()
    };
    FunctionError {
        error_type: member("errorType"),
        message: member("errorMessage"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fault::{Fault, FaultKind};
    use crate::setup::Setup;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpStream;

    /// One HTTP exchange by hand: what comes back, empty if the connection drops.
    async fn exchange(address: SocketAddr, head: &str, body: &str) -> String {
        let mut stream = TcpStream::connect(address).await.unwrap();
        let request = format!(
            "{head}\r\nhost: x\r\nconnection: close\r\ncontent-length: {}\r\n\r\n{body}",
            body.len()
        );
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        let _ = stream.read_to_string(&mut answer).await;
        answer
    }

    async fn start() -> (Cloud, Loopback) {
        let cloud = Cloud::new(&Setup::default());
        let loopback = Loopback::start(
            &cloud,
            0,
            "arn:aws:lambda:eu-west-1:222222222222:function:f",
        )
        .await
        .unwrap();
        (cloud, loopback)
    }

    fn invocation(id: &str) -> Invocation {
        Invocation {
            request_id: id.to_owned(),
            payload: json!({ "n": 1 }),
            timeout: Duration::from_mins(1),
            attempt: 1,
        }
    }

    #[tokio::test]
    async fn an_invocation_goes_to_the_function_and_its_reply_comes_back() {
        let (_, mut loopback) = start().await;
        let address = loopback.address();
        let function = async {
            let next = exchange(
                address,
                "GET /2018-06-01/runtime/invocation/next HTTP/1.1",
                "",
            )
            .await;
            let reply = "POST /2018-06-01/runtime/invocation/id-1/response HTTP/1.1";
            exchange(address, reply, "{\"done\":true}").await;
            next
        };
        let invocation = invocation("id-1");
        let (next, outcome) = tokio::join!(function, loopback.invoke(&invocation));
        assert_eq!(outcome, Ok(json!({ "done": true })));
        let parts = [
            "lambda-runtime-aws-request-id: id-1",
            "lambda-runtime-deadline-ms: ",
            "function:f",
            "{\"n\":1}",
        ];
        for part in parts {
            assert!(next.contains(part), "{part} in {next}");
        }
    }

    #[tokio::test]
    async fn an_error_of_the_function_comes_back_with_its_type() {
        let (_, mut loopback) = start().await;
        let address = loopback.address();
        let error = "{\"errorType\":\"Bad\",\"errorMessage\":\"no\"}";
        for path in ["invocation/id-1/error", "init/error"] {
            let head = format!("POST /2018-06-01/runtime/{path} HTTP/1.1");
            let invocation = invocation("id-1");
            let (_, outcome) = tokio::join!(
                exchange(address, &head, error),
                loopback.invoke(&invocation)
            );
            assert_eq!(
                outcome,
                Err(FunctionError {
                    error_type: "Bad".to_owned(),
                    message: "no".to_owned()
                })
            );
        }
    }

    #[tokio::test]
    async fn what_a_function_has_not_taken_before_its_end_is_not_given_to_the_next() {
        let (_, mut loopback) = start().await;
        let address = loopback.address();
        let failing = exchange(
            address,
            "POST /2018-06-01/runtime/init/error HTTP/1.1",
            "{}",
        );
        let first = invocation("id-1");
        let (_, outcome) = tokio::join!(failing, loopback.invoke(&first));
        assert!(outcome.is_err() && !loopback.was_taken());
        let function = async {
            let next = exchange(
                address,
                "GET /2018-06-01/runtime/invocation/next HTTP/1.1",
                "",
            )
            .await;
            exchange(
                address,
                "POST /2018-06-01/runtime/invocation/id-2/response HTTP/1.1",
                "2",
            )
            .await;
            next
        };
        let second = invocation("id-2");
        let (next, outcome) = tokio::join!(function, loopback.invoke(&second));
        assert!(
            next.contains("lambda-runtime-aws-request-id: id-2"),
            "{next}"
        );
        assert!(outcome.is_ok() && loopback.was_taken());
    }

    #[tokio::test]
    async fn a_reply_to_an_earlier_invocation_is_passed_over() {
        let (_, mut loopback) = start().await;
        let address = loopback.address();
        let function = async {
            for (id, reply) in [("id-1", "1"), ("id-2", "2")] {
                let head = format!("POST /2018-06-01/runtime/invocation/{id}/response HTTP/1.1");
                exchange(address, &head, reply).await;
            }
        };
        let invocation = invocation("id-2");
        let ((), outcome) = tokio::join!(function, loopback.invoke(&invocation));
        assert_eq!(outcome, Ok(json!(2)));
    }

    #[tokio::test]
    async fn the_cloud_answers_at_the_same_address_and_can_drop_the_connection() {
        let (cloud, loopback) = start().await;
        let head = "GET /detector HTTP/1.1\r\nauthorization: AWS4-HMAC-SHA256 \
                    Credential=A/20260101/eu-west-1/guardduty/aws4_request, Signature=0";
        let answer = exchange(loopback.address(), head, "").await;
        assert!(
            answer.starts_with("HTTP/1.1 200") && answer.contains("detectorIds"),
            "{answer}"
        );
        cloud.lock().faults.push(Fault::always(
            "ListDetectors",
            FaultKind::Drop { effect: false },
        ));
        assert_eq!(exchange(loopback.address(), head, "").await, "");
    }

    #[tokio::test]
    async fn time_jumps_to_a_moment_once() {
        let (cloud, loopback) = start().await;
        let hour = Duration::from_hours(1);
        loopback.skip_to(hour);
        loopback.skip_to(hour);
        assert!(
            loopback.now() >= hour && loopback.now() < hour * 2,
            "{:?}",
            loopback.now()
        );
        exchange(loopback.address(), "GET / HTTP/1.1", "").await;
        assert!(
            cloud
                .lock()
                .calls
                .first()
                .is_some_and(|call| call.at >= hour)
        );
    }
}
