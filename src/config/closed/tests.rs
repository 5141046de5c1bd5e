//! Accepted windows, and the message of each mistake.

use crate::config::tests::{SCOPE, parse, refusal};
use ecs_drain_state::Reason;

/// Returns the error of a window; its first line is line 5.
fn window_refusal(keys: &str) -> String {
    refusal(&format!("{SCOPE}[[closed]]\n{keys}\n"))
}

const WINDOW: &str = "name = \"day\"\nschedule = \"0 8 * * MON-FRI\"\nduration = \"10h\"\n";

#[test]
fn windows_are_for_their_clusters() {
    let config = parse(&format!(
        "{SCOPE}[[closed]]\n{WINDOW}[[closed]]\nname = \"night\"\nschedule = \"0 22 * * *\"\n\
         duration = \"8h\"\nzone = \"america/new_york\"\nreasons = [\"scale-in\"]\n\
         clusters = [\"shop-*\"]\n"
    ));
    let names = |cluster| {
        let policy = config.policies.for_drain(cluster, Some("x"));
        policy.closed.iter().map(|window| window.name.clone()).collect::<Vec<_>>()
    };
    assert_eq!(names(Some("shop-1")), ["day", "night"]);
    assert_eq!(names(Some("web")), ["day"]);
    assert_eq!(names(None), ["day"]);
    let closed = config.policies.for_drain(Some("shop-1"), None).closed;
    assert_eq!(closed[0].zone.iana_name(), Some("UTC"));
    assert_eq!(closed[0].reasons, [Reason::Request, Reason::Rebalance]);
    assert_eq!(closed[1].zone.iana_name(), Some("America/New_York"));
    assert_eq!(closed[1].reasons, [Reason::ScaleIn]);
}

#[test]
fn a_wrong_window_names_what_is_allowed() {
    assert_eq!(
        window_refusal(""),
        "the configuration has 3 mistakes\n  test.toml:4: closed 1.duration is missing\n  \
         test.toml:4: closed 1.name is missing\n  test.toml:4: closed 1.schedule is missing"
    );
    let wrong = |line: &str| window_refusal(&format!("{WINDOW}{line}"));
    assert_eq!(
        wrong("zone = \"Europe/Berln\""),
        "test.toml:8: closed 1.zone is \"Europe/Berln\": no time zone has this name; did you mean \
         \"Europe/Berlin\"?"
    );
    for zone in ["", "+01:00", "CET-1CEST", "../../etc/passwd", "Middle Earth"] {
        let said = wrong(&format!("zone = {zone:?}"));
        assert!(said.contains("no time zone has this name"), "{said}");
    }
    assert_eq!(
        wrong("reasons = [\"request\", \"spot\"]"),
        "test.toml:8: an entry of closed 1.reasons is \"spot\": it must be \"request\", \
         \"rebalance\" or \"scale-in\""
    );
    assert!(wrong("reasons = []").contains("name at least one reason"));
    assert!(wrong("clusters = []").contains("an empty list matches nothing"));
    assert!(wrong("durration = \"1h\"").contains("did you mean \"duration\"?"));
    let changed = |from: &str, to: &str| window_refusal(&WINDOW.replace(from, to));
    assert_eq!(
        changed("0 8 * * MON-FRI", "0 8 31 2 *"),
        "test.toml:6: closed 1.schedule is \"0 8 31 2 *\": none of its months has such a day"
    );
    assert!(changed("0 8 * * MON-FRI", "0 8 * * *8").contains("the day of the week is \"*8\""));
    assert!(changed("10h", "0s").contains("it must be at least 1m"));
    assert!(changed("10h", "8d").contains("it may be at most 7d"));
    assert!(changed("\"day\"", "\"a\\nb\"").contains("a window's name has 1 to 64 characters"));
    assert_eq!(
        refusal(&format!("{SCOPE}[[closed]]\n{WINDOW}[[closed]]\n{WINDOW}")),
        "test.toml:8: closed 2 is a second window with the name \"day\""
    );
}

/// Otherwise no drain of the reason would ever begin.
#[test]
fn windows_that_are_always_closed_are_refused() {
    let always = WINDOW.replace("0 8 * * MON-FRI", "0 8 * * *").replace("10h", "24h");
    assert_eq!(
        window_refusal(&always),
        "test.toml:4: closed 1 leaves no time in which a drain of reason \"request\" may begin: \
         \"day\" is closed all year"
    );
    let week = "[[closed]]\nname = \"week\"\nschedule = \"0 8 * * MON\"\nduration = \"5d\"\n";
    let end = "[[closed]]\nname = \"end\"\nschedule = \"0 8 * * SAT\"\nduration = \"2d\"\n";
    let web = "clusters = [\"web\"]\n";
    for both in [format!("{week}{web}{end}"), format!("{week}{end}{web}"), format!("{end}{week}")] {
        let said = refusal(&format!("{SCOPE}{both}"));
        assert!(
            said.starts_with("test.toml:8: closed 2 leaves no time")
                || said.starts_with("test.toml:9: closed 2"),
            "{said}"
        );
        assert!(said.contains("are closed all year"), "{said}");
    }
    // Each has its own reason, or its own cluster.
    parse(&format!("{SCOPE}{week}{end}reasons = [\"scale-in\"]\n"));
    parse(&format!("{SCOPE}{week}{web}{end}clusters = [\"shop\"]\n"));
}
