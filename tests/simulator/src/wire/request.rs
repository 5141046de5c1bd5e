//! An incoming request: its caller, service, account, region and operation.

use std::fmt::Write;

use bytes::Bytes;
use serde_json::Value;

use super::query::Params;
use crate::{ACCOUNT, REGION, sts};

/// A request as a shell read it.
#[derive(Clone, Debug, Default)]
pub struct Request {
    /// The caller: a name for the log.
    pub caller: String,
    /// True for the program under test: its calls are counted, struck by faults and judged by
    /// checkers.
    pub controller: bool,
    /// The header `x-amz-target`.
    pub target: Option<String>,
    /// The header `authorization`, whose SigV4 credential scope names access key and region.
    pub authorization: Option<String>,
    /// The body.
    pub body: Bytes,
}

/// The answer for the wire.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reply {
    /// The HTTP status.
    pub status: u16,
    /// The header `content-type`.
    pub content_type: &'static str,
    /// The request's id, for the header `x-amzn-requestid`.
    pub request_id: String,
    /// The error's code, if it is one: for the log.
    pub error: Option<String>,
    /// For an error of SQS, the header `x-amzn-query-error`: `<code>;Sender`.
    pub query_error: Option<String>,
    /// The body.
    pub body: String,
}

/// The services that are simulated.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Service {
    /// Amazon ECS.
    Ecs,
    /// Amazon DynamoDB.
    DynamoDb,
    /// EC2 Auto Scaling.
    AutoScaling,
    /// Elastic Load Balancing, classic (2012-06-01).
    ElbClassic,
    /// Elastic Load Balancing v2 (2015-12-01).
    ElbV2,
    /// Amazon SQS.
    Sqs,
    /// Security Token Service.
    Sts,
    /// Anything else.
    Unknown,
}

impl Service {
    /// Returns the prefix of its IAM actions. Both generations of load balancing share one (source:
    /// Service Authorization Reference).
    pub fn iam_prefix(self) -> &'static str {
        match self {
            Self::Ecs => "ecs",
            Self::DynamoDb => "dynamodb",
            Self::AutoScaling => "autoscaling",
            Self::ElbClassic | Self::ElbV2 => "elasticloadbalancing",
            Self::Sqs => "sqs",
            Self::Sts => "sts",
            Self::Unknown => "unknown",
        }
    }

    /// Returns its name in the log.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::ElbClassic => "elb",
            Self::ElbV2 => "elbv2",
            Self::Ecs
            | Self::DynamoDb
            | Self::AutoScaling
            | Self::Sqs
            | Self::Sts
            | Self::Unknown => self.iam_prefix(),
        }
    }

    /// Returns the XML namespace of a Query service's answers.
    pub fn namespace(self) -> &'static str {
        match self {
            Self::AutoScaling => "http://autoscaling.amazonaws.com/doc/2011-01-01/",
            Self::ElbClassic => "http://elasticloadbalancing.amazonaws.com/doc/2012-06-01/",
            Self::ElbV2 => "http://elasticloadbalancing.amazonaws.com/doc/2015-12-01/",
            Self::Sts => "https://sts.amazonaws.com/doc/2011-06-15/",
            Self::Ecs | Self::DynamoDb | Self::Sqs | Self::Unknown => "",
        }
    }

    /// Returns true if it speaks one of the JSON protocols rather than Query.
    pub fn is_json(self) -> bool {
        matches!(self, Self::Ecs | Self::DynamoDb | Self::Sqs)
    }
}

/// The parsed body.
#[derive(Clone, Debug)]
pub enum Body {
    /// ECS and SQS.
    Json(Value),
    /// A Query service.
    Form(Params),
    /// DynamoDB: parsed by the database itself.
    Text(Bytes),
}

/// A classified request.
#[derive(Clone, Debug)]
pub struct Call {
    /// The caller: a name for the log.
    pub caller: String,
    /// True for the program under test.
    pub controller: bool,
    /// The service.
    pub service: Service,
    /// The operation's name.
    pub operation: String,
    /// The account that the access key belongs to.
    pub account: String,
    /// The region that the request was signed for.
    pub region: String,
    /// The parsed body.
    pub body: Body,
    /// The page size that a fault asks for; 0: an empty page.
    pub(crate) page_size: Option<usize>,
}

impl Call {
    /// Classifies a request. An unknown one becomes a call of [`Service::Unknown`].
    pub fn parse(request: &Request) -> Self {
        let (access_key, region) = scope(request.authorization.as_deref().unwrap_or_default());
        let (service, operation, body) =
            match request.target.as_deref().and_then(|target| target.split_once('.')) {
                Some((prefix, operation)) if prefix.starts_with("DynamoDB_") => {
                    (Service::DynamoDb, operation.to_owned(), Body::Text(request.body.clone()))
                }
                Some((prefix, operation)) => {
                    let service = match prefix {
                        "AmazonSQS" => Service::Sqs,
                        _ if prefix.starts_with("AmazonEC2ContainerService") => Service::Ecs,
                        _ => Service::Unknown,
                    };
                    let body = serde_json::from_slice(&request.body).unwrap_or(Value::Null);
                    (service, operation.to_owned(), Body::Json(body))
                }
                None => {
                    let params = Params::parse(&request.body);
                    let service = match params.version() {
                        "2011-01-01" => Service::AutoScaling,
                        "2012-06-01" => Service::ElbClassic,
                        "2015-12-01" => Service::ElbV2,
                        "2011-06-15" => Service::Sts,
                        _ => Service::Unknown,
                    };
                    (service, params.action().to_owned(), Body::Form(params))
                }
            };
        Self {
            caller: request.caller.clone(),
            controller: request.controller,
            service,
            operation,
            account: sts::account_of(access_key).unwrap_or(ACCOUNT).to_owned(),
            region: region.unwrap_or(REGION).to_owned(),
            body,
            page_size: None,
        }
    }

    /// Returns true if the operation only reads.
    pub fn is_read(&self) -> bool {
        is_read(&self.operation)
    }

    /// Returns a Query call's form.
    pub fn form(&self) -> Option<&Params> {
        match &self.body {
            Body::Form(params) => Some(params),
            Body::Json(_) | Body::Text(_) => None,
        }
    }

    /// Returns an ECS or SQS call's JSON.
    pub fn json(&self) -> Option<&Value> {
        match &self.body {
            Body::Json(value) => Some(value),
            Body::Form(_) | Body::Text(_) => None,
        }
    }

    /// Returns the ids that it names, for the log.
    pub fn summary(&self) -> String {
        let mut summary = String::new();
        let mut add = |name: &str, values: &[&str]| {
            if values.is_empty() {
                return;
            }
            let shown: Vec<&str> =
                values.iter().take(3).map(|v| v.rsplit('/').next().unwrap_or(v)).collect();
            let more = if values.len() > 3 {
                format!(" and {} more", values.len() - 3)
            } else {
                String::new()
            };
            let space = if summary.is_empty() { "" } else { " " };
            summary.push_str(space);
            summary.push_str(name);
            summary.push('=');
            summary.push_str(&shown.join(","));
            summary.push_str(&more);
        };
        match &self.body {
            Body::Json(body) => {
                for name in JSON_FIELDS {
                    match body.get(name) {
                        Some(Value::String(text)) => add(name, &[text]),
                        Some(Value::Array(list)) => {
                            add(name, &list.iter().filter_map(Value::as_str).collect::<Vec<_>>())
                        }
                        Some(Value::Bool(flag)) => {
                            add(name, &[if *flag { "true" } else { "false" }])
                        }
                        Some(Value::Number(number)) => add(name, &[&number.to_string()]),
                        Some(Value::Object(_) | Value::Null) | None => {}
                    }
                }
            }
            Body::Form(params) => {
                for name in FORM_FIELDS {
                    add(name, &params.get(name).into_iter().collect::<Vec<_>>());
                }
                for name in FORM_LISTS {
                    let values = params.list(name);
                    add(name, &values.iter().map(String::as_str).collect::<Vec<_>>());
                }
            }
            Body::Text(text) => {
                let text = String::from_utf8_lossy(text);
                for name in ["TableName", "IndexName"] {
                    add(name, &string_field(&text, name).into_iter().collect::<Vec<_>>());
                }
                if let Some(key) = object_field(&text, "Key") {
                    let _ = write!(summary, " Key={key}");
                }
            }
        }
        summary
    }
}

/// Returns true if an operation of any service only reads.
pub fn is_read(operation: &str) -> bool {
    let reads = ["Describe", "List", "Get", "Query", "Scan", "BatchGet", "TransactGet"];
    reads.iter().any(|prefix| operation.starts_with(prefix))
}

const JSON_FIELDS: [&str; 15] = [
    "cluster",
    "clusters",
    "containerInstance",
    "containerInstances",
    "task",
    "tasks",
    "services",
    "serviceName",
    "status",
    "desiredStatus",
    "filter",
    "force",
    "QueueName",
    "QueueUrl",
    "WaitTimeSeconds",
];

const FORM_FIELDS: [&str; 8] = [
    "AutoScalingGroupName",
    "LifecycleHookName",
    "InstanceId",
    "LifecycleActionToken",
    "LifecycleActionResult",
    "TargetGroupArn",
    "LoadBalancerName",
    "RoleArn",
];

const FORM_LISTS: [&str; 4] =
    ["AutoScalingGroupNames", "InstanceIds", "TargetGroupArns", "LoadBalancerNames"];

/// Returns access key and region of `AWS4-HMAC-SHA256
/// Credential=<key>/<date>/<region>/<service>/aws4_request, …`.
fn scope(authorization: &str) -> (&str, Option<&str>) {
    let scope =
        authorization.split("Credential=").nth(1).and_then(|rest| rest.split([',', ' ']).next());
    let mut parts = scope.unwrap_or_default().split('/');
    (parts.next().unwrap_or_default(), parts.nth(1).filter(|region| !region.is_empty()))
}

/// Returns the first field of this name with a text value, found without parsing the whole.
fn string_field<'a>(json: &'a str, name: &str) -> Option<&'a str> {
    let after = json.split_once(&format!("\"{name}\":"))?.1.trim_start().strip_prefix('"')?;
    after.split('"').next()
}

/// Returns the first field of this name with an object value, shortened.
fn object_field<'a>(json: &'a str, name: &str) -> Option<&'a str> {
    let after = json.split_once(&format!("\"{name}\":"))?.1.trim_start();
    let mut depth = 0_usize;
    let end = after.char_indices().find_map(|(at, c)| {
        match c {
            '{' => depth += 1,
            '}' => depth = depth.saturating_sub(1),
            _ => {}
        }
        (depth == 0).then_some(at + 1)
    })?;
    after.get(..end.min(160))
}
