//! A scenario: a plain value.

/// A scenario and its bounds.
#[derive(Clone, Debug)]
pub struct Scenario {
    /// Its name, for `--scenario`.
    pub name: &'static str,
    /// Its events, in one line.
    pub about: &'static str,
    /// True if it belongs to the short selection that every test run plays.
    pub quick: bool,
    /// The world before the first event.
    pub layout: Layout,
    /// The events.
    pub plot: Plot,
    /// The longest time that is played, from the first event: virtual seconds.
    pub limit: u64,
    /// The bounds of its figures.
    pub bounds: Bounds,
    /// The bounds that the controller is known to miss. This list should become empty: a bound that
    /// is met must leave it.
    pub expected_misses: &'static [&'static str],
}

/// The world: clusters that are alike, each with one group of instances under the hook.
#[derive(Clone, Copy, Debug)]
pub struct Layout {
    /// The number of clusters.
    pub clusters: usize,
    /// The number of instances under the hook, over all clusters.
    pub instances: usize,
    /// The number of those that drain: the first ones of each cluster.
    pub drains: usize,
    /// Instances under the hook that have never joined a cluster; all of them drain.
    pub strangers: usize,
    /// Tasks on each instance, a job included.
    pub tasks: usize,
    /// The number of target groups, over all clusters. A service is behind each one.
    pub target_groups: usize,
    /// The balancer in front of the services.
    pub balancing: Balancing,
    /// `HeartbeatTimeout` of the hook, in seconds.
    pub heartbeat_timeout: u64,
    /// True if another hook holds each instance, for two hours.
    pub another_hook: bool,
    /// The standalone task of each instance, in addition to the tasks of services.
    pub job: Job,
    /// True if lifecycle notifications and Spot warnings come through a queue.
    pub queue: bool,
    /// The latency of every call once the controller has seen the waiting instances, in
    /// milliseconds; for [`Plot::Held`].
    pub latency: u64,
}

/// The balancer in front of services.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Balancing {
    /// Application Load Balancers, dynamic host ports.
    Application,
    /// Network Load Balancers, tasks with addresses of their own. They still send connections for
    /// 120 s after a target was deregistered.
    Network,
}

/// A standalone task, which `DRAINING` leaves alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Job {
    /// No task.
    None,
    /// It ends by itself; the ends of all are spread evenly over this many seconds, starting five
    /// minutes after the beginning.
    Ends(u64),
    /// It never ends.
    Endless,
}

/// The events of a scenario. Seconds count from the beginning, two minutes after the controller has
/// started.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Plot {
    /// All drains begin at once: their groups scale in.
    Wave,
    /// All drains begin at once, the process is killed after this many seconds, and another starts
    /// at once.
    Killed {
        /// The second of the kill.
        at: u64,
    },
    /// All drains begin at once, and one call in a hundred fails, applied or not.
    FailingCalls,
    /// All drains begin at once, and there is trouble for `span` seconds, starting at `from`. A
    /// drain that could end during the trouble is measured from its end.
    Troubled {
        /// The kind of trouble.
        trouble: Trouble,
        /// The second of its beginning.
        from: u64,
        /// Its duration in seconds.
        span: u64,
    },
    /// An operator requests all drains at once, and each cluster's budget is one.
    Rollout,
    /// All instances that do not drain return to their group's warm pool before, and rest there.
    Resting,
    /// Spot takes back all instances that drain, evenly spread over this many seconds, two minutes
    /// after each notice.
    Spot {
        /// The seconds from the first notice to the last.
        over: u64,
    },
    /// All drains begin at once, and none can end.
    Held,
}

/// A failure that lasts for a while, and from which everything must recover by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trouble {
    /// The table answers every call with an error.
    TableAway,
    /// Every read of ECS, the balancers and Auto Scaling is throttled.
    ReadsThrottled,
    /// No call of Auto Scaling gets an answer: heartbeats and completions included.
    AutoScalingHangs,
    /// The process is killed every minute, and another starts at once.
    Kills,
}

impl Plot {
    /// Returns true if it ends only after every drain has ended.
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

/// Upper bounds; `None`: not judged. Always judged: no hook expires, no checker complains, and
/// every drain ends if the plot lets it.
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
    /// The time from the last stopped task and the last gone target to the completion, 99th
    /// percentile, in seconds.
    pub lag: Option<f64>,
    /// The same time of the slowest drain.
    pub slowest: Option<f64>,
    /// The time from the wait's beginning, or Spot's notice, to `DRAINING`, of the slowest drain,
    /// in seconds.
    pub draining: Option<f64>,
    /// The time from the first wait's beginning to the last completion, in seconds.
    pub whole: Option<f64>,
    /// The controller's memory, in MiB. Only the program measures it.
    pub memory: Option<f64>,
}
