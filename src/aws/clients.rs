//! Where credentials, endpoints, timeouts and retries come from, and the clients made of them.

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

/// A connection inside AWS is made in milliseconds; one that takes longer is better tried again.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);

/// One attempt of a read. The SDK itself would wait for ever.
const ATTEMPT_TIMEOUT: Duration = Duration::from_secs(10);

/// One attempt to read Auto Scaling groups: a service that is slow for everybody is waited for,
/// since retries would pass by the request rate that heartbeats need.
const GROUPS_ATTEMPT_TIMEOUT: Duration = Duration::from_secs(20);

/// The same with its retries.
const GROUPS_OPERATION_TIMEOUT: Duration = Duration::from_secs(70);

/// A read with its retries: three attempts and the SDK's backoff (at most 1 s, then 2 s) between
/// them.
const OPERATION_TIMEOUT: Duration = Duration::from_secs(40);

/// One attempt of a heartbeat or completion. The shortest hook waits for 30 seconds and is beaten
/// every 10 (source: Auto Scaling API reference, PutLifecycleHook): a socket that hangs must leave
/// time for another attempt.
const URGENT_ATTEMPT_TIMEOUT: Duration = Duration::from_secs(4);

/// A heartbeat or completion with its retries.
const URGENT_OPERATION_TIMEOUT: Duration = Duration::from_secs(15);

/// One attempt of a long poll, which a queue without messages answers after 20 seconds (source: SQS
/// API reference, ReceiveMessage).
const LONG_POLL_ATTEMPT_TIMEOUT: Duration = Duration::from_secs(25);

/// A long poll with its retries.
const LONG_POLL_OPERATION_TIMEOUT: Duration = Duration::from_secs(60);

/// The SDK's default, written down because our timeouts are made for it.
const ATTEMPTS: u32 = 3;

/// What stands between this program and AWS. The default is the real world.
#[derive(Clone, Debug, Default)]
pub struct Environment {
    /// What answers requests; None is the SDK's HTTPS client.
    pub http_client: Option<SharedHttpClient>,
    /// What the SDK signs with; None is the machine's clock.
    pub time_source: Option<SharedTimeSource>,
    /// One endpoint for all services; None is each service's own, or what the AWS profile and
    /// variables say.
    pub endpoint_url: Option<String>,
    /// Credentials; None is the SDK's default chain.
    pub credentials: Option<SharedCredentialsProvider>,
    /// Simulation: nothing is read from this machine's `AWS_*` variables, and credentials are made
    /// up where none are given. (The jitter of the SDK's retries comes from `fastrand`, which a
    /// simulation seeds.)
    pub isolated: bool,
    /// The schema of the records that are written, and the newest that is read; None is this
    /// program's own. A test sets a higher one, and so stands for a newer program beside this one.
    pub record_schema: Option<u32>,
    /// Where calls are counted.
    pub metrics: Metrics,
}

impl Environment {
    /// The SDK's configuration for a region; None is the region of the environment.
    pub async fn load(&self, region: Option<&str>) -> SdkConfig {
        let mut loader = aws_config::defaults(BehaviorVersion::latest())
            .retry_config(RetryConfig::standard().with_max_attempts(ATTEMPTS))
            .timeout_config(timeouts(ATTEMPT_TIMEOUT, OPERATION_TIMEOUT))
            // It measures wall time, also where tokio's clock is paused; attempts have a timeout
            // instead.
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
    /// The account's number.
    pub account: String,
    /// The region.
    pub region: String,
    /// ECS.
    pub ecs: Ecs,
    /// Auto Scaling, for what is polled.
    pub autoscaling: AutoScaling,
    /// Auto Scaling, for what must not wait: heartbeats and completions. Its retries are its own,
    /// so that polls that are throttled leave it all its attempts.
    pub urgent: AutoScaling,
    /// Application, network and gateway load balancers.
    pub elbv2: Elbv2,
    /// Classic load balancers.
    pub elb: Elb,
    /// Queues of events.
    pub sqs: Sqs,
    limiter: Arc<Limiter>,
}

impl Session {
    /// The same session, whose calls of ECS wait behind everything that a drain needs to go on.
    pub fn at_leisure(&self) -> Session {
        Session { ecs: self.ecs.at_leisure(), ..self.clone() }
    }

    /// Waits until this call may begin, and gives its turn out: of the calls that share a rate,
    /// that which is due first. One that gives up while it waits has taken no turn.
    pub async fn permit(&self, call: &'static Call) -> Permit {
        self.limiter.permit(call).await
    }

    /// The same for a call that is due at this moment: it goes before those of its family that are
    /// due later.
    pub async fn permit_by(&self, call: &'static Call, due: Instant) -> Permit {
        self.limiter.permit_by(call, due).await
    }
}

/// Opens a session: assumes the role, if there is one, and asks whose credentials these are.
///
/// # Errors
/// When there are no credentials, AWS does not accept them, the role may not be assumed, or AWS
/// cannot be reached.
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

/// Stands for the account in resources of IAM until it is known.
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

/// The ARN of the IAM identity whose credentials these are, if AWS says. Needs no permission.
/// (Source: STS API reference, GetCallerIdentity.)
pub async fn caller_arn(sdk: &SdkConfig) -> Option<String> {
    let identity = aws_sdk_sts::Client::new(sdk).get_caller_identity().send().await;
    identity.ok().and_then(|identity| identity.arn)
}

/// A number for each life of a controller in this process.
fn life() -> u64 {
    static LIVES: AtomicU64 = AtomicU64::new(0);
    LIVES.fetch_add(1, Ordering::Relaxed)
}

/// A retry quota for one client of one life. Without it the quota is one static per service and
/// region for the whole process, shared by every client (source:
/// `aws_smithy_runtime::client::retries::RetryPartition`).
fn partition(client: &str, life: u64) -> RetryPartition {
    RetryPartition::custom(format!("ecs-drain-{life}-{client}")).build()
}

/// Tells the SDK's retries of throttling that they do not know.
#[derive(Debug)]
struct UnknownThrottles;

impl ClassifyRetry for UnknownThrottles {
    fn classify_retry(&self, context: &InterceptorContext) -> RetryAction {
        let response = context.response().filter(|response| response.status().as_u16() == 400);
        // The error's type is erased here; Auto Scaling and the load balancers answer in XML, with
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
