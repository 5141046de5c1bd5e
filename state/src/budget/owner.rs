//! The wish of a service's owner: the tag `ecs-drain:do-not-disrupt` of the service.

use jiff::Timestamp;
use jiff::civil::{Date, Time};
use jiff::tz::TimeZone;

/// Key of the tag.
pub const DO_NOT_DISRUPT: &str = "ecs-drain:do-not-disrupt";

/// Time for which the tasks of a service are to stay where they are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum DoNotDisrupt {
    /// Until this moment.
    Until(Timestamp),
    /// Until the tag is removed.
    Always,
}

impl DoNotDisrupt {
    /// Reads the value of the tag: `true`, `false`, a date such as `2026-12-24`, which means its
    /// beginning in UTC, or a moment such as `2026-12-24T18:00:00Z`. Returns `None` for `false`.
    ///
    /// # Errors
    /// Returns the values allowed if it is none of these.
    pub fn read(value: &str) -> Result<Option<DoNotDisrupt>, String> {
        match value.trim() {
            "true" => Ok(Some(DoNotDisrupt::Always)),
            "false" => Ok(None),
            text => {
                // `parse` would take a time without a zone for its date.
                let date = || Date::strptime("%Y-%m-%d", text).ok();
                let day = || TimeZone::UTC.to_timestamp(date()?.to_datetime(Time::midnight())).ok();
                match text.parse().ok().or_else(day) {
                    Some(moment) => Ok(Some(DoNotDisrupt::Until(moment))),
                    None => Err("it must be true, false, a date such as 2026-12-24, or a moment \
                                 such as 2026-12-24T18:00:00Z"
                        .to_owned()),
                }
            }
        }
    }

    /// Returns whether the tasks are to stay at this moment.
    pub fn holds(self, now: Timestamp) -> bool {
        match self {
            DoNotDisrupt::Until(until) => now < until,
            DoNotDisrupt::Always => true,
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_tag_holds_for_ever_or_until_a_moment() {
        let at = |text: &str| text.parse::<Timestamp>().unwrap();
        let until = |text: &str| Ok(Some(DoNotDisrupt::Until(at(text))));
        for (value, read) in [
            ("true", Ok(Some(DoNotDisrupt::Always))),
            ("false", Ok(None)),
            ("2026-12-24", until("2026-12-24T00:00:00Z")),
            ("2026-12-24T18:00:00Z", until("2026-12-24T18:00:00Z")),
            (" 2026-12-24T18:00:00+02:00 ", until("2026-12-24T16:00:00Z")),
        ] {
            assert_eq!(DoNotDisrupt::read(value), read, "{value}");
        }
        for bad in ["", "yes", "True", "2026-13-01", "24.12.2026", "1h", "2026-12-24T18:00:00"] {
            assert!(DoNotDisrupt::read(bad).is_err(), "{bad}");
        }
        let day = DoNotDisrupt::read("2026-12-24").unwrap().unwrap();
        assert!(day.holds(at("2026-12-23T23:59:59Z")) && !day.holds(at("2026-12-24T00:00:00Z")));
        assert!(DoNotDisrupt::Always.holds(at("2026-12-24T00:00:00Z")));
    }
}
