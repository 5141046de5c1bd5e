#![allow(clippy::unwrap_used)]
use super::*;

fn now() -> Timestamp {
    "2026-01-02T03:04:05Z".parse().unwrap()
}

/// Returns the lines of the samples, in order.
fn samples(metrics: &Metrics) -> Vec<String> {
    let text = metrics.text(now()).unwrap();
    assert!(text.ends_with("# EOF\n"));
    let mut lines: Vec<String> =
        text.lines().filter(|line| !line.starts_with('#')).map(str::to_owned).collect();
    lines.sort();
    lines
}

#[test]
fn gauges_are_what_is_there_now() {
    let metrics = Metrics::default();
    let mut picture = Picture {
        waiting: 1,
        oldest: Some("2026-01-02T03:03:05Z".parse().unwrap()),
        ..Picture::default()
    };
    picture.drains.insert(("web".to_owned(), Phase::Waiting), 2);
    picture.stuck.insert("web".to_owned(), 1);
    picture.rollouts.insert("Stopped", 3);
    metrics.picture("1", "eu-west-1", picture);
    let told = samples(&metrics);
    for line in [
        "ecs_drain_drains{account=\"1\",region=\"eu-west-1\",cluster=\"web\",phase=\"Waiting\"} 2",
        "ecs_drain_drains_stuck{account=\"1\",region=\"eu-west-1\",cluster=\"web\"} 1",
        "ecs_drain_rollouts{account=\"1\",region=\"eu-west-1\",stage=\"Stopped\"} 3",
        "ecs_drain_drains_oldest_seconds{account=\"1\",region=\"eu-west-1\"} 60",
        "ecs_drain_instances_waiting{account=\"1\",region=\"eu-west-1\"} 1",
    ] {
        assert!(told.contains(&line.to_owned()), "{line}\n{}", told.join("\n"));
    }
    // Drains that have ended are not shown, and not added to later ones.
    metrics.picture("1", "eu-west-1", Picture::default());
    let told = samples(&metrics);
    assert!(!told.iter().any(|line| line.starts_with("ecs_drain_drains{")), "{}", told.join("\n"));
    assert!(told.contains(
        &"ecs_drain_drains_oldest_seconds{account=\"1\",region=\"eu-west-1\"} 0".to_owned()
    ));
}

#[test]
fn labels_are_bounded() {
    let metrics = Metrics::default();
    let mut picture = Picture::default();
    for number in 0..1_000 {
        picture.drains.insert((format!("cluster-{number:04}"), Phase::Waiting), 1);
    }
    metrics.picture("1", "eu-west-1", picture);
    let told = samples(&metrics);
    let drains: Vec<&String> =
        told.iter().filter(|line| line.starts_with("ecs_drain_drains{")).collect();
    assert_eq!(drains.len(), CLUSTERS + 1);
    assert!(
        drains.iter().any(|line| line.contains("cluster=\"(others)\"") && line.ends_with(" 800"))
    );
    for number in 0..1_000 {
        let _ = metrics.label_of(&format!("cluster-{number:04}"));
    }
    assert_eq!(metrics.label_of("cluster-0000"), "cluster-0000");
    assert_eq!(metrics.label_of("cluster-0999"), OTHERS);
}
