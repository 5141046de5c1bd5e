//! AWS itself, called by the kit in `tests/aws`: the kit creates the network and the launch
//! template, names the checks, and reads the output of this module. Without the kit, no call
//! reaches AWS.
//!
//! A line that begins with `kit: ` is JSON: the needs of a check, an answer that it got, or its
//! result.

use super::clouds::{Cloud, within};
use super::report::Verdict;
use super::told::{Complaint, Told};
use super::world::{Made, World};
use super::{CHECKS, Check};
use aws_config::SdkConfig;
use aws_smithy_runtime_api::box_error::BoxError;
use aws_smithy_runtime_api::client::interceptors::Intercept;
use aws_smithy_runtime_api::client::interceptors::context::AfterDeserializationInterceptorContextRef;
use aws_smithy_runtime_api::client::orchestrator::Metadata;
use aws_smithy_runtime_api::client::runtime_components::RuntimeComponents;
use aws_smithy_types::config_bag::ConfigBag;
use ecs_drain::aws::Environment;
use futures_util::stream::{self, StreamExt};
use serde::{Deserialize, Serialize};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// The factor by which waits are longer on AWS than elsewhere: instances boot there, and balancers
/// are built.
pub const PATIENCE: u32 = 8;

/// The longest duration of a check.
const LIMIT: Duration = Duration::from_secs(30 * 60);

/// The number of checks at once that need no instances.
const AT_ONCE: usize = 4;

/// The beginning of the lines that the kit reads.
const LINE: &str = "kit: ";

/// The printed length of a body.
const BODY: usize = 6000;

/// The kit's resources, and the checks to run.
#[derive(Clone, Debug, Deserialize)]
pub struct Ground {
    /// An emulator in the place of AWS.
    pub url: Option<String>,
    pub region: String,
    pub account: String,
    #[serde(default)]
    pub vpc: String,
    /// Two, in two zones.
    #[serde(default)]
    pub subnets: Vec<String>,
    #[serde(default)]
    pub security_group: String,
    /// Its instances join the cluster that their tag [`CLUSTER_TAG`] names.
    #[serde(default)]
    pub launch_template: String,
    /// The image of every container.
    pub image: String,
    /// The tag of everything that is created: key and value.
    pub tag: (String, String),
    /// The moment at which groups terminate their instances by themselves, in seconds since 1970.
    pub ends_at: i64,
    /// The checks, each with the prefix of the names of all that it creates.
    pub checks: Vec<(String, String)>,
}

/// The tag of an instance with its cluster's name.
pub const CLUSTER_TAG: &str = "ecs-drain-cluster";

/// The number of things of each kind that a check creates.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Needs {
    pub clusters: u32,
    pub groups: u32,
    pub instances: u32,
    pub target_groups: u32,
    pub balancers: u32,
    pub classic: u32,
    pub services: u32,
    pub tables: u32,
    pub queues: u32,
}

/// A check's entry in the plan.
#[derive(Serialize)]
struct Planned<'a> {
    service: &'a str,
    check: &'a str,
    needs: Needs,
}

/// The result of a check.
#[derive(Serialize)]
struct Came<'a> {
    check: &'a str,
    /// `None`: as it states, or as is listed.
    complaint: Option<String>,
    /// AWS's listed difference.
    listed: Option<&'static str>,
    /// True if its subject could not be created, which proves nothing about the statement.
    unmade: bool,
}

/// Prints the resources that each check creates on the simulator.
pub fn plan() {
    println!();
    for (check, mut needs) in super::clouds::needs(CHECKS) {
        // A service on AWS is behind a target group alone.
        needs.classic -= needs.services;
        print(&Planned { service: check.service, check: check.name, needs });
    }
}

/// Runs the chosen checks, and prints each answer and result. It ends with the kit, which holds its
/// standard input: a killed kit creates nothing any more.
pub fn run(ground: Ground) {
    println!();
    std::thread::spawn(|| {
        let _ = std::io::copy(&mut std::io::stdin(), &mut std::io::sink());
        std::process::exit(1);
    });
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let chosen: Vec<_> =
        ground.checks.iter().map(|(check, name)| (named(check), name.clone())).collect();
    let ground = Arc::new(ground);
    runtime.block_on(async {
        let all = stream::iter(chosen).map(async |(check, name)| {
            let told = one(check, &name, &ground).await;
            let unmade = told.as_ref().is_err_and(Complaint::is_of_making);
            let (complaint, listed) = match Verdict::of(Cloud::Aws, check.name, told) {
                Verdict::Same | Verdict::Absent => (None, None),
                Verdict::Differs(instead) => (None, Some(instead)),
                Verdict::Wrong(complaint) => (Some(complaint), None),
                Verdict::Stale => (Some("listed as different, and is not".to_owned()), None),
            };
            print(&Came { check: check.name, complaint, listed, unmade });
        });
        all.buffer_unordered(AT_ONCE).collect::<Vec<()>>().await;
    });
}

async fn one(check: &Check, name: &str, ground: &Arc<Ground>) -> Told {
    let environment = Environment { endpoint_url: ground.url.clone(), ..Environment::default() };
    let recorder = Recorder { check: check.name, answers: Arc::default() };
    let world =
        World::recorded(environment, name, Made::Launched(Arc::clone(ground)), 1, Some(recorder))
            .await;
    within(LIMIT, check, &world).await
}

fn named(name: &str) -> &'static Check {
    CHECKS
        .iter()
        .find(|check| check.name == name)
        .unwrap_or_else(|| panic!("no check is called {name}"))
}

fn print(line: &impl Serialize) {
    println!("{LINE}{}", serde_json::to_string(line).expect("words and numbers"));
}

/// Prints every answer that a check gets.
#[derive(Clone, Debug)]
pub struct Recorder {
    check: &'static str,
    answers: Arc<Mutex<u32>>,
}

#[derive(Serialize)]
struct Answer<'a> {
    check: &'a str,
    nth: u32,
    service: &'a str,
    operation: &'a str,
    status: u16,
    answer: &'a str,
}

impl Intercept for Recorder {
    fn name(&self) -> &'static str {
        "Recorder"
    }

    fn read_after_deserialization(
        &self,
        context: &AfterDeserializationInterceptorContextRef<'_>,
        _: &RuntimeComponents,
        bag: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        let nth = {
            let mut answers = self.answers.lock().map_err(|_| "a poisoned lock")?;
            *answers += 1;
            *answers
        };
        let called = bag.load::<Metadata>();
        let body = String::from_utf8_lossy(context.response().body().bytes().unwrap_or_default())
            .into_owned();
        let end = body.char_indices().nth(BODY).map_or(body.len(), |(at, _)| at);
        print(&Answer {
            check: self.check,
            nth,
            service: called.map_or("", Metadata::service),
            operation: called.map_or("", Metadata::name),
            status: context.response().status().as_u16(),
            answer: &body[..end],
        });
        Ok(())
    }
}

/// The configuration of a service's client, with the recorder if answers are recorded.
macro_rules! recorded {
    ($service:ident, $sdk:expr, $recorder:expr) => {{
        let config = $service::config::Builder::from($sdk);
        match $recorder {
            Some(recorder) => config.interceptor(Clone::clone(recorder)),
            None => config,
        }
    }};
}
pub(super) use recorded;

/// Returns a configuration that repeats calls that are throttled, or that fail on AWS's side.
pub fn patiently(sdk: &SdkConfig) -> SdkConfig {
    let retries = aws_config::retry::RetryConfig::standard().with_max_attempts(6);
    sdk.to_builder().retry_config(retries).build()
}
