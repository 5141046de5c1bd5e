//! Security Token Service: the caller's identity and account.

use jiff::Timestamp;

use crate::wire::query::{Params, Xml, timestamp};
use crate::wire::{ApiError, Call};
use crate::{ACCOUNT, SimTime};

/// Returns the account of an access key that [`handle`] created. Any other key is of the simulated
/// account.
pub fn account_of(access_key: &str) -> Option<&str> {
    let account = access_key.strip_prefix("ASIA")?.get(..12)?;
    account.bytes().all(|byte| byte.is_ascii_digit()).then_some(account)
}

/// Answers one call with the XML inside its result element.
pub fn handle(start: Timestamp, now: SimTime, call: &Call) -> Result<String, ApiError> {
    let params = call.form().ok_or_else(|| ApiError::unknown_action(&call.operation))?;
    match call.operation.as_str() {
        "GetCallerIdentity" => Ok(caller_identity(&call.account)),
        "AssumeRole" => assume_role(start, now, params),
        action => Err(ApiError::unknown_action(action)),
    }
}

fn caller_identity(account: &str) -> String {
    let mut xml = Xml::new();
    xml.element("Arn", format!("arn:aws:sts::{account}:assumed-role/simulated/session"));
    xml.element("UserId", "AROA0SIMULATED0000000:session");
    xml.element("Account", account);
    xml.finish()
}

/// Assumes a role. The credentials belong to the role's account and last an hour by default
/// (source: STS API reference, AssumeRole).
fn assume_role(start: Timestamp, now: SimTime, params: &Params) -> Result<String, ApiError> {
    let role = params.require("RoleArn")?;
    let session = params.require("RoleSessionName")?;
    let account = role.split(':').nth(4).filter(|account| account.len() == 12).unwrap_or(ACCOUNT);
    let name = role.rsplit('/').next().unwrap_or("role");
    let lifetime = SimTime::from_secs(u64::from(params.number("DurationSeconds")?.unwrap_or(3600)));
    let mut xml = Xml::new();
    xml.nested("Credentials", |xml| {
        xml.element("AccessKeyId", format!("ASIA{account}SIMU"));
        xml.element("SecretAccessKey", "simulated");
        xml.element("SessionToken", "simulated");
        xml.element("Expiration", timestamp(start, now + lifetime));
    });
    xml.nested("AssumedRoleUser", |xml| {
        xml.element("AssumedRoleId", format!("AROA0SIMULATED0000000:{session}"));
        xml.element("Arn", format!("arn:aws:sts::{account}:assumed-role/{name}/{session}"));
    });
    Ok(xml.finish())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;
    use crate::wire::Request;

    fn call(body: &str, access_key: &str) -> Call {
        let scope = format!(
            "AWS4-HMAC-SHA256 Credential={access_key}/20260105/us-east-1/sts/aws4_request, Signature=0"
        );
        let body = format!("{body}&Version=2011-06-15").into_bytes().into();
        Call::parse(&Request { authorization: Some(scope), body, ..Request::default() })
    }

    #[test]
    fn an_assumed_role_acts_in_its_own_account() {
        let role = "Action=AssumeRole&RoleArn=arn%3Aaws%3Aiam%3A%3A210987654321%3Arole%2Fdrain&RoleSessionName=s";
        let xml = handle(Timestamp::UNIX_EPOCH, SimTime::ZERO, &call(role, "AKIAOURS")).unwrap();
        let key =
            xml.split("<AccessKeyId>").nth(1).and_then(|rest| rest.split('<').next()).unwrap();
        assert!(xml.contains("<Expiration>1970-01-01T01:00:00Z</Expiration>"), "{xml}");
        let who = |key: &str| {
            let call = call("Action=GetCallerIdentity", key);
            handle(Timestamp::UNIX_EPOCH, SimTime::ZERO, &call).unwrap()
        };
        assert!(who(key).contains("<Account>210987654321</Account>"));
        assert!(who("AKIAOURS").contains("<Account>123456789012</Account>"));
    }
}
