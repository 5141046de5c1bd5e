//! The store against a DynamoDB: the simulator's (an embedded one), and any other that
//! `ECS_DRAIN_TEST_DYNAMODB_URL` names. [`suite`] needs nothing but the API.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod arbitrary;
mod asked;
mod hostile;
pub mod rollouts;

use aws_config::retry::RetryConfig;
use aws_config::{BehaviorVersion, Region, SdkConfig};
use aws_credential_types::Credentials;
use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::types::{
    AttributeDefinition, AttributeValue, BillingMode, KeySchemaElement, KeyType,
    ScalarAttributeType,
};
use aws_simulator::{Fault, Rule, Simulator, SimulatorConfig};
use ecs_drain::aws::ErrorClass;
use ecs_drain::store::{Ids, Lease, Read, Saved, Store, StoreError, TableOptions};
use ecs_drain_state::diagnosis::Fix;
use ecs_drain_state::record::Opening;
use ecs_drain_state::{
    ActionResult, Balancer, ContainerInstance, Event, Intent, LastError, Lifecycle, Mono, Note,
    Obligation, Order, Origin, Outcome, Phase, Record, Stage, Strategy, Target, WaitKind,
};
use jiff::{SignedDuration, Timestamp};
use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

/// Checks everything that holds on every DynamoDB. Creates tables named after `run`, and deletes
/// them.
pub async fn suite(sdk: &SdkConfig, run: &str) {
    let store = Store::connect(sdk, &format!("{run}-drains"), "main");
    missing_and_misshapen_tables_are_told(sdk, run).await;
    store.create_table(TableOptions::default()).await.unwrap();
    store.create_table(TableOptions::default()).await.unwrap();
    store.check().await.unwrap();

    let table = Table { sdk: sdk.clone(), raw: Client::new(sdk), store };
    table.a_record_survives_and_people_can_read_it().await;
    table.only_one_creates().await;
    table.a_stale_copy_is_not_written().await;
    table.our_own_lost_response_is_known().await;
    table.attributes_of_others_survive().await;
    table.what_cannot_be_read_is_told().await;
    table.only_unfinished_records_are_in_the_index().await;
    table.many_are_read_in_one_go().await;
    table.a_finished_record_is_opened_again().await;
    table.a_request_is_answered_once().await;
    table.requests_that_cannot_be_read_are_told().await;
    table.one_query_gives_all_open_work().await;
    table.a_rollout_survives_and_people_can_read_it().await;
    table.a_stale_rollout_is_not_written().await;
    table.a_rollout_that_was_written_with_a_lost_answer_is_known().await;
    table.a_new_rollout_replaces_the_finished_one_of_its_name().await;
    table.requests_about_rollouts_are_open_work().await;
    table.a_pause_keeps_what_others_pause().await;
    table.a_pause_that_cannot_be_read_is_one().await;
    table.who_may_write_one_key_speaks_for_no_other().await;
    table.a_lease_is_handed_over().await;
    table.a_lease_that_was_tampered_with_is_taken().await;
    table.raw.delete_table().table_name(table.store.table()).send().await.unwrap();
}

struct Table {
    sdk: SdkConfig,
    raw: Client,
    store: Store,
}

/// Returns a record of an instance of its own, with a value in every field that an unfinished one
/// can have.
pub fn record(instance: &str) -> Record {
    let now: Timestamp = "2026-01-05T09:00:00.25Z".parse().unwrap();
    let mut record = Record::open(
        Opening {
            account: "123456789012".into(),
            region: "us-east-1".into(),
            instance_id: instance.into(),
            controller: "main".into(),
            origin: Origin::LifecycleHook,
            strategy: Strategy::Drain,
            lifecycle: Some(Lifecycle {
                group: "web-asg".into(),
                hook: "ecs-drain".into(),
                kind: WaitKind::Terminating,
                heartbeat_timeout_seconds: 3600,
                global_timeout_seconds: 172_800,
                default_result: ActionResult::Continue,
                other_hooks: vec!["backup".into()],
                retains_abandoned: false,
            }),
            group: None,
            then: None,
            requested: Some(order("Ada")),
            container_instances: vec![ContainerInstance {
                cluster: "web".into(),
                arn: "arn:aws:ecs:us-east-1:123456789012:container-instance/web/0123".into(),
                draining_is_ours: true,
                deregistered_at: None,
                drained_for_seconds: 0,
                gone_for_seconds: 0,
            }],
            deadline: Some(SignedDuration::from_hours(2)),
            margin: SignedDuration::from_mins(5),
        },
        now,
    );
    record.shown.why = "Seen".into();
    record.shown.message = "seen waiting".into();
    record.history = vec![Event { at: now, phase: Phase::Pending, what: "seen waiting".into() }];
    record.obligations = vec![Obligation {
        balancer: Balancer::TargetGroup(
            "arn:aws:elasticloadbalancing:us-east-1:123456789012:targetgroup/web/1".into(),
        ),
        target: Target::Ip("10.0.0.7".into()),
        delay_seconds: Some(300),
        network: Some(true),
        draining_since: Some(now),
        left_for_seconds: 0,
        of_group_alone: false,
        noted_at: now,
    }];
    record.orders.pause = Some(order("Bob"));
    record.orders.requests = vec!["20260105T090000250-1".into()];
    record.shown.causes = vec![Note {
        name: "NoRoom".into(),
        text: "there is no room".into(),
        fix: Some(Fix::StopTask { cluster: "web".into(), task: "0a1b".into() }),
    }];
    record.shown.stuck_since = Some(now);
    record.shown.bad_tags = vec!["ecs-drain:poll is \"1\": no unit".into()];
    record.shown.tasks_left = vec!["arn:aws:ecs:us-east-1:123456789012:task/web/1".into()];
    record.shown.tasks_left_count = 1;
    let (result, outcome) = (ActionResult::Continue, Outcome::Drained);
    let intent = Intent { result, outcome, reason: "everything is gone".into(), at: now };
    record.stage = Stage::Completing { intent, refused_since: None };
    record.last_error =
        Some(LastError { at: now, what: "ecs:ListTasks on cluster web: throttled".into() });
    record
}

fn order(by: &str) -> Order {
    Order {
        by: by.into(),
        reason: Some("kernel update".into()),
        at: "2026-01-05T09:00:00.25Z".parse().unwrap(),
    }
}

fn saved(saved: Saved) -> Record {
    match saved {
        Saved::Saved(record) => *record,
        Saved::LostRace => panic!("the race was lost"),
    }
}

fn readable(read: Option<Read>) -> Record {
    match read {
        Some(Read::Record(record)) => *record,
        other => panic!("no readable record: {other:?}"),
    }
}

fn text(text: &str) -> AttributeValue {
    AttributeValue::S(text.to_owned())
}

async fn missing_and_misshapen_tables_are_told(sdk: &SdkConfig, run: &str) {
    let missing = Store::connect(sdk, &format!("{run}-missing"), "main");
    let error = missing.check().await.unwrap_err();
    assert!(matches!(error, StoreError::Missing { .. }), "{error}");
    assert!(error.to_string().contains("create it with `ecs-drain init`"), "{error}");

    let name = format!("{run}-other");
    let raw = Client::new(sdk);
    let attribute =
        AttributeDefinition::builder().attribute_name("id").attribute_type(ScalarAttributeType::S);
    let key = KeySchemaElement::builder().attribute_name("id").key_type(KeyType::Hash);
    let table = raw.create_table().table_name(&name).billing_mode(BillingMode::PayPerRequest);
    let table =
        table.attribute_definitions(attribute.build().unwrap()).key_schema(key.build().unwrap());
    table.send().await.unwrap();
    let other = Store::connect(sdk, &name, "main");
    let error = other.create_table(TableOptions::default()).await.unwrap_err();
    let said = error.to_string();
    assert!(matches!(error, StoreError::Shape { .. }), "{said}");
    for problem in ["primary key", "no index `unfinished`", "no index `by_cluster`"] {
        assert!(said.contains(problem), "{said}");
    }
    assert!(!said.contains("TTL"), "it was turned on: {said}");
    raw.delete_table().table_name(&name).send().await.unwrap();
}

impl Table {
    async fn item(&self, key: &str) -> BTreeMap<String, AttributeValue> {
        let request = self
            .raw
            .get_item()
            .table_name(self.store.table())
            .key("key", text(key))
            .consistent_read(true);
        request.send().await.unwrap().item.unwrap_or_default().into_iter().collect()
    }

    async fn edit(&self, key: &str, name: &str, value: AttributeValue) {
        let edit = self.raw.update_item().table_name(self.store.table()).key("key", text(key));
        let edit =
            edit.update_expression("SET #name = :value").expression_attribute_names("#name", name);
        edit.expression_attribute_values(":value", value).send().await.unwrap();
    }

    /// Waits until the index shows a write, which it does in the end, not at once.
    async fn unfinished_becomes(&self, key: &str, version: Option<u64>) {
        let mut shown = None;
        for _ in 0..50 {
            let all = self.store.unfinished().await.unwrap();
            shown = all.into_iter().find(|entry| entry.key == key).map(|entry| entry.version);
            if shown == version {
                return;
            }
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
        panic!("{key} is shown with version {shown:?} instead of {version:?}");
    }

    async fn a_record_survives_and_people_can_read_it(&self) {
        // An id of its own, so that the item is the same in every run.
        let store = self.store.clone().with_ids(Ids::seeded(7));
        let first = saved(store.create(record("i-readable")).await.unwrap());
        assert_eq!(
            first,
            Record { version: 1, write_id: first.write_id.clone(), ..record("i-readable") }
        );
        assert_eq!(readable(store.get(&first.key()).await.unwrap()), first);
        assert_eq!(show(&self.item(&first.key()).await), READABLE);
        let second = saved(store.save(first.clone()).await.unwrap());
        assert_eq!(second, Record { version: 2, write_id: second.write_id.clone(), ..first });
        assert_eq!(readable(store.get(&second.key()).await.unwrap()), second);
    }

    async fn only_one_creates(&self) {
        let first = saved(self.store.create(record("i-created")).await.unwrap());
        assert_eq!(self.store.create(record("i-created")).await.unwrap(), Saved::LostRace);
        assert_eq!(readable(self.store.get(&first.key()).await.unwrap()), first);
        assert_eq!(self.store.get("123456789012/us-east-1/i-unknown").await.unwrap(), None);
    }

    async fn a_stale_copy_is_not_written(&self) {
        let first = saved(self.store.create(record("i-stale")).await.unwrap());
        let second = saved(self.store.save(first.clone()).await.unwrap());
        assert_eq!(self.store.save(first).await.unwrap(), Saved::LostRace);
        // The same version by another write: someone deleted the record, and it was created again.
        let other = Record { write_id: "another".into(), ..second.clone() };
        assert_eq!(self.store.save(other).await.unwrap(), Saved::LostRace);
        assert_eq!(readable(self.store.get(&second.key()).await.unwrap()), second);
        // A deleted record is not created again.
        let key = ("key", text(&second.key()));
        self.raw
            .delete_item()
            .table_name(self.store.table())
            .key(key.0, key.1)
            .send()
            .await
            .unwrap();
        let gone = second.key();
        assert_eq!(self.store.save(second).await.unwrap(), Saved::LostRace);
        assert_eq!(self.store.get(&gone).await.unwrap(), None);
    }

    /// Two stores that draw the same ids write like one whose request was sent twice.
    async fn our_own_lost_response_is_known(&self) {
        let again =
            || Store::connect(&self.sdk, self.store.table(), "main").with_ids(Ids::seeded(11));
        let (sent, repeated) = (again(), again());
        let first = saved(sent.create(record("i-lost")).await.unwrap());
        assert_eq!(saved(repeated.create(record("i-lost")).await.unwrap()), first);
        let second = saved(sent.save(first.clone()).await.unwrap());
        assert_eq!(saved(repeated.save(first).await.unwrap()), second);
        assert_eq!(second.version, 2);
    }

    async fn attributes_of_others_survive(&self) {
        let mut first = saved(self.store.create(record("i-noted")).await.unwrap());
        self.edit(&first.key(), "note", text("ask Ada before Friday")).await;
        first.shown.message = "going on".into();
        first.cluster = None;
        first.deadline = None;
        let second = saved(self.store.save(first).await.unwrap());
        let item = self.item(&second.key()).await;
        assert_eq!(item.get("note"), Some(&text("ask Ada before Friday")));
        assert_eq!(item.get("message"), Some(&text("going on")));
        assert_eq!(
            (item.get("cluster"), item.get("deadline")),
            (None, None),
            "what the record has not is removed"
        );
        assert_eq!(readable(self.store.get(&second.key()).await.unwrap()), second);
    }

    async fn what_cannot_be_read_is_told(&self) {
        let key = saved(self.store.create(record("i-edited")).await.unwrap()).key();
        self.edit(&key, "phase", text("Sleeping")).await;
        let read = self.store.get(&key).await.unwrap();
        let Some(Read::Unreadable { why }) = read else { panic!("{read:?}") };
        assert!(why.starts_with("attribute phase: unknown variant `Sleeping`"), "{why}");
        self.edit(&key, "schema", AttributeValue::N("7".into())).await;
        assert_eq!(self.store.get(&key).await.unwrap(), Some(Read::Newer { schema: 7 }));
        // Neither keeps the others from being read.
        let all = self.store.all().await.unwrap();
        assert!(all.contains(&(key, Read::Newer { schema: 7 })) && all.len() > 3, "{all:?}");
    }

    async fn only_unfinished_records_are_in_the_index(&self) {
        let first = saved(self.store.create(record("i-ending")).await.unwrap());
        let key = first.key();
        self.unfinished_becomes(&key, Some(1)).await;
        let mut second = saved(self.store.save(first).await.unwrap());
        self.unfinished_becomes(&key, Some(2)).await;
        assert!(self.store.by_cluster("web").await.unwrap().contains(&key));
        assert!(!self.store.by_cluster("we").await.unwrap().contains(&key));
        // A request names its cluster too, and is no drain.
        self.store.ask(&crate::docs::asked()).await.unwrap();
        let of_web = self.store.by_cluster("web").await.unwrap();
        assert!(of_web.iter().all(|key| key.contains("/i-")), "{of_web:?}");
        let other = Store::connect(&self.sdk, self.store.table(), "another");
        assert_eq!(other.unfinished().await.unwrap(), []);

        second.stage = DONE;
        let done = saved(self.store.save(second).await.unwrap());
        self.unfinished_becomes(&key, None).await;
        assert!(self.store.by_cluster("web").await.unwrap().contains(&key));
        assert_eq!(
            self.item(&key).await.get("expires_at"),
            Some(&AttributeValue::N("1800000000".into()))
        );
        assert_eq!(readable(self.store.get(&key).await.unwrap()), done);
    }

    async fn many_are_read_in_one_go(&self) {
        let mut keys = Vec::new();
        for n in 0..105 {
            keys.push(
                saved(self.store.create(record(&format!("i-many-{n:03}"))).await.unwrap()).key(),
            );
        }
        let mut asked = keys.clone();
        asked.push(keys[3].clone());
        asked.push("123456789012/us-east-1/i-unknown".into());
        let found = self.store.get_many(&asked).await.unwrap();
        assert_eq!(found.iter().map(|(key, _)| key.clone()).collect::<Vec<_>>(), keys);
        assert!(
            found
                .iter()
                .all(|(key, read)| matches!(read, Read::Record(record) if record.key() == *key))
        );
        assert_eq!(self.store.get_many(&[]).await.unwrap(), []);
    }

    async fn a_finished_record_is_opened_again(&self) {
        let mut first = saved(self.store.create(record("i-again")).await.unwrap());
        first.stage = DONE;
        let done = saved(self.store.save(first).await.unwrap());
        let opening = Opening {
            account: done.account.clone(),
            region: done.region.clone(),
            instance_id: done.instance_id.clone(),
            controller: done.controller.clone(),
            origin: done.origin,
            strategy: done.strategy,
            lifecycle: done.lifecycle.clone(),
            group: None,
            then: None,
            requested: None,
            container_instances: done.container_instances.clone(),
            deadline: None,
            margin: SignedDuration::ZERO,
        };
        let again = saved(self.store.save(done.reopen(opening, done.updated_at)).await.unwrap());
        assert_eq!((again.generation, again.version, again.phase()), (2, 3, Phase::Pending));
        assert!(!self.item(&again.key()).await.contains_key("expires_at"), "its TTL is removed");
        self.unfinished_becomes(&again.key(), Some(3)).await;
    }

    async fn a_lease_is_handed_over(&self) {
        let at = |seconds| Mono::at(Duration::from_secs(seconds));
        let replica = || Store::connect(&self.sdk, self.store.table(), "leased");
        let (mut a, mut b) = (Lease::named(&replica(), "a"), Lease::named(&replica(), "b"));
        assert_eq!(replica().leader().await.unwrap(), None);
        assert!(a.renew_or_take(at(0)).await.unwrap().held);
        let first = replica().leader().await.unwrap().unwrap();
        assert_eq!(first.holder, a.holder());
        let view = b.renew_or_take(at(1000)).await.unwrap();
        assert_eq!((view.held, view.holder.as_deref()), (false, Some(a.holder())));
        // Renewed: b's wait begins again.
        assert!(a.renew_or_take(at(3)).await.unwrap().held);
        let renewed = replica().leader().await.unwrap().unwrap();
        assert!(renewed.holder == first.holder && renewed.renewal != first.renewal, "{renewed:?}");
        assert!(a.is_held(at(10)) && !a.is_held(at(11)), "less the margin");
        assert!(!b.renew_or_take(at(1009)).await.unwrap().held);
        assert!(!b.renew_or_take(at(1018)).await.unwrap().held);
        // No renewal for a full duration on b's clock.
        assert!(b.renew_or_take(at(1021)).await.unwrap().held);
        let view = a.renew_or_take(at(6)).await.unwrap();
        assert_eq!(
            (view.held, view.until, view.holder.as_deref()),
            (false, None, Some(b.holder()))
        );
        // Handed over: no wait.
        a.release().await.unwrap();
        assert!(b.renew_or_take(at(1024)).await.unwrap().held, "another's release changes nothing");
        b.release().await.unwrap();
        assert!(!b.is_held(at(1024)));
        assert!(a.renew_or_take(at(9)).await.unwrap().held);
        assert!(!self.store.all().await.unwrap().iter().any(|(key, _)| key.starts_with("lease")));
    }

    async fn a_lease_that_was_tampered_with_is_taken(&self) {
        let at = |seconds| Mono::at(Duration::from_secs(seconds));
        let item = HashMap::from([
            ("key".to_owned(), text("lease/tampered")),
            ("holder".to_owned(), text("nobody")),
        ]);
        self.raw
            .put_item()
            .table_name(self.store.table())
            .set_item(Some(item))
            .send()
            .await
            .unwrap();
        self.edit("lease/tampered", "lease_version", AttributeValue::N("1".into())).await;
        let mut lease =
            Lease::named(&Store::connect(&self.sdk, self.store.table(), "tampered"), "a");
        assert!(!lease.renew_or_take(at(0)).await.unwrap().held, "somebody may be behind it");
        assert!(lease.renew_or_take(at(11)).await.unwrap().held);
    }
}

const DONE: Stage =
    Stage::Done { outcome: Outcome::Drained, intent: None, expires_at: 1_800_000_000 };

/// Returns an item as the console shows it: name, type, value.
fn show(item: &BTreeMap<String, AttributeValue>) -> String {
    item.iter().map(|(name, value)| format!("{name}: {}\n", show_value(value))).collect()
}

#[allow(clippy::wildcard_enum_match_arm)]
fn show_value(value: &AttributeValue) -> String {
    match value {
        AttributeValue::S(text) => format!("{text:?}"),
        AttributeValue::N(number) => number.clone(),
        AttributeValue::Bool(yes) => yes.to_string(),
        AttributeValue::L(values) => {
            format!("[{}]", values.iter().map(show_value).collect::<Vec<_>>().join(", "))
        }
        AttributeValue::M(fields) => {
            let fields: BTreeMap<_, _> = fields.iter().collect();
            let fields: Vec<_> = fields
                .into_iter()
                .map(|(name, value)| format!("{name}: {}", show_value(value)))
                .collect();
            format!("{{{}}}", fields.join(", "))
        }
        other => format!("{other:?}"),
    }
}

/// The items as people see them in the console.
const READABLE: &str = r#"account: "123456789012"
attempts: 0
bad_tags: ["ecs-drain:poll is \"1\": no unit"]
causes: [{fix: {stop_task: {cluster: "web", task: "0a1b"}}, name: "NoRoom", text: "there is no room"}]
cluster: "web"
container_instances: [{arn: "arn:aws:ecs:us-east-1:123456789012:container-instance/web/0123", cluster: "web", draining_is_ours: true}]
controller: "main"
created_at: "2026-01-05T09:00:00.25Z"
deadline: "2026-01-05T11:00:00.25Z"
generation: 1
global_limit: "2026-01-07T09:00:00.25Z"
group: "web-asg"
history: [{at: "2026-01-05T09:00:00.25Z", phase: "Pending", what: "seen waiting"}]
instance_id: "i-readable"
intent: {at: "2026-01-05T09:00:00.25Z", outcome: "Drained", reason: "everything is gone", result: "CONTINUE"}
key: "123456789012/us-east-1/i-readable"
last_error: {at: "2026-01-05T09:00:00.25Z", what: "ecs:ListTasks on cluster web: throttled"}
lifecycle: {default_result: "CONTINUE", global_timeout_seconds: 172800, group: "web-asg", heartbeat_timeout_seconds: 3600, hook: "ecs-drain", kind: "terminating", other_hooks: ["backup"], retains_abandoned: false}
message: "seen waiting"
obligations: [{balancer: {target-group: "arn:aws:elasticloadbalancing:us-east-1:123456789012:targetgroup/web/1"}, delay_seconds: 300, draining_since: "2026-01-05T09:00:00.25Z", network: true, noted_at: "2026-01-05T09:00:00.25Z", target: {ip: "10.0.0.7"}}]
origin: "lifecycle-hook"
pause: {at: "2026-01-05T09:00:00.25Z", by: "Bob", reason: "kernel update"}
phase: "Completing"
phase_since: "2026-01-05T09:00:00.25Z"
region: "us-east-1"
requested: {at: "2026-01-05T09:00:00.25Z", by: "Ada", reason: "kernel update"}
requests: ["20260105T090000250-1"]
schema: 1
strategy: "drain"
stuck_since: "2026-01-05T09:00:00.25Z"
targets_left: []
targets_left_count: 0
tasks_left: ["arn:aws:ecs:us-east-1:123456789012:task/web/1"]
tasks_left_count: 1
unfinished: "123456789012/us-east-1/i-readable@000000000001"
unfinished_of: "main"
updated_at: "2026-01-05T09:00:00.25Z"
version: 1
why: "Seen"
write_id: "c5fc598e707e7291"
"#;

/// Returns a configuration without any of this machine's environment.
async fn simulated(simulator: &Simulator) -> SdkConfig {
    let loader = aws_config::defaults(BehaviorVersion::latest())
        .empty_test_environment()
        .region(Region::new("us-east-1"));
    let loader =
        loader.credentials_provider(Credentials::for_tests()).retry_config(RetryConfig::standard());
    loader
        .http_client(simulator.http_client("test"))
        .time_source(simulator.time_source(0))
        .load()
        .await
}

fn simulator() -> Simulator {
    fastrand::seed(1);
    Simulator::new(SimulatorConfig::default()).unwrap()
}

#[tokio::test(start_paused = true)]
async fn on_the_simulated_dynamodb() {
    suite(&simulated(&simulator()).await, "simulated").await;
}

#[tokio::test]
async fn on_the_dynamodb_that_the_environment_names() {
    let Ok(url) = std::env::var("ECS_DRAIN_TEST_DYNAMODB_URL") else { return };
    let loader = aws_config::defaults(BehaviorVersion::latest()).region(Region::new("us-east-1"));
    let loader = loader.credentials_provider(Credentials::for_tests()).endpoint_url(url);
    suite(&loader.load().await, &format!("ecs-drain-test-{:08x}", fastrand::u32(..))).await;
}

/// Creates a simulator with a table, and a rule for the calls that follow.
async fn struck(rule: Rule) -> (Simulator, Store) {
    let simulator = simulator();
    let store = Store::connect(&simulated(&simulator).await, "drains", "main");
    store.create_table(TableOptions::default()).await.unwrap();
    simulator.with(|cloud| cloud.faults.add(rule));
    (simulator, store)
}

#[tokio::test(start_paused = true)]
async fn a_write_whose_answer_was_lost_is_recognised() {
    let (simulator, store) = struck(Rule::on("PutItem", Fault::FailAfter).times(1)).await;
    simulator.with(|cloud| cloud.faults.add(Rule::on("UpdateItem", Fault::HangAfter).times(1)));
    let first = saved(store.create(record("i-lost")).await.unwrap());
    let second = saved(store.save(first).await.unwrap());
    assert_eq!(readable(store.get(&second.key()).await.unwrap()), second);
    assert_eq!(second.version, 2);
    assert_eq!(
        simulator.with(|cloud| (cloud.log.count("PutItem"), cloud.log.count("UpdateItem"))),
        (2, 2)
    );
}

#[tokio::test(start_paused = true)]
async fn a_write_that_arrives_late_is_refused_by_its_own_condition() {
    let late = Fault::LateApply(Duration::from_secs(30));
    let (_simulator, store) = struck(Rule::on("UpdateItem", late).times(1)).await;
    let first = saved(store.create(record("i-late")).await.unwrap());
    let second = saved(store.save(first).await.unwrap());
    let third = saved(store.save(second).await.unwrap());
    tokio::time::sleep(Duration::from_secs(60)).await;
    assert_eq!(readable(store.get(&third.key()).await.unwrap()), third);
}

#[tokio::test(start_paused = true)]
async fn a_table_that_hangs_is_given_up_in_time() {
    let (simulator, store) = struck(Rule::on("GetItem", Fault::Hang)).await;
    let begun = tokio::time::Instant::now();
    let error = store.get("any").await.unwrap_err();
    assert!(error.class() == Some(ErrorClass::Unavailable) && error.is_transient(), "{error}");
    assert!(begun.elapsed() <= Duration::from_secs(10), "{:?}", begun.elapsed());

    // The lease stops before its next renewal is due, and expires by itself.
    let mut lease = Lease::named(&store, "a");
    simulator.with(|cloud| cloud.faults.clear());
    assert!(lease.renew_or_take(Mono::START).await.unwrap().held);
    simulator.with(|cloud| cloud.faults.add(Rule::on("UpdateItem", Fault::Hang)));
    let begun = tokio::time::Instant::now();
    assert!(
        lease.renew_or_take(Mono::at(Duration::from_secs(3))).await.unwrap_err().is_transient()
    );
    assert!(begun.elapsed() < ecs_drain::store::lease::RENEW_EVERY, "{:?}", begun.elapsed());
    assert!(
        lease.is_held(Mono::at(Duration::from_secs(7)))
            && !lease.is_held(Mono::at(Duration::from_secs(9)))
    );
}

#[tokio::test(start_paused = true)]
async fn a_lease_that_was_taken_with_a_lost_answer_is_recognised() {
    let (_simulator, store) = struck(Rule::on("PutItem", Fault::FailAfter).times(1)).await;
    let mut lease = Lease::named(&store, "a");
    assert!(lease.renew_or_take(Mono::START).await.unwrap().held);

    // All attempts lost: the next read finds this process as the holder, and renews without
    // waiting.
    let (simulator, store) = struck(Rule::on("PutItem", Fault::FailAfter)).await;
    let mut lease = Lease::named(&store, "a");
    simulator.with(|cloud| cloud.faults.add(Rule::on("PutItem", Fault::HangAfter)));
    let _ = lease.renew_or_take(Mono::START).await;
    assert!(lease.renew_or_take(Mono::at(Duration::from_secs(3))).await.unwrap().held);
}

#[tokio::test(start_paused = true)]
async fn a_refusal_says_which_policy_allows_it() {
    let (_simulator, store) = struck(Rule::on("Query", Fault::AccessDenied)).await;
    let error = store.unfinished().await.unwrap_err();
    assert!(!error.is_transient());
    let said = error.to_string();
    let statement = r#"{"Effect":"Allow","Action":"dynamodb:Query","Resource":"arn:aws:dynamodb:us-east-1:*:table/drains/index/*"}"#;
    assert!(said.contains(statement), "{said}");
}

#[tokio::test(start_paused = true)]
async fn throttling_is_transient() {
    let (_simulator, store) = struck(Rule::on("GetItem", Fault::Throttle)).await;
    let error = store.get("any").await.unwrap_err();
    assert!(error.class() == Some(ErrorClass::Throttled) && error.is_transient(), "{error}");
}
