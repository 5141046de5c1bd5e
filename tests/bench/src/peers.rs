//! The cost of other tools' polling, by formulas read from their sources: calls for one drained
//! instance.

/// The parameters of the formulas.
#[derive(Clone, Copy, Debug)]
pub struct Setting {
    /// The duration of a drain, in seconds.
    pub drain: f64,
    /// Container instances in a cluster.
    pub instances: usize,
    /// Target groups in the region.
    pub target_groups: usize,
    /// Load balancers that contain one instance.
    pub balancers: usize,
    /// The hook's heartbeat timeout, in seconds.
    pub heartbeat_timeout: f64,
}

/// Returns each tool's name and its calls for one drain.
pub fn calls(setting: &Setting) -> [(&'static str, f64); 6] {
    let Setting { drain, heartbeat_timeout, .. } = *setting;
    let pages = setting.instances.div_ceil(100).max(1) as f64;
    let (groups, balancers) = (setting.target_groups as f64, setting.balancers as f64);
    [
        // The whole cluster is listed and described, and one message sent, every six seconds.
        ("ecs-cid-sample", 2.0 + drain / 6.0 * (2.0 * pages + 1.0)),
        // The instance and its tasks, every ten seconds.
        ("CDK drain hook", 5.0 + drain / 10.0 * 2.0),
        // Its tasks, every ten seconds.
        ("ecs-drain-lambda", 9.0 + 4.0 * (pages - 1.0) + drain / 10.0),
        // Every target group of the region once, then those with the instance, every 90 to 10
        // seconds; heartbeats.
        (
            "lifecycle-manager",
            5.0 + groups
                + balancers * (1.0 + drain / 75.0)
                + (drain / (heartbeat_timeout / 2.0)).floor(),
        ),
        // A heartbeat every ten seconds.
        ("lifecycled", 4.0 + drain / 10.0),
        // The instance, at each delivery of the message, every 20 seconds.
        ("node-termination-handler", 2.0 + drain / 20.0),
    ]
}
