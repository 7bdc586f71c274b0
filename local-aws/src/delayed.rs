//! A server's end of a connection that is as far away from its client as AWS is.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep, sleep_until};

use crate::round_trips::{RoundTrip, RoundTrips};

/// As much as one TLS record holds.
const MOST: usize = 16 * 1024;

/// A connection that costs a round trip before its first byte arrives (TCP's own), and one more whenever the client
/// speaks after the server has spoken. So TLS 1.3 and the first request cost three, each further request one.
///
/// What the client says arrives a whole round trip late, and what the server says at once: the client, which waits
/// for the one to get the other, cannot tell. What a client computes before its first byte goes on while the connection
/// is being made, which it could not do with a real one.
#[derive(Debug)]
pub(crate) struct Delayed<S> {
    stream: S,
    round_trips: RoundTrips,
    connected: Instant,
    way: Way,
}

#[derive(Debug)]
enum Way {
    /// The client's next bytes begin a round trip.
    Waiting,
    /// They are on their way since then.
    Travelling(Instant, Pin<Box<Sleep>>, Vec<u8>),
    /// They have arrived; so many of them were read already.
    Arrived(Vec<u8>, usize),
    /// More of the same arrives at once.
    Flowing,
}

impl<S> Delayed<S> {
    /// A connection that was just asked for.
    pub(crate) fn new(stream: S, round_trips: &RoundTrips) -> Self {
        let start = Instant::now();
        let connected = round_trips.end_of(start);
        round_trips.record(RoundTrip { start, end: connected });
        Self { stream, connected, round_trips: round_trips.clone(), way: Way::Waiting }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Delayed<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = &mut *self;
        if this.round_trips.is_instant() {
            return Pin::new(&mut this.stream).poll_read(context, buffer);
        }
        loop {
            match &mut this.way {
                Way::Waiting => {
                    let mut bytes = vec![0; MOST];
                    let mut read = ReadBuf::new(&mut bytes);
                    ready!(Pin::new(&mut this.stream).poll_read(context, &mut read))?;
                    let length = read.filled().len();
                    if length == 0 {
                        return Poll::Ready(Ok(()));
                    }
                    bytes.truncate(length);
                    let sent = this.connected.max(Instant::now());
                    let arrival = Box::pin(sleep_until(this.round_trips.end_of(sent)));
                    this.way = Way::Travelling(sent, arrival, bytes);
                }
                Way::Travelling(start, arrival, bytes) => {
                    ready!(arrival.as_mut().poll(context));
                    let (start, end) = (*start, Instant::now());
                    this.round_trips.record(RoundTrip { start, end });
                    this.way = Way::Arrived(std::mem::take(bytes), 0);
                }
                Way::Arrived(bytes, read) => {
                    let rest = bytes.get(*read..).unwrap_or_default();
                    let (now, _) = rest.split_at(rest.len().min(buffer.remaining()));
                    buffer.put_slice(now);
                    *read += now.len();
                    if *read == bytes.len() {
                        this.way = Way::Flowing;
                    }
                    return Poll::Ready(Ok(()));
                }
                Way::Flowing => return Pin::new(&mut this.stream).poll_read(context, buffer),
            }
        }
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Delayed<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = ready!(Pin::new(&mut self.stream).poll_write(context, bytes))?;
        if matches!(self.way, Way::Flowing) {
            self.way = Way::Waiting;
        }
        Poll::Ready(Ok(written))
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};

    use super::*;

    const TAKES: Duration = Duration::from_millis(50);

    fn connection() -> (DuplexStream, Delayed<DuplexStream>, RoundTrips) {
        let (client, server) = duplex(1024);
        let round_trips = RoundTrips::new(TAKES);
        let server = Delayed::new(server, &round_trips);
        (client, server, round_trips)
    }

    /// What the client says arrives after so many round trips.
    async fn arrives_after(
        client: &mut DuplexStream,
        server: &mut Delayed<DuplexStream>,
        said: &[u8],
    ) -> u32 {
        let before = Instant::now();
        client.write_all(said).await.unwrap();
        let mut heard = vec![0; said.len()];
        server.read_exact(&mut heard).await.unwrap();
        assert_eq!(heard, said);
        let took = before.elapsed().as_millis();
        assert!(took.is_multiple_of(TAKES.as_millis()), "{took} ms");
        u32::try_from(took / TAKES.as_millis()).unwrap()
    }

    #[tokio::test(start_paused = true)]
    async fn a_connection_costs_one_round_trip_and_each_turn_of_the_client_one_more() {
        let (mut client, mut server, round_trips) = connection();
        assert_eq!(arrives_after(&mut client, &mut server, b"hello").await, 2);
        server.write_all(b"hello").await.unwrap();
        for _ in 0..3 {
            assert_eq!(arrives_after(&mut client, &mut server, b"request").await, 1);
            server.write_all(b"answer").await.unwrap();
        }
        let chain = round_trips.take_longest_chain().unwrap();
        assert_eq!((chain.length, chain.took), (5, TAKES * 5));
    }

    #[tokio::test(start_paused = true)]
    async fn what_the_client_adds_to_its_turn_costs_nothing_more() {
        let (mut client, mut server, round_trips) = connection();
        assert_eq!(arrives_after(&mut client, &mut server, b"head").await, 2);
        assert_eq!(arrives_after(&mut client, &mut server, b"body").await, 0);
        assert_eq!(round_trips.take_longest_chain().unwrap().length, 2);
    }

    #[tokio::test(start_paused = true)]
    async fn what_the_server_says_arrives_at_once() {
        let (mut client, mut server, _) = connection();
        arrives_after(&mut client, &mut server, b"hello").await;
        let before = Instant::now();
        server.write_all(b"answer").await.unwrap();
        client.read_exact(&mut [0; 6]).await.unwrap();
        assert_eq!(before.elapsed(), Duration::ZERO);
    }

    #[tokio::test(start_paused = true)]
    async fn a_connection_that_was_idle_costs_a_round_trip_from_when_the_client_speaks() {
        let (mut client, mut server, _) = connection();
        tokio::time::sleep(TAKES * 7).await;
        assert_eq!(arrives_after(&mut client, &mut server, b"hello").await, 1);
    }

    #[tokio::test(start_paused = true)]
    async fn small_reads_lose_nothing_and_the_end_comes_through() {
        let (mut client, mut server, _) = connection();
        client.write_all(b"abc").await.unwrap();
        drop(client);
        let mut heard = Vec::new();
        while let Ok(byte) = server.read_u8().await {
            heard.push(byte);
        }
        assert_eq!(heard, b"abc");
    }

    #[tokio::test(start_paused = true)]
    async fn without_delay_nothing_waits() {
        let (mut client, server) = duplex(64);
        let mut server = Delayed::new(server, &RoundTrips::default());
        assert_eq!(arrives_after(&mut client, &mut server, b"hello").await, 0);
    }
}
