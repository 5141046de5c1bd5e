//! What a scenario is: a plain value.

/// A scenario and what it is held to.
#[derive(Clone, Debug)]
pub struct Scenario {
    /// Its name, for `--scenario`.
    pub name: &'static str,
    /// What happens in it, in one line.
    pub about: &'static str,
    /// Whether it belongs to the minute's choice that every test run plays.
    pub quick: bool,
    /// The world before anything happens.
    pub layout: Layout,
    /// What happens.
    pub plot: Plot,
    /// How long it is played at most, from the first event on: virtual seconds.
    pub limit: u64,
    /// What its figures must keep to.
    pub bounds: Bounds,
    /// The bounds that the controller is known to miss. This list is there to be emptied: a bound
    /// that is reached must leave it.
    pub expected_misses: &'static [&'static str],
}

/// The world: clusters that are alike, each with one group of instances under the hook.
#[derive(Clone, Copy, Debug)]
pub struct Layout {
    /// How many clusters.
    pub clusters: usize,
    /// How many instances under the hook, over all clusters.
    pub instances: usize,
    /// How many of them drain; the first ones of each cluster.
    pub drains: usize,
    /// Instances under the hook that have never joined a cluster; all of them drain.
    pub strangers: usize,
    /// Tasks on each instance, a job included.
    pub tasks: usize,
    /// How many target groups, over all clusters. A service stands behind each one.
    pub target_groups: usize,
    /// What stands before the services.
    pub balancing: Balancing,
    /// `HeartbeatTimeout` of the hook, in seconds.
    pub heartbeat_timeout: u64,
    /// Whether another hook goes on holding each instance, for two hours.
    pub another_hook: bool,
    /// Which standalone task each instance has, beside those of services.
    pub job: Job,
    /// Whether lifecycle notifications and Spot warnings come through a queue.
    pub queue: bool,
    /// How long every call takes once the controller has seen who waits, in milliseconds; for
    /// [`Plot::Held`].
    pub latency: u64,
}

/// What stands before services.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Balancing {
    /// Application load balancers, dynamic host ports.
    Application,
    /// Network load balancers, tasks with addresses of their own. They go on sending connections
    /// for 120 s after a target was deregistered.
    Network,
}

/// A standalone task, which `DRAINING` leaves alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Job {
    /// There is none.
    None,
    /// It ends by itself; the ends of all are spread evenly over so many seconds, from five minutes
    /// after the beginning on.
    Ends(u64),
    /// It never ends.
    Endless,
}

/// What happens. Seconds count from the beginning, two minutes after the controller has started.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Plot {
    /// All drains begin at once: their groups scale in.
    Wave,
    /// The same, and the process is killed after so many seconds, and another begins at once.
    Killed {
        /// When it is killed.
        at: u64,
    },
    /// The same, and one call in a hundred fails, applied or not.
    FailingCalls,
    /// The same, and from `from` on there is trouble for `span` seconds. What ended meanwhile
    /// counts from its end.
    Troubled {
        /// What the trouble is.
        trouble: Trouble,
        /// When it begins.
        from: u64,
        /// For how long it lasts.
        span: u64,
    },
    /// An operator orders all drains at once, and one may go on at a time in each cluster.
    Rollout,
    /// All instances that do not drain return to their group's warm pool before, and rest there.
    Resting,
    /// Spot takes all instances that drain back, evenly spread over so many seconds, two minutes
    /// after its notice.
    Spot {
        /// From the first notice to the last.
        over: u64,
    },
    /// All drains begin at once, and none can end.
    Held,
}

/// What lasts for a while, and after which everything has to come back to normal by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trouble {
    /// The table answers every call with an error.
    TableAway,
    /// Every call of ECS, the balancers and Auto Scaling that reads is throttled.
    ReadsThrottled,
    /// No call of Auto Scaling gets an answer, heartbeats and completions neither.
    AutoScalingHangs,
    /// The process is killed every minute, and another begins at once.
    Kills,
}

impl Plot {
    /// Whether it is over only when every drain has ended.
    pub fn ends(self) -> bool {
        match self {
            Self::Wave
            | Self::Killed { .. }
            | Self::FailingCalls
            | Self::Troubled { .. }
            | Self::Resting => true,
            Self::Rollout | Self::Spot { .. } | Self::Held => false,
        }
    }
}

/// Upper bounds; `None`: not judged. Always judged: no hook runs out, no checker complains, and
/// every drain ends where the plot lets it.
#[derive(Clone, Copy, Debug)]
pub struct Bounds {
    /// Calls that AWS throttled.
    pub throttled: Option<u64>,
    /// Calls for each drain, without DynamoDB's.
    pub calls: Option<f64>,
    /// Writes of DynamoDB for each drain, without the lease.
    pub writes: Option<f64>,
    /// Calls in a minute, without DynamoDB's and SQS's, on average.
    pub per_minute: Option<f64>,
    /// The use of the busiest rate family in any minute, in percent of AWS's rate.
    pub busiest: Option<f64>,
    /// From the last task stopped and the last target gone to the completion, 99th percentile, in
    /// seconds.
    pub lag: Option<f64>,
    /// The same, of the slowest drain.
    pub slowest: Option<f64>,
    /// From the wait's beginning, or Spot's notice, to `DRAINING`, of the slowest drain, in
    /// seconds.
    pub draining: Option<f64>,
    /// From the first wait's beginning to the last completion, in seconds.
    pub whole: Option<f64>,
    /// The controller's memory, in MiB. Only the program measures it.
    pub memory: Option<f64>,
}
