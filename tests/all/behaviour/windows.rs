//! Closed windows. Each story begins on a Monday at 09:00 UTC.

use super::{api, cluster, elapsed, terminate, told, two_with, until_ended, until_record};
use crate::harness::{CONFIG, Scenario, record, seconds};
use crate::operators::{KEEP, ask, drain};
use crate::queue::queued;
use crate::queue::warnings::warned;
use crate::scenarios::{A, B, PLAIN};
use crate::story::{until, until_phase};
use aws_simulator::spec::StandaloneSpec;
use aws_simulator::{SimTime, Simulator};
use ecs_drain::config::{Config, Given};
use ecs_drain_state::windows::closed_until;
use ecs_drain_state::{Outcome, Phase, Reason, Record, Then};
use jiff::Timestamp;

/// Returns the time from the scenario's beginning to the end of `Pending`.
fn begun(record: &Record) -> SimTime {
    let begin: Timestamp = "2026-01-05T09:00:00Z".parse().unwrap();
    let begun = record.history.iter().find(|event| event.phase == Phase::Deregistering).unwrap();
    SimTime::from_secs(begun.at.duration_since(begin).as_secs().try_into().unwrap())
}

#[test]
fn a_request_in_a_closed_window_begins_after_it() {
    let scenario = Scenario {
        config: "[[closed]]\nname = \"morning\"\nschedule = \"0 9 * * MON\"\nduration = \"1h\"\n",
        ..KEEP
    };
    told(&scenario, async |simulator: Simulator, store| {
        ask(&simulator, &store, A, drain(Then::Keep)).await;
        let waits = until_record(&simulator, &store, "WindowClosed", |record| {
            record.shown.why == "WindowClosed"
        })
        .await;
        assert_eq!(
            waits.shown.message,
            "not started before 2026-01-05T10:00:00Z: window \"morning\" is closed"
        );
        assert!(elapsed(&simulator) < seconds(60), "{:?}", elapsed(&simulator));
        let ended = until_ended(&simulator, &store, Outcome::Drained).await;
        let begun = begun(&ended);
        assert!((seconds(3600)..seconds(3660)).contains(&begun), "begun after {begun:?}");
    });
}

/// Its deadline is 40 minutes after its beginning, and half of that is kept.
#[test]
fn a_lifecycle_action_in_a_closed_window_begins_in_its_reserve() {
    let scenario = Scenario {
        config: "[policy]\ndeadline = \"40m\"\n[[closed]]\nname = \"day\"\nschedule = \"0 9 * * *\"\n\
                 duration = \"8h\"\nreasons = [\"scale-in\"]\n",
        ..PLAIN
    };
    told(&scenario, async |simulator: Simulator, store| {
        let ended = until_ended(&simulator, &store, Outcome::Drained).await;
        let begun = begun(&ended);
        assert!((seconds(1190)..seconds(1300)).contains(&begun), "begun after {begun:?}");
    });
}

/// One drain of the cluster may run, and the one that was asked for first waits for its window.
#[test]
fn a_drain_that_waits_for_a_window_does_not_block_the_queue() {
    let scenario = Scenario {
        config: queued!(
            "[policy]\nrebalance = \"keep\"\n[[closed]]\nname = \"morning\"\nduration = \"1h\"\n\
             schedule = \"0 9 * * *\"\nreasons = [\"rebalance\"]\n"
        ),
        world: warned,
        begin: |cloud| cloud.recommend_rebalance(A),
        ..KEEP
    };
    told(&scenario, async |simulator: Simulator, store| {
        until_record(&simulator, &store, "WindowClosed", |record| {
            record.shown.why == "WindowClosed"
        })
        .await;
        ask(&simulator, &store, B, drain(Then::Keep)).await;
        until(&simulator, "the second is drained", async || {
            record(&store, B).await.is_some_and(|record| record.is_done())
        })
        .await;
        assert!(elapsed(&simulator) < seconds(1800), "{:?}", elapsed(&simulator));
        let first = record(&store, A).await.unwrap();
        assert_eq!((first.phase(), first.shown.why.as_str()), (Phase::Pending, "WindowClosed"));
        let first = until_ended(&simulator, &store, Outcome::Drained).await;
        assert!(begun(&first) >= seconds(3600), "{:?}", begun(&first));
    });
}

/// A standalone task keeps the drain from its end until the window has begun.
#[test]
fn a_drain_that_has_begun_continues_in_a_window() {
    let scenario = Scenario {
        config: "[[closed]]\nname = \"late\"\nschedule = \"2 9 * * *\"\nduration = \"8h\"\n\
                 reasons = [\"scale-in\"]\n",
        world: |cloud| {
            two_with(cloud, &api(2));
            let job = StandaloneSpec::new("web", "job").on(A).duration(seconds(300));
            cloud.run_task(&job).unwrap();
        },
        ..PLAIN
    };
    told(&scenario, async |simulator: Simulator, store| {
        let waiting = until_phase(&simulator, &store, Phase::Waiting).await;
        assert!(begun(&waiting) < seconds(120));
        until_ended(&simulator, &store, Outcome::Drained).await;
        assert!(elapsed(&simulator) > seconds(300) && elapsed(&simulator) < seconds(1200));
    });
}

#[test]
fn an_instance_waits_for_a_window_of_its_cluster_alone() {
    let scenario = Scenario {
        config: "[[closed]]\nname = \"day\"\nschedule = \"0 9 * * *\"\nduration = \"8h\"\n\
                 reasons = [\"scale-in\"]\nclusters = [\"shop-*\"]\n",
        world: |cloud| {
            cluster(cloud, &[A, B]);
            cloud.add_service(&api(2));
        },
        begin: |cloud| terminate(cloud, &[A]),
        ..PLAIN
    };
    told(&scenario, async |simulator: Simulator, store| {
        let ended = until_ended(&simulator, &store, Outcome::Drained).await;
        assert!(begun(&ended) < seconds(60), "{:?}", begun(&ended));
    });
}

/// From the text of a configuration, with the zones that are part of the program. In the first of
/// these nights the clocks of Berlin go forward, in the second they go back.
#[test]
fn a_window_keeps_its_length_where_the_clocks_change() {
    let text = format!(
        "{CONFIG}[[closed]]\nname = \"night\"\nschedule = \"0 23 * * SAT\"\nduration = \"6h\"\n\
         zone = \"Europe/Berlin\"\n"
    );
    let config = Config::parse(&text, "test.toml", &Given::default()).unwrap();
    let closed = config.policies.for_drain(Some("web"), None).closed;
    for (begin, end) in [
        ("2026-03-28T22:00:00Z", "2026-03-29T04:00:00Z"),
        ("2026-10-24T21:00:00Z", "2026-10-25T03:00:00Z"),
        ("2026-11-28T22:00:00Z", "2026-11-29T04:00:00Z"),
    ] {
        let (begin, end): (Timestamp, Timestamp) = (begin.parse().unwrap(), end.parse().unwrap());
        let until = |now| closed_until(&closed, Reason::Request, now).map(|(_, until)| until);
        assert_eq!(until(begin), Some(end));
        assert_eq!(until(begin - seconds(1)), None);
        assert_eq!(until(end - seconds(1)), Some(end));
        assert_eq!(until(end), None);
    }
}
