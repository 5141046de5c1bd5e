//! Plays a plan in virtual time, and judges the result.

use crate::harness::{
    FAR, environment, hook, key, our_completions, request, seconds, virtual_time, wall,
};
use crate::judge::{Complaint, judge, outcomes, unfinished, waiting_under_our_hook};
use crate::plan::{Asked, Balancing, Feature, Happening, Plan, Replica, Revision, Task};
use crate::world::{config, run_task, set_up};
use aws_simulator::ecs::InstanceStatus;
use aws_simulator::log::Entry;
use aws_simulator::{BEGIN, Cloud, EventPlan, RefreshSpec, SimTime, Simulator};
use ecs_drain::aws::Environment;
use ecs_drain::controller::run_with_ids;
use ecs_drain::store::{Ids, Read, Store};
use ecs_drain_state::request::{Request, What};
use ecs_drain_state::{Order, Record, Then};
use futures_util::future::{Either, join, join_all, select};
use jiff::SignedDuration;
use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::future::{pending, poll_fn};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::task::Poll;
use std::time::Duration;
use tokio::sync::Notify;
use tokio::time::{Instant, Sleep, sleep, sleep_until};

/// The longest time after the end of faults until every drain is Done, and no instance waits under
/// an ecs-drain hook.
pub const WITHIN: Duration = Duration::from_secs(3600);

/// The shortest time that is played after that: late calls and messages arrive.
const AFTER: Duration = Duration::from_secs(150);

/// The result of a plan.
pub struct Played {
    pub complaints: Vec<Complaint>,
    pub took: Duration,
    pub calls: u64,
    pub lives: usize,
    /// The outcome of each instance's last drain.
    pub outcomes: BTreeMap<&'static str, usize>,
    pub simulator: Simulator,
    /// The second region.
    pub far: Option<Simulator>,
}

/// A running fleet.
pub struct Fleet<'p> {
    pub plan: &'p Plan,
    pub simulator: Simulator,
    /// The second region.
    pub far: Option<Simulator>,
    pub store: Store,
    begun: Instant,
    /// The moment at which the table had been created.
    made: SimTime,
    seats: Vec<Seat>,
    lives: Cell<usize>,
}

/// The place of a replica, for one process after another.
struct Seat {
    name: String,
    skew: Arc<AtomicI64>,
    lives: Cell<bool>,
    /// The revision of its next process.
    revision: RefCell<Revision>,
    /// Notified when that differs from the one before.
    deployed: Notify,
    /// The end of its freeze.
    stopped: Cell<Instant>,
}

impl Seat {
    /// Asks the process that runs here to shut down; the next one runs with this revision.
    fn deploy(&self, revision: Revision) {
        self.revision.replace(revision);
        // Without a process there is no one to notify.
        if self.lives.get() {
            self.deployed.notify_one();
        }
    }
}

/// Plays a plan to its end; the same plan has the same end.
pub fn play(plan: &Plan) -> Played {
    play_logged(plan, false)
}

/// Plays a plan to its end, with or without digests of each call's contents in the log.
pub fn play_logged(plan: &Plan, contents: bool) -> Played {
    virtual_time(plan.seed, || async {
        let (simulator, far, store) = set_up(plan).await;
        simulator.with(|cloud| cloud.log.contents = contents);
        let begun = Instant::now();
        let seats = plan.replicas.iter().enumerate().map(|(n, replica)| Seat {
            name: format!("replica-{n}"),
            skew: Arc::new(AtomicI64::new(replica.skew)),
            lives: Cell::new(false),
            revision: RefCell::new(plan.revision(replica.revision)),
            deployed: Notify::new(),
            stopped: Cell::new(begun),
        });
        let made = simulator.now();
        let fleet = Fleet {
            plan,
            simulator,
            far,
            store,
            begun,
            made,
            seats: seats.collect(),
            lives: Cell::new(0),
        };
        let replicas = pin!(join_all(
            plan.replicas.iter().zip(&fleet.seats).map(|(it, seat)| fleet.replica(it, seat))
        ));
        let late = match select(pin!(fleet.story()), replicas).await {
            Either::Left((late, _)) => late,
            Either::Right(_) => {
                vec![Complaint::new("ended", "every controller has ended".to_owned())]
            }
        };
        let complaints = judge(&fleet, late).await;
        let calls = fleet.simulator.peek(|cloud| cloud.controller_calls());
        Played {
            complaints,
            took: fleet.simulator.now() - BEGIN,
            calls,
            lives: fleet.lives.get(),
            outcomes: outcomes(&fleet.store).await,
            simulator: fleet.simulator.clone(),
            far: fleet.far.clone(),
        }
    })
}

impl Fleet<'_> {
    /// Runs one replica, which starts again whenever it dies, until it retires.
    async fn replica(&self, replica: &Replica, seat: &Seat) {
        let retires = replica.retires.map(|at| self.begun + seconds(at));
        let crash = self.simulator.crash_notify(&seat.name);
        sleep_until(self.begun + seconds(replica.starts)).await;
        while retires.is_none_or(|at| Instant::now() < at) {
            self.lives.set(self.lives.get() + 1);
            let ids = Ids::seeded(self.plan.seed ^ ((self.lives.get() as u64) << 32));
            let deployed = Cell::new(false);
            let shutdown = async {
                let retired = async {
                    match retires {
                        Some(at) => sleep_until(at).await,
                        None => pending().await,
                    }
                };
                if let Either::Right(_) =
                    select(pin!(retired), pin!(seat.deployed.notified())).await
                {
                    deployed.set(true);
                }
            };
            let environment = environment(&self.simulator, &seat.name, &seat.skew);
            let revision = seat.revision.borrow().clone();
            let environment = Environment { record_schema: Some(revision.schema), ..environment };
            let life = run_with_ids(config(self.plan, &revision), environment, ids, shutdown);
            seat.stopped.set(Instant::now());
            self.is_up(seat, true);
            tokio::select! {
                biased;
                () = crash.notified() => {}
                _ = unless_stopped(&seat.stopped, life) => {}
            }
            self.is_up(seat, false);
            // A deployed process starts at once.
            sleep(if deployed.get() { seconds(1) } else { seconds(replica.restart) }).await;
        }
    }

    fn regions(&self) -> impl Iterator<Item = &Simulator> {
        [&self.simulator].into_iter().chain(&self.far)
    }

    /// Returns the region of a record's instance.
    fn region_of(&self, record: &Record) -> &Simulator {
        self.far.as_ref().filter(|_| record.region == FAR).unwrap_or(&self.simulator)
    }

    /// Gives the number of running replicas to the checkers: a frozen one does not count.
    fn is_up(&self, seat: &Seat, up: bool) {
        seat.lives.set(up);
        let now = Instant::now();
        let up =
            self.seats.iter().filter(|seat| seat.lives.get() && seat.stopped.get() <= now).count();
        self.regions().for_each(|region| region.with(|cloud| cloud.set_replicas_up(up)));
    }

    /// Plays all events, then the calm, then the end; returns the drains that have not ended.
    async fn story(&self) -> Vec<Complaint> {
        let script = self.plan.script.iter().map(|(at, what)| async {
            sleep_until(self.begun + seconds(*at)).await;
            self.happens(what).await;
        });
        join(join_all(script), sleep_until(self.begun + seconds(self.plan.calm_at))).await;
        self.regions().for_each(|region| region.with(|cloud| calm(self.plan, cloud)));
        for seat in &self.seats {
            let revision = seat.revision.borrow().clone();
            let last = self.plan.at_last(&revision);
            if revision.partial || last.schema != revision.schema {
                seat.deploy(last);
            }
        }
        self.pause(false).await;
        self.end().await
    }

    async fn happens(&self, what: &Happening) {
        match what {
            Happening::Order { instance, what } => self.order(instance, *what).await,
            Happening::Pause { on } => self.pause(*on).await,
            Happening::Kill { replica } => {
                if let Some(seat) = self.seats.get(*replica).filter(|seat| seat.lives.get()) {
                    self.simulator.crash_notify(&seat.name).notify_one();
                }
            }
            Happening::Deployed { replica, revision } => {
                if let Some(seat) = self.seats.get(*replica) {
                    seat.deploy(self.plan.revision(*revision));
                }
            }
            Happening::Stop { replica, span, amid } => {
                let Some(seat) = self.seats.get(*replica).filter(|seat| seat.lives.get()) else {
                    return;
                };
                if let Some(cluster) = amid {
                    self.looks(seat, cluster).await;
                }
                seat.stopped.set(Instant::now() + seconds(*span));
                self.is_up(seat, true);
                sleep(seconds(*span)).await;
                self.is_up(seat, seat.lives.get());
            }
            Happening::ClockJumps { replica, by } => {
                if let Some(seat) = self.seats.get(*replica) {
                    seat.skew.fetch_add(*by, Ordering::Relaxed);
                }
            }
            Happening::RecordWritten { instance } => self.write_record(instance).await,
            Happening::TableRestored { back } => self.restore_table(*back),
            Happening::LeavesFar { instance, shrink } => {
                // Refused for an instance that has left.
                let _ = self
                    .far
                    .as_ref()
                    .map(|far| far.with(|cloud| cloud.terminate(instance, *shrink)));
            }
            what => self.simulator.with(|cloud| happens_in_aws(cloud, self.plan, what)),
        }
    }

    /// Waits until a replica has just listed the container instances of a cluster; for a minute at
    /// most.
    async fn looks(&self, seat: &Seat, cluster: &str) {
        let from = self.simulator.peek(|cloud| cloud.log.entries().len());
        let until = Instant::now() + seconds(60);
        let of_cluster = format!("cluster={cluster} ");
        let asks = |entry: &Entry| {
            entry.operation == "DescribeContainerInstances"
                && entry.caller == seat.name
                && entry.summary.contains(&of_cluster)
        };
        while Instant::now() < until
            && !self.simulator.peek(|cloud| cloud.log.entries().iter().skip(from).any(asks))
        {
            sleep(Duration::from_millis(5)).await;
        }
    }

    /// Writes an operator's request; repeats it if it cannot be written now.
    pub async fn order(&self, instance: &str, asked: Asked) {
        self.order_of(self.store.controller(), instance, asked).await;
    }

    /// Writes an operator's request to the controller of this name.
    async fn order_of(&self, controller: &str, instance: &str, asked: Asked) {
        let (what, leave) = match asked {
            Asked::Drain(then) => (What::Drain { then }, true),
            Asked::Cancel => (What::Cancel, false),
            Asked::Hold => (What::Pause, false),
            Asked::Resume => (What::Resume, false),
            Asked::Extend(span) => {
                let until = wall(&self.simulator)
                    + SignedDuration::from_secs(i64::try_from(span).unwrap_or_default());
                (What::Extend { until }, false)
            }
            Asked::Retry => (What::Retry, false),
            Asked::Complete => (What::Force, false),
        };
        self.simulator.with(|cloud| {
            if leave {
                cloud.checkers.allow_operator(instance);
            }
            if matches!(asked, Asked::Drain(Then::Terminate | Then::TerminateAndShrink)) {
                cloud.checkers.allow_terminate(instance);
            }
        });
        loop {
            self.table().await;
            let request = request(&self.simulator, &self.store, instance, what).await;
            let request = Request { controller: controller.to_owned(), ..request };
            if self.store.ask(&request).await.is_ok() {
                return;
            }
        }
    }

    /// Writes a record back as it is, as someone else: it has another version from then on. A
    /// failure is not repeated.
    async fn write_record(&self, instance: &str) {
        // This writes the newest schema: older versions would not have written it.
        if self.plan.has(Feature::Versions) {
            return;
        }
        if let Ok(Some(Read::Record(record))) = self.store.get(&key(instance)).await {
            let _ = self.store.save(*record).await;
        }
    }

    /// Restores the table. A backup from before its creation is an empty table.
    fn restore_table(&self, back: u64) {
        self.simulator.with(|cloud| {
            let then = cloud.now().saturating_sub(seconds(back)).max(self.made);
            cloud.restore_tables(then).expect("a restored table");
        });
    }

    async fn pause(&self, on: bool) {
        let order = Order {
            by: "Ada".to_owned(),
            reason: Some("incident".to_owned()),
            at: wall(&self.simulator),
        };
        loop {
            self.table().await;
            if self.store.set_pause("*", on.then_some(&order)).await.is_ok() {
                return;
            }
        }
    }

    /// Waits until the table answers.
    async fn table(&self) {
        while self.simulator.with(|cloud| cloud.dynamodb.outage(cloud.now()).is_some()) {
            sleep(seconds(5)).await;
        }
    }

    /// Waits until everything has ended, and resumes drains that are still paused; returns
    /// complaints about those that have not ended in time.
    async fn end(&self) -> Vec<Complaint> {
        let calm = Instant::now();
        loop {
            sleep(seconds(30)).await;
            let held: Vec<Complaint> = self
                .regions()
                .flat_map(|region| region.with(|cloud| waiting_under_our_hook(cloud)))
                .collect();
            let unfinished = unfinished(&self.store).await;
            let late: Vec<Complaint> =
                held.into_iter().chain(unfinished.iter().map(Complaint::unfinished)).collect();
            if (late.is_empty() && calm.elapsed() >= AFTER) || calm.elapsed() > WITHIN {
                return late.into_iter().map(|late| late.in_a_fleet(self.plan)).collect();
            }
            for record in &unfinished {
                self.region_of(record).with(|cloud| move_on(cloud, &record.instance_id));
                if record.orders.pause.is_some() {
                    self.order_of(&record.controller, &record.instance_id, Asked::Resume).await;
                }
            }
        }
    }
}

/// Takes an instance from its warm pool into service again, and ends a retained one.
fn move_on(cloud: &mut Cloud, instance: &str) {
    match cloud.lifecycle_state(instance).as_deref() {
        Some("Warmed:Stopped") => {
            cloud.return_from_warm_pool(instance);
        }
        Some("Terminating:Retained") => {
            let _ = cloud.terminate(instance, false);
        }
        _ => {}
    }
}

/// Polls a process only while it is not frozen: it stops as after SIGSTOP, and continues as if no
/// time had passed.
async fn unless_stopped<F: Future>(stopped: &Cell<Instant>, life: F) -> F::Output {
    let mut life = pin!(life);
    let mut wake: Option<Pin<Box<Sleep>>> = None;
    poll_fn(|context| {
        let until = stopped.get();
        if Instant::now() >= until {
            return life.as_mut().poll(context);
        }
        let sleep = wake.insert(Box::pin(sleep_until(until)));
        match sleep.as_mut().poll(context) {
            Poll::Ready(()) => life.as_mut().poll(context),
            Poll::Pending => Poll::Pending,
        }
    })
    .await
}

/// Stops faults and repairs the world.
fn calm(plan: &Plan, cloud: &mut Cloud) {
    cloud.faults.clear();
    cloud.events.plan = EventPlan::default();
    cloud.take_table_away(Duration::ZERO, aws_simulator::dynamodb::Outage::Error);
    for instance in plan.groups.iter().flat_map(|group| &group.instances) {
        cloud.set_agent_connected(instance, true);
    }
    for service in &plan.services {
        cloud.heal(&service.cluster, &service.name);
    }
    for group in &plan.groups {
        cloud.capacity_comes_back(&group.name);
    }
}

fn happens_in_aws(cloud: &mut Cloud, plan: &Plan, what: &Happening) {
    use aws_simulator::dynamodb::Outage;
    let is_there = |cloud: &Cloud, instance: &str| cloud.lifecycle_state(instance).is_some();
    match what {
        Happening::Terminate { instance, shrink } => {
            // Refused for an instance that has left.
            let _ = cloud.terminate(instance, *shrink);
        }
        Happening::Capacity { group, desired } => {
            let _ = cloud.set_group_desired(group, *desired);
        }
        Happening::ToPool { instance } => {
            cloud.return_to_warm_pool(instance);
        }
        Happening::FromPool { instance } => {
            cloud.return_from_warm_pool(instance);
        }
        Happening::RootVolume { instance } => {
            cloud.replace_root_volume(instance);
        }
        Happening::Refresh { group, healthy, warmup } => {
            let spec = RefreshSpec {
                min_healthy_percentage: *healthy,
                instance_warmup: seconds(*warmup),
                ..RefreshSpec::default()
            };
            cloud.start_instance_refresh(group, spec);
        }
        Happening::RefreshCancelled { group } => {
            cloud.cancel_instance_refresh(group);
        }
        Happening::CapacityOut { group } => {
            cloud.capacity_runs_out(group);
        }
        Happening::CapacityBack { group } => {
            cloud.capacity_comes_back(group);
        }
        Happening::ByHand { instance, active } => {
            let status = if *active { InstanceStatus::Active } else { InstanceStatus::Draining };
            cloud.set_container_instance_state(instance, status);
        }
        Happening::Dies { instance } if is_there(cloud, instance) => cloud.kill_instance(instance),
        Happening::HookDeleted { group } => {
            if let Some(group) = plan.group(group) {
                cloud.delete_hook(&group.name, &group.hook);
            }
        }
        Happening::HookPut { group } => {
            if let Some(group) = plan.group(group) {
                cloud.put_hook(&group.name, hook(&group.hook, seconds(group.heartbeat_timeout)));
            }
        }
        Happening::Agent { instance, connected } => cloud.set_agent_connected(instance, *connected),
        Happening::Spot { instance } if is_there(cloud, instance) => {
            cloud.checkers.allow_operator(instance);
            cloud.interrupt_spot(instance);
        }
        Happening::Rebalance { instance } if is_there(cloud, instance) => {
            if plan.policies().any(|rules| rules.rebalance != "ignore") {
                cloud.checkers.allow_operator(instance);
            }
            if plan.policies().any(|rules| rules.rebalance == "terminate") {
                cloud.checkers.allow_terminate(instance);
            }
            cloud.recommend_rebalance(instance);
        }
        Happening::Desired { cluster, service, desired } => {
            cloud.set_service_desired(cluster, service, *desired)
        }
        Happening::Trouble { cluster, service } => {
            cloud.fail_new_tasks(cluster, service, "CannotPullContainerError")
        }
        Happening::Heal { cluster, service } => cloud.heal(cluster, service),
        Happening::Protect { cluster, service, instance, span } => {
            cloud.protect_service_on(cluster, service, instance, seconds(*span));
        }
        // Once the action of the ecs-drain hook has ended, an instance under another hook is not
        // ecs-drain's to drain.
        Happening::RegistersAgain { cluster, instance }
            if our_completions(cloud, instance).is_empty()
                && is_there(cloud, instance)
                && !has_fixed_ports(plan, cluster) =>
        {
            let now = cloud.now();
            cloud.world.ecs.register_instance(now, cluster, instance, 2048, 4096);
        }
        // No task is placed on an instance that drains.
        Happening::RunTask(task) if is_active(cloud, task) => run_task(cloud, task),
        Happening::StopTasks { instance } => cloud.stop_standalone_tasks(instance),
        Happening::TableAway { span, hangs } => {
            cloud
                .take_table_away(seconds(*span), if *hangs { Outage::Hang } else { Outage::Error });
        }
        Happening::Spot { .. }
        | Happening::Dies { .. }
        | Happening::Rebalance { .. }
        | Happening::RegistersAgain { .. }
        | Happening::RunTask(_)
        | Happening::Order { .. }
        | Happening::Kill { .. }
        | Happening::Deployed { .. }
        | Happening::Stop { .. }
        | Happening::ClockJumps { .. }
        | Happening::RecordWritten { .. }
        | Happening::TableRestored { .. }
        | Happening::LeavesFar { .. }
        | Happening::Pause { .. } => {}
    }
}

/// Returns true if a service of a cluster needs one port of its instances: none of them can run two
/// of its tasks then, even if it is registered twice.
fn has_fixed_ports(plan: &Plan, cluster: &str) -> bool {
    plan.services
        .iter()
        .any(|service| service.cluster == cluster && service.balancing == Balancing::Classic)
}

fn is_active(cloud: &Cloud, task: &Task) -> bool {
    let known = cloud.container_instance_status(&task.instance);
    known.iter().any(|(cluster, status)| *cluster == task.cluster && *status == "ACTIVE")
}
