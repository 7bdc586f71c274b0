//! A message of a queue: its parts, their checksums, and what SQS adds to it.

use std::collections::BTreeMap;
use std::time::Duration;

use aws_smithy_types::base64;
use md5::{Digest, Md5};
use serde::Serialize;
use serde_json::{Map, Value};

use crate::epoch::Epoch;

/// One message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    /// Its id, kept when it moves by redrive policy.
    pub id: String,
    /// Its text.
    pub body: String,
    /// Its message attributes.
    pub attributes: BTreeMap<String, Attribute>,
    /// The `AWSTraceHeader` system attribute.
    pub trace_header: Option<String>,
    /// Enqueue time.
    pub sent: Duration,
    /// When it was first received.
    pub first_received: Option<Duration>,
    /// When it was last received.
    pub received: Option<Duration>,
    /// How often it was received.
    pub receive_count: u32,
    /// From when on it can be received.
    pub visible_at: Duration,
    /// The handle of its last receive.
    pub receipt: Option<String>,
}

/// One message attribute.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct Attribute {
    /// `String`, `Number` or `Binary`, perhaps with a label after a dot.
    pub data_type: String,
    /// The value of a `String` or `Number`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub string_value: Option<String>,
    /// The value of a `Binary`, in Base64.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub binary_value: Option<String>,
}

/// A message to be sent.
#[derive(Clone, Debug, Default)]
pub struct Draft {
    /// Its text.
    pub body: String,
    /// Its message attributes.
    pub attributes: BTreeMap<String, Attribute>,
    /// The `AWSTraceHeader` system attribute.
    pub trace_header: Option<String>,
    /// How long it stays invisible at first.
    pub delay: Duration,
}

impl Draft {
    /// A plain text, visible at once.
    #[must_use]
    pub fn text(body: impl Into<String>) -> Self {
        Self {
            body: body.into(),
            ..Self::default()
        }
    }
}

/// The system attributes of a message, as a receive and an event of Lambda show them.
pub(crate) fn system_attributes(
    epoch: Epoch,
    sender: &str,
    message: &Message,
) -> Map<String, Value> {
    let mut attributes = Map::new();
    let mut add =
        |name: &str, value: String| attributes.insert(name.to_owned(), Value::String(value));
    add("ApproximateReceiveCount", message.receive_count.to_string());
    add("SentTimestamp", epoch.millis(message.sent).to_string());
    add("SenderId", sender.to_owned());
    if let Some(first) = message.first_received {
        add(
            "ApproximateFirstReceiveTimestamp",
            epoch.millis(first).to_string(),
        );
    }
    if let Some(header) = &message.trace_header {
        add("AWSTraceHeader", header.clone());
    }
    attributes
}

pub(crate) fn md5_of_body(body: &str) -> String {
    format!("{:x}", Md5::digest(body))
}

/// The MD5 over all attributes: names sorted, every part behind its length, one byte for the kind of value.
pub(crate) fn md5_of_attributes(attributes: &BTreeMap<String, Attribute>) -> Option<String> {
    if attributes.is_empty() {
        return None;
    }
    let mut digest = Md5::new();
    let part = |digest: &mut Md5, bytes: &[u8]| {
        digest.update(u32::try_from(bytes.len()).unwrap_or(u32::MAX).to_be_bytes());
        digest.update(bytes);
    };
    for (name, attribute) in attributes {
        part(&mut digest, name.as_bytes());
        part(&mut digest, attribute.data_type.as_bytes());
        if let Some(text) = &attribute.string_value {
            digest.update([1]);
            part(&mut digest, text.as_bytes());
        } else if let Some(binary) = &attribute.binary_value {
            digest.update([2]);
            part(&mut digest, &base64::decode(binary).unwrap_or_default());
        }
    }
    Some(format!("{:x}", digest.finalize()))
}
