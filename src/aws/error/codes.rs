//! Error codes as they are sent, and their classes. Most are in no model: services share them, and
//! the SDK passes them on as text.

use super::ErrorClass;

/// Throttling errors that the SDK neither recognizes nor retries. (Source: Auto Scaling API
/// reference, "Welcome": `RateExceeded`; Elastic Load Balancing API reference 2012-06-01,
/// DescribeLoadBalancers: `DependencyThrottle`.)
pub(in crate::aws) const UNKNOWN_THROTTLES: [&str; 2] = ["RateExceeded", "DependencyThrottle"];

/// Table of codes. A code that is not in it is classified by the answer's status.
const CODES: &[(ErrorClass, &[&str])] = &[
    // The SDK's own list, `aws_runtime::retries::classifiers::THROTTLING_ERRORS`, as far as these
    // services can send it.
    (
        ErrorClass::Throttled,
        &[
            "Throttling",
            "ThrottlingException",
            "ThrottledException",
            "RequestThrottledException",
            "RequestThrottled",
            "TooManyRequestsException",
            "ProvisionedThroughputExceededException",
            "RequestLimitExceeded",
            "BandwidthLimitExceeded",
            "LimitExceededException",
            "SlowDown",
            "PriorRequestNotComplete",
            "EC2ThrottledException",
        ],
    ),
    (ErrorClass::Throttled, &UNKNOWN_THROTTLES),
    (
        ErrorClass::Denied,
        &["AccessDenied", "AccessDeniedException", "UnauthorizedOperation", "NotAuthorized"],
    ),
    // Source: "Common errors" of the services' API references.
    (
        ErrorClass::Credentials,
        &[
            "ExpiredToken",
            "ExpiredTokenException",
            "InvalidClientTokenId",
            "InvalidAccessKeyId",
            "UnrecognizedClientException",
            "SignatureDoesNotMatch",
            "InvalidSignatureException",
            "IncompleteSignature",
            "IncompleteSignatureException",
            "MissingAuthenticationToken",
            "MissingAuthenticationTokenException",
            "RequestExpired",
            "RequestTimeTooSkewed",
            "AuthFailure",
            "OptInRequired",
            "RegionDisabledException",
        ],
    ),
    // Classic load balancers' codes differ from the names in the model. (Source: the API references
    // of ECS, DynamoDB and both generations of Elastic Load Balancing.)
    (
        ErrorClass::NotFound,
        &[
            "ClusterNotFoundException",
            "ServiceNotFoundException",
            "ResourceNotFoundException",
            "TargetGroupNotFound",
            "LoadBalancerNotFound",
            "InvalidInstance",
        ],
    ),
    // Problems on AWS's side, some of which have a status that does not show it. (Source for
    // DynamoDB, whose conflicts pass by themselves: DynamoDB developer guide, "Error handling with
    // DynamoDB"; for scaling activities, which end by themselves: Auto Scaling API reference,
    // SetDesiredCapacity.)
    (
        ErrorClass::Unavailable,
        &[
            "ServerException",
            "InternalFailure",
            "InternalError",
            "InternalServerError",
            "ServiceUnavailable",
            "ServiceUnavailableException",
            "RequestTimeout",
            "RequestTimeoutException",
            "ResourceContention",
            "ScalingActivityInProgress",
            "HealthUnavailable",
            "TransactionInProgressException",
            "TransactionConflictException",
            "ReplicatedWriteConflictException",
        ],
    ),
    (
        ErrorClass::Invalid,
        &[
            "ValidationError",
            "ValidationException",
            "InvalidParameterException",
            "InvalidParameterValue",
            "InvalidParameterCombination",
            "InvalidInput",
            "InvalidTarget",
            "ClientException",
            "MalformedPolicyDocument",
        ],
    ),
];

/// Returns the class of an error answer.
pub(crate) fn classify(code: Option<&str>, status: Option<u16>, message: &str) -> ErrorClass {
    let by_status = match status {
        Some(429) => ErrorClass::Throttled,
        Some(500..) => ErrorClass::Unavailable,
        Some(_) | None => ErrorClass::Other,
    };
    // An error without a code comes from a proxy or load balancer on the way.
    let Some(code) = code else { return by_status };
    let message = message.to_ascii_lowercase();
    match code {
        // Auto Scaling has one code for everything; only the text identifies this error.
        "ValidationError" if message.contains("no active lifecycle action found") => {
            ErrorClass::NoActiveAction
        }
        // A cluster is deleted only once no container instance is registered in it (source: ECS API
        // reference, DeleteCluster). ECS remembers it for a while, and later returns
        // ClusterNotFoundException.
        "InvalidParameterException" if message.contains("cluster is inactive") => {
            ErrorClass::NotFound
        }
        code => CODES
            .iter()
            .find(|(_, codes)| codes.contains(&code))
            .map_or(by_status, |(class, _)| *class),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn no_code_means_two_things() {
        let all: Vec<&str> = CODES.iter().flat_map(|(_, codes)| codes.iter().copied()).collect();
        let distinct: BTreeSet<&str> = all.iter().copied().collect();
        assert_eq!(all.len(), distinct.len());
    }

    #[test]
    fn one_table_of_answers() {
        let rows = [
            (400, "ThrottlingException", "Rate exceeded", ErrorClass::Throttled),
            (400, "Throttling", "Rate exceeded", ErrorClass::Throttled),
            (400, "RateExceeded", "", ErrorClass::Throttled),
            (400, "DependencyThrottle", "", ErrorClass::Throttled),
            (503, "RequestLimitExceeded", "", ErrorClass::Throttled),
            (400, "AccessDeniedException", "no", ErrorClass::Denied),
            (403, "AccessDenied", "no", ErrorClass::Denied),
            (403, "ExpiredToken", "old", ErrorClass::Credentials),
            (400, "UnrecognizedClientException", "", ErrorClass::Credentials),
            (400, "ClusterNotFoundException", "Cluster not found.", ErrorClass::NotFound),
            (
                400,
                "InvalidParameterException",
                "The specified cluster is inactive. Specify…",
                ErrorClass::NotFound,
            ),
            (400, "LoadBalancerNotFound", "", ErrorClass::NotFound),
            (
                400,
                "ValidationError",
                "No active Lifecycle Action found with instance ID i-1",
                ErrorClass::NoActiveAction,
            ),
            (
                400,
                "ValidationError",
                "NO ACTIVE LIFECYCLE ACTION FOUND with token 1",
                ErrorClass::NoActiveAction,
            ),
            (400, "ValidationError", "AutoScalingGroup name not found", ErrorClass::Invalid),
            (400, "LimitExceeded", "a quota, not a rate", ErrorClass::Other),
            (400, "ScalingActivityInProgress", "", ErrorClass::Unavailable),
            (500, "ResourceContention", "", ErrorClass::Unavailable),
            (500, "HealthUnavailable", "", ErrorClass::Unavailable),
            (400, "ServerException", "", ErrorClass::Unavailable),
            (400, "ProvisionedThroughputExceededException", "", ErrorClass::Throttled),
            (400, "TransactionConflictException", "", ErrorClass::Unavailable),
            (500, "InternalServerError", "", ErrorClass::Unavailable),
            (
                400,
                "ValidationException",
                "Item size has exceeded the maximum allowed size",
                ErrorClass::Invalid,
            ),
            (403, "SignatureDoesNotMatch", "", ErrorClass::Credentials),
            (400, "RequestExpired", "", ErrorClass::Credentials),
            (502, "SomethingNew", "", ErrorClass::Unavailable),
        ];
        for (status, code, message, class) in rows {
            assert_eq!(classify(Some(code), Some(status), message), class, "{code} {message}");
        }
        assert_eq!(classify(None, Some(429), ""), ErrorClass::Throttled);
        assert_eq!(classify(None, Some(503), "<html>"), ErrorClass::Unavailable);
        assert_eq!(classify(None, Some(404), ""), ErrorClass::Other);
    }
}
