//! HTTP server for liveness, readiness and metrics. It is off unless the configuration gives an
//! address, and no request changes anything.
//!
//! | path | answer |
//! | --- | --- |
//! | `/healthz` | 200 while the loops continue; 503 with the loops that stopped |
//! | `/readyz` | 200 once the table was found and every scope's groups were listed, while no read fails for long; 503 with the missing items |
//! | `/metrics` | the metrics, for Prometheus |
//!
//! A connection serves one request within a time limit, and the number of connections is limited.
//! Clients that connect and send nothing would otherwise use up the process's file descriptors,
//! which the connections to AWS need too.

use crate::clock::Clock;
use crate::health::Health;
use crate::metrics::Metrics;
use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use futures_util::stream::{FuturesUnordered, StreamExt};
use hyper::server::conn::http1;
use hyper_util::rt::TokioIo;
use hyper_util::service::TowerToHyperService;
use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};

/// Media type of [`Metrics::text`]. (Source: OpenMetrics 1.0, "Content type".)
const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// Limits of connections.
#[derive(Clone, Copy, Debug)]
struct Limits {
    /// Connections at once; others wait in the kernel's queue.
    connections: usize,
    /// Time limit from the wait for a request's first byte to the last byte of its answer.
    connection: Duration,
    /// Pause after a connection could not be accepted, for example for lack of file descriptors.
    pause: Duration,
}

const LIMITS: Limits =
    Limits { connections: 32, connection: Duration::from_secs(10), pause: Duration::from_secs(1) };

#[derive(Clone)]
struct Told {
    health: Health,
    metrics: Metrics,
    clock: Clock,
}

/// A listening server, which answers while [`Server::serve`] runs.
pub(crate) struct Server {
    /// Address with the real port, if port 0 was configured.
    pub address: SocketAddr,
    listener: TcpListener,
    answers: Router,
}

impl Server {
    /// Listens on an address.
    ///
    /// # Errors
    /// Returns an error if the address cannot be bound.
    pub(crate) async fn listen(
        address: SocketAddr,
        health: Health,
        metrics: Metrics,
        clock: Clock,
    ) -> io::Result<Server> {
        let listener = TcpListener::bind(address).await?;
        let address = listener.local_addr()?;
        Ok(Server { address, listener, answers: router(Told { health, metrics, clock }) })
    }

    /// Answers requests; never returns.
    pub(crate) async fn serve(self) -> Infallible {
        serve(&self.listener, &self.answers, LIMITS).await
    }
}

async fn serve(listener: &TcpListener, answers: &Router, limits: Limits) -> Infallible {
    let mut open = FuturesUnordered::new();
    loop {
        tokio::select! {
            biased;
            Some(()) = open.next(), if !open.is_empty() => {}
            accepted = listener.accept(), if open.len() < limits.connections => match accepted {
                Ok((stream, _)) => open.push(answer(stream, answers.clone(), limits.connection)),
                Err(error) => {
                    // The drains continue, and open connections continue after the pause.
                    tracing::warn!(%error, "HTTP connection not accepted");
                    tokio::time::sleep(limits.pause).await;
                }
            },
        }
    }
}

/// Answers one request. Errors concern only the client, which sees them.
async fn answer(stream: TcpStream, answers: Router, span: Duration) {
    let connection = http1::Builder::new()
        .keep_alive(false)
        .serve_connection(TokioIo::new(stream), TowerToHyperService::new(answers));
    let _ = tokio::time::timeout(span, connection).await;
}

fn router(told: Told) -> Router {
    Router::new()
        .route(
            "/healthz",
            get(|State(told): State<Told>| async move { say(&told.health.standing_still()) }),
        )
        .route(
            "/readyz",
            get(|State(told): State<Told>| async move { say(&told.health.not_ready()) }),
        )
        .route("/metrics", get(|State(told): State<Told>| async move { numbers(&told) }))
        .with_state(told)
}

/// Returns 200, or 503 with the reasons.
fn say(wrong: &[String]) -> Response {
    match wrong {
        [] => (StatusCode::OK, "ok\n").into_response(),
        wrong => (StatusCode::SERVICE_UNAVAILABLE, wrong.join("\n") + "\n").into_response(),
    }
}

fn numbers(told: &Told) -> Response {
    match told.metrics.text(told.clock.now()) {
        Ok(text) => ([(header::CONTENT_TYPE, OPEN_METRICS)], text).into_response(),
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, error.to_string()).into_response(),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use futures_util::future::{Either, select};
    use std::pin::pin;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    /// A whole second for a connection, so that a busy machine does not cut off a client that sends
    /// at once.
    const SMALL: Limits = Limits {
        connections: 2,
        connection: Duration::from_secs(1),
        pause: Duration::from_millis(10),
    };

    /// Runs a test against a server with small limits.
    async fn served<T>(story: impl AsyncFnOnce(SocketAddr) -> T) -> T {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let answers = Router::new().route("/healthz", get(|| async { "ok\n" }));
        match select(pin!(story(address)), pin!(serve(&listener, &answers, SMALL))).await {
            Either::Left((told, _)) => told,
            Either::Right((never, _)) => match never {},
        }
    }

    async fn ask(address: SocketAddr) -> String {
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream.write_all(b"GET /healthz HTTP/1.1\r\nHost: here\r\n\r\n").await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        answer
    }

    #[tokio::test]
    async fn an_answer_ends_its_connection() {
        let answer = served(ask).await;
        assert!(answer.starts_with("HTTP/1.1 200 OK") && answer.ends_with("ok\n"), "{answer}");
        assert!(answer.to_lowercase().contains("connection: close"), "{answer}");
    }

    #[tokio::test]
    async fn silent_clients_are_cut_off_and_do_not_block_others() {
        served(async |address| {
            let mut silent = Vec::new();
            for beginning in ["", "GET /healthz HTTP/1.1\r\n", ""] {
                let mut stream = TcpStream::connect(address).await.unwrap();
                stream.write_all(beginning.as_bytes()).await.unwrap();
                silent.push(stream);
            }
            assert!(ask(address).await.ends_with("ok\n"));
            let mut said = Vec::new();
            silent[0].read_to_end(&mut said).await.unwrap();
            assert!(said.is_empty());
        })
        .await;
    }
}
