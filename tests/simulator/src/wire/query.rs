//! The AWS Query protocol: a form-encoded request names its `Action` and `Version`, the answer is
//! XML.
//!
//! Auto Scaling, both Elastic Load Balancing APIs and STS speak it. Lists are flattened into
//! numbered fields, `InstanceIds.member.1`, and structures into dotted ones, `Targets.member.1.Id`.
//! Answers wrap their result in
//! `<ActionResponse><ActionResult>…</ActionResult><ResponseMetadata>…`. Source: botocore service
//! models, `protocol: query`.

use super::ApiError;
use crate::SimTime;
use jiff::Timestamp;
use std::collections::BTreeMap;
use std::fmt::{Display, Write};

/// The XML namespace of EC2 Auto Scaling's answers.
pub const AUTO_SCALING: &str = "http://autoscaling.amazonaws.com/doc/2011-01-01/";
/// The XML namespace of the Classic Load Balancer API.
pub const ELASTIC_LOAD_BALANCING_CLASSIC: &str =
    "http://elasticloadbalancing.amazonaws.com/doc/2012-06-01/";
/// The XML namespace of the Application and Network Load Balancer API.
pub const ELASTIC_LOAD_BALANCING_V2: &str =
    "http://elasticloadbalancing.amazonaws.com/doc/2015-12-01/";
/// The XML namespace of STS.
pub const STS: &str = "https://sts.amazonaws.com/doc/2011-06-15/";

/// The fields of a Query request.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Params {
    fields: BTreeMap<String, String>,
}

impl Params {
    /// Reads a form-encoded request body.
    pub fn parse(body: &[u8]) -> Self {
        Self { fields: form_urlencoded::parse(body).into_owned().collect() }
    }

    /// Creates a request of field names and values, as a test or another service of the simulator
    /// writes it.
    pub fn from_pairs(pairs: &[(&str, &str)]) -> Self {
        Self {
            fields: pairs
                .iter()
                .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
                .collect(),
        }
    }

    /// Returns all fields in the order of their names.
    pub fn fields(&self) -> impl Iterator<Item = (&str, &str)> {
        self.fields.iter().map(|(name, value)| (name.as_str(), value.as_str()))
    }

    /// Returns the value of a field; an empty value counts as absent.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.fields.get(name).map(String::as_str).filter(|value| !value.is_empty())
    }

    /// Returns the operation that the request names; empty if there is none.
    pub fn action(&self) -> &str {
        self.get("Action").unwrap_or_default()
    }

    /// Returns the API version that the request names: it decides to which service the operation
    /// belongs.
    pub fn version(&self) -> &str {
        self.get("Version").unwrap_or_default()
    }

    /// Returns the value of a field that must be there.
    pub fn require(&self, name: &str) -> Result<&str, ApiError> {
        self.get(name).ok_or_else(|| {
            ApiError::validation_error(format!(
                "1 validation error detected: Value null at '{}' failed to satisfy constraint: Member must not be null",
                lower_camel(name)
            ))
        })
    }

    /// Returns a whole number, if the field is there.
    pub fn number(&self, name: &str) -> Result<Option<u32>, ApiError> {
        let Some(text) = self.get(name) else { return Ok(None) };
        let number = text.parse().map_err(|_| malformed(name, text))?;
        Ok(Some(number))
    }

    /// Returns a boolean, if the field is there.
    pub fn flag(&self, name: &str) -> Result<Option<bool>, ApiError> {
        match self.get(name) {
            None => Ok(None),
            Some("true") => Ok(Some(true)),
            Some("false") => Ok(Some(false)),
            Some(other) => Err(malformed(name, other)),
        }
    }

    /// Returns the list in the fields `name.member.1`, `name.member.2` and so on, in the order of
    /// their numbers.
    pub fn list(&self, name: &str) -> Vec<String> {
        let numbered: BTreeMap<u32, &String> = self
            .members(name)
            .filter_map(|(rest, value)| Some((rest.parse().ok()?, value)))
            .filter(|(_, value)| !value.is_empty())
            .collect();
        numbered.into_values().cloned().collect()
    }

    /// Returns the list of structures in the fields `name.member.1.Field`. Nested values keep their
    /// dotted name: the second value of a filter is `Values.member.2`.
    pub fn structs(&self, name: &str) -> Vec<BTreeMap<String, String>> {
        let mut numbered: BTreeMap<u32, BTreeMap<String, String>> = BTreeMap::new();
        for (rest, value) in self.members(name) {
            if let Some((number, field)) = rest.split_once('.')
                && let Ok(number) = number.parse()
            {
                numbered.entry(number).or_default().insert(field.to_owned(), value.clone());
            }
        }
        numbered.into_values().collect()
    }

    /// Returns the fields below `name.member.`, without that prefix.
    fn members(&self, name: &str) -> impl Iterator<Item = (&str, &String)> {
        let prefix = format!("{name}.member.");
        let skip = prefix.len();
        self.fields
            .range(prefix.clone()..)
            .take_while(move |(field, _)| field.starts_with(&prefix))
            .map(move |(field, value)| (field.get(skip..).unwrap_or_default(), value))
    }
}

/// Returns the answer to a Query request.
///
/// `namespace` is one of this module's constants. An operation without a result still gets an empty
/// result element: readers skip it, while those of an operation with a result fail without it.
pub fn xml_response(action: &str, namespace: &str, result_body: &str, request_id: &str) -> String {
    format!(
        "<{action}Response xmlns=\"{namespace}\"><{action}Result>{result_body}</{action}Result>\
         <ResponseMetadata><RequestId>{request_id}</RequestId></ResponseMetadata></{action}Response>"
    )
}

/// Returns the body of an error answer, without its HTTP status.
pub fn xml_error(code: &str, message: &str, request_id: &str) -> String {
    let fault = match code {
        "HealthUnavailable" | "InternalError" | "InternalFailure" | "ResourceContention"
        | "ServiceUnavailable" => "Receiver",
        _ => "Sender",
    };
    let mut xml = Xml::new();
    xml.nested("ErrorResponse", |xml| {
        xml.nested("Error", |xml| {
            xml.element("Type", fault).element("Code", code).element("Message", message);
        });
        xml.element("RequestId", request_id);
    });
    xml.finish()
}

/// Returns a moment of the simulated world in XML's form, for example `2026-01-01T00:00:30Z`.
pub fn timestamp(start: Timestamp, at: SimTime) -> String {
    start.checked_add(at).unwrap_or(start).to_string()
}

/// Writes XML, and escapes the text in it.
#[derive(Clone, Debug, Default)]
pub struct Xml {
    text: String,
}

impl Xml {
    /// Creates an empty document.
    pub fn new() -> Self {
        Self::default()
    }

    /// Writes `<name>value</name>`.
    pub fn element(&mut self, name: &str, value: impl Display) -> &mut Self {
        self.open(name);
        self.escape(&value.to_string());
        self.close(name)
    }

    /// Writes `<name>value</name>`, or nothing for `None`.
    pub fn optional(&mut self, name: &str, value: Option<impl Display>) -> &mut Self {
        match value {
            Some(value) => self.element(name, value),
            None => self,
        }
    }

    /// Writes `<name>…</name>` around the output of `content`.
    pub fn nested(&mut self, name: &str, content: impl FnOnce(&mut Self)) -> &mut Self {
        self.open(name);
        content(self);
        self.close(name)
    }

    /// Writes `<name><member>…</member>…</name>`, one member for each item. An empty list is an
    /// empty element.
    pub fn list<T>(
        &mut self,
        name: &str,
        items: impl IntoIterator<Item = T>,
        mut member: impl FnMut(&mut Self, T),
    ) -> &mut Self {
        self.open(name);
        for item in items {
            self.open("member");
            member(self, item);
            self.close("member");
        }
        self.close(name)
    }

    /// Writes a list of plain values.
    pub fn values<T: Display>(
        &mut self,
        name: &str,
        items: impl IntoIterator<Item = T>,
    ) -> &mut Self {
        self.list(name, items, |xml, item| xml.escape(&item.to_string()))
    }

    /// Returns the written XML.
    pub fn finish(self) -> String {
        self.text
    }

    fn open(&mut self, name: &str) {
        self.text.push('<');
        self.text.push_str(name);
        self.text.push('>');
    }

    fn close(&mut self, name: &str) -> &mut Self {
        self.text.push_str("</");
        self.text.push_str(name);
        self.text.push('>');
        self
    }

    fn escape(&mut self, value: &str) {
        for letter in value.chars() {
            match letter {
                '&' => self.text.push_str("&amp;"),
                '<' => self.text.push_str("&lt;"),
                '>' => self.text.push_str("&gt;"),
                '"' => self.text.push_str("&quot;"),
                '\'' => self.text.push_str("&apos;"),
                other => self.text.push(other),
            }
        }
    }
}

/// One page of an answer, and the token of the next one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Page<T> {
    /// The items of the page.
    pub items: Vec<T>,
    /// The token of the next page, if there is one.
    pub next: Option<String>,
}

impl<T> Page<T> {
    /// Cuts a page out of items in the order of their keys.
    ///
    /// The token names the last key of the page, so an item that is added or removed between two
    /// pages neither repeats nor hides another one. `None` for a token that this simulator did not
    /// write: the caller's error. A page of size zero is empty, with a token if items would be on
    /// it.
    pub fn cut(
        items: impl IntoIterator<Item = (String, T)>,
        size: usize,
        token: Option<&str>,
    ) -> Option<Self> {
        let after = match token {
            Some(token) => Some(read_token(token)?),
            None => None,
        };
        let mut page = Self { items: Vec::new(), next: None };
        let mut last = after.clone().unwrap_or_default();
        for (key, item) in items {
            if after.as_ref().is_some_and(|after| key <= *after) {
                continue;
            }
            if page.items.len() == size {
                page.next = Some(write_token(&last));
                break;
            }
            page.items.push(item);
            last = key;
        }
        Some(page)
    }
}

/// Returns a key as an opaque token: its bytes in hexadecimal, after a letter, so that no token is
/// empty.
fn write_token(key: &str) -> String {
    key.bytes().fold("t".to_owned(), |mut token, byte| {
        // Writing to a String cannot fail.
        let _ = write!(token, "{byte:02x}");
        token
    })
}

fn read_token(token: &str) -> Option<String> {
    let token = token.strip_prefix('t')?;
    if !token.len().is_multiple_of(2) {
        return None;
    }
    let bytes: Option<Vec<u8>> = (0..token.len())
        .step_by(2)
        .map(|at| u8::from_str_radix(token.get(at..at + 2)?, 16).ok())
        .collect();
    String::from_utf8(bytes?).ok()
}

fn malformed(name: &str, value: &str) -> ApiError {
    ApiError::bad_request("MalformedInput", format!("The value '{value}' of {name} cannot be read"))
}

/// Returns a field's name as in validation messages: `AutoScalingGroupName` is
/// `autoScalingGroupName`.
fn lower_camel(name: &str) -> String {
    let mut letters = name.chars();
    letters.next().map(|first| first.to_lowercase().chain(letters).collect()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use super::*;

    #[test]
    fn lists_come_in_the_order_of_their_numbers() {
        let body: String = (1..=11).map(|n| format!("&InstanceIds.member.{n}=i-{n}")).collect();
        let params = Params::parse(format!("Action=X&Version=2011-01-01{body}").as_bytes());
        let expected: Vec<String> = (1..=11).map(|n| format!("i-{n}")).collect();
        assert_eq!(params.list("InstanceIds"), expected);
        assert_eq!((params.action(), params.version()), ("X", "2011-01-01"));
        assert!(params.list("Instance").is_empty());
    }

    #[test]
    fn an_empty_list_is_written_as_an_empty_field() {
        assert!(Params::parse(b"InstanceIds=&Targets=").list("InstanceIds").is_empty());
        assert!(Params::parse(b"InstanceIds=&Targets=").structs("Targets").is_empty());
    }

    #[test]
    fn structures_keep_their_fields_together() {
        let params = Params::parse(
            b"Targets.member.1.Id=i-1&Targets.member.1.Port=80&Targets.member.2.Id=i-2\
              &Filters.member.1.Name=tag%3Aa&Filters.member.1.Values.member.1=b%26c",
        );
        let targets = params.structs("Targets");
        assert_eq!(targets.len(), 2);
        assert_eq!(targets[0].get("Port").map(String::as_str), Some("80"));
        assert_eq!(targets[1].get("Port"), None);
        assert_eq!(
            params.structs("Filters")[0].get("Values.member.1").map(String::as_str),
            Some("b&c")
        );
    }

    #[test]
    fn a_missing_field_is_named_in_the_error() {
        let error = Params::default().require("AutoScalingGroupName").unwrap_err();
        assert_eq!(error.code, "ValidationError");
        assert!(error.message.contains("'autoScalingGroupName'"), "{}", error.message);
    }

    #[test]
    fn text_is_escaped() {
        let mut xml = Xml::new();
        xml.nested("A", |xml| {
            xml.element("B", "<&>\"'").values("C", [1, 2]).optional("D", None::<u8>);
        });
        assert_eq!(
            xml.finish(),
            "<A><B>&lt;&amp;&gt;&quot;&apos;</B><C><member>1</member><member>2</member></C></A>"
        );
    }

    #[test]
    fn pages_neither_repeat_nor_hide_an_item() {
        let items = |names: &[&str]| {
            names.iter().map(|name| ((*name).to_owned(), (*name).to_owned())).collect::<Vec<_>>()
        };
        let first = Page::cut(items(&["a", "b", "c", "d"]), 2, None).unwrap();
        assert_eq!(first.items, ["a", "b"]);
        let second = Page::cut(items(&["a", "bb", "c", "d"]), 9, first.next.as_deref()).unwrap();
        assert_eq!(second.items, ["bb", "c", "d"]);
        assert_eq!(second.next, None);
        assert_eq!(Page::cut(items(&["a"]), 1, Some("nonsense")), None);
        assert_eq!(Page::cut(items(&["a"]), 1, Some("tonsense")), None);
    }

    #[test]
    fn an_empty_page_hides_nothing() {
        let items = |names: &[&'static str]| {
            names.iter().map(|name| ((*name).to_owned(), *name)).collect::<Vec<_>>()
        };
        let empty = Page::cut(items(&["a", "b"]), 0, None).unwrap();
        assert!(empty.items.is_empty() && empty.next.is_some());
        let rest = Page::cut(items(&["a", "b"]), 9, empty.next.as_deref()).unwrap();
        assert_eq!((rest.items, rest.next), (vec!["a", "b"], None));
        let first = Page::cut(items(&["a", "b"]), 1, None).unwrap();
        let empty = Page::cut(items(&["a", "b"]), 0, first.next.as_deref()).unwrap();
        assert_eq!(empty.next, first.next, "what was read is not read again");
        assert_eq!(Page::cut(items(&[]), 0, None).unwrap().next, None);
    }

    #[test]
    fn time_is_written_as_aws_writes_it() {
        let start: Timestamp = "2026-01-01T00:00:00Z".parse().unwrap();
        assert_eq!(timestamp(start, SimTime::from_millis(30_500)), "2026-01-01T00:00:30.5Z");
    }
}
