//! What others may ask over HTTP: whether this process lives, whether it is ready, and its numbers. Off unless the
//! configuration names an address; nothing that is asked changes anything.
//!
//! | path | answer |
//! | --- | --- |
//! | `/healthz` | 200 while the loops go on, 503 with what stands still |
//! | `/readyz` | 200 once the table was found and every scope was listed, 503 with what is missing |
//! | `/metrics` | the numbers, for Prometheus |

use crate::controller::Clock;
use crate::health::Health;
use crate::metrics::Metrics;
use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use tokio::net::TcpListener;

/// The media type of [`Metrics::text`]. (Source: OpenMetrics 1.0, "Content type".)
const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

#[derive(Clone)]
struct Told {
    health: Health,
    metrics: Metrics,
    clock: Clock,
}

/// Has an address, and answers as soon as somebody runs it.
pub struct Server {
    /// Where it listens: the port is the real one where 0 was asked for.
    pub address: SocketAddr,
    listener: TcpListener,
    answers: Router,
}

impl Server {
    /// Listens on an address.
    ///
    /// # Errors
    /// The address cannot be had.
    pub async fn listen(address: SocketAddr, health: Health, metrics: Metrics, clock: Clock) -> io::Result<Server> {
        let listener = TcpListener::bind(address).await?;
        let address = listener.local_addr()?;
        Ok(Server { address, listener, answers: router(Told { health, metrics, clock }) })
    }

    /// Answers for ever.
    pub async fn serve(self) -> Infallible {
        if let Err(error) = axum::serve(self.listener, self.answers).await {
            tracing::error!(%error, "health and metrics are not served any more");
        }
        // That is no reason to stop draining.
        std::future::pending().await
    }
}

fn router(told: Told) -> Router {
    Router::new()
        .route("/healthz", get(|State(told): State<Told>| async move { say(&told.health.standing_still()) }))
        .route("/readyz", get(|State(told): State<Told>| async move { say(&told.health.not_ready()) }))
        .route("/metrics", get(|State(told): State<Told>| async move { numbers(&told) }))
        .with_state(told)
}

/// Fine, or what is not.
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
