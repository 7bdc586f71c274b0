//! The cloud and the Lambda Runtime API behind one loopback address, in real time.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio_rustls::TlsAcceptor;

use crate::cloud::Cloud;
use crate::lambda::{FunctionError, Invocation};
use crate::runtime_api::RuntimeApi;
use crate::tls::TestAuthority;

/// A listening cloud. It stops listening when it is dropped.
#[derive(Debug)]
pub struct Loopback {
    address: SocketAddr,
    shared: Arc<Shared>,
    listeners: JoinSet<()>,
}

#[derive(Debug)]
struct Shared {
    cloud: Cloud,
    skipped: Mutex<Duration>,
    runtime_api: RuntimeApi,
}

impl Loopback {
    /// Listens on a port of 127.0.0.1; port 0 is any free one.
    ///
    /// # Errors
    /// If the port cannot be had.
    pub async fn start(cloud: &Cloud, port: u16) -> io::Result<Self> {
        let socket = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).await?;
        let address = socket.local_addr()?;
        // Virtual time starts now.
        let _ = cloud.start();
        let shared = Arc::new(Shared {
            cloud: cloud.clone(),
            skipped: Mutex::default(),
            runtime_api: RuntimeApi::new(),
        });
        let mut listeners = JoinSet::new();
        listeners.spawn(listen(socket, Arc::clone(&shared), None));
        Ok(Self { address, shared, listeners })
    }

    /// Answers at a further address too: over TLS.
    ///
    /// # Errors
    /// If no port can be had.
    pub async fn listen_over_tls(&mut self, authority: &TestAuthority) -> io::Result<SocketAddr> {
        let socket = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let address = socket.local_addr()?;
        let tls = Some(authority.acceptor());
        self.listeners.spawn(listen(socket, Arc::clone(&self.shared), tls));
        Ok(address)
    }

    /// Waits until a function asks for an invocation for the first time, and tells when that was: it has started.
    pub async fn asked(&mut self) -> Instant {
        *self.shared.runtime_api.asked.wait().await
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
        let mut skipped = self.shared.skipped.lock().unwrap_or_else(PoisonError::into_inner);
        *skipped += missing;
    }

    /// Whether a function has taken the last invocation. If not, it failed before, and is about to end.
    #[must_use]
    pub fn was_taken(&self) -> bool {
        self.shared.runtime_api.was_taken()
    }

    /// Gives the function an event and waits for what it makes of it, without a limit: a function that is killed or
    /// hangs never answers.
    ///
    /// # Errors
    /// If the function fails; also if it fails before its first invocation.
    pub async fn invoke(&mut self, invocation: &Invocation) -> Result<Value, FunctionError> {
        self.shared.runtime_api.invoke(invocation).await
    }
}

impl Drop for Loopback {
    fn drop(&mut self) {
        let _ = self.shared.runtime_api.closed.set(());
    }
}

impl Shared {
    fn now(&self) -> Duration {
        self.cloud.elapsed() + *self.skipped.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn listen(socket: TcpListener, shared: Arc<Shared>, tls: Option<TlsAcceptor>) {
    loop {
        let Ok((stream, _)) = socket.accept().await else {
            continue;
        };
        // Without it a small answer waits for its neighbours.
        let _ = stream.set_nodelay(true);
        let shared = Arc::clone(&shared);
        let Some(acceptor) = &tls else {
            tokio::spawn(serve(stream, shared));
            continue;
        };
        let accepting = acceptor.accept(stream);
        tokio::spawn(async move {
            if let Ok(stream) = accepting.await {
                serve(stream, shared).await;
            }
        });
    }
}

async fn serve(stream: impl AsyncRead + AsyncWrite + Unpin, shared: Arc<Shared>) {
    let service = service_fn(move |request| answer(Arc::clone(&shared), request));
    // A connection that ends early is the function's end or a fault on purpose.
    let _ = http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
}

/// An error ends the connection without an answer.
async fn answer(
    shared: Arc<Shared>,
    request: Request<Incoming>,
) -> io::Result<Response<Full<Bytes>>> {
    let (parts, body) = request.into_parts();
    let body = body.collect().await.map_err(io::Error::other)?.to_bytes();
    let request = Request::from_parts(parts, body);
    if let Some(response) = shared.runtime_api.answer(&request).await {
        return Ok(response.map(Full::new));
    }
    let answer = shared.cloud.handle(shared.now(), &request);
    // A timer takes a millisecond even for no time at all.
    if !answer.delay.is_zero() {
        tokio::time::sleep(answer.delay).await;
    }
    let reply = answer.reply.ok_or_else(|| io::Error::other("the connection drops on purpose"))?;
    Ok(reply.map(Full::new))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fault::{Fault, FaultKind};
    use crate::setup::Setup;
    use serde_json::json;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpStream;

    const NEXT: &str = "GET /2018-06-01/runtime/invocation/next HTTP/1.1";

    /// One HTTP exchange by hand: what comes back, empty if the connection drops.
    async fn exchange(address: SocketAddr, head: &str, body: &str) -> String {
        let mut stream = TcpStream::connect(address).await.unwrap();
        let length = body.len();
        let request = format!(
            "{head}\r\nhost: x\r\nconnection: close\r\ncontent-length: {length}\r\n\r\n{body}"
        );
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        let _ = stream.read_to_string(&mut answer).await;
        answer
    }

    /// A function says something of an invocation, or of its start.
    async fn say(address: SocketAddr, path: &str, body: &str) {
        let head = format!("POST /2018-06-01/runtime/{path} HTTP/1.1");
        exchange(address, &head, body).await;
    }

    /// A function asks for an invocation and replies to it: what it was given.
    async fn run(address: SocketAddr, id: &str, reply: &str) -> String {
        let given = exchange(address, NEXT, "").await;
        say(address, &format!("invocation/{id}/response"), reply).await;
        given
    }

    async fn start() -> (Cloud, Loopback, SocketAddr) {
        let cloud = Cloud::new(&Setup::default());
        let loopback = Loopback::start(&cloud, 0).await.unwrap();
        let address = loopback.address();
        (cloud, loopback, address)
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
        let (_, mut loopback, address) = start().await;
        let invocation = invocation("id-1");
        let function = run(address, "id-1", "{\"done\":true}");
        let (given, outcome) = tokio::join!(function, loopback.invoke(&invocation));
        assert_eq!(outcome, Ok(json!({ "done": true })));
        for part in [
            "lambda-runtime-aws-request-id: id-1",
            "lambda-runtime-deadline-ms: ",
            "function:guardduty-enroller",
            "{\"n\":1}",
        ] {
            assert!(given.contains(part), "{part} in {given}");
        }
    }

    #[tokio::test]
    async fn an_error_of_the_function_comes_back_with_its_type() {
        let (_, mut loopback, address) = start().await;
        let invocation = invocation("id-1");
        let error = "{\"errorType\":\"Bad\",\"errorMessage\":\"no\"}";
        for path in ["invocation/id-1/error", "init/error"] {
            let function = say(address, path, error);
            let ((), outcome) = tokio::join!(function, loopback.invoke(&invocation));
            assert_eq!(outcome, Err(FunctionError::new("Bad", "no")));
        }
    }

    #[tokio::test]
    async fn what_a_function_has_not_taken_before_its_end_is_not_given_to_the_next() {
        let (_, mut loopback, address) = start().await;
        let first = invocation("id-1");
        let failing = say(address, "init/error", "{}");
        let ((), outcome) = tokio::join!(failing, loopback.invoke(&first));
        assert!(outcome.is_err() && !loopback.was_taken());
        let second = invocation("id-2");
        let function = run(address, "id-2", "2");
        let (outcome, given) = tokio::join!(loopback.invoke(&second), function);
        assert!(given.contains("lambda-runtime-aws-request-id: id-2"), "{given}");
        assert!(outcome.is_ok() && loopback.was_taken());
    }

    #[tokio::test]
    async fn a_function_that_waits_is_told_when_nobody_invokes_any_more() {
        let (_, mut loopback, address) = start().await;
        let function = tokio::spawn(exchange(address, NEXT, ""));
        loopback.asked().await;
        drop(loopback);
        let answer = function.await.unwrap();
        assert!(answer.starts_with("HTTP/1.1 410"), "{answer}");
    }

    #[tokio::test]
    async fn a_reply_to_an_earlier_invocation_is_passed_over() {
        let (_, mut loopback, address) = start().await;
        let function = async {
            say(address, "invocation/id-1/response", "1").await;
            say(address, "invocation/id-2/response", "2").await;
        };
        let invocation = invocation("id-2");
        let ((), outcome) = tokio::join!(function, loopback.invoke(&invocation));
        assert_eq!(outcome, Ok(json!(2)));
    }

    #[tokio::test]
    async fn the_cloud_answers_at_the_same_address_and_can_drop_the_connection() {
        let (cloud, _loopback, address) = start().await;
        let head = "GET /detector HTTP/1.1\r\nauthorization: AWS4-HMAC-SHA256 \
                    Credential=A/20260101/eu-west-1/guardduty/aws4_request, Signature=0";
        let answer = exchange(address, head, "").await;
        assert!(answer.starts_with("HTTP/1.1 200") && answer.contains("detectorIds"), "{answer}");
        let drop = FaultKind::Drop { effect: false };
        cloud.lock().faults.push(Fault::always("ListDetectors", drop));
        assert_eq!(exchange(address, head, "").await, "");
    }

    #[tokio::test]
    async fn time_jumps_to_a_moment_once() {
        let (cloud, loopback, address) = start().await;
        let hour = Duration::from_hours(1);
        loopback.skip_to(hour);
        loopback.skip_to(hour);
        let now = loopback.now();
        assert!(now >= hour && now < hour * 2, "{now:?}");
        exchange(address, "GET / HTTP/1.1", "").await;
        assert!(cloud.lock().calls[0].at >= hour);
    }
}
