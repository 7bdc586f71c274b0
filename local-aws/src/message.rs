//! A message of a queue: its parts, their checksums, and what SQS adds to it.

use std::collections::BTreeMap;
use std::time::Duration;

use md5::{Digest, Md5};
use serde::Serialize;

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
    /// Enqueue time.
    pub sent: Duration,
    /// How often it was received.
    pub receive_count: u32,
    /// From when on it can be received.
    pub visible_at: Duration,
    pub(crate) first_received: Option<Duration>,
    pub(crate) last_received: Option<Duration>,
    /// The handle of its last receive.
    pub(crate) receipt: Option<String>,
}

/// One message attribute, a `String` or a `Number`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct Attribute {
    /// `String` or `Number`, perhaps with a label after a dot.
    pub data_type: String,
    /// Its value.
    pub string_value: Option<String>,
}

/// A message to be sent.
#[derive(Clone, Debug, Default)]
pub struct Draft {
    pub(crate) body: String,
    pub(crate) attributes: BTreeMap<String, Attribute>,
    pub(crate) delay: Duration,
}

impl Draft {
    /// A plain text, visible at once.
    #[must_use]
    pub fn text(body: impl Into<String>) -> Self {
        Self { body: body.into(), ..Self::default() }
    }
}

/// The system attributes of a message, as a receive and an event of Lambda show them.
pub(crate) fn system_attributes(
    epoch: Epoch,
    sender: &str,
    message: &Message,
) -> BTreeMap<&'static str, String> {
    let millis = |at| epoch.millis(at).to_string();
    let mut attributes = BTreeMap::from([
        ("ApproximateReceiveCount", message.receive_count.to_string()),
        ("SentTimestamp", millis(message.sent)),
        ("SenderId", sender.to_owned()),
    ]);
    let first = message.first_received;
    attributes.extend(first.map(|at| ("ApproximateFirstReceiveTimestamp", millis(at))));
    attributes
}

pub(crate) fn md5_of_body(body: &str) -> String {
    format!("{:x}", Md5::digest(body))
}

/// The MD5 over all attributes: names sorted, every part behind its length, one byte for the kind of value.
pub(crate) fn md5_of_attributes(attributes: &BTreeMap<String, Attribute>) -> Option<String> {
    let mut digest = Md5::new();
    let mut part = |kind: &[u8], text: &str| {
        let length = u32::try_from(text.len()).unwrap_or(u32::MAX);
        digest.update([kind, &length.to_be_bytes(), text.as_bytes()].concat());
    };
    for (name, attribute) in attributes {
        part(&[], name);
        part(&[], &attribute.data_type);
        part(&[1], attribute.string_value.as_deref().unwrap_or_default());
    }
    (!attributes.is_empty()).then(|| format!("{:x}", digest.finalize()))
}
