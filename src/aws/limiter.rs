//! Stays inside half of the request rates that AWS publishes, so that the other half is left to everybody else in the
//! account. One limiter belongs to one account and region; it paces the first attempt of each call, while the SDK's own
//! backoff paces its retries.

use super::calls::{Call, Family};
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, PoisonError};
use std::time::Duration;
use tokio::sync::Mutex;
use tokio::time::Instant;

/// All of Auto Scaling's calls together. It publishes no rate (source: Auto Scaling API reference, "Welcome"): this is what
/// the simulator assumes, with a smaller burst. Ten heartbeats a second hold 18,000 instances under hooks of an hour.
const AUTO_SCALING: Rate = Rate { per_second: 10, burst: 19 };

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
    const LIMITED: [Family; 14] = [
        Family::EcsClusterRead,
        Family::EcsClusterResourceRead,
        Family::EcsClusterResourceModify,
        Family::EcsServiceRead,
        Family::EcsServiceRevisionRead,
        Family::EcsServiceDeploymentRead,
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
    /// bursts of 50 (clusters, service revisions and deployments, task definitions) and 100, changes 40/s with 100, task protection 80/s with 200. For load balancers: Elastic Load Balancing user guide, "Request
    /// throttling": 10/s with bursts of 40, for the whole account, each generation.) Auto Scaling publishes no
    /// numbers (source: Auto Scaling API reference, "Welcome"): these are this program's own. Ten heartbeats
    /// a second hold 12,000 instances under hooks of an hour.
    fn rate(self) -> Option<Rate> {
        let (per_second, burst) = match self {
            Family::EcsClusterRead
            | Family::EcsServiceRevisionRead
            | Family::EcsServiceDeploymentRead
            | Family::EcsTaskDefinitionRead => (10, 25),
            Family::EcsTaskProtection => (40, 100),
            Family::EcsClusterResourceRead | Family::EcsServiceRead => (10, 50),
            Family::EcsClusterResourceModify => (20, 50),
            Family::Elbv2Read | Family::ElbRead => (5, 20),
            Family::AutoScalingRead | Family::AutoScalingHeartbeat | Family::AutoScalingCompletion => {
                return Some(AUTO_SCALING);
            }
            // One after the other: whoever asks for many by mistake can still call it off.
            Family::AutoScalingTermination => (1, 5),
            Family::Sqs | Family::Sts | Family::DynamoDb => return None,
        };
        Some(Rate { per_second, burst })
    }

    /// Heartbeats and completions go before Auto Scaling's other calls.
    fn lane(self) -> Lane {
        match self {
            Family::AutoScalingHeartbeat | Family::AutoScalingCompletion => Lane::First,
            Family::EcsClusterRead
            | Family::EcsClusterResourceRead
            | Family::EcsClusterResourceModify
            | Family::EcsServiceRead
            | Family::EcsServiceRevisionRead
            | Family::EcsServiceDeploymentRead
            | Family::EcsTaskDefinitionRead
            | Family::EcsTaskProtection
            | Family::AutoScalingRead
            | Family::AutoScalingTermination
            | Family::Elbv2Read
            | Family::ElbRead
            | Family::Sqs
            | Family::Sts
            | Family::DynamoDb => Lane::Second,
        }
    }
}

/// Which of the calls that share a bucket go first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Lane {
    /// What must not wait: heartbeats and completions.
    First,
    /// Everything else: it waits for the first lane, but not for ever.
    Second,
}

/// How long a call of the second lane waits for the first lane, at most.
const PATIENCE: Duration = Duration::from_secs(3);

/// A token bucket, as the moment at which it would be full again: one number holds both its tokens and the time they were
/// counted at.
#[derive(Debug)]
struct Bucket {
    /// Time for one token.
    interval: Duration,
    /// Time for a full bucket.
    depth: Duration,
    full_at: std::sync::Mutex<Option<Instant>>,
    /// Whoever waits in a lane, in the order of asking.
    first: Mutex<()>,
    second: Mutex<()>,
    /// How many wait in the first lane.
    pressing: AtomicUsize,
}

/// One that waits in the first lane; it is counted until it has its token or gives up.
struct Pressing<'a>(&'a AtomicUsize);

impl Drop for Pressing<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Bucket {
    fn new(rate: Rate) -> Bucket {
        let interval = Duration::from_secs(1) / rate.per_second.max(1);
        Bucket {
            interval,
            depth: interval * rate.burst.max(1),
            full_at: std::sync::Mutex::default(),
            first: Mutex::default(),
            second: Mutex::default(),
            pressing: AtomicUsize::new(0),
        }
    }

    /// Waits for a token and takes it: in each lane whoever came first goes first, and one that gives up has taken nothing.
    async fn take(&self, lane: Lane) {
        let (_pressing, _turn) = match lane {
            Lane::First => {
                self.pressing.fetch_add(1, Ordering::Relaxed);
                let pressing = Pressing(&self.pressing);
                (Some(pressing), self.first.lock().await)
            }
            Lane::Second => (None, self.second.lock().await),
        };
        let since = Instant::now();
        loop {
            let now = Instant::now();
            let wait = {
                let mut full_at = self.full_at.lock().unwrap_or_else(PoisonError::into_inner);
                let after = full_at.map_or(now, |full_at| full_at.max(now)) + self.interval;
                let early = after.checked_duration_since(now + self.depth).filter(|early| !early.is_zero());
                let yields = lane == Lane::Second
                    && self.pressing.load(Ordering::Relaxed) > 0
                    && now.duration_since(since) < PATIENCE;
                match early.or(yields.then_some(self.interval)) {
                    None => {
                        *full_at = Some(after);
                        return;
                    }
                    Some(wait) => wait,
                }
            };
            tokio::time::sleep(wait).await;
        }
    }
}

/// The turn of one call: its first request may be sent now. One that is dropped has used its turn all the same.
///
/// It is given out before the request is built, so that whatever must hold right before a call is sent can be checked
/// after the wait for its turn, and a batch can be filled with what is due by then.
#[derive(Debug)]
#[must_use = "a permit that is not used takes the turn of a call that would have been"]
pub struct Permit {
    call: &'static Call,
}

impl Permit {
    /// Returns the call whose turn it is.
    pub fn call(&self) -> &'static Call {
        self.call
    }
}

/// The buckets of one account and region.
#[derive(Debug)]
pub struct Limiter {
    buckets: BTreeMap<Family, Arc<Bucket>>,
}

impl Limiter {
    /// Full buckets.
    pub fn new() -> Limiter {
        // Auto Scaling's calls share one rate, as far as anybody knows.
        let shared = Arc::new(Bucket::new(AUTO_SCALING));
        let bucket = |family: Family| {
            let rate = family.rate()?;
            let bucket = if rate == AUTO_SCALING { Arc::clone(&shared) } else { Arc::new(Bucket::new(rate)) };
            Some((family, bucket))
        };
        Limiter { buckets: Family::LIMITED.into_iter().filter_map(bucket).collect() }
    }

    /// Returns when this call may begin. Calls of one family begin in the order in which they asked.
    pub async fn ready(&self, call: &Call) {
        if let Some(bucket) = self.buckets.get(&call.family) {
            bucket.take(call.family.lane()).await;
        }
    }

    /// Waits for this call's turn, as [`Limiter::ready`] does, and gives it out.
    pub async fn permit(&self, call: &'static Call) -> Permit {
        self.ready(call).await;
        Permit { call }
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

    /// They share a bucket: the next token is the completion's, although the polls have waited for longer.
    #[tokio::test(start_paused = true)]
    async fn a_completion_goes_before_polls() {
        let limiter = Limiter::new();
        for _ in 0..AUTO_SCALING.burst {
            limiter.ready(&calls::DESCRIBE_AUTO_SCALING_GROUPS).await;
        }
        let begun = Instant::now();
        let polls = async {
            for _ in 0..5 {
                limiter.ready(&calls::DESCRIBE_AUTO_SCALING_GROUPS).await;
            }
            begun.elapsed()
        };
        let completion = async {
            limiter.ready(&calls::COMPLETE_LIFECYCLE_ACTION).await;
            begun.elapsed()
        };
        let (polls, completion) = tokio::join!(polls, completion);
        assert!(completion <= Duration::from_millis(200), "{completion:?}");
        assert!(polls > completion && polls < Duration::from_secs(2), "{polls:?}");
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
