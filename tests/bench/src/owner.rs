//! The owner of the running code: the controller, or another one (the simulated AWS, the scenario).
//! The program's allocator reads it, and the controller's CPU time is the time during which the
//! owner is the controller.

// CPU time is real time.
#![allow(clippy::disallowed_methods)]

use aws_smithy_runtime_api::client::http::{
    HttpClient, HttpConnector, HttpConnectorFuture, SharedHttpClient, SharedHttpConnector,
    http_client_fn,
};
use aws_smithy_runtime_api::client::orchestrator::HttpRequest;
use std::cell::Cell;
use std::future::poll_fn;
use std::pin::pin;
use std::time::{Duration, Instant};

thread_local! {
    static CONTROLLER: Cell<bool> = const { Cell::new(false) };
    static SINCE: Cell<Option<Instant>> = const { Cell::new(None) };
    static SPENT: Cell<Duration> = const { Cell::new(Duration::ZERO) };
}

/// Returns true if the controller's code runs on this thread now.
pub fn is_controller() -> bool {
    CONTROLLER.try_with(Cell::get).unwrap_or(false)
}

/// Returns the time for which the controller's code has run on this thread, in real time.
pub fn spent() -> Duration {
    SPENT.get()
}

/// Runs code as the controller's, or as another owner's.
fn as_controller<R>(is: bool, run: impl FnOnce() -> R) -> R {
    let was = switch(is);
    let result = run();
    switch(was);
    result
}

fn switch(to: bool) -> bool {
    let was = CONTROLLER.replace(to);
    if was != to {
        let now = Instant::now();
        if let Some(since) = SINCE.take() {
            SPENT.set(SPENT.get() + (now - since));
        }
        SINCE.set(to.then_some(now));
    }
    was
}

/// Wraps the controller's future: its code runs whenever this is polled.
pub async fn controller<F: Future>(life: F) -> F::Output {
    let mut life = pin!(life);
    poll_fn(|context| as_controller(true, || life.as_mut().poll(context))).await
}

/// Wraps the client of the simulated AWS: behind it, the running code is not the controller's.
pub fn beyond(client: SharedHttpClient) -> SharedHttpClient {
    http_client_fn(move |settings, components| {
        SharedHttpConnector::new(Beyond(client.http_connector(settings, components)))
    })
}

#[derive(Debug)]
struct Beyond(SharedHttpConnector);

impl HttpConnector for Beyond {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        let mut answer = as_controller(false, || Box::pin(self.0.call(request)));
        HttpConnectorFuture::new(poll_fn(move |context| {
            as_controller(false, || answer.as_mut().poll(context))
        }))
    }
}
