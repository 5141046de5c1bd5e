use super::*;
use ecs_drain_state::Read;
use std::cell::Cell;
use std::collections::BTreeMap;

#[test]
fn a_message_is_logged_once_a_drain_and_forgotten_with_its_wait() {
    let (intake, times) = (Intake::default(), Cell::new(0));
    let say = |generation: u64| {
        intake.once(("held", "i-1".to_owned(), generation), || times.set(times.get() + 1));
        times.get()
    };
    assert_eq!([say(1), say(1), say(2), say(2)], [1, 1, 2, 2]);
    let read = Read { began: Mono::START, ended: Mono::START };
    let (unread, groups, members) = (BTreeSet::new(), BTreeMap::new(), BTreeMap::new());
    let view = GroupsView { read, unread, pools_failed: None, hooks_failed: None, groups, members };
    let member = Member {
        group: "web".to_owned(),
        state: "Terminating:Wait".to_owned(),
        healthy: true,
        template: None,
    };
    intake.forget(&view, &[(&"i-1".to_owned(), &member)]);
    assert_eq!(say(2), 2, "it waits on");
    intake.forget(&view, &[]);
    assert!(intake.said.borrow().is_empty());
    assert_eq!(say(2), 3, "it waits under the hook again");
}
