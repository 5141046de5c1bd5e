//! A proxy between a real process and the simulator's socket, with the failures of networks and of
//! the boxes in them: it delays, cuts, garbles, and answers in AWS's place.
//!
//! It speaks the part of HTTP/1.1 that the SDK and [`crate::server`] need: messages with a
//! `Content-Length`, one after another. Each request meets at most one mishap, drawn by its share.
//! The draws follow from a seed, in the order in which requests arrive.

use std::collections::BTreeMap;
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::ops::Range;
use std::pin::pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio::time::sleep;

/// A mishap of a request or its answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Mishap {
    /// Both take up to six seconds on their way. The request arrives even if its caller no longer
    /// waits for the answer.
    Delayed,
    /// The connection breaks in the middle of the request.
    RequestCut,
    /// The connection breaks in the middle of the answer.
    AnswerCut,
    /// The answer's body ends early, on a connection that closes in order, although its
    /// `Content-Length` is larger.
    BodyShort,
    /// The answer has no body, with a `Content-Length` of zero; all else is unchanged, `200 OK`
    /// too.
    BodyGone,
    /// The answer does not arrive: its direction of the connection is closed.
    HalfClosed,
    /// Some bytes of the answer's status line and headers are changed.
    HeadGarbled,
    /// Some bytes of the answer's body are changed.
    BodyGarbled,
    /// A gateway answers 502 or 503, with a page for people, and does not forward the request.
    GatewayError,
    /// A gateway answers 504, with a page for people, to a request that it forwarded.
    GatewayTimeout,
    /// The request does not arrive, and the connection stays open.
    Swallowed,
    /// The request arrives; its answer never does, and the connection stays open.
    Unanswered,
}

impl Mishap {
    /// Every kind once.
    pub const ALL: [Self; 12] = [
        Self::Delayed,
        Self::RequestCut,
        Self::AnswerCut,
        Self::BodyShort,
        Self::BodyGone,
        Self::HalfClosed,
        Self::HeadGarbled,
        Self::BodyGarbled,
        Self::GatewayError,
        Self::GatewayTimeout,
        Self::Swallowed,
        Self::Unanswered,
    ];

    /// Returns true if the request reaches its service.
    fn passes_on(self) -> bool {
        !matches!(self, Self::RequestCut | Self::GatewayError | Self::Swallowed)
    }
}

/// The longest delay of a request, and of an answer.
const LONGEST_DELAY: Duration = Duration::from_secs(6);

/// A proxy. Clones share its settings and counts.
#[derive(Clone, Debug)]
pub struct Proxy {
    server: SocketAddr,
    state: Arc<Mutex<State>>,
}

#[derive(Debug)]
struct State {
    random: fastrand::Rng,
    shares: Vec<(Mishap, u32)>,
    only: Option<String>,
    struck: BTreeMap<Mishap, u64>,
    requests: u64,
}

impl Proxy {
    /// Creates a proxy before this server, without mishaps.
    pub fn new(server: SocketAddr, seed: u64) -> Self {
        let state = State {
            random: fastrand::Rng::with_seed(seed),
            shares: Vec::new(),
            only: None,
            struck: BTreeMap::new(),
            requests: 0,
        };
        Self { server, state: Arc::new(Mutex::new(state)) }
    }

    /// Sets the share of each mishap, in thousandths of all requests.
    pub fn strike(&self, shares: &[(Mishap, u32)]) {
        let mut state = self.state();
        state.shares = shares.to_vec();
        state.only = None;
    }

    /// Sets the shares of mishaps for the requests that contain this text, such as an operation's
    /// name; others pass.
    pub fn strike_only(&self, text: &str, shares: &[(Mishap, u32)]) {
        self.strike(shares);
        self.state().only = Some(text.to_owned());
    }

    /// Stops all mishaps. Requests that were swallowed are not answered later.
    pub fn calm(&self) {
        self.strike(&[]);
    }

    /// Returns the number of strikes of each mishap.
    pub fn struck(&self) -> BTreeMap<Mishap, u64> {
        self.state().struck.clone()
    }

    /// Returns the number of requests.
    pub fn requests(&self) -> u64 {
        self.state().requests
    }

    /// Serves until `shutdown` is ready, and cuts its connections then.
    pub async fn serve_until(
        self,
        listener: TcpListener,
        shutdown: impl Future<Output = ()>,
    ) -> io::Result<()> {
        let mut connections = JoinSet::new();
        let mut shutdown = pin!(shutdown);
        loop {
            tokio::select! {
                biased;
                () = &mut shutdown => return Ok(()),
                Some(_ended) = connections.join_next() => {}
                accepted = listener.accept() => {
                    let (stream, _peer) = accepted?;
                    let proxy = self.clone();
                    // A connection that ends in an error is one that a peer has cut.
                    connections.spawn(async move { drop(proxy.connection(stream).await) });
                }
            }
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Draws the mishap of this request, and its own random source.
    fn draw(&self, request: &Message) -> (Option<Mishap>, fastrand::Rng) {
        let mut state = self.state();
        state.requests += 1;
        let own = fastrand::Rng::with_seed(state.random.u64(..));
        if state.only.as_ref().is_some_and(|text| find(&request.bytes, text.as_bytes()).is_none()) {
            return (None, own);
        }
        let mut drawn = state.random.u32(0..1000);
        let shares = state.shares.clone();
        for (mishap, share) in shares {
            if drawn < share {
                *state.struck.entry(mishap).or_default() += 1;
                return (Some(mishap), own);
            }
            drawn -= share;
        }
        (None, own)
    }

    async fn connection(&self, stream: TcpStream) -> io::Result<()> {
        let mut client = Wire::new(stream);
        let mut server = Wire::new(TcpStream::connect(self.server).await?);
        while let Some(request) = client.message().await? {
            let (mishap, mut random) = self.draw(&request);
            if let Some(mishap) = mishap.filter(|mishap| !mishap.passes_on()) {
                return keep_back(mishap, &request, client, server, &mut random).await;
            }
            if mishap == Some(Mishap::Delayed) {
                sleep(delay(&mut random)).await;
            }
            server.stream.write_all(&request.bytes).await?;
            if mishap == Some(Mishap::Unanswered) {
                client.gone().await;
                return Ok(());
            }
            let answer = tokio::select! {
                biased;
                answer = server.message() => answer?,
                () = client.gone() => None,
            };
            let Some(answer) = answer else { return Ok(()) };
            match mishap {
                None => client.stream.write_all(&answer.bytes).await?,
                Some(mishap) => {
                    if !give_back(mishap, answer, &mut client, &mut random).await? {
                        return Ok(());
                    }
                }
            }
        }
        Ok(())
    }
}

/// Handles a request that does not reach its service.
async fn keep_back(
    mishap: Mishap,
    request: &Message,
    mut client: Wire,
    mut server: Wire,
    random: &mut fastrand::Rng,
) -> io::Result<()> {
    if mishap == Mishap::RequestCut {
        server.stream.write_all(&request.bytes[..random.usize(0..request.bytes.len())]).await?;
        server.stream.set_zero_linger()?;
        return client.stream.set_zero_linger();
    }
    if mishap == Mishap::GatewayError {
        let status = if random.bool() { "502 Bad Gateway" } else { "503 Service Unavailable" };
        return client.stream.write_all(&page(status)).await;
    }
    client.gone().await;
    Ok(())
}

/// Delivers a changed answer to its caller. Returns true if the connection can be used again.
async fn give_back(
    mishap: Mishap,
    mut answer: Message,
    client: &mut Wire,
    random: &mut fastrand::Rng,
) -> io::Result<bool> {
    let all = answer.bytes.len();
    match mishap {
        Mishap::AnswerCut => {
            client.stream.write_all(&answer.bytes[..random.usize(0..all)]).await?;
            client.stream.set_zero_linger()?;
            return Ok(false);
        }
        Mishap::BodyShort => {
            let end = if answer.head < all { random.usize(answer.head..all) } else { all - 1 };
            client.stream.write_all(&answer.bytes[..end]).await?;
            return Ok(false);
        }
        Mishap::HalfClosed => {
            client.stream.shutdown().await?;
            client.gone().await;
            return Ok(false);
        }
        Mishap::GatewayTimeout => {
            client.stream.write_all(&page("504 Gateway Timeout")).await?;
            return Ok(false);
        }
        Mishap::BodyGone => answer.lose_body(),
        Mishap::HeadGarbled => garble(&mut answer.bytes, 0..answer.head, random),
        Mishap::BodyGarbled => garble(&mut answer.bytes, answer.head..all, random),
        Mishap::Delayed => sleep(delay(random)).await,
        Mishap::RequestCut | Mishap::GatewayError | Mishap::Swallowed | Mishap::Unanswered => {}
    }
    client.stream.write_all(&answer.bytes).await?;
    Ok(true)
}

fn delay(random: &mut fastrand::Rng) -> Duration {
    LONGEST_DELAY.mul_f64(random.f64())
}

/// Changes one to four bytes of a part.
fn garble(bytes: &mut [u8], part: Range<usize>, random: &mut fastrand::Rng) {
    if part.is_empty() {
        return;
    }
    for _ in 0..random.usize(1..=4) {
        let at = random.usize(part.clone());
        bytes[at] ^= random.u8(1..);
    }
}

/// Returns a gateway's page for people. The connection ends with it.
fn page(status: &str) -> Vec<u8> {
    let body = format!(
        "<html>\r\n<head><title>{status}</title></head>\r\n<body><h1>{status}</h1></body>\r\n</html>\r\n"
    );
    let head = format!("HTTP/1.1 {status}\r\ncontent-type: text/html\r\nconnection: close\r\n");
    format!("{head}content-length: {}\r\n\r\n{body}", body.len()).into_bytes()
}

/// A request or an answer.
#[derive(Debug)]
struct Message {
    bytes: Vec<u8>,
    /// The offset of the body.
    head: usize,
}

impl Message {
    fn lose_body(&mut self) {
        let head = String::from_utf8_lossy(&self.bytes[..self.head]);
        let lines =
            head.trim_end().split("\r\n").filter(|line| header(line, "content-length").is_none());
        let lines: Vec<&str> = lines.chain(["content-length: 0", "", ""]).collect();
        self.bytes = lines.join("\r\n").into_bytes();
        self.head = self.bytes.len();
    }
}

/// One side of the proxy.
struct Wire {
    stream: TcpStream,
    /// The bytes of the next message that were read already.
    ahead: Vec<u8>,
}

impl Wire {
    fn new(stream: TcpStream) -> Self {
        // A message is written at once; waiting for more would only slow it down.
        let _ = stream.set_nodelay(true);
        Self { stream, ahead: Vec::new() }
    }

    /// Reads the next whole message; returns `None` where the other side closes instead.
    async fn message(&mut self) -> io::Result<Option<Message>> {
        let head = loop {
            if let Some(at) = find(&self.ahead, b"\r\n\r\n") {
                break at + 4;
            }
            if self.stream.read_buf(&mut self.ahead).await? == 0 {
                return Ok(None);
            }
        };
        let end = head + content_length(&self.ahead[..head])?;
        while self.ahead.len() < end {
            if self.stream.read_buf(&mut self.ahead).await? == 0 {
                return Ok(None);
            }
        }
        let next = self.ahead.split_off(end);
        Ok(Some(Message { bytes: std::mem::replace(&mut self.ahead, next), head }))
    }

    /// Waits until the other side has closed; it sends nothing before its answer.
    async fn gone(&mut self) {
        while self.stream.read_buf(&mut self.ahead).await.is_ok_and(|read| read > 0) {}
    }
}

fn content_length(head: &[u8]) -> io::Result<usize> {
    let head = String::from_utf8_lossy(head);
    if head.lines().any(|line| header(line, "transfer-encoding").is_some()) {
        return Err(io::Error::new(io::ErrorKind::Unsupported, "a body without a Content-Length"));
    }
    let length = head.lines().find_map(|line| header(line, "content-length"));
    length.map_or(Ok(0), |length| length.parse().map_err(io::Error::other))
}

/// Returns a header's value, if the line is that header.
fn header<'l>(line: &'l str, name: &str) -> Option<&'l str> {
    let (found, value) = line.split_once(':')?;
    found.eq_ignore_ascii_case(name).then(|| value.trim())
}

fn find(bytes: &[u8], what: &[u8]) -> Option<usize> {
    bytes.windows(what.len()).position(|window| window == what)
}

#[cfg(test)]
mod tests;
