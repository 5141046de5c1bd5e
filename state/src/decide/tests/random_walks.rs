//! Random drains, judged by their whole history: none is called drained without the proof.

use super::fixture::{Played, show};

/// A pass: its beginning and its answers. Each pass makes every read; some fail.
struct Look {
    began: u64,
    /// For each container instance, in order, true if it was closed. `None` if their status could
    /// not be read.
    closed: Option<Vec<bool>>,
    /// Numbers of tasks in the lists that run, and that stop. `None` if the tasks could not be
    /// listed.
    listed: Option<(usize, usize)>,
    /// For each of the two targets, true if it is gone. `None` if that could not be read.
    gone: Option<[bool; 2]>,
    /// True if the second target was found.
    late: bool,
    second_is_gone: bool,
    restart: bool,
}

#[test]
fn nothing_is_called_drained_without_the_proof() {
    let mut drained = 0;
    for seed in 1..=400 {
        drained += u32::from(walk(seed));
    }
    assert!(drained > 150, "only {drained} walks came to their end: they prove little");
}

fn walk(seed: u64) -> bool {
    let mut chance = Chance(seed);
    let (mut played, mut table, mut looks) = (Played::open("", ""), Vec::new(), Vec::new());
    let (mut at, mut second, mut late) = (0, "MISSING", false);
    for pass in 0..600 {
        let first =
            if pass == 0 { "ACTIVE" } else { chance.pick(&["DRAINING"; 24], &["ACTIVE", "?"]) };
        second = match second {
            "MISSING" => chance.pick(&["MISSING"; 20], &["ACTIVE", "DRAINING"]),
            "ACTIVE" => chance.pick(&["DRAINING"; 2], &["ACTIVE"]),
            _ => chance.pick(&["DRAINING"; 40], &["ACTIVE", "MISSING"]),
        };
        let tasks = chance.pick(&["none"; 24], &["api:RUNNING", "api:STOPPING", "?"]);
        let found = chance.pick(&["web/30"; 20], &["web/30,late/30"]);
        let targets = chance.pick(&["none"; 24], &["web:draining", "late:draining", "?"]);
        let answer = chance.pick(&["error"; 2], &["accepted"]);
        let event = chance.pick(&[""; 20], &["restart", "dies-before-save", "dies-after-save"]);
        let instances = if first == "?" { "ci=?".to_owned() } else { format!("{first},{second}") };
        let line = format!(
            "{at}s {instances} tasks={tasks} found={found} targets={targets} answer={answer} {event}"
        );

        let asked = played.drain.record.container_instances.len();
        let decided = played.pass(&line, show);
        table.push(format!("{line} => {decided}"));
        late |= found.contains("late");
        looks.push(Look {
            began: at,
            closed: (first != "?")
                .then(|| [first != "ACTIVE", second != "ACTIVE"][..asked].to_vec()),
            listed: match tasks {
                "?" => None,
                "api:RUNNING" => Some((1, 0)),
                "api:STOPPING" => Some((0, 1)),
                _ => Some((0, 0)),
            },
            gone: (targets != "?")
                .then_some([targets != "web:draining", targets != "late:draining"]),
            late,
            second_is_gone: second == "MISSING",
            restart: event == "restart",
        });
        if decided.contains("Complete(CONTINUE,Drained)")
            && let Err(why) = proven(&looks)
        {
            panic!("seed {seed}: {why}:\n{}", table.join("\n"));
        }
        if event.starts_with("dies") {
            looks.clear();
        }
        if played.drain.record.is_done() {
            return true;
        }
        at += chance.below(15) + 1;
    }
    false
}

/// Checks the proof of docs/decisions/0016 on the passes of this process. Each read of a pass ended
/// a second after it began.
fn proven(looks: &[Look]) -> Result<(), &'static str> {
    let since_start = looks.iter().rposition(|look| look.restart).unwrap_or(0);
    let looks = &looks[since_start..];
    let now = looks.last().map_or(0, |look| look.began);
    let rule = |holds: bool, rule: &'static str| if holds { Ok(()) } else { Err(rule) };
    let statuses =
        || looks.iter().rev().filter_map(|look| Some((look.began, look.closed.as_ref()?)));
    let (newest, all) = statuses().next().ok_or("the status was never read")?;
    rule(
        all.iter().all(|closed| *closed) && now + 1 - newest <= 10,
        "6: all are closed, by a young read",
    )?;
    let lists =
        |from: u64| looks.iter().filter(move |look| look.began >= from && look.listed.is_some());
    let mut emptied = 0;
    for n in 0..all.len() {
        if looks.last().is_some_and(|look| n == 1 && look.second_is_gone) {
            // Nothing lists the tasks of a container instance that is gone.
            continue;
        }
        // 1: beginning of the unbroken run of reads that showed it closed.
        let row = statuses().take_while(|(_, all)| all.get(n) == Some(&true));
        let closed_since = row.last().map_or(now, |(began, _)| began) + 1;
        let a = lists(closed_since + 60).next().ok_or("2: there is no list (a)")?;
        let b = lists(a.began + 1 + 60).next().ok_or("2: there is no list (b)")?;
        emptied = emptied.max(b.began);
    }
    rule(
        lists(0).next_back().is_some_and(|look| now - look.began <= 60),
        "2: the last list is young",
    )?;
    let last_list = lists(0).next_back().and_then(|look| look.listed);
    rule(last_list == Some((0, 0)), "3: no task is left")?;
    for n in [0, 1] {
        if n == 1 && !looks.iter().any(|look| look.late) {
            continue;
        }
        let row: Vec<u64> = looks
            .iter()
            .rev()
            .filter_map(|look| Some((look.began, look.gone?[n])))
            .take_while(|(_, gone)| *gone)
            .map(|(began, _)| began)
            .collect();
        let (Some(last), Some(first)) = (row.first(), row.last()) else {
            return Err("4: a target was not read");
        };
        rule(
            *last >= first + 10 && *last >= emptied,
            "4: it was seen gone twice, the second time after (b)",
        )?;
    }
    Ok(())
}

/// A random generator of this test's own, so that a seed means the same walk for ever (xorshift64*,
/// Vigna 2016).
struct Chance(u64);

impl Chance {
    fn below(&mut self, n: u64) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 33) % n
    }

    fn pick<'a>(&mut self, usual: &[&'a str], rare: &[&'a str]) -> &'a str {
        let n = self.below((usual.len() + rare.len()) as u64) as usize;
        usual.get(n).or_else(|| rare.get(n - usual.len())).copied().unwrap_or_default()
    }
}
