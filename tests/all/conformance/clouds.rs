//! The clouds, and the run of all checks on each.

use super::Check;
use super::aws::Needs;
use super::differs;
use super::told::{Complaint, Told};
use super::world::{Made, Network, World};
use aws_simulator::server::{TimeScale, serve_until};
use aws_simulator::{Simulator, SimulatorConfig};
use ecs_drain::aws::Environment;
use futures_util::stream::{self, Stream, StreamExt};
use serde::Deserialize;
use std::net::Ipv4Addr;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::runtime::Builder;

/// A cloud on which checks run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Cloud {
    /// The simulator, behind the SDK's connector, in virtual time.
    Simulator,
    /// The simulator, on a socket, some times faster than real time.
    Socket,
    /// moto, with the plug-in of tests/external.
    Moto,
    /// ministack.
    Ministack,
    /// AWS itself, called by the kit alone: [`super::aws`].
    #[serde(skip)]
    Aws,
}

impl Cloud {
    /// Returns its name in the table.
    pub fn name(self) -> &'static str {
        match self {
            Cloud::Simulator => "simulator",
            Cloud::Socket => "socket",
            Cloud::Moto => "moto",
            Cloud::Ministack => "ministack",
            Cloud::Aws => "AWS",
        }
    }
}

/// A cloud that runs outside of this process.
#[derive(Deserialize)]
pub struct Elsewhere {
    cloud: Cloud,
    url: String,
    vpc: String,
    subnet: String,
}

/// The result of each check, in their order; `None` where the cloud has no such service.
pub type Results = Vec<Option<Told>>;

/// The factor by which the simulator behind a socket is faster than the clock here.
const PACE: u32 = 20;

/// The number of checks at once on a cloud with a socket: most of a check is waiting.
const AT_ONCE: usize = 24;

/// The longest duration of a check, by the clock of its cloud.
const LIMIT: Duration = Duration::from_secs(180);

/// Runs every check on a simulator of its own, in virtual time.
pub fn simulator(checks: &[Check]) -> Results {
    checks.iter().map(|check| Some(simulated(check).0)).collect()
}

/// Returns the resources that each check creates.
pub fn needs(checks: &'static [Check]) -> Vec<(&'static Check, Needs)> {
    checks.iter().map(|check| (check, simulated(check).1)).collect()
}

/// Runs a check on a simulator of its own, in virtual time; returns its result and the resources
/// that it created.
fn simulated(check: &Check) -> (Told, Needs) {
    fastrand::seed(1);
    let runtime =
        Builder::new_current_thread().enable_all().start_paused(true).build().expect("a runtime");
    runtime.block_on(async {
        let simulator = Simulator::new(SimulatorConfig::default()).expect("a simulator");
        simulator.set_up(|_| ());
        let environment = Environment {
            http_client: Some(simulator.other_http_client("a check")),
            time_source: Some(simulator.time_source(0)),
            isolated: true,
            ..Environment::default()
        };
        let world = World::new(environment, "check", Made::Told(simulator), 1).await;
        let told = within(LIMIT, check, &world).await;
        (told, world.needs.take())
    })
}

/// Runs every check on a simulator of its own, behind a socket of its own.
fn socket(checks: &[Check]) -> Results {
    let runtime = Builder::new_current_thread().enable_all().build().expect("a runtime");
    let run = async |check: &Check| {
        let simulator = Simulator::new(SimulatorConfig::default()).expect("a simulator");
        simulator.set_up(|_| ());
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("a port");
        let url = format!("http://{}", listener.local_addr().expect("an address"));
        let time = TimeScale::Accelerated(PACE);
        let served = serve_until(simulator.clone(), listener, time, std::future::pending());
        let checked = async {
            let world = World::new(at(&url), "check", Made::Told(simulator), PACE).await;
            within(LIMIT / PACE, check, &world).await
        };
        tokio::select! {
            biased;
            told = checked => told,
            ended = served => Err(Complaint(format!("the simulator is served no more: {ended:?}"))),
        }
    };
    runtime.block_on(async {
        stream::iter(checks)
            .map(|check| async { Some(run(check).await) })
            .buffered(4)
            .collect()
            .await
    })
}

/// Runs every check on a cloud outside of this process, under names of its own.
fn elsewhere(checks: &[Check], there: &Elsewhere) -> Results {
    let runtime = Builder::new_current_thread().enable_all().build().expect("a runtime");
    let run = async |n: usize, check: &Check| {
        if differs::lacks(there.cloud, check.service).is_some() {
            return None;
        }
        let network = Network { vpc: there.vpc.clone(), subnet: there.subnet.clone() };
        let world = World::new(at(&there.url), &format!("check{n}"), Made::Asked(network), 1).await;
        Some(within(LIMIT, check, &world).await)
    };
    let all =
        stream::iter(checks.iter().enumerate()).map(async |(n, check)| (n, run(n, check).await));
    runtime.block_on(in_order(all.buffer_unordered(AT_ONCE)))
}

/// Runs every check on every cloud.
pub fn all(checks: &[Check], others: &[Elsewhere]) -> Vec<(Cloud, Results)> {
    let mut all = vec![(Cloud::Simulator, simulator(checks)), (Cloud::Socket, socket(checks))];
    all.extend(others.iter().map(|there| (there.cloud, elsewhere(checks, there))));
    all
}

async fn in_order(results: impl Stream<Item = (usize, Option<Told>)>) -> Results {
    let mut results: Vec<_> = results.collect().await;
    results.sort_by_key(|(n, _)| *n);
    results.into_iter().map(|(_, told)| told).collect()
}

fn at(url: &str) -> Environment {
    Environment { endpoint_url: Some(url.to_owned()), isolated: true, ..Environment::default() }
}

/// Runs a check; complains if it takes longer than this.
pub async fn within(limit: Duration, check: &Check, world: &World) -> Told {
    let told = tokio::time::timeout(limit, (check.run)(world)).await;
    told.unwrap_or_else(|_| Err(Complaint(format!("no end after {limit:?}"))))
}
