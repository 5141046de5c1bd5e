//! The commands about rollouts, with a controller that carries them out.

use super::rig::Rig;
use crate::harness::{group, seconds};
use crate::scenarios::{A, B};
use aws_simulator::Cloud;
use aws_simulator::spec::{ClusterSpec, GroupSpec, ServiceSpec};

const GROUP: &str = "web-group";

fn world(cloud: &mut Cloud) {
    cloud.add_cluster(&ClusterSpec::new("web"));
    cloud.add_group(GroupSpec { max: 2, ..group(GROUP, "web", &[A, B]) });
    cloud.add_service(&ServiceSpec::replica("web", "api", 2).times(seconds(3), seconds(5)));
    cloud.checkers.allow_rollout(GROUP, 2);
}

/// It pauses before a drain begins, or while the first one does.
#[test]
fn a_rollout_is_started_shown_paused_and_ended_by_commands() {
    let rig = Rig::with_table("rollout-commands", "", world);
    let say = |line: &str| {
        let said = rig.say(&line.split(' ').collect::<Vec<_>>());
        (said.code, said.out, said.err)
    };
    let (code, out, err) = say("rollout start january --cluster web --all --yes --wait 1s");
    assert_eq!(code, Some(1), "{out}{err}");
    assert!(err.contains("no controller is running"), "{err}");

    let process = rig.start();
    rig.until_leads(&process);
    for (line, expected, reason) in [
        ("rollout start february --cluster web --ami ami-none --yes", 1, "no instance is old"),
        ("rollout start february i-0000000000000dead --yes", 1, "not in any cluster"),
        ("rollout start february --cluster web --all", 2, "pass --yes"),
        ("rollout pause february", 1, "has no rollout february"),
    ] {
        let (code, out, err) = say(line);
        assert!(code == Some(expected) && err.contains(reason), "{line}: {code:?} {out}{err}");
    }
    // The cluster has no other instance: without the new ones neither drain would end.
    let (code, out, err) = say("rollout start february --group web-* --all --dry-run");
    assert!(code == Some(0) && out.starts_with("Both drains would end"), "{out}{err}");
    assert!(out.contains("first new instances come"), "{out}");
    let (code, out, err) = say("plan --group web-* --at-once");
    assert!(code == Some(3) && out.starts_with("0 of 2 drains would end"), "{out}{err}");

    // The request of before is carried out, or this one.
    let (_, out, err) =
        say("rollout start january --group web-* --all --surge none --soak 1h --yes");
    assert!(out.contains("2 instances (all instances)") && out.contains(GROUP), "{out}{err}");
    assert!(out.contains("january: "), "{out}{err}");
    let (code, out, err) = say("rollout pause january --reason incident");
    assert!(code == Some(0) && out.contains("january: paused"), "{out}{err}");
    let (code, out, _) = say("rollout get");
    assert!(code == Some(0) && out.contains("january") && out.contains("Paused"), "{out}");
    let (_, out, _) = say("rollout get january -o name");
    assert_eq!(out, "123456789012/us-east-1/january\n");
    let (_, out, _) = say("rollout describe january");
    assert!(
        out.contains("Paused by:") && out.contains("ecs-drain rollout resume january"),
        "{out}"
    );
    let (code, out, err) = say("rollout undo january --yes --follow");
    assert!(code == Some(0) && out.contains("Done: Undone"), "{out}{err}");
    let (code, _, err) = say("rollout abort january --yes");
    assert!(code == Some(1) && err.contains("has ended (Done: Undone)"), "{err}");
    process.kill();
}
