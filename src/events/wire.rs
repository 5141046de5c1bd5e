//! The JSON that services send, as far as it is needed. Fields without a name here are skipped and
//! not kept, however large and however deeply nested.

use serde::Deserialize;
use serde::de::value::{Error as LineError, MapAccessDeserializer, MapDeserializer};
use serde::de::{Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};
use std::fmt;
use std::marker::PhantomData;

/// A value that should be a string. Another type is an error only if the field is needed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) enum Field {
    /// Missing or null.
    #[default]
    Absent,
    Text(String),
    /// Another type.
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

/// Accepts only an object: serde's derived code would also accept a list of the fields' values.
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

/// Fields that distinguish the kinds of messages.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Envelope {
    /// SNS: kind of message. (Source: SNS developer guide, "HTTP/HTTPS notification JSON format".)
    #[serde(rename = "Type")]
    pub sns_type: Field,
    /// SNS: published message.
    #[serde(rename = "Message")]
    pub sns_message: Field,
    /// EventBridge: the service. (Source: EventBridge events reference, "AWS service event
    /// metadata".)
    pub source: Field,
    /// EventBridge: kind of event.
    #[serde(rename = "detail-type")]
    pub detail_type: Field,
    /// EventBridge: account of the event.
    pub account: Field,
    /// EventBridge: region of the event.
    pub region: Field,
    /// EventBridge: time at which the service sent it.
    pub time: Field,
    /// EventBridge: the service's own fields.
    pub detail: Option<Object<Detail>>,
    /// Auto Scaling, to SNS and SQS: name of the service.
    #[serde(rename = "Service")]
    pub service: Field,
}

/// Fields of all kinds of events that are read. Auto Scaling sends the same ones to EventBridge in
/// `detail`, and to SNS and SQS as the whole message. (Source: EC2 Auto Scaling user guide,
/// "Prepare to add a lifecycle hook".)
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Detail {
    /// Auto Scaling, to SNS and SQS: the account.
    #[serde(rename = "AccountId")]
    pub account_id: Field,
    /// Auto Scaling, to SNS and SQS: kind of a notification that is not about a lifecycle action.
    #[serde(rename = "Event")]
    pub event: Field,
    /// Auto Scaling, to SNS and SQS: time at which it was sent.
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
    /// Auto Scaling: transition, a launch or a termination.
    #[serde(rename = "LifecycleTransition")]
    pub transition: Field,
    /// Auto Scaling: place that the instance comes from.
    #[serde(rename = "Origin")]
    pub origin: Field,
    /// Auto Scaling: place that the instance goes to.
    #[serde(rename = "Destination")]
    pub destination: Field,
    /// EC2: the instance.
    #[serde(rename = "instance-id")]
    pub spot_instance: Field,
    /// EC2: action on the instance.
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

/// Returns the lines `Name: value` of Auto Scaling's form for people. The API reference promises
/// this form for SNS (source: PutLifecycleHook, "email key-value pair format"); today JSON arrives.
pub(super) fn lines(text: &str) -> impl Iterator<Item = (&str, &str)> {
    text.lines()
        .filter_map(|line| line.split_once(':'))
        .map(|(name, value)| (name.trim(), value.trim()))
}

/// Parses these lines. A name that occurs twice is an error, as in JSON.
pub(super) fn detail_of_lines(text: &str) -> Result<Detail, LineError> {
    Detail::deserialize(MapDeserializer::new(lines(text)))
}
