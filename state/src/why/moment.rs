//! Reasons with a moment in them. A record is read after it was written, so a moment that it names
//! can have passed.

use jiff::Timestamp;

/// Beginning of a reason that the policy holds past its deadline.
pub(super) const HELD: &str = "past its deadline, held by policy (at_deadline): ";

/// Words of a reason around the moment at which something is to happen.
pub(super) struct Moment {
    before: &'static str,
    after: &'static str,
    /// The same reason once the moment has passed.
    passed: &'static str,
}

impl Moment {
    pub(super) fn at(&self, at: Timestamp) -> String {
        format!("{}{at:.0}{}", self.before, self.after)
    }

    /// Returns the reason once its moment has passed, with what follows it. `None` if `message` is
    /// another reason, or its moment is still to come.
    fn due(&self, message: &str, now: Timestamp) -> Option<String> {
        let rest = message.strip_prefix(self.before)?;
        let end = rest.find('Z')? + 1;
        let at: Timestamp = rest[..end].parse().ok()?;
        let more = rest[end..].find("; ").map_or("", |more| &rest[end + more..]);
        (at < now).then(|| format!("{}{more}", self.passed))
    }
}

pub(super) const RELEASE: Moment = Moment {
    before: "in no cluster; released at ",
    after: " unless it registers",
    passed: "in no cluster; its release is due unless it registers",
};
pub(super) const LISTING: Moment = Moment {
    before: "its tasks are listed again at ",
    after: ", before deregistration",
    passed: "its tasks are listed again before deregistration",
};
pub(super) const CONTAINERS: Moment = Moment {
    before: "ECS reports its tasks as stopped, but containers may still run; waiting until ",
    after: "",
    passed: "ECS reports its tasks as stopped; the time for their containers to end is over",
};
pub(super) const NETWORK: Moment = Moment {
    before: "no task or target left; a network load balancer may send new connections until ",
    after: "",
    passed: "no task or target left; the check after the last new connections is due",
};
pub(super) const FIRST_CHECK: Moment = Moment {
    before: "no task or target left; the first check is at ",
    after: "",
    passed: "no task or target left; the first check is due",
};
pub(super) const SECOND_CHECK: Moment = Moment {
    before: "no task or target left; the second check is at ",
    after: "",
    passed: "no task or target left; the second check is due",
};
pub(super) const WINDOW: Moment = Moment {
    before: "not started before ",
    after: "",
    passed: "the end of its window has passed; its start is due",
};
const MOMENTS: [&Moment; 7] =
    [&RELEASE, &LISTING, &CONTAINERS, &NETWORK, &FIRST_CHECK, &SECOND_CHECK, &WINDOW];

/// Words around the moment until which a target drains at most.
pub(crate) const UNTIL: (&str, &str) = (", until ", " at most");
/// Words before the same moment once it has passed.
pub(crate) const PAST: &str = ", past its delay since ";

/// Returns a stored reason, or the stored state of a target, as it reads at `now`: something whose
/// moment has passed is due.
pub fn as_of(message: &str, now: Timestamp) -> String {
    let (held, reason) = message.strip_prefix(HELD).map_or(("", message), |reason| (HELD, reason));
    let due = MOMENTS.iter().find_map(|moment| moment.due(reason, now));
    let text = format!("{held}{}", due.as_deref().unwrap_or(reason));
    let passed = text.split_once(UNTIL.0).and_then(|(before, rest)| {
        let (moment, after) = rest.split_once(UNTIL.1)?;
        let at: Timestamp = moment.parse().ok()?;
        (at < now).then(|| format!("{before}{PAST}{moment}{after}"))
    });
    passed.unwrap_or(text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::later;
    use crate::why::Why;
    use jiff::SignedDuration;
    use std::time::Duration;

    #[test]
    fn a_stored_moment_that_has_passed_is_due() {
        let (now, left) = (Timestamp::UNIX_EPOCH, Duration::from_secs(20));
        let window = Why::WindowClosed { window: "day".into(), until: later(now, left_of(left)) };
        let held = Why::HeldPastDeadline(Box::new(Why::SecondLook { left }));
        for (why, due) in [
            (Why::NotInCluster { left }, RELEASE.passed),
            (Why::ListsOnceMore { left }, LISTING.passed),
            (Why::LongestDelay { left }, CONTAINERS.passed),
            (Why::NetworkSettling { left }, NETWORK.passed),
            (Why::Settling { left }, "no task or target left; the first check is due"),
            (Why::SecondLook { left }, "no task or target left; the second check is due"),
            (window, WINDOW.passed),
            (
                held,
                "past its deadline, held by policy (at_deadline): no task or target left; the second check is due",
            ),
        ] {
            let stored = why.sentence(now);
            assert_eq!(as_of(&stored, now), stored);
            let after = later(now, left_of(left * 2));
            assert_eq!(as_of(&stored, after), due);
            let cause = format!("{stored}; service shop has no room");
            assert_eq!(as_of(&cause, after), format!("{due}; service shop has no room"));
        }
    }

    fn left_of(left: Duration) -> SignedDuration {
        SignedDuration::try_from(left).unwrap_or_default()
    }

    #[test]
    fn a_stored_target_is_past_its_delay() {
        let stored = "i-1 in target group web is draining, until 1970-01-01T00:00:20Z at most";
        assert_eq!(as_of(stored, Timestamp::UNIX_EPOCH), stored);
        assert_eq!(
            as_of(&format!("2 targets left: {stored} and 1 more"), Timestamp::MAX),
            "2 targets left: i-1 in target group web is draining, past its delay since 1970-01-01T00:00:20Z and 1 more"
        );
    }
}
