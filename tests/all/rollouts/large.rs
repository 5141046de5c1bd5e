//! Rollouts of many instances: how often a task moves, how many tasks run meanwhile, how long it
//! takes, and how many calls it needs.

use super::*;

const SERVICES: [&str; 5] = ["api", "cart", "mail", "search", "shop"];

const ONE_BY_ONE: &str = "[policy]\nmax_concurrent = 1\n";

/// Clusters of one group each, with ten tasks on each instance: five services with two.
#[derive(Clone, Copy)]
pub(super) struct Fleet {
    pub clusters: usize,
    /// Instances of each cluster.
    pub instances: usize,
    /// Instances that each group may have beyond these.
    pub room: u32,
}

impl Fleet {
    fn names(self) -> impl Iterator<Item = (String, Vec<String>)> {
        let name = |n| if n == 0 { "web".to_owned() } else { format!("web-{n}") };
        (0..self.clusters).map(move |n| {
            (name(n), (1..=self.instances).map(|one| format!("i-{n:08x}{one:09x}")).collect())
        })
    }

    pub fn ids(self) -> Vec<String> {
        self.names().flat_map(|(_, ids)| ids).collect()
    }

    pub fn build(self, cloud: &mut Cloud) {
        let number = u32::try_from(self.instances).unwrap();
        for (cluster, ids) in self.names() {
            let ids: Vec<&str> = ids.iter().map(String::as_str).collect();
            let name = group_of(&cluster);
            cloud.add_cluster(&ClusterSpec::new(&cluster));
            cloud.add_group(GroupSpec { max: number + self.room, ..group(&name, &cluster, &ids) });
            for name in SERVICES {
                let service = ServiceSpec::replica(&cluster, name, number * 2).size(256, 1024);
                cloud.add_service(&service.times(seconds(5), seconds(5)));
            }
            cloud.checkers.allow_rollout(&name, number);
        }
    }

    /// Returns a request for the replacement of all its instances.
    fn start(self) -> What {
        let groups = self.names().map(|(cluster, ids)| {
            (group_of(&cluster), (cluster, ids.into_iter().collect::<BTreeSet<_>>()))
        });
        What::Start(Box::new(Start {
            selection: Selection::All,
            options: Options { soak_seconds: 20, ..Options::default() },
            groups: groups.collect(),
        }))
    }

    /// Notes the tasks that there are; returns how many run of the service that has the fewest.
    fn count(self, simulator: &Simulator, seen: &mut BTreeSet<String>) -> u32 {
        let services =
            self.names().flat_map(|(cluster, _)| SERVICES.map(|name| (cluster.clone(), name)));
        let running = services.map(|(cluster, name)| {
            let tasks = simulator.with(|cloud| cloud.tasks_of_service(&cluster, name));
            let running = tasks.iter().filter(|(_, runs)| *runs).count();
            seen.extend(tasks.into_iter().map(|(id, _)| id));
            u32::try_from(running).unwrap()
        });
        running.min().unwrap()
    }
}

fn group_of(cluster: &str) -> String {
    format!("{cluster}-group")
}

/// What became of the tasks of a fleet whose instances were all replaced.
struct Moved {
    /// Starts of tasks, for each task that there is.
    starts_per_task: f64,
    /// Smallest number of tasks of a service that ran in any second, as a part of its desired
    /// count.
    least: f64,
    took: Duration,
    calls: usize,
    throttled: u64,
}

impl fmt::Display for Moved {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Moved { starts_per_task, least, took, calls, throttled } = self;
        let (least, minutes) = (least * 100.0, took.as_secs() / 60);
        write!(
            f,
            "{starts_per_task:.2} starts a task, at least {least:.0} % ran, {minutes} min, {calls} calls, \
             {throttled} throttled"
        )
    }
}

/// Replaces every instance of a fleet, and counts the starts of tasks.
fn replaced(fleet: Fleet, config: &'static str, as_rollout: bool) -> Moved {
    let scenario = Scenario { config, world: |_| {}, ..ROLLOUT };
    let (moved, simulator) =
        while_running(&scenario, async |simulator: Simulator, store: Store| {
            simulator.with(|cloud| {
                fleet.build(cloud);
                cloud.limits.enabled = true;
            });
            tokio::time::sleep(seconds(120)).await;
            let ids = fleet.ids();
            let mut before = BTreeSet::new();
            let mut seen = BTreeSet::new();
            fleet.count(&simulator, &mut before);
            let calls = || simulator.peek(|cloud| cloud.log.entries().len());
            let (begun, calls_before) = (simulator.now(), calls());
            if as_rollout {
                let answer = ask(&simulator, &store, fleet.start()).await;
                assert!(!answer.refused, "{answer:?}");
            } else {
                for id in &ids {
                    let what = request::What::Drain { then: Then::Terminate };
                    let request = crate::harness::request(&simulator, &store, id, what).await;
                    store.ask(&request).await.unwrap();
                }
            }
            let desired = f64::from(u32::try_from(fleet.instances).unwrap()) * 2.0;
            let mut least = f64::MAX;
            loop {
                let running = fleet.count(&simulator, &mut seen);
                least = least.min(f64::from(running) / desired);
                tokio::time::sleep(seconds(1)).await;
                let rest = simulator.with(|cloud| {
                    let left = |id: &&String| cloud.lifecycle_state(id).is_some();
                    ids.iter().filter(left).count()
                });
                let ended = match as_rollout {
                    true => rest == 0 && rollout(&store).await.is_done(),
                    false => rest == 0,
                };
                if ended {
                    break;
                }
                assert!(simulator.now() - begun < seconds(12 * 3600), "{rest} are left");
            }
            let started = seen.difference(&before).count();
            let all = before.len();
            assert_eq!(all, ids.len() * SERVICES.len() * 2);
            let part = |n: usize| f64::from(u32::try_from(n).unwrap());
            Moved {
                starts_per_task: part(started) / part(all),
                least,
                took: simulator.now() - begun,
                calls: calls() - calls_before,
                throttled: simulator.peek(|cloud| cloud.limits.throttled()),
            }
        });
    nothing_broken(&simulator);
    moved
}

#[test]
fn each_task_moves_once_where_there_is_room_for_all() {
    let moved = replaced(Fleet { clusters: 1, instances: 8, room: 8 }, TOGETHER, true);
    assert!((moved.starts_per_task - 1.0).abs() < f64::EPSILON, "{moved}");
    assert!(moved.least >= 1.0, "{moved}");
}

/// The figures of docs/performance.md.
#[test]
#[ignore = "nightly"]
fn fifty_instances_with_five_hundred_tasks() {
    let fleet = Fleet { clusters: 1, instances: 50, room: 50 };
    let rollout = replaced(fleet, TOGETHER, true);
    println!("rollout, room for all: {rollout}");
    assert!((rollout.starts_per_task - 1.0).abs() < f64::EPSILON, "{rollout}");
    assert!(rollout.least >= 1.0, "{rollout}");
    println!("rollout, room for ten: {}", replaced(Fleet { room: 10, ..fleet }, TOGETHER, true));
    println!("one by one: {}", replaced(fleet, ONE_BY_ONE, false));
}

/// The figures of docs/performance.md.
#[test]
#[ignore = "nightly"]
fn five_hundred_instances_in_ten_clusters() {
    let fleet = Fleet { clusters: 10, instances: 50, room: 50 };
    let rollout = replaced(fleet, TOGETHER, true);
    println!("rollout of 500 in ten clusters: {rollout}");
    assert!((rollout.starts_per_task - 1.0).abs() < f64::EPSILON, "{rollout}");
    assert!(rollout.least >= 1.0, "{rollout}");
}
