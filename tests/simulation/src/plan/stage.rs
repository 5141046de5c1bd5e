//! Stages: a cluster of its own with one instance that is in no other event, and one drama on it.
//! Each drama is the situation in which one particular mistake does harm, and which chance would
//! make once in many thousand fleets.

use super::dice::{Dice, LOOKS};
use super::{Asked, Balancing, Group, Happening, On, Plan, Service, Strike, Task};
use crate::harness::HOOK;
use aws_simulator::Fault;
use std::time::Duration;

const CLUSTER: &str = "stage";
/// A second cluster, which is empty at first.
const WINGS: &str = "wings";
const INSTANCE: &str = "i-00000000000000e01";
const SERVICE: &str = "s0";

/// Faults that can make a read fail for long, or answer too little.
const BLIND: [Fault; 7] = [
    Fault::AccessDenied,
    Fault::FailBefore,
    Fault::Failures,
    Fault::LeavesOut,
    Fault::Http500,
    Fault::PartialPage,
    Fault::Throttle,
];

/// Faults that can leave a call without an answer for long.
const UNANSWERED: [Fault; 4] =
    [Fault::AccessDenied, Fault::FailBefore, Fault::Http500, Fault::Throttle];

/// The fault of a read that is answered from the world of a minute ago.
const LATE: Fault = Fault::Stale(Duration::from_secs(60));

/// Returns a standalone task on the stage, which works for this long.
fn job(works: u64) -> Happening {
    Happening::RunTask(Task {
        cluster: CLUSTER.to_owned(),
        instance: INSTANCE.to_owned(),
        works: Some(works),
        stop: 1,
    })
}

fn by_hand(active: bool) -> Happening {
    Happening::ByHand { instance: INSTANCE.to_owned(), active }
}

fn registers_again() -> Happening {
    Happening::RegistersAgain { cluster: CLUSTER.to_owned(), instance: INSTANCE.to_owned() }
}

fn order(what: Asked) -> Happening {
    Happening::Order { instance: INSTANCE.to_owned(), what }
}

impl Dice {
    /// Adds a stage to a plan, and a drama on it.
    pub(super) fn stage(&mut self, plan: &mut Plan) {
        plan.clusters.push(CLUSTER.to_owned());
        plan.groups.push(Group::plain(CLUSTER, vec![INSTANCE.to_owned()], HOOK, 3600));
        plan.rules.poll = 5;
        let at = self.among(30, 60);
        plan.script.push((
            at,
            Happening::Terminate { instance: INSTANCE.to_owned(), shrink: self.often(50) },
        ));
        match self.among(0, 99) {
            0..10 => self.placed_unseen(plan, at),
            10..20 => self.changed_during_a_standstill(plan, at),
            20..30 => self.made_active_while_blind(plan, at),
            30..40 => self.joins_its_cluster_late(plan, at),
            40..47 => self.a_balancer_cannot_be_looked_at(plan, at),
            47..52 => self.placed_and_stopped_while_told_late(plan, at),
            52..57 => self.a_network_balancer_settles_late(plan),
            57..65 => self.its_description_fails_now_and_then(plan, at),
            65..70 => self.a_look_fails(plan, at),
            70..80 => self.stops_unseen(plan, at),
            80..86 => self.registers_while_told_late(plan, at),
            86..88 => self.registers_while_it_drains(plan, at),
            88..92 => self.ends_while_paused(plan, at),
            92..97 => is_not_heard_for_long(plan, at),
            _ => self.record_written_by_others(plan, at),
        }
        plan.script.sort_by_key(|(at, _)| *at);
        let last = plan.script.last().map_or(0, |(at, _)| *at);
        plan.calm_at = plan.calm_at.max(last + 60);
    }

    /// Creates a service behind an Application Load Balancer, whose targets drain for long.
    fn on_stage(&mut self, desired: u32) -> Service {
        Service {
            cluster: CLUSTER.to_owned(),
            name: SERVICE.to_owned(),
            daemon: false,
            desired,
            // It may stop a task first: also where a port is taken.
            percents: (50, 100),
            cpu: 128,
            start: self.among(1, 3),
            stop: self.among(1, 5),
            balancing: Balancing::Application,
            delay: self.among(200, 300),
            external: false,
        }
    }

    /// Answers all reads of this kind from the world of a minute ago.
    fn late(&mut self, plan: &mut Plan, operation: &'static str, from: u64, until: u64) {
        self.fails(plan, On::Every(operation, from, until), &[LATE]);
    }

    /// Places a service's task in the moment before the drain; no listing shows it for a minute.
    fn placed_unseen(&mut self, plan: &mut Plan, at: u64) {
        plan.rules.deregister = self.often(50);
        let service = self.on_stage(0);
        plan.services.push(service);
        let (cluster, service) = (CLUSTER.to_owned(), SERVICE.to_owned());
        plan.script
            .push((at - self.among(0, 5), Happening::Desired { cluster, service, desired: 2 }));
        self.late(plan, "ListTasks", at - 30, at + 300);
    }

    /// Freezes the controller once it has listed tasks late enough for its proof: between two
    /// reads, or in the middle of one. Meanwhile the instance is made `ACTIVE`, gets work, and is
    /// `DRAINING` again.
    fn changed_during_a_standstill(&mut self, plan: &mut Plan, at: u64) {
        nothing_else_befalls_the_controller(plan);
        // The jobs must not be stopped before.
        plan.rules.stop_after = plan.rules.stop_after.map(|after| after.max(300));
        plan.script.push((at - 20, job(170)));
        let (stops, works) = (at + self.among(130, 140), at + self.among(268, 274));
        let amid = self.often(50).then_some(CLUSTER);
        plan.script.push((stops, Happening::Stop { replica: 0, span: 150, amid }));
        plan.script.push((at + 152, by_hand(true)));
        plan.script.push((works, job(300)));
        plan.script.push((at + 275, by_hand(false)));
        self.late(plan, "ListTasks", at, at + 440);
    }

    /// Makes reads of the container instance fail; meanwhile it is made `ACTIVE` and gets work,
    /// which no listing shows for a minute.
    fn made_active_while_blind(&mut self, plan: &mut Plan, at: u64) {
        plan.script.push((at - 20, job(120)));
        plan.script.push((at + 90, by_hand(true)));
        plan.script.push((at + self.among(168, 172), job(300)));
        self.fails(plan, On::Every("DescribeContainerInstances", at + 88, at + 175), &UNANSWERED);
        self.late(plan, "ListTasks", at, at + 400);
    }

    /// Lets the instance join its cluster just before it leaves, so that a search can miss it.
    fn joins_its_cluster_late(&mut self, plan: &mut Plan, at: u64) {
        if let Some(group) = plan.groups.last_mut() {
            group.cluster = None;
        }
        let joins = at - self.among(4, 10);
        plan.script.push((joins, registers_again()));
        plan.script.push((joins + 2, job(400)));
        self.late(plan, "ListContainerInstances", at - 20, at + 300);
    }

    /// Makes reads of the balancer fail that drains a daemon's target, when no task that matters is
    /// left. (ECS stops a task only once its targets have drained: only a daemon, for which the
    /// drain does not wait, shows a mistake here.)
    fn a_balancer_cannot_be_looked_at(&mut self, plan: &mut Plan, at: u64) {
        let (balancing, operation) = self.one(&[
            (Balancing::Application, "DescribeTargetHealth"),
            (Balancing::Classic, "DescribeLoadBalancers"),
        ]);
        plan.services.push(Service { daemon: true, balancing, ..self.on_stage(1) });
        self.fails(plan, On::Every(operation, at, at + 320), &UNANSWERED);
    }

    /// Lets a Network Load Balancer lose its target late in the drain, and still send connections
    /// for a while.
    fn a_network_balancer_settles_late(&mut self, plan: &mut Plan) {
        let service = self.on_stage(2);
        let balancing = Balancing::Network { settle: self.among(100, 115) };
        // Another task must run before the one on the stage may stop.
        let (percents, start) = ((100, 200), self.among(80, 110));
        plan.services.push(Service {
            balancing,
            percents,
            start,
            delay: self.among(0, 5),
            ..service
        });
    }

    /// Makes most descriptions of the busy container instance fail.
    fn its_description_fails_now_and_then(&mut self, plan: &mut Plan, at: u64) {
        plan.script.push((at - 20, job(400)));
        if self.often(60) {
            // From a moment in the drain on, so that several reads in a row can fail; now and then
            // a search succeeds.
            let on = On::Share("DescribeContainerInstances", at + 40, at + 360, 75);
            return self.fails(plan, on, &[Fault::AccessDenied]);
        }
        let on = On::Share("DescribeContainerInstances", at + 5, at + 320, self.among(50, 80));
        self.fails(
            plan,
            on,
            &[Fault::AccessDenied, Fault::AccessDenied, Fault::Failures, Fault::LeavesOut],
        );
    }

    /// Makes one of the reads fail, always or now and then, until long after the drain could have
    /// ended.
    fn a_look_fails(&mut self, plan: &mut Plan, at: u64) {
        plan.script.push((at - 20, job(400)));
        let from = at + self.among(0, 40);
        let (operation, until) = (self.one(&LOOKS), from + 300);
        let on = match self.often(50) {
            true => On::Every(operation, from, until),
            false => On::Share(operation, from, until, self.among(50, 80)),
        };
        self.fails(plan, on, &BLIND);
    }

    /// Makes calls fail in one of these ways; the rule comes before all others for them.
    fn fails(&mut self, plan: &mut Plan, on: On, ways: &[Fault]) {
        if let On::Every(_, _, until) | On::Share(_, _, until, _) | On::Listing(_, _, until) = on {
            plan.calm_at = plan.calm_at.max(until);
        }
        plan.faults.insert(0, Strike { on, fault: self.one(ways) });
    }

    /// Makes calls to Auto Scaling fail for some time. Meanwhile the agent registers the instance
    /// again, and it works: in its cluster, or in another, where only a search of every cluster
    /// finds it. In the second case its first registration loses its agent now; or lost it long
    /// before, and the search for that reason has found nothing.
    fn registers_while_told_late(&mut self, plan: &mut Plan, at: u64) {
        let (until, cluster) = if self.often(40) { (at + 480, CLUSTER) } else { (at + 700, WINGS) };
        let again = at + self.among(200, 300);
        if cluster == WINGS {
            nothing_else_befalls_the_controller(plan);
            plan.clusters.push(WINGS.to_owned());
            let lost = if self.often(50) { again - 1 } else { at + 100 };
            plan.script
                .push((lost, Happening::Agent { instance: INSTANCE.to_owned(), connected: false }));
        }
        self.fails(plan, On::Every("CompleteLifecycleAction", at, until), &UNANSWERED);
        let (cluster, instance) = (cluster.to_owned(), INSTANCE.to_owned());
        let job = Task {
            cluster: cluster.clone(),
            instance: instance.clone(),
            works: Some(700),
            stop: 1,
        };
        plan.script.push((again, Happening::RegistersAgain { cluster, instance }));
        plan.script.push((again + 3, Happening::RunTask(job)));
    }

    /// Lets the agent register the instance again while its targets drain, and the service that
    /// they belong to grows: a target in service then may be of the new registration.
    fn registers_while_it_drains(&mut self, plan: &mut Plan, at: u64) {
        let service = self.on_stage(2);
        plan.services.push(service);
        let again = at + self.among(90, 150);
        plan.script.push((again, registers_again()));
        let (cluster, service) = (CLUSTER.to_owned(), SERVICE.to_owned());
        plan.script.push((again + 5, Happening::Desired { cluster, service, desired: 6 }));
    }

    /// Makes calls to Auto Scaling fail for some time. Meanwhile the instance is `ACTIVE` for a
    /// moment, mostly between two reads of it. A task that is placed then is stopped at once, and
    /// takes long: no counter includes it.
    fn placed_and_stopped_while_told_late(&mut self, plan: &mut Plan, at: u64) {
        self.fails(plan, On::Every("CompleteLifecycleAction", at, at + 400), &UNANSWERED);
        let task = Task {
            cluster: CLUSTER.to_owned(),
            instance: INSTANCE.to_owned(),
            works: Some(900),
            stop: 200,
        };
        let opened = at + self.among(250, 380);
        plan.script.push((opened, by_hand(true)));
        plan.script.push((opened + 1, Happening::RunTask(task)));
        plan.script.push((opened + 4, Happening::StopTasks { instance: INSTANCE.to_owned() }));
        plan.script.push((opened + 5, by_hand(false)));
    }

    /// Lets a task take long to stop, while two lagging lists miss it: the list of running tasks no
    /// longer has it, and the list of stopping ones has it a minute late. No read has shown it
    /// before; or its drain has known it.
    fn stops_unseen(&mut self, plan: &mut Plan, at: u64) {
        let task = Task {
            cluster: CLUSTER.to_owned(),
            instance: INSTANCE.to_owned(),
            works: Some(900),
            stop: 200,
        };
        let placed = at - self.among(0, 3);
        plan.script.push((placed, Happening::RunTask(task)));
        let stops = if self.often(50) {
            self.fails(plan, On::Listing("desiredStatus=RUNNING", at - 30, placed + 59), &[LATE]);
            at + self.among(42, 52)
        } else {
            at + self.among(150, 200)
        };
        plan.script.push((stops, Happening::StopTasks { instance: INSTANCE.to_owned() }));
        self.fails(plan, On::Listing("desiredStatus=STOPPED", at, at + 400), &[LATE]);
    }

    /// Ends all work of the instance while its drain is paused.
    fn ends_while_paused(&mut self, plan: &mut Plan, at: u64) {
        plan.script.push((at - 10, job(180)));
        plan.script.push((at + 25, order(Asked::Hold)));
        plan.script.push((at + 330, order(Asked::Resume)));
    }

    /// Lets someone else write the record again and again while the drain is about to end.
    fn record_written_by_others(&mut self, plan: &mut Plan, at: u64) {
        let from = at + self.among(60, 75);
        for n in 0..30 {
            plan.script
                .push((from + 2 * n, Happening::RecordWritten { instance: INSTANCE.to_owned() }));
        }
    }
}

/// Disconnects the agent of an instance that is busy and healthy.
fn is_not_heard_for_long(plan: &mut Plan, at: u64) {
    let agent = |connected| Happening::Agent { instance: INSTANCE.to_owned(), connected };
    plan.script.push((at - 20, job(400)));
    plan.script.push((at + 10, agent(false)));
    plan.script.push((at + 330, agent(true)));
}

/// Leaves one controller, up from the beginning, whose calls do not fail: for a drama that needs
/// each read at its moment.
fn nothing_else_befalls_the_controller(plan: &mut Plan) {
    plan.replicas.truncate(1);
    for replica in &mut plan.replicas {
        (replica.starts, replica.retires) = (0, None);
    }
    plan.faults.clear();
    let befalls =
        |what: &Happening| matches!(what, Happening::Kill { .. } | Happening::Stop { .. });
    plan.script.retain(|(_, what)| !befalls(what));
}
