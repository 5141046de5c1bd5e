//! Trials of `ecs-drain plan`: a random cluster from a seed, the plan for some of its instances,
//! and then their real drains with the controller. A drain that was to end by itself and does not
//! is a failure; the reverse is allowed, and counted with its reasons.

use crate::harness::{
    CONFIG, HOOK, NEAR, environment, group, key, request, seconds, somebody, store, virtual_time,
    wall,
};
use aws_simulator::elb::{TargetGroupKind, TargetType};
use aws_simulator::spec::{
    DeploymentController, Network, ServiceSpec, StandaloneSpec, TargetGroupSpec,
};
use aws_simulator::{Cloud, Simulator, SimulatorConfig};
use ecs_drain::aws::connect;
use ecs_drain::config::{Config, Given};
use ecs_drain::controller::run_with_ids;
use ecs_drain::reader::{Candidate, search, survey};
use ecs_drain::store::{Ids, Read, Store, TableOptions};
use ecs_drain_state::plan::{InstancePlan, Pace, Plan, Verdict, at_once, by_turns};
use ecs_drain_state::request::What;
use ecs_drain_state::{Outcome, Then};
use fastrand::Rng;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::atomic::AtomicI64;
use std::time::Duration;

/// The cluster of every trial.
const CLUSTER: &str = "web";

/// The time for which a round of drains may take longer than its plan says: new tasks start, and are
/// healthy.
const SLACK: Duration = seconds(900);

/// The number of services that can get into trouble.
const TROUBLED: usize = 3;

/// One trial: each chosen instance with its plan, and the last message of its drain if that has not
/// ended.
#[derive(Debug)]
pub struct Trial {
    pub seed: u64,
    pub instances: BTreeMap<String, (InstancePlan, Option<String>)>,
}

impl Trial {
    /// Returns the instances that were to end by themselves and did not.
    pub fn broken(&self) -> Vec<String> {
        let broken = self.instances.iter().filter_map(|(id, (plan, left))| {
            let left = left.as_ref().filter(|_| plan.verdict() == Verdict::Ends)?;
            Some(format!("{id}: {left}"))
        });
        broken.collect()
    }
}

/// The figures of trials.
#[derive(Debug, Default)]
pub struct Figures {
    pub trials: u64,
    /// Instances by verdict, and whether they ended.
    pub counts: BTreeMap<(&'static str, bool), u64>,
    /// Names of the causes and doubts of instances that ended all the same.
    pub spared: BTreeMap<String, u64>,
    /// Names of the causes and doubts of instances that did not end.
    pub right: BTreeMap<String, u64>,
    /// Seeds with an instance that was to end and did not.
    pub broken: BTreeMap<u64, Vec<String>>,
}

impl Figures {
    fn count(&mut self, trial: &Trial) {
        self.trials += 1;
        for (plan, left) in trial.instances.values() {
            let ended = left.is_none();
            *self.counts.entry((plan.verdict().name(), ended)).or_default() += 1;
            let names = plan.causes.iter().map(|cause| cause.name());
            let names: BTreeSet<&str> =
                names.chain(plan.doubts.iter().map(|doubt| doubt.name())).collect();
            let names = names.into_iter().collect::<Vec<_>>().join("+");
            if names.is_empty() {
                continue;
            }
            let tally = if ended { &mut self.spared } else { &mut self.right };
            *tally.entry(names).or_default() += 1;
        }
        let broken = trial.broken();
        if !broken.is_empty() {
            self.broken.insert(trial.seed, broken);
        }
    }
}

impl fmt::Display for Figures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{} trials; instances by verdict:", self.trials)?;
        for ((verdict, ended), count) in &self.counts {
            let ended = if *ended { "ended" } else { "did not end" };
            writeln!(f, "{count:>9} {verdict}, {ended}")?;
        }
        for (what, tally) in
            [("did not end, foreseen", &self.right), ("ended all the same", &self.spared)]
        {
            writeln!(f, "{what}, by reason:")?;
            let mut tally: Vec<_> = tally.iter().collect();
            tally.sort_by_key(|(_, count)| std::cmp::Reverse(**count));
            tally.iter().try_for_each(|(names, count)| writeln!(f, "{count:>9} {names}"))?;
        }
        Ok(())
    }
}

/// Makes these trials on all cores.
pub fn try_all(seeds: impl Iterator<Item = u64> + Send) -> Figures {
    let seeds = Mutex::new(seeds);
    let figures = Mutex::new(Figures::default());
    std::thread::scope(|scope| {
        for _ in 0..std::thread::available_parallelism().map_or(2, usize::from) {
            scope.spawn(|| {
                loop {
                    let next = seeds.lock().unwrap().next();
                    let Some(seed) = next else { return };
                    let trial = trial(seed);
                    figures.lock().unwrap().count(&trial);
                }
            });
        }
    });
    figures.into_inner().unwrap()
}

/// Makes one trial: with an even seed the instances are kept, and with an odd one each is replaced by
/// its group, in turns.
pub fn trial(seed: u64) -> Trial {
    virtual_time(seed, || async {
        let mut dice = Rng::with_seed(seed);
        let simulator = Simulator::new(SimulatorConfig { seed, ..SimulatorConfig::default() })
            .expect("a simulator");
        let ids = simulator.set_up(|cloud| describe(&mut dice, cloud));
        let table = store(&simulator, "drains", "test").await;
        table.create_table(TableOptions::default()).await.expect("a table");
        // New services reach their desired count.
        tokio::time::sleep(seconds(300)).await;
        simulator.with(|cloud| disturb(&mut dice, cloud, &ids));
        tokio::time::sleep(seconds(300)).await;
        let rules = Rules::new(&mut dice);
        let then = if seed.is_multiple_of(2) { Then::Keep } else { Then::Terminate };
        let most = if then == Then::Keep { (ids.len() - 1).min(4) } else { ids.len() };
        let mut chosen = ids.clone();
        dice.shuffle(&mut chosen);
        chosen.truncate(dice.usize(1..=most));
        // Turns are in the order of the ids.
        chosen.sort();
        let planned = ask(&simulator, &rules.config(rules.at_once), &chosen, then).await;
        // A drain that is stuck keeps its turn: without turns the plan takes all instances at once.
        let is_plain = then == Then::Keep && planned.verdict() != Verdict::Ends;
        let at_once = if is_plain { 100 } else { rules.at_once };
        let config = rules.config(at_once);
        let rounds = chosen.len().div_ceil(at_once as usize);
        let slack = SLACK * u32::try_from(rounds).expect("a few rounds");
        simulator.with(|cloud| {
            chosen.iter().for_each(|id| cloud.checkers.allow_operator(id.as_str()));
        });
        let most = planned.takes + slack;
        let mut left = drain(&simulator, &table, &config, &chosen, then, most, seed).await;
        let instances = planned.instances.into_iter().map(|(id, plan)| {
            let left = left.remove(&id);
            (id, (plan, left))
        });
        Trial { seed, instances: instances.collect() }
    })
}

/// Asks for the plan, as a person does.
async fn ask(simulator: &Simulator, config: &Config, chosen: &[String], then: Then) -> Plan {
    let session = connect(&somebody(simulator), NEAR, None).await.expect("a session");
    let found = search(&session, chosen).await.expect("container instances");
    let candidates: Vec<Candidate> = found
        .into_iter()
        .flat_map(|(id, found)| {
            found.into_iter().map(move |one| Candidate {
                instance_id: id.clone(),
                cluster: one.cluster,
                arn: one.arn,
            })
        })
        .collect();
    let (hooks, now) = (&config.scopes[0].hooks, wall(simulator));
    let facts = survey(&session, &candidates, &config.policies, hooks, now).await;
    match then {
        Then::Keep => at_once(&facts, then, now),
        _ => by_turns(&facts, Pace::default(), now),
    }
}

/// Drains the instances for at most this long, and returns the last messages of those whose drain
/// has not ended.
async fn drain(
    simulator: &Simulator,
    table: &Store,
    config: &Config,
    chosen: &[String],
    then: Then,
    most: Duration,
    seed: u64,
) -> BTreeMap<String, String> {
    for id in chosen {
        let request = request(simulator, table, id, What::Drain { then }).await;
        table.ask(&request).await.expect("a request");
    }
    let life = run_with_ids(
        config.clone(),
        environment(simulator, "replica-0", &Arc::new(AtomicI64::new(0))),
        Ids::seeded(seed),
        std::future::pending(),
    );
    let begin = simulator.now();
    let watch = async {
        let mut left: BTreeMap<String, String> =
            chosen.iter().map(|id| (id.clone(), "no record".to_owned())).collect();
        while !left.is_empty() && simulator.now() < begin + most {
            tokio::time::sleep(seconds(30)).await;
            for id in left.keys().cloned().collect::<Vec<_>>() {
                let Ok(Some(Read::Record(record))) = table.get(&key(&id)).await else { continue };
                match record.outcome() {
                    Some(Outcome::Drained) => drop(left.remove(&id)),
                    _ => drop(left.insert(id, record.shown.message)),
                }
            }
        }
        left
    };
    tokio::select! {
        biased;
        left = watch => left,
        ended = life => panic!("the controller has ended: {ended:?}"),
    }
}

/// A policy.
struct Rules {
    standalone: &'static str,
    daemons: &'static str,
    at_once: u32,
}

impl Rules {
    fn new(dice: &mut Rng) -> Rules {
        Rules {
            standalone: ["\"wait\"", "{ stop_after = \"10m\" }"][dice.usize(0..2)],
            daemons: ["wait", "ignore"][dice.usize(0..2)],
            at_once: [1, 2, 100][dice.usize(0..3)],
        }
    }

    fn config(&self, at_once: u32) -> Config {
        let Rules { standalone, daemons, .. } = self;
        let text = format!(
            "{CONFIG}\n[policy]\nstandalone_tasks = {standalone}\ndaemon_tasks = \"{daemons}\"\n\
             max_concurrent = {at_once}\n"
        );
        Config::parse(&text, "trial", &Given::default()).expect("a valid configuration")
    }
}

/// Describes a cluster, and returns its EC2 instances.
fn describe(dice: &mut Rng, cloud: &mut Cloud) -> Vec<String> {
    cloud.checkers.our_hook(HOOK);
    let mut ids = Vec::new();
    for (at, size) in [(2048, 4096), (1024, 2048)].into_iter().enumerate() {
        let count = if at == 0 { dice.usize(1..=5) } else { dice.usize(1..=3) };
        let mine: Vec<String> = (0..count).map(|n| format!("i-{at}{n}")).collect();
        let names: Vec<&str> = mine.iter().map(String::as_str).collect();
        let mut spec = group(&format!("group-{at}"), CLUSTER, &names);
        (spec.instance_cpu, spec.instance_memory) = size;
        if dice.bool() {
            spec.attributes.insert("rack".to_owned(), ["one", "two"][dice.usize(0..2)].to_owned());
        }
        cloud.add_group(spec);
        ids.extend(mine);
    }
    for n in 0..2 {
        cloud.add_target_group(TargetGroupSpec {
            name: format!("targets-{n}"),
            kind: TargetGroupKind::Application,
            target_type: [TargetType::Instance, TargetType::Ip][n],
            deregistration_delay: seconds(dice.u64(0..4) * 30),
            ..TargetGroupSpec::default()
        });
    }
    for n in 0..dice.usize(1..=5) {
        cloud.add_service(&service(dice, n));
    }
    if dice.u8(0..3) == 0 {
        cloud.add_service(&ServiceSpec::daemon(CLUSTER, "agent"));
    }
    if dice.u8(0..8) == 0 {
        let except = &ids[dice.usize(0..ids.len())];
        cloud.fill_cluster(CLUSTER, &[except]);
    }
    ids
}

/// Describes a replica service.
fn service(dice: &mut Rng, n: usize) -> ServiceSpec {
    const PERCENTS: [(u32, u32); 10] = [
        (100, 200),
        (100, 200),
        (100, 150),
        (100, 125),
        (100, 110),
        (100, 100),
        (75, 125),
        (50, 100),
        (50, 200),
        (0, 100),
    ];
    let (minimum, maximum) = PERCENTS[dice.usize(0..PERCENTS.len())];
    let cpu = [64, 128, 128, 256, 256, 512][dice.usize(0..6)];
    let memory = [64, 128, 256, 512][dice.usize(0..4)];
    let mut spec = ServiceSpec::replica(CLUSTER, format!("service-{n}"), dice.u32(1..=5))
        .percents(minimum, maximum)
        .size(cpu, memory)
        .times(seconds(dice.u64(1..20)), seconds(dice.u64(1..20)));
    spec = match dice.u8(0..5) {
        0 => spec.network(Network::Host { container_port: 8000 + dice.u16(0..3) }),
        1 => spec.network(Network::Bridge { container_port: 80, host_port: 8000 + dice.u16(0..3) }),
        2 => {
            let spec = spec.network(Network::Awsvpc { container_port: 80 });
            if dice.bool() { spec.target_group("targets-1") } else { spec }
        }
        _ if dice.bool() => spec.target_group("targets-0"),
        _ => spec,
    };
    spec = match dice.u8(0..8) {
        0 => spec.distinct_instance(),
        1 => spec.member_of("attribute:rack == one"),
        2 => spec.member_of("attribute:rack != one"),
        // Only deployments of ECS itself can be paused by a hook.
        3 if n >= TROUBLED => spec.controller(DeploymentController::CodeDeploy),
        _ => spec,
    };
    spec
}

/// Adds trouble: standalone and protected tasks, deployments that wait or fail, lost agents. A
/// service whose new tasks fail has tried to start one: before that, ECS does not know it either.
fn disturb(dice: &mut Rng, cloud: &mut Cloud, ids: &[String]) {
    let one = |dice: &mut Rng| ids[dice.usize(0..ids.len())].clone();
    let service = format!("service-{}", dice.usize(0..TROUBLED));
    match dice.u8(0..12) {
        0 | 1 => {
            let mut spec = StandaloneSpec::new(CLUSTER, "job").on(one(dice));
            spec.task.cpu = 64;
            spec.task.memory = 64;
            if dice.bool() {
                spec = spec.duration(seconds(1200));
            }
            let _ = cloud.run_task(&spec);
        }
        2 | 3 => {
            let id = one(dice);
            cloud.protect_service_on(CLUSTER, &service, &id, seconds(1800));
        }
        4 => drop(cloud.pause_deployment(CLUSTER, &service, Some(seconds(86_400)))),
        5 => {
            cloud.fail_new_tasks(CLUSTER, &service, "CannotPullContainerError");
            cloud.set_service_desired(CLUSTER, &service, 8);
        }
        6 => {
            cloud.fail_health_checks(CLUSTER, &service);
            cloud.set_service_desired(CLUSTER, &service, 8);
        }
        7 => cloud.set_service_desired(CLUSTER, &service, dice.u32(0..10)),
        8 => {
            let id = one(dice);
            cloud.set_agent_connected(&id, false);
        }
        _ => {}
    }
}
