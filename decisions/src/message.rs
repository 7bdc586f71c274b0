//! A message of the retry queue as Lambda hands it over.

use alloc::borrow::ToOwned;
use alloc::string::String;

use serde_json::Value;

/// A message, as much of it as is read. It has no `Debug`: its body can hold an address.
pub struct Message {
    /// Its name in `batchItemFailures`.
    pub id: String,
    /// Its name in `ChangeMessageVisibility`.
    pub receipt_handle: Option<String>,
    pub(crate) body: String,
    /// How often SQS has handed it over. A missing count reads as 1.
    pub(crate) receives: u32,
}

impl Message {
    /// Reads a record of a batch; `None` if it has no id.
    pub(crate) fn of(record: &Value) -> Option<Self> {
        let text = |name: &str| record.get(name).and_then(Value::as_str).map(str::to_owned);
        let receives = record.pointer("/attributes/ApproximateReceiveCount");
        let receives = receives.and_then(Value::as_str).and_then(|count| count.parse().ok());
        Some(Self {
            id: text("messageId")?,
            receipt_handle: text("receiptHandle"),
            body: text("body").unwrap_or_default(),
            receives: receives.unwrap_or(1),
        })
    }
}
