//! The body of a message of the retry queue: the function's own, or one of two that AWS writes.

use alloc::borrow::ToOwned;
use alloc::string::{String, ToString};

use serde_json::Value;

use crate::event::{Event, Ignored, NewAccounts};
use crate::queued_pair::{self, QueuedPair};
use crate::redacted::Redacted;
use crate::timestamp::Timestamp;

/// What a message says.
pub(crate) enum Body {
    /// A pair that waits, or that was a dead letter and was redriven.
    Pair(QueuedPair),
    /// The event that EventBridge could not deliver.
    Undelivered(Redriven),
    /// Lambda's on-failure record, with the event that the function failed at.
    Failed { event: Redriven, request_id: Option<String>, at: Option<Timestamp> },
}

/// What a redriven event asks for.
pub(crate) enum Redriven {
    NewAccounts(NewAccounts),
    Nothing(Ignored),
}

impl Body {
    /// # Errors
    /// Says, for the log, why the text is none of the three.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let body: Value =
            serde_json::from_str(text).map_err(|_| "the body is not JSON".to_owned())?;
        if body.get("version").is_some_and(Value::is_number) {
            return pair(&body).map(Self::Pair);
        }
        let Some(payload) = body.get("requestPayload") else {
            return Redriven::of(&body).map(Self::Undelivered);
        };
        let text = |pointer: &str| body.pointer(pointer).and_then(Value::as_str);
        Ok(Self::Failed {
            event: Redriven::of(payload)?,
            request_id: text("/requestContext/requestId").map(|id| Redacted::new(id).to_string()),
            at: text("/timestamp").and_then(|at| at.parse().ok()),
        })
    }
}

fn pair(body: &Value) -> Result<QueuedPair, String> {
    match body.get("version").and_then(Value::as_u64) {
        Some(queued_pair::VERSION) => serde_json::from_value(body.clone())
            .map_err(|_| "the body does not have the layout of a record of version 1".to_owned()),
        _ => Err("version is a number that this program does not know".to_owned()),
    }
}

impl Redriven {
    fn of(event: &Value) -> Result<Self, String> {
        match Event::of(event).map_err(|error| error.to_string())? {
            Event::NewAccounts(new) => Ok(Self::NewAccounts(new)),
            Event::Ignored(ignored) => Ok(Self::Nothing(ignored)),
            Event::Batch(_) => Err("the body is itself a batch of messages".to_owned()),
            Event::Reconcile(_) => Err("a reconcile request is not for the retry queue".to_owned()),
        }
    }
}
