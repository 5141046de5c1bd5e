//! The JSON that services send, as far as it is needed: what has no name here is skipped without
//! being kept, however much of it there is and however deeply it is nested.

use serde::Deserialize;
use serde::de::value::{Error as LineError, MapAccessDeserializer, MapDeserializer};
use serde::de::{Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};
use std::fmt;
use std::marker::PhantomData;

/// A value that should be a string. One that is not is an error only for whoever needs it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) enum Field {
    /// There is none, or it is null.
    #[default]
    Absent,
    /// A string.
    Text(String),
    /// Something else.
    Other,
}

impl<'de> Deserialize<'de> for Field {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Field, D::Error> {
        deserializer.deserialize_any(AnyValue)
    }
}

struct AnyValue;

impl<'de> Visitor<'de> for AnyValue {
    type Value = Field;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Field, E> {
        Ok(Field::Text(text.to_owned()))
    }

    fn visit_string<E: Error>(self, text: String) -> Result<Field, E> {
        Ok(Field::Text(text))
    }

    fn visit_unit<E: Error>(self) -> Result<Field, E> {
        Ok(Field::Absent)
    }

    fn visit_bool<E: Error>(self, _: bool) -> Result<Field, E> {
        Ok(Field::Other)
    }

    fn visit_i64<E: Error>(self, _: i64) -> Result<Field, E> {
        Ok(Field::Other)
    }

    fn visit_u64<E: Error>(self, _: u64) -> Result<Field, E> {
        Ok(Field::Other)
    }

    fn visit_f64<E: Error>(self, _: f64) -> Result<Field, E> {
        Ok(Field::Other)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Field, A::Error> {
        while seq.next_element::<IgnoredAny>()?.is_some() {}
        Ok(Field::Other)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Field, A::Error> {
        while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
        Ok(Field::Other)
    }
}

/// An object, and nothing else: what serde derives would also take a list of the fields' values.
#[derive(Debug)]
pub(super) struct Object<T>(pub T);

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Object<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Object<T>, D::Error> {
        struct OnlyMap<T>(PhantomData<T>);

        impl<'de, T: Deserialize<'de>> Visitor<'de> for OnlyMap<T> {
            type Value = Object<T>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Object<T>, A::Error> {
                T::deserialize(MapAccessDeserializer::new(map)).map(Object)
            }
        }

        deserializer.deserialize_map(OnlyMap(PhantomData))
    }
}

/// What tells the kinds of messages apart.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Envelope {
    /// SNS: which kind of message. (Source: SNS developer guide, "HTTP/HTTPS notification JSON
    /// format".)
    #[serde(rename = "Type")]
    pub sns_type: Field,
    /// SNS: what was published.
    #[serde(rename = "Message")]
    pub sns_message: Field,
    /// EventBridge: the service. (Source: EventBridge events reference, "AWS service event
    /// metadata".)
    pub source: Field,
    /// EventBridge: what happened.
    #[serde(rename = "detail-type")]
    pub detail_type: Field,
    /// EventBridge: the account in which it happened.
    pub account: Field,
    /// EventBridge: the region in which it happened.
    pub region: Field,
    /// EventBridge: when the service sent it.
    pub time: Field,
    /// EventBridge: what the service says of it.
    pub detail: Option<Object<Detail>>,
    /// Auto Scaling, to SNS and SQS: itself.
    #[serde(rename = "Service")]
    pub service: Field,
}

/// The fields of what happened, of all kinds that are read. Auto Scaling sends the same ones to
/// EventBridge in `detail`, and to SNS and SQS as the whole message. (Source: EC2 Auto Scaling user
/// guide, "Prepare to add a lifecycle hook".)
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Detail {
    /// Auto Scaling, to SNS and SQS: the account.
    #[serde(rename = "AccountId")]
    pub account_id: Field,
    /// Auto Scaling, to SNS and SQS: which notification this is, if it is not of a lifecycle
    /// action.
    #[serde(rename = "Event")]
    pub event: Field,
    /// Auto Scaling, to SNS and SQS: when it was sent.
    #[serde(rename = "Time")]
    pub time: Field,
    /// Auto Scaling: the group.
    #[serde(rename = "AutoScalingGroupName")]
    pub group: Field,
    /// Auto Scaling: the hook.
    #[serde(rename = "LifecycleHookName")]
    pub hook: Field,
    /// Auto Scaling: the instance.
    #[serde(rename = "EC2InstanceId")]
    pub instance: Field,
    /// Auto Scaling: whether the instance comes or goes.
    #[serde(rename = "LifecycleTransition")]
    pub transition: Field,
    /// Auto Scaling: where the instance comes from.
    #[serde(rename = "Origin")]
    pub origin: Field,
    /// Auto Scaling: where the instance goes.
    #[serde(rename = "Destination")]
    pub destination: Field,
    /// EC2: the instance.
    #[serde(rename = "instance-id")]
    pub spot_instance: Field,
    /// EC2: what will be done to it.
    #[serde(rename = "instance-action")]
    pub spot_action: Field,
    /// ECS: the cluster's ARN.
    #[serde(rename = "clusterArn")]
    pub cluster: Field,
    /// ECS: the container instance's ARN.
    #[serde(rename = "containerInstanceArn")]
    pub container_instance: Field,
    /// ECS: the EC2 instance of a container instance.
    #[serde(rename = "ec2InstanceId")]
    pub container_instance_of: Field,
    /// ECS: the task's ARN.
    #[serde(rename = "taskArn")]
    pub task: Field,
}

/// The lines `Name: value` of the form in which Auto Scaling writes to people, and which the API
/// reference promises for SNS (source: PutLifecycleHook, "email key-value pair format"), where JSON
/// is what comes today.
pub(super) fn lines(text: &str) -> impl Iterator<Item = (&str, &str)> {
    text.lines()
        .filter_map(|line| line.split_once(':'))
        .map(|(name, value)| (name.trim(), value.trim()))
}

/// What these lines say; a name that comes twice is an error, as it is in JSON.
pub(super) fn detail_of_lines(text: &str) -> Result<Detail, LineError> {
    Detail::deserialize(MapDeserializer::new(lines(text)))
}
