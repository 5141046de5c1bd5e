//! Sends requests to the controller and waits for its answers. A command changes no drain: it
//! writes requests to the table, and the controller that leads carries them out.

use crate::cli::byhand;
use crate::cli::find::Places;
use crate::cli::options::Flags;
use crate::cli::words::Screen;
use crate::cli::{Failure, Global, TableArgs, who};
use crate::config::span;
use crate::quote::{plain, word};
use crate::store::{Answer, Leader, Store, StoreError, requests, rollouts};
use clap::Args;
use ecs_drain_state::request::{EXPIRES_AFTER, SCHEMA};
use ecs_drain_state::{ContainerInstance, Record, Request, What, rollout};
use futures_util::future::join_all;
use jiff::Timestamp;
use std::io::Write;
use std::time::Duration;

/// Time between two reads of the answers.
const LOOK_EVERY: Duration = Duration::from_millis(500);

/// Time without all answers after which the command reports how many have arrived, and time between
/// two such lines.
const NARRATE_FIRST: Duration = Duration::from_secs(2);
const NARRATE_EVERY: Duration = Duration::from_secs(10);

/// Time that a controller has to take the lease if it is just starting.
const STARTS_WITHIN: Duration = Duration::from_secs(3);

/// Number of requests that are written at once.
const AT_ONCE: usize = 16;

/// Number of instances whose `aws` commands are printed.
const SHOWN: usize = 3;

/// Arguments of every command that makes requests.
#[derive(Clone, Debug, Args)]
pub(crate) struct AskArgs {
    /// Time to wait for the controller's answer, such as 30s; 0: none
    #[arg(long, value_name = "DURATION", default_value = "30s", value_parser = wait)]
    pub wait: Duration,
    #[command(flatten)]
    pub table: TableArgs,
}

fn wait(text: &str) -> Result<Duration, String> {
    if text == "0" { Ok(Duration::ZERO) } else { span::parse(text) }
}

/// Instance of a request.
#[derive(Clone, Debug)]
pub(crate) struct Subject {
    pub account: String,
    pub region: String,
    pub instance_id: String,
    /// Known container instances.
    pub container_instances: Vec<ContainerInstance>,
    /// Record of its drain, if there is one.
    pub record: Option<Record>,
}

impl Subject {
    /// Returns the key of the instance's record.
    pub(crate) fn key(&self) -> String {
        ecs_drain_state::record::key(&self.account, &self.region, &self.instance_id)
    }

    /// Creates a subject from a record.
    pub(crate) fn of(record: Record) -> Subject {
        Subject {
            account: record.account.clone(),
            region: record.region.clone(),
            instance_id: record.instance_id.clone(),
            container_instances: record.container_instances.clone(),
            record: Some(record),
        }
    }
}

/// A requester and the table that the requests are written to.
pub(crate) struct Desk {
    pub store: Store,
    /// Requester: an IAM ARN, or `user@host`.
    pub by: String,
    /// Reason, saved in the record.
    pub reason: Option<String>,
    /// Accounts and regions in which records can be.
    pub places: Places,
    wait: Duration,
    flags: Flags,
}

/// A request of either kind.
enum Paper {
    Drain(Request),
    Rollout(rollout::Request),
}

/// A request, and the `aws` commands that do the same by hand.
struct Slip {
    request: Paper,
    /// Name of its subject in lines for people.
    name: String,
    by_hand: Vec<String>,
}

impl Slip {
    fn key(&self) -> String {
        match &self.request {
            Paper::Drain(request) => requests::key(request),
            Paper::Rollout(request) => rollouts::request_key(request),
        }
    }
}

/// Returns the command that shows the result of requests.
fn shown_by(slips: &[Slip], flags: &Flags) -> String {
    let Flags(flags) = flags;
    match slips {
        [Slip { request: Paper::Drain(_), name, .. }] => {
            format!("ecs-drain describe {}{flags}", word(name))
        }
        [Slip { request: Paper::Rollout(_), name, .. }] => {
            format!("ecs-drain rollout describe {}{flags}", word(name))
        }
        [Slip { request: Paper::Rollout(_), .. }, ..] => format!("ecs-drain rollout get{flags}"),
        [] | [Slip { request: Paper::Drain(_), .. }, ..] => watched_by(flags),
    }
}

/// Returns the command that shows the progress of drains.
fn watched_by(flags: &str) -> String {
    format!("ecs-drain get --watch{flags}")
}

impl Desk {
    /// Connects to the table and reads the requester's identity.
    ///
    /// # Errors
    /// Returns an error if the configuration is refused, or no region is known.
    pub(crate) async fn open(
        global: &Global,
        args: &AskArgs,
        reason: Option<&str>,
    ) -> Result<Desk, Failure> {
        let (sdk, store) = global.connect(&args.table).await?;
        let by = who::asks(&sdk).await;
        let places = Places::new(global, &args.table, &sdk)?;
        let flags = Flags::of(&args.table, store.controller(), store.controller());
        let flags = flags.with_config(global);
        Ok(Desk { store, by, reason: reason.map(str::to_owned), places, wait: args.wait, flags })
    }

    /// Prints the command that shows the progress of drains, after the answers to requests. Without
    /// a wait for answers, a command was printed already.
    ///
    /// # Errors
    /// Returns an error if the text cannot be written.
    pub(crate) fn show_next(&self, out: &mut dyn Write) -> Result<(), Failure> {
        if !self.wait.is_zero() {
            let command = plain(&watched_by(&self.flags.0));
            writeln!(out, "`{command}` shows the progress")?;
        }
        Ok(())
    }

    fn slip(&self, subject: &Subject, what: What, now: Timestamp) -> Slip {
        let request = Request {
            id: self.store.request_id(now),
            controller: self.store.controller().to_owned(),
            account: subject.account.clone(),
            region: subject.region.clone(),
            instance_id: subject.instance_id.clone(),
            cluster: subject.container_instances.first().map(|one| one.cluster.clone()),
            generation: subject.record.as_ref().map_or(0, |record| record.generation),
            what,
            by: self.by.clone(),
            reason: self.reason.clone(),
            at: now,
            schema: SCHEMA,
        };
        let by_hand =
            byhand::commands(&request, subject.record.as_ref(), &subject.container_instances);
        let name = request.instance_id.clone();
        Slip { request: Paper::Drain(request), name, by_hand }
    }

    /// Writes the requests, waits for the answers, and prints one line for each.
    ///
    /// # Errors
    /// Returns an error if a request is refused or not answered, or the table cannot be written or
    /// read.
    pub(crate) async fn ask(
        &self,
        asked: &[(Subject, What)],
        out: &mut dyn Write,
    ) -> Result<(), Failure> {
        let now = Timestamp::now();
        let slips = asked.iter().map(|(subject, what)| self.slip(subject, *what, now)).collect();
        self.hand_in(slips, now, out).await
    }

    /// Writes requests about rollouts, each given by account, region and name; waits for the
    /// answers, and prints one line for each.
    ///
    /// # Errors
    /// Returns an error if a request is refused or not answered, or the table cannot be written or
    /// read.
    pub(crate) async fn ask_rollouts(
        &self,
        asked: Vec<([String; 3], rollout::What)>,
        out: &mut dyn Write,
    ) -> Result<(), Failure> {
        let (now, several) = (Timestamp::now(), asked.len() > 1);
        let slip = |([account, region, rollout], what): ([String; 3], rollout::What)| Slip {
            name: match several {
                true => format!("{account}/{region}/{rollout}"),
                false => rollout.clone(),
            },
            by_hand: Vec::new(),
            request: Paper::Rollout(rollout::Request {
                id: self.store.request_id(now),
                controller: self.store.controller().to_owned(),
                account,
                region,
                rollout,
                what,
                by: self.by.clone(),
                reason: self.reason.clone(),
                at: now,
                schema: SCHEMA,
            }),
        };
        self.hand_in(asked.into_iter().map(slip).collect(), now, out).await
    }

    async fn hand_in(
        &self,
        slips: Vec<Slip>,
        now: Timestamp,
        out: &mut dyn Write,
    ) -> Result<(), Failure> {
        let screen = Screen::detect();
        let mut leader = self.store.leader().await?;
        let all = slips.len();
        let mut slips = self.write(slips, out).await?;
        let unwritten = all - slips.len();
        // A controller that has just started takes the lease within moments.
        let patience = STARTS_WITHIN.min(self.wait);
        let asked = tokio::time::Instant::now();
        while leader.is_none() && asked.elapsed() < patience {
            tokio::time::sleep(LOOK_EVERY).await;
            leader = self.store.leader().await?;
        }
        let Some(leader) = leader else {
            out.write_all(screen.fit(&absent(&self.nobody(), &slips, now)).as_bytes())?;
            return Err(Failure::failed("the request is saved, but no controller is running"));
        };
        if self.wait.is_zero() {
            let saved = if all == 1 { "the request is saved" } else { "the requests are saved" };
            let shown_by = plain(&shown_by(&slips, &self.flags));
            writeln!(out, "{saved}; `{shown_by}` shows the result")?;
            return match unwritten {
                0 => Ok(()),
                lost => Err(Failure::failed(format!("{lost} of {all} requests not saved"))),
            };
        }
        let mut refused = 0;
        let collected = self.collect(&mut slips, &mut refused, &leader.holder, out);
        match tokio::time::timeout(self.wait, collected).await {
            Ok(done) => done?,
            Err(_) => {
                let text = match self.silent(&leader).await? {
                    Some(nobody) => absent(&nobody, &slips, now),
                    None => unanswered(&slips, &leader, &self.flags),
                };
                out.write_all(screen.fit(&text).as_bytes())?;
                return Err(Failure::failed(format!(
                    "{} of {all} requests without an answer",
                    slips.len()
                )));
            }
        }
        match (refused, unwritten, all) {
            (0, 0, _) => Ok(()),
            (_, 0, 1) => Err(Failure::failed("the request was refused; nothing was changed")),
            (n, 0, all) => Err(Failure::failed(format!("{n} of {all} requests refused"))),
            (0, n, all) => Err(Failure::failed(format!("{n} of {all} requests not saved"))),
            (n, lost, all) => {
                Err(Failure::failed(format!("{n} of {all} requests refused, {lost} not saved")))
            }
        }
    }

    /// Writes the requests in batches, and returns those that are in the table. It prints the
    /// others. After a batch of which no request was written, the rest is not tried.
    ///
    /// # Errors
    /// Returns an error if no request was written.
    async fn write(&self, slips: Vec<Slip>, out: &mut dyn Write) -> Result<Vec<Slip>, Failure> {
        let (mut written, mut lost, mut failed) = (Vec::new(), String::new(), None);
        let mut slips = slips.into_iter();
        loop {
            let some: Vec<Slip> = slips.by_ref().take(AT_ONCE).collect();
            let (before, tried) = (written.len(), some.len());
            let answers = join_all(some.iter().map(|slip| self.put(slip))).await;
            for (slip, answer) in some.into_iter().zip(answers) {
                match answer {
                    Ok(()) => written.push(slip),
                    Err(error) => {
                        // A write without an answer may have succeeded.
                        let perhaps = if error.is_transient() { "perhaps " } else { "" };
                        let line = format!("{}: request {perhaps}not saved: {error}", slip.name);
                        lost.push_str(&(plain(&line) + "\n"));
                        failed = Some(error);
                    }
                }
            }
            if written.len() == before || tried < AT_ONCE {
                break;
            }
        }
        if let (Some(error), true) = (failed, written.is_empty()) {
            return Err(error.into());
        }
        out.write_all(lost.as_bytes())?;
        if slips.len() > 0 {
            writeln!(out, "{} more requests not saved either", slips.len())?;
        }
        Ok(written)
    }

    async fn put(&self, slip: &Slip) -> Result<(), StoreError> {
        match &slip.request {
            Paper::Drain(request) => self.store.ask(request).await,
            Paper::Rollout(request) => self.store.ask_rollout(request).await,
        }
    }

    /// Prints answers as they arrive, until each request has one, and removes answered requests
    /// from `slips`. While it waits, it reports how many answers have arrived.
    async fn collect(
        &self,
        slips: &mut Vec<Slip>,
        refused: &mut usize,
        leader: &str,
        out: &mut dyn Write,
    ) -> Result<(), Failure> {
        let (all, mut next) = (slips.len(), tokio::time::Instant::now() + NARRATE_FIRST);
        loop {
            tokio::time::sleep(LOOK_EVERY).await;
            if tokio::time::Instant::now() >= next {
                next += NARRATE_EVERY;
                let answered = all - slips.len();
                let text = format!(
                    "waiting for controller {} ({leader}): {answered} of {all} answers",
                    self.store.controller()
                );
                writeln!(out, "{}", plain(&text))?;
                out.flush()?;
            }
            let keys: Vec<String> = slips.iter().map(Slip::key).collect();
            let answers = match self.store.answers_of(&keys).await {
                Ok(answers) => answers,
                Err(error) if error.is_transient() => continue,
                Err(error) => return Err(error.into()),
            };
            let mut text = String::new();
            slips.retain(|slip| match answers.get(&slip.key()) {
                Some(answer) => {
                    *refused += usize::from(answer.refused);
                    text.push_str(&line(&slip.name, answer));
                    false
                }
                None => true,
            });
            out.write_all(Screen::detect().fit(&text).as_bytes())?;
            out.flush()?;
            if slips.is_empty() {
                return Ok(());
            }
        }
    }

    fn nobody(&self) -> String {
        format!(
            "controller {:?} is not running: no process holds its lease in table {}",
            self.store.controller(),
            self.store.table()
        )
    }

    /// Returns the reason why no answer can arrive, if the lease shows that no controller runs.
    async fn silent(&self, before: &Leader) -> Result<Option<String>, StoreError> {
        // Within a shorter wait a running leader may have had no reason to renew its lease.
        if self.wait < crate::store::lease::DURATION {
            return Ok(None);
        }
        Ok(match self.store.leader().await? {
            None => Some(self.nobody()),
            Some(now) if now == *before => Some(format!(
                "controller {:?} is not running: {} has not renewed its lease for {}",
                self.store.controller(),
                before.holder,
                span::words(self.wait)
            )),
            Some(_) => None,
        })
    }
}

/// Returns an answer's line, such as `i-0123: paused: heartbeats continue …`.
fn line(name: &str, answer: &Answer) -> String {
    let refused = if answer.refused { "refused: " } else { "" };
    plain(&format!("{name}: {refused}{}", answer.text)) + "\n"
}

/// Returns the message for requests that a running controller has not answered.
fn unanswered(slips: &[Slip], leader: &Leader, flags: &Flags) -> String {
    let lines = slips.iter().map(|slip| format!("{}: no answer yet\n", plain(&slip.name)));
    let lines: String = lines.collect();
    format!(
        "{lines}The controller is running ({}) and carries the request out within {} minutes or not at all.\n`{}` \
         shows the result.\n",
        plain(&leader.holder),
        EXPIRES_AFTER.as_mins(),
        plain(&shown_by(slips, flags))
    )
}

/// Returns the message where no controller runs: the moment until which a controller that starts
/// will still carry the requests out, and the `aws` commands that do the same by hand.
fn absent(nobody: &str, slips: &[Slip], now: Timestamp) -> String {
    let until = ecs_drain_state::record::later(now, EXPIRES_AFTER);
    let mut text = format!(
        "{}.\nA controller that starts before {until:.0} will carry {} out.",
        plain(nobody),
        if slips.len() == 1 { "it" } else { "them" }
    );
    let by_hand: Vec<&Slip> = slips.iter().filter(|slip| !slip.by_hand.is_empty()).collect();
    if by_hand.is_empty() {
        return text + "\n";
    }
    text.push_str(" To do it now by hand:\n\n");
    for command in by_hand.iter().take(SHOWN).flat_map(|slip| &slip.by_hand) {
        text.push_str(&format!("  {}\n", plain(command)));
    }
    match by_hand.len().saturating_sub(SHOWN) {
        0 => text,
        more => text + &format!("\nand the same for {more} more.\n"),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn slips(n: usize) -> Vec<Slip> {
        let one = |n: usize| Slip {
            name: format!("i-{n}"),
            request: Paper::Drain(Request {
                id: n.to_string(),
                controller: "main".to_owned(),
                account: "1".to_owned(),
                region: "eu-west-1".to_owned(),
                instance_id: format!("i-{n}"),
                cluster: None,
                generation: 1,
                what: What::Pause,
                by: "Ada".to_owned(),
                reason: None,
                at: Timestamp::UNIX_EPOCH,
                schema: SCHEMA,
            }),
            by_hand: vec![format!("aws do {n}")],
        };
        (0..n).map(one).collect()
    }

    #[test]
    fn a_wait_is_0_or_a_duration_with_a_unit() {
        assert_eq!(wait("0"), Ok(Duration::ZERO));
        assert_eq!(wait("2m"), Ok(Duration::from_secs(120)));
        assert!(wait("30").is_err() && wait("soon").is_err());
    }

    #[test]
    fn without_a_controller_the_aws_commands_are_printed() {
        assert_eq!(
            absent("nobody is there", &slips(1), Timestamp::UNIX_EPOCH),
            "\
nobody is there.
A controller that starts before 1970-01-01T00:15:00Z will carry it out. To do it now by hand:

  aws do 0
"
        );
        let many = absent("nobody is there", &slips(5), Timestamp::UNIX_EPOCH);
        assert!(many.ends_with("  aws do 2\n\nand the same for 2 more.\n"), "{many}");
        let mut nothing = slips(1);
        nothing[0].by_hand.clear();
        assert!(
            absent("nobody is there", &nothing, Timestamp::UNIX_EPOCH)
                .ends_with("will carry it out.\n")
        );
    }

    #[test]
    fn one_request_is_shown_by_describe_and_several_by_get() {
        let flags = Flags(" --table drains".to_owned());
        assert_eq!(shown_by(&slips(1), &flags), "ecs-drain describe i-0 --table drains");
        assert_eq!(shown_by(&slips(2), &flags), "ecs-drain get --watch --table drains");
    }

    #[test]
    fn an_answer_is_a_line() {
        let answer = Answer {
            text: "it is not paused".to_owned(),
            refused: false,
            at: Timestamp::UNIX_EPOCH,
        };
        assert_eq!(line("i-0", &answer), "i-0: it is not paused\n");
        let answer = Answer { refused: true, ..answer };
        assert_eq!(line("i-0", &answer), "i-0: refused: it is not paused\n");
    }
}
