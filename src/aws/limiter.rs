//! Stays inside half of the request rates that AWS publishes, so that the other half is left to everybody else in the
//! account. One limiter belongs to one account and region; it paces the first attempt of each call, while the SDK's own
//! backoff paces its retries.

use super::calls::{Call, Family};
use std::collections::BTreeMap;
use std::time::Duration;
use tokio::sync::Mutex;
use tokio::time::Instant;

/// How often calls of one family may begin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Rate {
    /// Calls a second, in the long run.
    per_second: u32,
    /// Calls at once, after a pause.
    burst: u32,
}

impl Family {
    /// The families that are limited here.
    const LIMITED: [Family; 12] = [
        Family::EcsClusterRead,
        Family::EcsClusterResourceRead,
        Family::EcsClusterResourceModify,
        Family::EcsServiceRead,
        Family::EcsTaskDefinitionRead,
        Family::EcsTaskProtection,
        Family::AutoScalingRead,
        Family::AutoScalingHeartbeat,
        Family::AutoScalingCompletion,
        Family::AutoScalingTermination,
        Family::Elbv2Read,
        Family::ElbRead,
    ];

    /// Half of AWS's rate. (Source for ECS: ECS API reference, "Request throttling for the Amazon ECS API": 20/s with
    /// bursts of 50 and 100, changes 40/s with 100, task protection 80/s with 200. For load balancers: Elastic Load Balancing user guide, "Request
    /// throttling": 10/s with bursts of 40, for the whole account, each generation.) Auto Scaling publishes no
    /// numbers (source: Auto Scaling API reference, "Welcome"): these are this program's own. Ten heartbeats
    /// a second hold 12,000 instances under hooks of an hour.
    fn rate(self) -> Option<Rate> {
        let (per_second, burst) = match self {
            Family::EcsClusterRead | Family::EcsTaskDefinitionRead => (10, 25),
            Family::EcsTaskProtection => (40, 100),
            Family::EcsClusterResourceRead | Family::EcsServiceRead => (10, 50),
            Family::EcsClusterResourceModify => (20, 50),
            Family::Elbv2Read | Family::ElbRead => (5, 20),
            Family::AutoScalingRead => (5, 10),
            Family::AutoScalingHeartbeat => (10, 20),
            Family::AutoScalingCompletion => (10, 20),
            Family::AutoScalingTermination => (1, 5),
            Family::Sqs | Family::Sts | Family::DynamoDb => return None,
        };
        Some(Rate { per_second, burst })
    }
}

/// The token bucket of one family, as the moment at which it would be full again: one number holds both its tokens and
/// the time they were counted at.
#[derive(Debug)]
struct Bucket {
    /// Time for one token.
    interval: Duration,
    /// Time for a full bucket.
    depth: Duration,
    full_at: Mutex<Option<Instant>>,
}

impl Bucket {
    fn new(rate: Rate) -> Bucket {
        let interval = Duration::from_secs(1) / rate.per_second.max(1);
        Bucket { interval, depth: interval * rate.burst.max(1), full_at: Mutex::new(None) }
    }

    /// Waits for a token and takes it. The lock is held while it waits: whoever came first goes first, and one that
    /// gives up has taken nothing.
    async fn take(&self) {
        let mut full_at = self.full_at.lock().await;
        let now = Instant::now();
        let after = full_at.map_or(now, |full_at| full_at.max(now)) + self.interval;
        if let Some(early) = after.checked_duration_since(now + self.depth).filter(|early| !early.is_zero()) {
            tokio::time::sleep(early).await;
        }
        *full_at = Some(after);
    }
}

/// The buckets of one account and region.
#[derive(Debug)]
pub struct Limiter {
    buckets: BTreeMap<Family, Bucket>,
}

impl Limiter {
    /// Full buckets.
    pub fn new() -> Limiter {
        let bucket = |family: Family| family.rate().map(|rate| (family, Bucket::new(rate)));
        Limiter { buckets: Family::LIMITED.into_iter().filter_map(bucket).collect() }
    }

    /// Returns when this call may begin. Calls of one family begin in the order in which they asked.
    pub async fn ready(&self, call: &Call) {
        if let Some(bucket) = self.buckets.get(&call.family) {
            bucket.take().await;
        }
    }
}

impl Default for Limiter {
    fn default() -> Self {
        Limiter::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::aws::calls;

    #[test]
    fn every_family_with_a_rate_has_a_bucket() {
        for call in calls::ALL {
            assert_eq!(call.family.rate().is_some(), Family::LIMITED.contains(&call.family), "{call:?}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_burst_is_free_and_then_the_rate_rules() {
        let limiter = Limiter::new();
        let begun = Instant::now();
        for _ in 0..20 {
            limiter.ready(&calls::DESCRIBE_TARGET_HEALTH).await;
        }
        assert_eq!(begun.elapsed(), Duration::ZERO);
        for _ in 0..10 {
            limiter.ready(&calls::DESCRIBE_TARGET_HEALTH).await;
        }
        let spent = begun.elapsed();
        assert!(spent >= Duration::from_secs(2) && spent < Duration::from_millis(2050), "{spent:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn after_a_pause_the_bucket_is_full_again_and_never_fuller() {
        let limiter = Limiter::new();
        for _ in 0..20 {
            limiter.ready(&calls::DESCRIBE_TARGET_HEALTH).await;
        }
        tokio::time::sleep(Duration::from_secs(3600)).await;
        let begun = Instant::now();
        for _ in 0..20 {
            limiter.ready(&calls::DESCRIBE_TARGET_HEALTH).await;
        }
        assert_eq!(begun.elapsed(), Duration::ZERO);
        limiter.ready(&calls::DESCRIBE_TARGET_HEALTH).await;
        assert!(begun.elapsed() >= Duration::from_millis(200));
    }

    #[tokio::test(start_paused = true)]
    async fn a_completion_waits_for_no_poll_and_no_heartbeat() {
        let limiter = Limiter::new();
        for _ in 0..50 {
            limiter.ready(&calls::RECORD_LIFECYCLE_ACTION_HEARTBEAT).await;
        }
        for _ in 0..20 {
            limiter.ready(&calls::DESCRIBE_AUTO_SCALING_GROUPS).await;
        }
        let begun = Instant::now();
        limiter.ready(&calls::COMPLETE_LIFECYCLE_ACTION).await;
        assert_eq!(begun.elapsed(), Duration::ZERO);
    }

    #[tokio::test(start_paused = true)]
    async fn one_that_gives_up_has_taken_nothing() {
        let limiter = Limiter::new();
        for _ in 0..20 {
            limiter.ready(&calls::DESCRIBE_TARGET_HEALTH).await;
        }
        let begun = Instant::now();
        for _ in 0..100 {
            let given_up =
                tokio::time::timeout(Duration::from_millis(1), limiter.ready(&calls::DESCRIBE_TARGET_HEALTH));
            assert!(given_up.await.is_err() || begun.elapsed() >= Duration::from_millis(199));
        }
        let late = begun.elapsed();
        limiter.ready(&calls::DESCRIBE_TARGET_HEALTH).await;
        assert!(begun.elapsed() <= late.max(Duration::from_millis(200)) + Duration::from_millis(200));
    }
}
