//! Credentials, endpoints, timeouts and retries, and the clients made of them.

use super::autoscaling::AutoScaling;
use super::caller::Caller;
use super::calls::{Call, GET_CALLER_IDENTITY};
use super::ecs::Ecs;
use super::elb::Elb;
use super::elbv2::Elbv2;
use super::error::{AwsError, UNKNOWN_THROTTLES};
use super::limiter::{Limiter, Permit};
use super::sqs::Sqs;
use crate::config::Role;
use crate::metrics::Metrics;
use aws_config::sts::AssumeRoleProvider;
use aws_config::{AppName, BehaviorVersion, Region, SdkConfig};
use aws_sdk_ecs::config::retry::{ClassifyRetry, RetryAction, RetryConfig, RetryPartition};
use aws_sdk_ecs::config::timeout::TimeoutConfig;
use aws_sdk_ecs::config::{SharedCredentialsProvider, StalledStreamProtectionConfig};
use aws_smithy_async::time::SharedTimeSource;
use aws_smithy_runtime_api::client::http::SharedHttpClient;
use aws_smithy_runtime_api::client::interceptors::context::InterceptorContext;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::time::Instant;

/// Time limit for a connection. Inside AWS it is made in milliseconds, so a slower one is better
/// retried.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);

/// Time limit for one attempt of a read. The SDK itself would wait for ever.
const ATTEMPT_TIMEOUT: Duration = Duration::from_secs(10);

/// Time limit for one attempt to read Auto Scaling groups. It allows for a slow service, because
/// retries bypass the request rate that heartbeats need.
const GROUPS_ATTEMPT_TIMEOUT: Duration = Duration::from_secs(20);

/// Time limit for a read of groups with its retries.
const GROUPS_OPERATION_TIMEOUT: Duration = Duration::from_secs(70);

/// Time limit for a read with its retries: three attempts and the SDK's backoff (at most 1 s, then
/// 2 s) between them.
const OPERATION_TIMEOUT: Duration = Duration::from_secs(40);

/// Time limit for one attempt of a heartbeat or completion. The shortest hook has a timeout of 30
/// seconds and gets a heartbeat every 10 (source: Auto Scaling API reference, PutLifecycleHook), so
/// a socket that hangs must leave time for another attempt.
const URGENT_ATTEMPT_TIMEOUT: Duration = Duration::from_secs(4);

/// Time limit for a heartbeat or completion with its retries.
const URGENT_OPERATION_TIMEOUT: Duration = Duration::from_secs(15);

/// Time limit for one attempt of a long poll, which a queue without messages answers after 20
/// seconds (source: SQS API reference, ReceiveMessage).
const LONG_POLL_ATTEMPT_TIMEOUT: Duration = Duration::from_secs(25);

/// Time limit for a long poll with its retries.
const LONG_POLL_OPERATION_TIMEOUT: Duration = Duration::from_secs(60);

/// Attempts of a call: the SDK's default, fixed because these timeouts depend on it.
const ATTEMPTS: u32 = 3;

/// Connections of this program to AWS. The default is the real world.
#[derive(Clone, Debug, Default)]
pub struct Environment {
    /// Client for requests; `None` is the SDK's HTTPS client.
    pub http_client: Option<SharedHttpClient>,
    /// Clock for signatures; `None` is the machine's clock.
    pub time_source: Option<SharedTimeSource>,
    /// One endpoint for all services; `None` is each service's own, or that of the AWS profile and
    /// variables.
    pub endpoint_url: Option<String>,
    /// Credentials; `None` is the SDK's default chain.
    pub credentials: Option<SharedCredentialsProvider>,
    /// Simulation: ignores this machine's `AWS_*` variables, and uses made-up credentials if none
    /// are given. (The jitter of the SDK's retries comes from `fastrand`, which a simulation
    /// seeds.)
    pub isolated: bool,
    /// Schema of the records that are written, and newest schema that is read; `None` is this
    /// program's own. A test sets a higher one to simulate a newer program beside this one.
    pub record_schema: Option<u32>,
    pub metrics: Metrics,
}

impl Environment {
    /// Loads the SDK's configuration for a region; `None` is the region of the environment.
    pub async fn load(&self, region: Option<&str>) -> SdkConfig {
        let mut loader = aws_config::defaults(BehaviorVersion::latest())
            .retry_config(RetryConfig::standard().with_max_attempts(ATTEMPTS))
            .timeout_config(timeouts(ATTEMPT_TIMEOUT, OPERATION_TIMEOUT))
            // This protection measures wall time, even while tokio's clock is paused. Attempts have
            // a timeout instead.
            .stalled_stream_protection(StalledStreamProtectionConfig::disabled());
        if let Ok(name) = AppName::new("ecs-drain") {
            loader = loader.app_name(name);
        }
        if self.isolated {
            loader = loader.empty_test_environment();
        }
        if let Some(credentials) = &self.credentials {
            loader = loader.credentials_provider(credentials.clone());
        } else if self.isolated {
            loader = loader.test_credentials();
        }
        if let Some(client) = &self.http_client {
            loader = loader.http_client(client.clone());
        }
        if let Some(source) = &self.time_source {
            loader = loader.time_source(source.clone());
        }
        if let Some(url) = &self.endpoint_url {
            loader = loader.endpoint_url(url);
        }
        if let Some(region) = region {
            loader = loader.region(Region::new(region.to_owned()));
        }
        loader.load().await
    }
}

fn timeouts(attempt: Duration, operation: Duration) -> TimeoutConfig {
    TimeoutConfig::builder()
        .connect_timeout(CONNECT_TIMEOUT)
        .operation_attempt_timeout(attempt)
        .operation_timeout(operation)
        .build()
}

/// One account and region. Clones share their clients and their request rates.
#[derive(Clone, Debug)]
pub struct Session {
    /// Id of the account.
    pub account: String,
    pub region: String,
    pub ecs: Ecs,
    /// Auto Scaling client for reads.
    pub(crate) autoscaling: AutoScaling,
    /// Auto Scaling client for heartbeats and completions, which must not wait. It has its own
    /// retry quota, so that throttled reads do not use up its attempts.
    pub urgent: AutoScaling,
    /// Application, network and gateway load balancers.
    pub(crate) elbv2: Elbv2,
    /// Classic load balancers.
    pub(crate) elb: Elb,
    /// Queues of events.
    pub(crate) sqs: Sqs,
    limiter: Arc<Limiter>,
}

impl Session {
    /// Returns the same session, with ECS calls that wait behind everything that a drain needs.
    pub(crate) fn at_leisure(&self) -> Session {
        Session { ecs: self.ecs.at_leisure(), ..self.clone() }
    }

    /// Waits until this call may begin, and returns its permit. Calls that share a rate go in the
    /// order in which they are due. A caller that gives up while it waits has used no permit.
    pub(crate) async fn permit(&self, call: &'static Call) -> Permit {
        self.limiter.permit(call).await
    }

    /// Waits for the permit of a call that is due at this time: it goes before calls of its family
    /// that are due later.
    pub(crate) async fn permit_by(&self, call: &'static Call, due: Instant) -> Permit {
        self.limiter.permit_by(call, due).await
    }
}

/// Opens a session: assumes the role, if there is one, and reads the account of the credentials.
///
/// # Errors
/// Returns an error if there are no credentials, AWS does not accept them, the role may not be
/// assumed, or AWS cannot be reached.
pub async fn connect(
    environment: &Environment,
    region: &str,
    role: Option<&Role>,
) -> Result<Session, AwsError> {
    let mut sdk = environment.load(Some(region)).await;
    if let Some(role) = role {
        sdk = assume(&sdk, region, role).await;
    }
    let mut caller = Caller {
        account: ANY_ACCOUNT.into(),
        region: region.into(),
        role: role.map(|role| role.arn.as_str().into()),
        limiter: Arc::new(Limiter::new()),
        metrics: environment.metrics.clone(),
        patience: Duration::ZERO,
    };
    let life = life();
    let account = account(&sdk, &caller, life).await?;
    caller.account = account.as_str().into();
    let autoscaling = |name: &str, attempt: Duration, operation: Duration| {
        let config = aws_sdk_autoscaling::config::Builder::from(&sdk)
            .timeout_config(timeouts(attempt, operation))
            .retry_classifier(UnknownThrottles)
            .retry_partition(partition(name, life));
        AutoScaling::new(aws_sdk_autoscaling::Client::from_conf(config.build()), caller.clone())
    };
    let ecs = aws_sdk_ecs::config::Builder::from(&sdk).retry_partition(partition("ecs", life));
    let elbv2 = aws_sdk_elasticloadbalancingv2::config::Builder::from(&sdk)
        .retry_classifier(UnknownThrottles)
        .retry_partition(partition("elbv2", life));
    let elb = aws_sdk_elasticloadbalancing::config::Builder::from(&sdk)
        .retry_classifier(UnknownThrottles)
        .retry_partition(partition("elb", life));
    let sqs = aws_sdk_sqs::config::Builder::from(&sdk)
        .timeout_config(timeouts(LONG_POLL_ATTEMPT_TIMEOUT, LONG_POLL_OPERATION_TIMEOUT))
        .retry_partition(partition("sqs", life));
    Ok(Session {
        limiter: caller.limiter.clone(),
        account,
        region: region.to_owned(),
        ecs: Ecs::new(aws_sdk_ecs::Client::from_conf(ecs.build()), caller.clone()),
        autoscaling: autoscaling("autoscaling", GROUPS_ATTEMPT_TIMEOUT, GROUPS_OPERATION_TIMEOUT),
        urgent: autoscaling("autoscaling-urgent", URGENT_ATTEMPT_TIMEOUT, URGENT_OPERATION_TIMEOUT),
        elbv2: Elbv2::new(
            aws_sdk_elasticloadbalancingv2::Client::from_conf(elbv2.build()),
            caller.clone(),
        ),
        elb: Elb::new(aws_sdk_elasticloadbalancing::Client::from_conf(elb.build()), caller.clone()),
        sqs: Sqs::new(aws_sdk_sqs::Client::from_conf(sqs.build()), caller),
    })
}

/// Account in IAM resources until the account is known.
const ANY_ACCOUNT: &str = "*";

async fn assume(sdk: &SdkConfig, region: &str, role: &Role) -> SdkConfig {
    let mut provider = AssumeRoleProvider::builder(&role.arn)
        .session_name("ecs-drain")
        .region(Region::new(region.to_owned()))
        .configure(sdk);
    if let Some(id) = &role.external_id {
        provider = provider.external_id(id);
    }
    sdk.to_builder()
        .credentials_provider(SharedCredentialsProvider::new(provider.build().await))
        .build()
}

async fn account(sdk: &SdkConfig, caller: &Caller, life: u64) -> Result<String, AwsError> {
    let sts = aws_sdk_sts::config::Builder::from(sdk).retry_partition(partition("sts", life));
    let sts = aws_sdk_sts::Client::from_conf(sts.build());
    let on = match &caller.role {
        Some(role) => format!("role {role} in {}", caller.region),
        None => format!("the credentials for {}", caller.region),
    };
    let identity = caller.make(&GET_CALLER_IDENTITY, &on, sts.get_caller_identity().send()).await?;
    identity.account.ok_or_else(|| {
        AwsError::incomplete(&GET_CALLER_IDENTITY, &on, "the answer names no account")
    })
}

/// Returns the ARN of the IAM identity of the credentials, if AWS gives it. Needs no permission.
/// (Source: STS API reference, GetCallerIdentity.)
pub async fn caller_arn(sdk: &SdkConfig) -> Option<String> {
    let identity = aws_sdk_sts::Client::new(sdk).get_caller_identity().send().await;
    identity.ok().and_then(|identity| identity.arn)
}

/// Returns a new number for each life of a controller in this process.
fn life() -> u64 {
    static LIVES: AtomicU64 = AtomicU64::new(0);
    LIVES.fetch_add(1, Ordering::Relaxed)
}

/// Creates a retry quota for one client of one life. Without it the quota is one static per service
/// and region for the whole process, shared by every client (source:
/// `aws_smithy_runtime::client::retries::RetryPartition`).
fn partition(client: &str, life: u64) -> RetryPartition {
    RetryPartition::custom(format!("ecs-drain-{life}-{client}")).build()
}

/// Classifier of throttling errors that the SDK's retries do not know.
#[derive(Debug)]
struct UnknownThrottles;

impl ClassifyRetry for UnknownThrottles {
    fn classify_retry(&self, context: &InterceptorContext) -> RetryAction {
        let response = context.response().filter(|response| response.status().as_u16() == 400);
        // The error's type is erased here. Auto Scaling and the load balancers answer in XML, with
        // the code in `<Code>`.
        let body =
            response.and_then(|response| response.body().bytes()).map(String::from_utf8_lossy);
        let throttled = |body: &str| {
            UNKNOWN_THROTTLES.iter().any(|code| body.contains(&format!("<Code>{code}</Code>")))
        };
        if body.is_some_and(|body| throttled(&body)) {
            RetryAction::throttling_error()
        } else {
            RetryAction::NoActionIndicated
        }
    }

    fn name(&self) -> &'static str {
        "throttling that the SDK does not know"
    }
}
