//! A server as far away from its clients as AWS is.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until};

/// As much as one TLS record holds.
const RECORD: usize = 16 * 1024;

/// Forwards connections to a server until it is dropped.
///
/// A connection costs a round trip before its first byte arrives (TCP's own), and one more whenever the client speaks
/// after the server has spoken. So TLS 1.3 and the first request cost three, each further request one.
///
/// What the client says arrives a whole round trip late, and what the server says at once: the client, which waits for
/// the one to get the other, cannot tell. What a client computes before its first byte goes on while the connection is
/// being made, which it could not do with a real one.
#[derive(Debug)]
pub(crate) struct Proxy {
    pub(crate) address: SocketAddr,
    trips: Arc<Trips>,
    _listener: JoinSet<()>,
}

#[derive(Debug)]
struct Trips {
    takes: Duration,
    chain: Mutex<Chain>,
}

/// Round trips of which each began when the one before had ended: how many, and the end of the last.
#[derive(Debug, Default)]
struct Chain {
    length: u32,
    end: Option<Instant>,
}

impl Proxy {
    pub(crate) async fn start(server: SocketAddr, takes: Duration) -> io::Result<Self> {
        let socket = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let address = socket.local_addr()?;
        let trips = Arc::new(Trips { takes, chain: Mutex::default() });
        let shared = Arc::clone(&trips);
        let mut listener = JoinSet::new();
        listener.spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((client, _)) = socket.accept().await {
                let trips = Arc::clone(&shared);
                // A connection that ends early is the client's end.
                connections.spawn(async move { forward(client, server, &trips).await.ok() });
            }
        });
        Ok(Self { address, trips, _listener: listener })
    }

    /// The longest chain of round trips since the last call. Two that have nothing to do with each other count as a chain
    /// too where one happens to end first, so that it is never too few.
    pub(crate) fn take_longest_chain(&self) -> u32 {
        std::mem::take(&mut *self.trips.chain()).length
    }
}

impl Trips {
    fn chain(&self) -> MutexGuard<'_, Chain> {
        self.chain.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Taking what ends first, again and again, makes the longest chain.
    async fn make(&self) {
        let start = Instant::now();
        sleep_until(start + self.takes).await;
        let mut chain = self.chain();
        if chain.end.is_none_or(|end| end <= start) {
            *chain = Chain { length: chain.length + 1, end: Some(Instant::now()) };
        }
    }
}

async fn forward(mut client: TcpStream, server: SocketAddr, trips: &Trips) -> io::Result<()> {
    let mut server = TcpStream::connect(server).await?;
    // Without it a small message waits for its neighbours.
    client.set_nodelay(true)?;
    server.set_nodelay(true)?;
    let (mut from_client, mut to_client) = client.split();
    let (mut from_server, mut to_server) = server.split();
    let is_new_turn = AtomicBool::new(true);
    let there = async {
        trips.make().await;
        let mut said = Vec::with_capacity(RECORD);
        while from_client.read_buf(&mut said).await? > 0 {
            if is_new_turn.load(Ordering::Relaxed) {
                trips.make().await;
                is_new_turn.store(false, Ordering::Relaxed);
            }
            to_server.write_all(&said).await?;
            said.clear();
        }
        Ok(())
    };
    let back = async {
        let mut said = Vec::with_capacity(RECORD);
        while from_server.read_buf(&mut said).await? > 0 {
            is_new_turn.store(true, Ordering::Relaxed);
            to_client.write_all(&said).await?;
            said.clear();
        }
        Ok(())
    };
    tokio::select! {
        ended = there => ended,
        ended = back => ended,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TAKES: Duration = Duration::from_millis(50);

    /// A proxy of a server that says back what it hears, once it has heard four bytes.
    async fn echo() -> Proxy {
        let socket = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let proxy = Proxy::start(socket.local_addr().unwrap(), TAKES).await.unwrap();
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = socket.accept().await {
                tokio::spawn(async move {
                    let mut heard = [0; 4];
                    while stream.read_exact(&mut heard).await.is_ok() {
                        stream.write_all(&heard).await.unwrap();
                    }
                });
            }
        });
        proxy
    }

    async fn exchange(stream: &mut TcpStream, parts: [&[u8]; 2]) {
        let mut heard = [0; 4];
        for part in parts {
            stream.write_all(part).await.unwrap();
        }
        stream.read_exact(&mut heard).await.unwrap();
        assert_eq!(heard, *parts.concat());
    }

    #[tokio::test]
    async fn a_connection_costs_one_round_trip_and_each_turn_of_the_client_one_more() {
        let proxy = echo().await;
        let mut stream = TcpStream::connect(proxy.address).await.unwrap();
        let before = Instant::now();
        exchange(&mut stream, [b"he", b"ad"]).await;
        assert_eq!(proxy.take_longest_chain(), 2);
        assert!(before.elapsed() >= TAKES * 2);
        for _ in 0..2 {
            exchange(&mut stream, [b"bo", b"dy"]).await;
            assert_eq!(proxy.take_longest_chain(), 1);
        }
    }

    #[tokio::test]
    async fn only_round_trips_one_after_another_make_a_chain() {
        let trips = Trips { takes: TAKES, chain: Mutex::default() };
        tokio::join!(trips.make(), trips.make(), trips.make());
        assert_eq!(trips.chain().length, 1);
        tokio::join!(trips.make(), trips.make());
        assert_eq!(trips.chain().length, 2);
    }
}
