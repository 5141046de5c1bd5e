//! Rollouts in the table, and requests about them.

use super::hostile::hostile_values;
use super::{Table, simulated, simulator, struck, text};
use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::types::AttributeValue;
use aws_simulator::{Fault, Rule};
use ecs_drain::store::rollouts::{item_of, item_of_request, read, request_key};
use ecs_drain::store::{
    Answer, Ids, OpenWork, ReadRequest, ReadRollout, Store, TableOptions, UnfinishedKey, requests,
};
use ecs_drain_state::request::SCHEMA as REQUEST_SCHEMA;
use ecs_drain_state::rollout::{
    Applied, Change, ChangeState, Group, Options, Outcome, Request, Rollout, SCHEMA, Selection,
    Stage, Start, Turn, What, apply,
};
use jiff::Timestamp;
use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

type Item = HashMap<String, AttributeValue>;

fn at() -> Timestamp {
    "2026-01-05T09:00:00.25Z".parse().unwrap()
}

/// Returns a request by an operator to controller `main` about a rollout.
pub fn request(name: &str, what: What) -> Request {
    Request {
        id: "20260105T090000250-1".into(),
        controller: "main".into(),
        account: "123456789012".into(),
        region: "us-east-1".into(),
        rollout: name.into(),
        what,
        by: "Ada".into(),
        reason: Some("kernel update".into()),
        at: at(),
        schema: REQUEST_SCHEMA,
    }
}

pub fn start(group: &str, instance: &str) -> What {
    What::Start(Box::new(Start {
        selection: Selection::Ami("ami-1".into()),
        options: Options::default(),
        groups: [(group.to_owned(), ("web".to_owned(), [instance.to_owned()].into()))].into(),
    }))
}

/// Returns a rollout that was just requested, with a value in every field that it can have.
pub fn rollout(name: &str) -> Rollout {
    let mut rollout = begun(None, request(name, start("web-asg", "i-1")));
    let change = |state| Some(Change { from: 1, to: 2, at: at(), state });
    rollout.groups = [(
        "web-asg".to_owned(),
        Group {
            cluster: "web".into(),
            before: Some(1),
            raise: change(ChangeState::Applied),
            lower: change(ChangeState::Sending),
            lowered: 1,
            old: [("i-1".to_owned(), Turn::Terminate)].into(),
            returned: [("i-2".to_owned(), Turn::Shrink)].into(),
            waits_since: Some(at()),
        },
    )]
    .into();
    rollout.started_at = Some(at());
    rollout.short_before = ["web/shop".to_owned()].into();
    rollout.stage = Stage::Paused { by: rollout.requested.clone() };
    rollout
}

fn begun(before: Option<&Rollout>, request: Request) -> Rollout {
    let applied = apply(&request, before, &BTreeMap::new(), at());
    let Applied::Created { rollout, .. } = applied else { panic!("{applied:?}") };
    *rollout
}

/// Returns the rollout after its end.
pub fn done(rollout: Rollout) -> Rollout {
    let stage = Stage::Done { outcome: Outcome::Replaced };
    Rollout { stage, expires_at: Some(1_800_000_000), ..rollout }
}

impl Table {
    async fn rollout(&self, key: &str) -> Option<ReadRollout> {
        let keys = [key.to_owned(), "rollout/main/1/eu/unknown".to_owned()];
        let mut found = self.store.rollouts(&keys).await.unwrap();
        assert!(found.len() <= 1);
        found.pop().map(|(of, read)| {
            assert_eq!(of, key);
            read
        })
    }

    pub(super) async fn a_rollout_survives_and_people_can_read_it(&self) {
        let store = self.store.clone().with_ids(Ids::seeded(7));
        let first = store.save_rollout(rollout("readable")).await.unwrap().unwrap();
        let write_id = first.write_id.clone();
        assert_eq!(first, Rollout { version: 1, write_id, ..rollout("readable") });
        let key = "rollout/main/123456789012/us-east-1/readable";
        assert_eq!(self.rollout(key).await, Some(ReadRollout::Rollout(Box::new(first.clone()))));
        assert_eq!(super::show(&self.item(key).await), ROLLOUT);
        let second = store.save_rollout(first).await.unwrap().unwrap();
        assert_eq!(second.version, 2);
        assert_eq!(self.rollout(key).await, Some(ReadRollout::Rollout(Box::new(second))));
        let records = self.store.all().await.unwrap();
        assert!(!records.iter().any(|(key, _)| key.starts_with("rollout")));
    }

    pub(super) async fn a_stale_rollout_is_not_written(&self) {
        let first = self.store.save_rollout(rollout("stale")).await.unwrap().unwrap();
        assert_eq!(self.store.save_rollout(rollout("stale")).await.unwrap(), None);
        let second = self.store.save_rollout(first.clone()).await.unwrap().unwrap();
        assert_eq!(self.store.save_rollout(first).await.unwrap(), None);
        // The same version by another write.
        let other = Rollout { write_id: "another".into(), ..second.clone() };
        assert_eq!(self.store.save_rollout(other).await.unwrap(), None);
        let key = second.key();
        let there = Some(ReadRollout::Rollout(Box::new(second.clone())));
        assert_eq!(self.rollout(&key).await, there);
        // A deleted rollout is not created again.
        let delete = self.raw.delete_item().table_name(self.store.table());
        delete.key("key", text(&key)).send().await.unwrap();
        assert_eq!(self.store.save_rollout(second).await.unwrap(), None);
        assert_eq!(self.rollout(&key).await, None);
    }

    /// Two stores that draw the same ids write like one whose request was sent twice.
    pub(super) async fn a_rollout_that_was_written_with_a_lost_answer_is_known(&self) {
        let again =
            || Store::connect(&self.sdk, self.store.table(), "main").with_ids(Ids::seeded(12));
        let (sent, repeated) = (again(), again());
        let first = sent.save_rollout(rollout("lost")).await.unwrap().unwrap();
        assert_eq!(repeated.save_rollout(rollout("lost")).await.unwrap().as_ref(), Some(&first));
        let second = sent.save_rollout(first.clone()).await.unwrap().unwrap();
        assert_eq!(repeated.save_rollout(first).await.unwrap().as_ref(), Some(&second));
        assert_eq!(second.version, 2);
    }

    pub(super) async fn a_new_rollout_replaces_the_finished_one_of_its_name(&self) {
        let first = self.store.save_rollout(rollout("again")).await.unwrap().unwrap();
        let key = first.key();
        self.rollout_becomes(&key, Some(1)).await;
        let ended = self.store.save_rollout(done(first)).await.unwrap().unwrap();
        self.rollout_becomes(&key, None).await;
        let expires = AttributeValue::N("1800000000".into());
        assert_eq!(self.item(&key).await.get("expires_at"), Some(&expires));

        let asked = Request { id: "2".into(), ..request("again", start("jobs-asg", "i-9")) };
        let next = begun(Some(&ended), asked);
        let next = self.store.save_rollout(next).await.unwrap().unwrap();
        assert_eq!((next.generation, next.version), (2, 3));
        self.rollout_becomes(&key, Some(3)).await;
        let item = self.item(&key).await;
        for gone in ["expires_at", "short_before", "started_at"] {
            assert!(!item.contains_key(gone), "{gone} is of the earlier one");
        }
        assert_eq!(self.rollout(&key).await, Some(ReadRollout::Rollout(Box::new(next))));
    }

    async fn rollout_becomes(&self, key: &str, version: Option<u64>) {
        let mut shown = None;
        for _ in 0..50 {
            let all = self.store.open_work().await.unwrap().rollouts;
            shown = all.into_iter().find(|entry| entry.key == key).map(|entry| entry.version);
            if shown == version {
                return;
            }
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
        panic!("{key} is shown with version {shown:?} instead of {version:?}");
    }

    pub(super) async fn requests_about_rollouts_are_open_work(&self) {
        let store = Store::connect(&self.sdk, self.store.table(), "rolls");
        let of = |what| Request { controller: "rolls".into(), ..request("january", what) };
        let rollout = Rollout { controller: "rolls".into(), ..rollout("january") };
        let key = store.save_rollout(rollout).await.unwrap().unwrap().key();
        // An identity that may write keys of another controller can put them into this index.
        self.edit("rollout/main/1/eu/other", "unfinished_of", text("rolls")).await;
        self.edit("rollout/main/1/eu/other", "unfinished", text("rollout/rolls/1/eu/x")).await;
        let asked = [of(start("web-asg", "i-1")), of(What::Abort)];
        for request in &asked {
            store.ask_rollout(request).await.unwrap();
            store.ask_rollout(request).await.unwrap();
        }
        let mut keys: Vec<String> = asked.iter().map(request_key).collect();
        keys.sort();
        let rollouts = vec![UnfinishedKey { key, version: 1 }];
        let expected = OpenWork { rollouts, requests: keys.clone(), ..OpenWork::default() };
        let mut work = OpenWork::default();
        for _ in 0..50 {
            work = store.open_work().await.unwrap();
            work.requests.sort();
            if work == expected {
                break;
            }
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
        assert_eq!(work, expected);

        let read = store.requests(&keys).await.unwrap();
        for request in &asked {
            let read = read.iter().find(|(key, _)| *key == request_key(request)).unwrap();
            assert_eq!(read.1, ReadRequest::Rollout(Box::new(request.clone())));
        }
        let answer = Answer { text: "aborted".into(), refused: false, at: at() };
        store.answer(&request_key(&asked[1]), &answer).await.unwrap();
        assert_eq!(store.requests(&keys).await.unwrap().len(), 1);
        assert_eq!(store.answer_of(&request_key(&asked[1])).await.unwrap(), Some(answer));
    }
}

/// A rollout, as people see it.
const ROLLOUT: &str = r#"account: "123456789012"
controller: "main"
created_at: "2026-01-05T09:00:00.25Z"
generation: 1
groups: {web-asg: {before: 1, cluster: "web", lower: {at: "2026-01-05T09:00:00.25Z", from: 1, state: "sending", to: 2}, lowered: 1, old: {i-1: "terminate"}, raise: {at: "2026-01-05T09:00:00.25Z", from: 1, state: "applied", to: 2}, returned: {i-2: "shrink"}, waits_since: "2026-01-05T09:00:00.25Z"}}
history: [{at: "2026-01-05T09:00:00.25Z", what: "requested by Ada (kernel update): instances with AMI ami-1"}]
key: "rollout/main/123456789012/us-east-1/readable"
message: "its groups must be read"
name: "readable"
options: {soak_seconds: 120, stuck_seconds: 1800, surge: "all", wave: 1}
region: "us-east-1"
requested: {at: "2026-01-05T09:00:00.25Z", by: "Ada", reason: "kernel update"}
requests: ["20260105T090000250-1"]
schema: 1
selection: {ami: "ami-1"}
short_before: ["web/shop"]
stage: {paused: {by: {at: "2026-01-05T09:00:00.25Z", by: "Ada", reason: "kernel update"}}}
stage_since: "2026-01-05T09:00:00.25Z"
started_at: "2026-01-05T09:00:00.25Z"
unfinished: "rollout/main/123456789012/us-east-1/readable@000000000001"
unfinished_of: "main"
updated_at: "2026-01-05T09:00:00.25Z"
version: 1
why: "reads"
write_id: "c5fc598e707e7291"
"#;

fn item(rollout: &Rollout) -> Item {
    item_of(rollout).unwrap().into_iter().collect()
}

#[test]
fn permission_for_one_request_about_a_rollout_gives_none_for_another() {
    let mut whole: Item =
        item_of_request(&request("january", What::Pause)).unwrap().into_iter().collect();
    let why = |item: &Item, controller: &str| match requests::read(item, controller) {
        ReadRequest::Unreadable { why } => why,
        read @ (ReadRequest::Request(_) | ReadRequest::Rollout(_)) => panic!("{read:?}"),
    };
    let key = "request/main/rollout-pause/123456789012/us-east-1/january/20260105T090000250-1";
    assert_eq!(whole["key"], text(key));
    assert_eq!(why(&whole, "another"), "it is for controller main, not for another");
    for (name, value) in [
        ("what", text("abort")),
        ("rollout", text("february")),
        ("rollout", text("")),
        ("region", text("eu-west-1")),
        ("controller", text("another")),
    ] {
        let mut item = whole.clone();
        item.insert(name.into(), value);
        let why = why(&item, "main");
        assert!(why.starts_with(&format!("its key is {key}, but its attributes say ")), "{why}");
    }
    // A request for one instance does not pass under the key of one for a rollout, and vice versa.
    let drain = ecs_drain::store::requests::item_of(&crate::docs::asked()).unwrap();
    let mut drain: Item = drain.into_iter().collect();
    std::mem::swap(drain.get_mut("key").unwrap(), whole.get_mut("key").unwrap());
    for item in [drain, whole] {
        assert!(
            why(&item, "main").starts_with("attribute what: ")
                || why(&item, "main").contains("missing field"),
            "{}",
            why(&item, "main")
        );
    }
}

#[test]
fn a_rollout_with_one_hostile_attribute_is_read_or_refused() {
    for whole in [rollout("hostile"), done(rollout("hostile"))] {
        let whole: BTreeMap<String, AttributeValue> = item_of(&whole).unwrap();
        let (mut read_so, mut told) = (0, 0);
        for name in whole.keys() {
            for value in hostile_values().into_iter().chain([text("a/b")]) {
                let mut there: Item = whole.clone().into_iter().collect();
                there.insert(name.clone(), value.clone());
                match read(&there) {
                    ReadRollout::Rollout(rollout) => {
                        assert_eq!(rollout.key(), "rollout/main/123456789012/us-east-1/hostile");
                        assert_eq!(rollout.is_done(), rollout.expires_at.is_some());
                        item(&rollout);
                        rollout.estimate(at());
                        read_so += 1;
                    }
                    ReadRollout::Unreadable { why } => {
                        assert!(why.starts_with("attribute ") || why.contains("key is "), "{why}");
                        assert!(!why.contains(char::is_control), "{why:?}");
                        told += 1;
                    }
                    ReadRollout::Newer { schema } => panic!("{name}: {value:?}: {schema}"),
                }
            }
            let mut there: Item = whole.clone().into_iter().collect();
            there.remove(name);
            let optional = [
                "expires_at",
                "requests",
                "short_before",
                "started_at",
                "unfinished",
                "unfinished_of",
            ];
            match read(&there) {
                ReadRollout::Rollout(_) => assert!(optional.contains(&name.as_str()), "{name}"),
                ReadRollout::Unreadable { why } => assert!(why.contains(name.as_str()), "{why}"),
                ReadRollout::Newer { schema } => panic!("without {name}: {schema}"),
            }
        }
        assert!(read_so > 10 && told > 200, "{read_so} read, {told} told");
    }
}

#[tokio::test(start_paused = true)]
async fn a_rollout_of_a_newer_schema_is_never_written_over() {
    let sdk = simulated(&simulator()).await;
    let store = Store::connect(&sdk, "drains", "main");
    store.create_table(TableOptions::default()).await.unwrap();
    let raw = Client::new(&sdk);
    let ours = store.save_rollout(rollout("newer")).await.unwrap().unwrap();
    let mut newer = item(&Rollout { version: 2, write_id: "theirs".into(), ..ours.clone() });
    newer.insert("schema".into(), AttributeValue::N((SCHEMA + 1).to_string()));
    newer.insert("stage".into(), text("rehearsing"));
    raw.put_item().table_name("drains").set_item(Some(newer)).send().await.unwrap();
    let newer = ReadRollout::Newer { schema: u64::from(SCHEMA) + 1 };
    let all = store.all_rollouts().await.unwrap();
    assert_eq!(all, [(ours.key(), newer)]);
    assert_eq!(store.save_rollout(ours).await.unwrap(), None);
    assert_eq!(store.save_rollout(rollout("newer")).await.unwrap(), None);
}

#[tokio::test(start_paused = true)]
async fn a_write_whose_answer_is_lost_is_repeated_and_known() {
    let (_simulator, store) = struck(Rule::on("PutItem", Fault::FailAfter).times(1)).await;
    let first = store.save_rollout(rollout("lost")).await.unwrap().unwrap();
    assert_eq!(first.version, 1);
    let key = first.key();
    let there = store.rollouts(std::slice::from_ref(&key)).await.unwrap();
    assert_eq!(there, [(key, ReadRollout::Rollout(Box::new(first)))]);
}

/// The largest rollout that a request can begin, with the longest names and the longest texts.
#[tokio::test(start_paused = true)]
async fn the_largest_rollout_fits_into_the_table() {
    use ecs_drain_state::record::HISTORY;
    use ecs_drain_state::rollout::{Event, MOST, MOST_GROUPS};
    let sdk = simulated(&simulator()).await;
    let store = Store::connect(&sdk, "drains", "main");
    store.create_table(TableOptions::default()).await.unwrap();
    let mut rollout = rollout("large");
    let (each, change) = (MOST / MOST_GROUPS, rollout.groups["web-asg"].raise);
    let group = |n: usize| Group {
        cluster: "c".repeat(255),
        before: Some(1),
        raise: change,
        lower: change,
        lowered: 7,
        old: (0..each).map(|i| (format!("i-{n:08x}{i:09x}"), Turn::Terminate)).collect(),
        returned: (0..each).map(|i| (format!("i-{i:08x}{n:09x}"), Turn::GivenBack)).collect(),
        waits_since: Some(at()),
    };
    rollout.groups =
        (0..MOST_GROUPS).map(|n| (format!("{n:03}{}", "g".repeat(252)), group(n))).collect();
    rollout.short_before =
        (0..200).map(|n| format!("{}/{n:03}{}", "c".repeat(255), "s".repeat(252))).collect();
    rollout.history = vec![Event { at: at(), what: "x".repeat(1_100) }; HISTORY];
    rollout.message = "x".repeat(2_000);
    rollout.stage = Stage::Stopped { why: "x".repeat(1_000) };
    let saved = store.save_rollout(rollout).await.unwrap().unwrap();
    let read = store.all_rollouts().await.unwrap();
    assert_eq!(read, [(saved.key(), ReadRollout::Rollout(Box::new(saved)))]);
}
