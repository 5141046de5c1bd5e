//! Requests of operators in the table, with their answers, and pauses.

use super::{Table, order, record, saved, show, text};
use aws_sdk_dynamodb::types::AttributeValue;
use ecs_drain::store::requests::key as request_key;
use ecs_drain::store::{Answer, OpenWork, Pauses, ReadRequest, Store, UnfinishedKey};
use ecs_drain_state::{Record, Request, Then, What};
use jiff::SignedDuration;
use std::time::Duration;

/// Returns a request by an operator to controller `main`.
fn request(id: &str) -> Request {
    Request {
        id: id.into(),
        controller: "main".into(),
        account: "123456789012".into(),
        region: "us-east-1".into(),
        instance_id: "i-asked".into(),
        cluster: Some("web".into()),
        generation: 0,
        what: What::Drain { then: Then::Terminate },
        by: "Ada".into(),
        reason: Some("kernel update".into()),
        at: "2026-01-05T09:00:00.25Z".parse().unwrap(),
        schema: ecs_drain_state::request::SCHEMA,
    }
}

impl Table {
    pub(super) async fn a_request_is_answered_once(&self) {
        let asked = request("20260105T090000250-1");
        let key = request_key(&asked);
        self.store.ask(&asked).await.unwrap();
        assert_eq!(show(&self.item(&key).await), REQUEST);
        // The same request again, as after a lost answer.
        self.store.ask(&asked).await.unwrap();
        let read = |key: &String, request: &Request| {
            (key.clone(), ReadRequest::Request(Box::new(request.clone())))
        };
        assert_eq!(
            self.store.requests(std::slice::from_ref(&key)).await.unwrap(),
            [read(&key, &asked)]
        );
        assert_eq!(self.store.answer_of(&key).await.unwrap(), None);

        let at = asked.at + SignedDuration::from_secs(5);
        let answer = Answer { text: "paused".into(), refused: false, at };
        self.store.answer(&key, &answer).await.unwrap();
        self.store.answer(&key, &Answer { text: "again".into(), refused: true, at }).await.unwrap();
        assert_eq!(self.store.answer_of(&key).await.unwrap(), Some(answer));
        assert_eq!(self.store.requests(std::slice::from_ref(&key)).await.unwrap(), []);
        let item = self.item(&key).await;
        assert!(
            !item.contains_key("unfinished") && !item.contains_key("unfinished_of"),
            "{item:?}"
        );
        assert_eq!(
            item.get("expires_at"),
            Some(&AttributeValue::N((at.as_second() + 86_400).to_string()))
        );
        // A deleted request is not created again, and those of later moments come later.
        self.store
            .answer("request/main/gone", &Answer { text: "x".into(), refused: true, at })
            .await
            .unwrap();
        assert_eq!(self.store.answer_of("request/main/gone").await.unwrap(), None);
        let (earlier, later) = (self.store.request_id(asked.at), self.store.request_id(at));
        assert!(earlier < later && earlier.starts_with("20260105T090000250-"), "{earlier} {later}");
    }

    pub(super) async fn requests_that_cannot_be_read_are_told(&self) {
        let mut keys = Vec::new();
        for id in [
            "20260105T090001000-1",
            "20260105T090002000-1",
            "20260105T090003000-1",
            "20260105T090004000-1",
            "20260105T090005000-1",
        ] {
            let asked = request(id);
            self.store.ask(&asked).await.unwrap();
            keys.push(request_key(&asked));
        }
        self.edit(&keys[0], "what", text("explode")).await;
        self.edit(&keys[1], "schema", AttributeValue::N("7".into())).await;
        self.edit(&keys[2], "controller", text("another")).await;
        // Permission for one request gives none for another.
        self.edit(&keys[4], "what", text("pause")).await;
        keys.push("request/main/unknown".into());
        let why = |read: ReadRequest| match read {
            ReadRequest::Request(request) => format!("{} is fine", request.id),
            ReadRequest::Rollout(request) => format!("{} is about a rollout", request.id),
            ReadRequest::Unreadable { why } => why,
        };
        let read: Vec<String> =
            self.store.requests(&keys).await.unwrap().into_iter().map(|(_, r)| why(r)).collect();
        assert_eq!(
            read.join("\n"),
            "\
attribute what: unknown variant `explode`, expected one of `drain`, `cancel`, `pause`, `resume`, `extend`, `retry`, `force`
a newer ecs-drain wrote it (schema 7)
its key is request/main/drain/123456789012/us-east-1/web/20260105T090003000-1, but its attributes say request/another/drain/123456789012/us-east-1/web/20260105T090003000-1
20260105T090004000-1 is fine
its key is request/main/drain/123456789012/us-east-1/web/20260105T090005000-1, but its attributes say request/main/pause/123456789012/us-east-1/web/20260105T090005000-1"
        );
        for key in keys {
            let answer =
                Answer { text: "cannot be read".into(), refused: true, at: request("x").at };
            self.store.answer(&key, &answer).await.unwrap();
        }
    }

    pub(super) async fn one_query_gives_all_open_work(&self) {
        let store = Store::connect(&self.sdk, self.store.table(), "busy");
        let record = Record { controller: "busy".into(), ..record("i-busy") };
        let key = saved(store.create(record).await.unwrap()).key();
        let asked = ["20260105T090002000-2", "20260105T090001000-1"];
        let asked = asked.map(|id| Request { controller: "busy".into(), ..request(id) });
        for request in &asked {
            store.ask(request).await.unwrap();
        }
        let expected = OpenWork {
            records: vec![UnfinishedKey { key, version: 1 }],
            requests: asked.iter().rev().map(request_key).collect(),
            rollouts: Vec::new(),
        };
        store.set_pause("*", Some(&order("Ada"))).await.unwrap();
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
        assert_eq!(store.unfinished().await.unwrap(), expected.records);
        let all = store.all().await.unwrap();
        assert!(!all.iter().any(|(key, _)| key.starts_with("request")), "a request is no record");
    }

    pub(super) async fn a_pause_keeps_what_others_pause(&self) {
        let here = || Store::connect(&self.sdk, self.store.table(), "paused");
        let (ada, bob) = (here(), here());
        let web = "123456789012/us-east-1/web";
        assert_eq!(ada.pauses().await.unwrap(), Pauses::default());
        ada.set_pause("*", None).await.unwrap();
        ada.set_pause(web, Some(&order("Ada"))).await.unwrap();
        bob.set_pause("*", Some(&order("Bob"))).await.unwrap();
        // Read without the index, which shows a cluster's pause a moment later.
        assert_eq!(bob.pauses().await.unwrap().on("1", "eu", &[]), Some(&order("Bob")));
        assert_eq!(show(&self.item("pause/paused/*").await), PAUSE);
        self.until_paused(&ada, &["*", web]).await;
        let pauses = ada.pauses().await.unwrap();
        assert_eq!(pauses.on("123456789012", "us-east-1", &["jobs"]), Some(&order("Bob")));
        bob.set_pause("*", None).await.unwrap();
        bob.set_pause("*", None).await.unwrap();
        let pauses = ada.pauses().await.unwrap();
        assert_eq!(pauses.on("123456789012", "us-east-1", &["web"]), Some(&order("Ada")));
        assert_eq!(pauses.on("123456789012", "us-east-1", &["jobs"]), None);
        assert_eq!(self.store.pauses().await.unwrap(), Pauses::default(), "another controller's");
        assert!(!self.store.all().await.unwrap().iter().any(|(key, _)| key.starts_with("pause")));
    }

    pub(super) async fn a_pause_that_cannot_be_read_is_one(&self) {
        let store = Store::connect(&self.sdk, self.store.table(), "broken");
        store.set_pause("*", Some(&order("Ada"))).await.unwrap();
        store.set_pause("web-*", Some(&order("Ada"))).await.unwrap();
        self.edit("pause/broken/*", "by", AttributeValue::N("7".into())).await;
        let by = |pauses: &Pauses| pauses.on("1", "eu", &["jobs"]).map(|order| order.by.clone());
        let unread = "someone (its item cannot be read: attribute by: invalid type: integer `7`, expected a string)";
        assert_eq!(by(&store.pauses().await.unwrap()).as_deref(), Some(unread));
        store.set_pause("*", None).await.unwrap();
        self.until_paused(&store, &["web-*"]).await;
        assert_eq!(
            by(&store.pauses().await.unwrap()).as_deref(),
            Some("Ada"),
            "nobody knows what it was to pause"
        );
    }

    /// IAM limits the key of an item, and not its other attributes.
    pub(super) async fn who_may_write_one_key_speaks_for_no_other(&self) {
        let store = Store::connect(&self.sdk, self.store.table(), "spoken-for");
        for (key, unfinished) in [
            ("request/main/cancel/1/eu/web/1", "pause/spoken-for/*"),
            ("request/main/cancel/1/eu/web/2", "request/spoken-for/cancel/1/eu/web/2"),
            ("pause/main/1/eu/web", "pause/spoken-for/1/eu/web"),
        ] {
            self.edit(key, "unfinished_of", text("spoken-for")).await;
            self.edit(key, "unfinished", text(unfinished)).await;
        }
        store.set_pause("1/eu/jobs", Some(&order("Ada"))).await.unwrap();
        self.until_paused(&store, &["1/eu/jobs"]).await;
        assert_eq!(store.open_work().await.unwrap().requests, [""; 0]);
    }

    async fn until_paused(&self, store: &Store, places: &[&str]) {
        for _ in 0..50 {
            let pauses = store.pauses().await.unwrap();
            if pauses.places.keys().eq(places) {
                return;
            }
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
        panic!("{places:?} are not what is paused");
    }
}

/// A request, as people see it.
const REQUEST: &str = r#"account: "123456789012"
at: "2026-01-05T09:00:00.25Z"
by: "Ada"
cluster: "web"
controller: "main"
expires_at: 1767690000
generation: 0
id: "20260105T090000250-1"
instance_id: "i-asked"
key: "request/main/drain/123456789012/us-east-1/web/20260105T090000250-1"
reason: "kernel update"
region: "us-east-1"
schema: 1
unfinished: "request/main/drain/123456789012/us-east-1/web/20260105T090000250-1@000000000001"
unfinished_of: "main"
what: {drain: {then: "terminate"}}
"#;

/// A pause, as people see it.
const PAUSE: &str = r#"at: "2026-01-05T09:00:00.25Z"
by: "Bob"
key: "pause/paused/*"
reason: "kernel update"
unfinished: "pause/paused/*"
unfinished_of: "paused"
"#;
