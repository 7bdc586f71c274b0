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

/// The longest receipt handle, and the longest message id, in characters (SQS developer guide, queue and message
/// identifiers).
const LONGEST_RECEIPT_HANDLE: usize = 1_024;
const LONGEST_ID: usize = 100;

impl Message {
    /// Reads a record of a batch; `None` if it has no id, or one that SQS does not give: the id is in the reply and in the
    /// log as it is.
    pub(crate) fn of(record: &Value) -> Option<Self> {
        let text = |name: &str| record.get(name).and_then(Value::as_str);
        let is_id_character = |byte: u8| byte.is_ascii_alphanumeric() || b"-_".contains(&byte);
        let is_id =
            |id: &&str| (1..=LONGEST_ID).contains(&id.len()) && id.bytes().all(is_id_character);
        // SQS refuses a whole batch for an entry that is too long.
        let is_handle = |handle: &&str| (1..=LONGEST_RECEIPT_HANDLE).contains(&handle.len());
        let receives = record.pointer("/attributes/ApproximateReceiveCount");
        let receives = receives.and_then(Value::as_str);
        let is_number =
            |count: &&str| !count.is_empty() && count.bytes().all(|b| b.is_ascii_digit());
        Some(Self {
            id: text("messageId").filter(is_id)?.to_owned(),
            receipt_handle: text("receiptHandle").filter(is_handle).map(str::to_owned),
            body: text("body").unwrap_or_default().to_owned(),
            receives: receives.filter(is_number).map_or(1, |n| n.parse().unwrap_or(u32::MAX)),
        })
    }
}

#[cfg(test)]
mod tests {
    use std::string::ToString;

    use serde_json::json;

    use super::*;

    fn read(record: &Value) -> Option<(String, Option<String>, u32)> {
        Message::of(record).map(|message| (message.id, message.receipt_handle, message.receives))
    }

    #[test]
    fn an_id_that_sqs_does_not_give_is_not_an_id() {
        for id in
            ["secret@example.com", "secret%40example.com", "", "a b", "a\nb", &"x".repeat(101)]
        {
            assert_eq!(read(&json!({"messageId": id})), None, "{id}");
        }
        let id = "059f36b4-87a3-44ab-83d2-661975830a7d";
        assert_eq!(read(&json!({"messageId": id})), Some((id.to_owned(), None, 1)));
    }

    #[test]
    fn a_receipt_handle_that_sqs_refuses_with_all_of_its_batch_is_none() {
        for (handle, is_one) in
            [("r".repeat(1_024), true), ("r".repeat(1_000_000), false), (String::new(), false)]
        {
            let read = read(&json!({"messageId": "m", "receiptHandle": handle}));
            assert_eq!(read.and_then(|(_, handle, _)| handle), is_one.then_some(handle));
        }
    }

    #[test]
    fn a_receive_count_out_of_range_is_not_the_first_receive() {
        for (count, receives) in [
            ("3", 3),
            ("4294967296", u32::MAX),
            (&"9".repeat(1_000_000), u32::MAX),
            ("", 1),
            ("-1", 1),
            ("1e3", 1),
            ("٣", 1),
        ] {
            let record = json!({"messageId": "m", "attributes": {"ApproximateReceiveCount": count.to_string()}});
            assert_eq!(read(&record).map(|(_, _, receives)| receives), Some(receives));
        }
    }
}
