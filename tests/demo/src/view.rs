//! What is shown while the story runs. Plain lines are here, the live table is in `screen`.

use super::ending::Ending;
use super::play::since;
use super::serve::commands;
use ecs_drain_state::{Outcome, Phase, Record};
use jiff::Timestamp;
use std::io::{self, Write};
use std::time::Duration;

/// Where the story is shown.
pub trait View {
    /// Before it begins.
    ///
    /// # Errors
    /// It cannot be written.
    fn begin(&mut self, opening: &Opening) -> io::Result<()>;

    /// What a look at the table and the world shows.
    ///
    /// # Errors
    /// It cannot be written.
    fn show(&mut self, snapshot: &Snapshot) -> io::Result<()>;

    /// After it has ended; `url`: where the simulated AWS still is.
    ///
    /// # Errors
    /// It cannot be written.
    fn end(&mut self, ending: &Ending, url: Option<&str>) -> io::Result<()>;
}

/// What is known before the story begins.
#[derive(Clone, Debug)]
pub struct Opening {
    /// What everything that is left to chance follows from.
    pub seed: u64,
    /// Simulated seconds a second, at most.
    pub speed: Option<u32>,
    /// How long each life of the controller is.
    pub kill_every: Option<Duration>,
    /// How many instances there are.
    pub instances: usize,
    /// How many of them leave.
    pub leaving: usize,
    /// Those that are worth watching, and why.
    pub specials: Vec<(String, &'static str)>,
    /// Where the simulated AWS can be reached.
    pub url: Option<String>,
}

impl Opening {
    /// It in a few lines.
    pub fn text(&self) -> String {
        let speed = match self.speed {
            Some(speed) => format!("at most {speed} simulated seconds a second"),
            None => "as fast as it goes".to_owned(),
        };
        // Lines of at most 80 columns.
        let mut text = format!(
            "ecs-drain demo: the real controller and a simulated AWS, in this process.\n\
             Seed {}, {speed}.\n\
             A scale-in takes {} of {} instances away, in three clusters: shop (its services\n\
             are behind an application load balancer), media (a network load balancer) and\n\
             office (a classic load balancer). Worth watching:\n",
            self.seed, self.leaving, self.instances
        );
        for (instance, why) in &self.specials {
            text += &format!("  {instance}  {why}\n");
        }
        if let Some(every) = self.kill_every {
            text +=
                &format!("The controller is killed every {}, and started again.\n", clock(every));
        }
        if let Some(url) = &self.url {
            text += &format!("The simulated AWS and the table are at {url} meanwhile.\n");
        }
        text + "\n"
    }
}

/// What one look shows.
#[derive(Clone, Debug, Default)]
pub struct Snapshot {
    /// Time since the story began.
    pub now: Duration,
    /// The instances that leave.
    pub rows: Vec<Row>,
    /// How often the controller was killed.
    pub kills: u32,
    /// Whether it runs.
    pub up: bool,
    /// How many calls it has made.
    pub calls: u64,
    /// What has happened since the last look, in order.
    pub happened: Vec<Happening>,
}

/// Something that happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Happening {
    /// When, since the story began.
    pub at: Duration,
    /// To which of the instances; None: to all, or to the controller.
    pub row: Option<usize>,
    /// What.
    pub what: String,
}

/// An instance.
#[derive(Clone, Debug)]
pub struct Row {
    /// Its id.
    pub instance: String,
    /// Its cluster.
    pub cluster: &'static str,
    /// Its phase, once it has a record.
    pub phase: Option<Phase>,
    /// How it ended.
    pub outcome: Option<Outcome>,
    /// When it entered that phase, since the story began.
    pub since: Option<Duration>,
    /// What the record says it waits for.
    pub waiting_for: String,
    /// How many containers of services that are no daemons, and of no service, truly run there.
    pub tasks: usize,
    /// How many registrations traffic truly flows to.
    pub targets: usize,
}

impl Row {
    /// An instance without a record.
    pub fn new(instance: &str, cluster: &'static str) -> Row {
        Row {
            instance: instance.to_owned(),
            cluster,
            phase: None,
            outcome: None,
            since: None,
            waiting_for: "waits under its hook; the controller has not seen it yet".to_owned(),
            tasks: 0,
            targets: 0,
        }
    }

    /// Takes over what the record says.
    pub fn tell(&mut self, record: &Record, start: Timestamp) {
        self.phase = Some(record.phase());
        self.outcome = record.outcome();
        self.since = Some(since(start, record.phase_since));
        self.waiting_for.clone_from(&record.shown.message);
    }

    /// Whether its drain has ended.
    pub fn is_done(&self) -> bool {
        self.phase == Some(Phase::Done)
    }

    /// Its phase in a word; once it is done, how it ended.
    pub fn word(&self) -> String {
        match (self.phase, self.outcome) {
            (Some(Phase::Done), Some(outcome)) => format!("Done: {outcome}"),
            (Some(phase), _) => phase.to_string(),
            (None, _) => "-".to_owned(),
        }
    }
}

/// A time as a clock shows it: `2:05`, `1:02:05`.
pub fn clock(span: Duration) -> String {
    let seconds = span.as_secs();
    match (seconds / 3600, seconds / 60 % 60, seconds % 60) {
        (0, m, s) => format!("{m}:{s:02}"),
        (h, m, s) => format!("{h}:{m:02}:{s:02}"),
    }
}

/// Plain lines, one for each change of phase: for files, pipes and tests.
#[derive(Debug)]
pub struct Lines<W> {
    out: W,
}

impl<W: Write> Lines<W> {
    /// Writes there.
    pub fn new(out: W) -> Lines<W> {
        Lines { out }
    }

    /// What was written to.
    pub fn into_inner(self) -> W {
        self.out
    }
}

impl<W: Write> View for Lines<W> {
    fn begin(&mut self, opening: &Opening) -> io::Result<()> {
        self.out.write_all(opening.text().as_bytes())?;
        self.out.flush()
    }

    fn show(&mut self, snapshot: &Snapshot) -> io::Result<()> {
        for happening in &snapshot.happened {
            let time = clock(happening.at);
            match happening.row.and_then(|row| snapshot.rows.get(row)) {
                Some(row) => writeln!(
                    self.out,
                    "{time:>6}  {}  {:<6}  {}",
                    row.instance, row.cluster, happening.what
                )?,
                None => writeln!(self.out, "{time:>6}  {}", happening.what)?,
            }
        }
        self.out.flush()
    }

    fn end(&mut self, ending: &Ending, url: Option<&str>) -> io::Result<()> {
        write!(self.out, "\n{}", ending.summary())?;
        if let Some(url) = url {
            write!(self.out, "\n{}", serving(url, ending))?;
        }
        self.out.flush()
    }
}

/// What is said while the simulated AWS is served after the end.
pub fn serving(url: &str, ending: &Ending) -> String {
    format!(
        "The simulated AWS, the table and the controller go on until Ctrl-C, now in real time. In another terminal:\n\n{}",
        commands(url, ending.stays.as_deref())
    )
}
