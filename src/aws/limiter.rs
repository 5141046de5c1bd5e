//! Limits calls to half of the request rates that AWS publishes, and leaves the other half to other
//! callers in the account. One limiter belongs to one account and region. It paces the first
//! attempt of each call; the SDK's backoff paces the retries.

use super::calls::{Call, Family};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::Notify;
use tokio::time::Instant;

/// Rate of all Auto Scaling calls together, except terminations. AWS publishes no rate (source:
/// Auto Scaling API reference, "Welcome"): this is the simulator's assumption, with a smaller
/// burst. Ten heartbeats a second hold 18,000 instances under hooks of an hour.
pub(crate) const AUTO_SCALING: Rate = Rate { per_second: 10, burst: 19 };

/// Rate at which calls of one family may begin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Rate {
    /// Calls a second, in the long run.
    pub(crate) per_second: u32,
    /// Calls at once, after a pause.
    burst: u32,
}

impl Family {
    /// Families that are limited here.
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

    /// Returns half of AWS's rate. (Source for ECS: ECS API reference, "Request throttling for the
    /// Amazon ECS API": 20/s with bursts of 50 (clusters, service revisions and deployments, task
    /// definitions) and 100, changes 40/s with 100, task protection 80/s with 200. For load
    /// balancers: Elastic Load Balancing user guide, "Request throttling": 10/s with bursts of 40,
    /// for the whole account, each generation.) Auto Scaling publishes no numbers (source: Auto
    /// Scaling API reference, "Welcome"): see [`AUTO_SCALING`].
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
            Family::AutoScalingRead
            | Family::AutoScalingHeartbeat
            | Family::AutoScalingCompletion => {
                return Some(AUTO_SCALING);
            }
            // One a second, so that an operator who requested many by mistake can still cancel
            // them.
            Family::AutoScalingTermination => (1, 5),
            Family::Sqs | Family::Sts | Family::DynamoDb => return None,
        };
        Some(Rate { per_second, burst })
    }

    /// Returns the time for which a call may wait behind later ones of its rate, by default.
    /// Heartbeats and completions go before Auto Scaling's other calls.
    fn patience(self) -> Duration {
        match self {
            Family::AutoScalingRead | Family::AutoScalingTermination => Duration::from_secs(3),
            Family::EcsClusterRead
            | Family::EcsClusterResourceRead
            | Family::EcsClusterResourceModify
            | Family::EcsServiceRead
            | Family::EcsServiceRevisionRead
            | Family::EcsServiceDeploymentRead
            | Family::EcsTaskDefinitionRead
            | Family::EcsTaskProtection
            | Family::AutoScalingHeartbeat
            | Family::AutoScalingCompletion
            | Family::Elbv2Read
            | Family::ElbRead
            | Family::Sqs
            | Family::Sts
            | Family::DynamoDb => Duration::ZERO,
        }
    }
}

/// A token bucket. Callers get a token in the order in which their calls are due.
#[derive(Debug)]
struct Bucket {
    /// Time for one token.
    interval: Duration,
    /// Time for a full bucket.
    depth: Duration,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// Time at which the bucket would be full again. This one number holds both its tokens and the
    /// time of their count.
    full_at: Option<Instant>,
    /// Waiting callers, by due time, then in the order of arrival, each with its notification.
    waiting: BTreeMap<(Instant, u64), Arc<Notify>>,
    asked: u64,
}

impl State {
    fn wake_first(&self) {
        if let Some(bell) = self.waiting.values().next() {
            bell.notify_one();
        }
    }
}

/// Place in the queue. It is left with a token, or when the caller gives up.
struct Place<'a> {
    bucket: &'a Bucket,
    key: (Instant, u64),
    bell: Arc<Notify>,
}

impl<'a> Place<'a> {
    fn take(bucket: &'a Bucket, due: Instant) -> Place<'a> {
        let bell = Arc::new(Notify::new());
        let mut state = bucket.state();
        state.asked += 1;
        let key = (due, state.asked);
        state.waiting.insert(key, Arc::clone(&bell));
        drop(state);
        Place { bucket, key, bell }
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        let mut state = self.bucket.state();
        state.waiting.remove(&self.key);
        state.wake_first();
    }
}

impl Bucket {
    fn new(rate: Rate) -> Bucket {
        let interval = Duration::from_secs(1) / rate.per_second.max(1);
        Bucket { interval, depth: interval * rate.burst.max(1), state: Mutex::default() }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits for a token and takes it. A caller that gives up has taken nothing.
    async fn take(&self, due: Instant) {
        let place = Place::take(self, due);
        loop {
            let wait = {
                let mut state = self.state();
                let now = Instant::now();
                let first = state.waiting.keys().next() == Some(&place.key);
                let after = state.full_at.map_or(now, |full_at| full_at.max(now)) + self.interval;
                let early =
                    after.checked_duration_since(now + self.depth).filter(|early| !early.is_zero());
                match (first, early) {
                    (true, None) => {
                        state.full_at = Some(after);
                        return;
                    }
                    (true, wait) => wait,
                    (false, _) => None,
                }
            };
            let bell = place.bell.notified();
            match wait {
                // A caller whose call is due earlier takes this token; a token that is returned
                // notifies.
                Some(wait) => drop(tokio::time::timeout(wait, bell).await),
                None => bell.await,
            }
        }
    }
}

/// Permit for one call: its first request may be sent now. A permit that is dropped is used up.
///
/// It is issued before the request is built. After the wait, the caller can check everything that
/// must hold immediately before the call, and can fill the batch with all items that are due by
/// then.
#[derive(Debug)]
#[must_use = "a permit that is not used takes the turn of a call that would have been"]
pub(crate) struct Permit {
    call: &'static Call,
    bucket: Option<Arc<Bucket>>,
}

impl Permit {
    /// Returns the permit unused.
    pub(crate) fn give_back(self) {
        if let Some(bucket) = self.bucket {
            let mut state = bucket.state();
            state.full_at = state.full_at.and_then(|full_at| full_at.checked_sub(bucket.interval));
            state.wake_first();
        }
    }

    /// Returns the call that the permit is for.
    pub(crate) fn call(&self) -> &'static Call {
        self.call
    }
}

/// The buckets of one account and region.
#[derive(Debug)]
pub(crate) struct Limiter {
    buckets: BTreeMap<Family, Arc<Bucket>>,
}

impl Limiter {
    /// Creates full buckets.
    pub(crate) fn new() -> Limiter {
        // Auto Scaling's calls, except terminations, are assumed to share one rate.
        let shared = Arc::new(Bucket::new(AUTO_SCALING));
        let bucket = |family: Family| {
            let rate = family.rate()?;
            let bucket = if rate == AUTO_SCALING {
                Arc::clone(&shared)
            } else {
                Arc::new(Bucket::new(rate))
            };
            Some((family, bucket))
        };
        Limiter { buckets: Family::LIMITED.into_iter().filter_map(bucket).collect() }
    }

    /// Waits for this call's permit.
    pub(crate) async fn permit(&self, call: &'static Call) -> Permit {
        self.permit_by(call, Instant::now() + call.family.patience()).await
    }

    /// Waits for the permit of a call that is due at this time. Calls that share a rate go in the
    /// order in which they are due.
    pub(crate) async fn permit_by(&self, call: &'static Call, due: Instant) -> Permit {
        let bucket = self.buckets.get(&call.family);
        if let Some(bucket) = bucket {
            bucket.take(due).await;
        }
        Permit { call, bucket: bucket.map(Arc::clone) }
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
            assert_eq!(
                call.family.rate().is_some(),
                Family::LIMITED.contains(&call.family),
                "{call:?}"
            );
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_burst_is_free_and_then_the_rate_rules() {
        let limiter = Limiter::new();
        let begun = Instant::now();
        for _ in 0..20 {
            let _ = limiter.permit(&calls::DESCRIBE_TARGET_HEALTH).await;
        }
        assert_eq!(begun.elapsed(), Duration::ZERO);
        for _ in 0..10 {
            let _ = limiter.permit(&calls::DESCRIBE_TARGET_HEALTH).await;
        }
        let spent = begun.elapsed();
        assert!(
            spent >= Duration::from_secs(2) && spent < Duration::from_millis(2050),
            "{spent:?}"
        );
    }

    /// Returns a limiter that has just sent a family's burst.
    async fn exhausted() -> Limiter {
        let limiter = Limiter::new();
        for _ in 0..20 {
            let _ = limiter.permit(&calls::DESCRIBE_TARGET_HEALTH).await;
        }
        limiter
    }

    #[tokio::test(start_paused = true)]
    async fn after_a_pause_the_bucket_is_full_again_and_never_fuller() {
        let limiter = exhausted().await;
        tokio::time::sleep(Duration::from_secs(3600)).await;
        let begun = Instant::now();
        for _ in 0..20 {
            let _ = limiter.permit(&calls::DESCRIBE_TARGET_HEALTH).await;
        }
        assert_eq!(begun.elapsed(), Duration::ZERO);
        let _ = limiter.permit(&calls::DESCRIBE_TARGET_HEALTH).await;
        assert!(begun.elapsed() >= Duration::from_millis(200));
    }

    /// They share a bucket: the next token goes to the completion, although the polls have waited
    /// longer.
    #[tokio::test(start_paused = true)]
    async fn a_completion_goes_before_polls() {
        let limiter = Limiter::new();
        for _ in 0..AUTO_SCALING.burst {
            let _ = limiter.permit(&calls::DESCRIBE_AUTO_SCALING_GROUPS).await;
        }
        let begun = Instant::now();
        let polls = async {
            for _ in 0..5 {
                let _ = limiter.permit(&calls::DESCRIBE_AUTO_SCALING_GROUPS).await;
            }
            begun.elapsed()
        };
        let completion = async {
            let _ = limiter.permit(&calls::COMPLETE_LIFECYCLE_ACTION).await;
            begun.elapsed()
        };
        let (polls, completion) = tokio::join!(polls, completion);
        assert!(completion <= Duration::from_millis(200), "{completion:?}");
        assert!(polls > completion && polls < Duration::from_secs(2), "{polls:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_turn_that_is_given_back_is_anothers() {
        let limiter = exhausted().await;
        let begun = Instant::now();
        for _ in 0..100 {
            limiter.permit(&calls::DESCRIBE_TARGET_HEALTH).await.give_back();
        }
        let _ = limiter.permit(&calls::DESCRIBE_TARGET_HEALTH).await;
        assert!(begun.elapsed() <= Duration::from_millis(200), "{:?}", begun.elapsed());
    }

    #[tokio::test(start_paused = true)]
    async fn a_call_that_is_due_first_goes_first() {
        let limiter = exhausted().await;
        let begun = Instant::now();
        let ask = async |after: u64| {
            let due = begun + Duration::from_secs(after);
            let _ = limiter.permit_by(&calls::DESCRIBE_TARGET_HEALTH, due).await;
            (begun.elapsed().as_millis(), after)
        };
        let mut served: [_; 4] = tokio::join!(ask(30), ask(10), ask(20), ask(5)).into();
        served.sort_unstable();
        assert_eq!(served.map(|(_, due)| due), [5, 10, 20, 30], "{served:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn one_that_gives_up_has_taken_nothing() {
        let limiter = exhausted().await;
        let begun = Instant::now();
        for _ in 0..100 {
            let given_up = tokio::time::timeout(
                Duration::from_millis(1),
                limiter.permit(&calls::DESCRIBE_TARGET_HEALTH),
            );
            assert!(given_up.await.is_err() || begun.elapsed() >= Duration::from_millis(199));
        }
        let late = begun.elapsed();
        let _ = limiter.permit(&calls::DESCRIBE_TARGET_HEALTH).await;
        assert!(
            begun.elapsed() <= late.max(Duration::from_millis(200)) + Duration::from_millis(200)
        );
    }
}
