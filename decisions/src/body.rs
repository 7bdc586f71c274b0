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
        let body: Value = serde_json::from_str(text).map_err(|error| {
            let is_too_deep = error.to_string().starts_with("recursion limit");
            let why =
                if is_too_deep { "the body is nested too deep" } else { "the body is not JSON" };
            why.to_owned()
        })?;
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

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn error(text: &str) -> String {
        Body::parse(text).err().unwrap_or_default()
    }

    #[test]
    fn what_is_nested_too_deep_is_said_to_be_and_not_called_something_else() {
        for text in ["[".repeat(1_000_000), "{\"detail\":".repeat(200)] {
            assert_eq!(error(&text), "the body is nested too deep");
        }
        for text in ["", "{", "nonsense", "{\"version\": 1}}"] {
            assert_eq!(error(text), "the body is not JSON", "{text}");
        }
    }

    #[test]
    fn an_error_of_a_hostile_body_is_short_and_has_no_address() {
        let long = "secret@example.com ".repeat(50_000);
        for body in [
            json!(long),
            json!({"accounts": [long]}),
            json!({long.clone(): 1, "accounts": []}),
            json!({"detail": {"eventSource": long, "eventName": long}}),
            json!({"requestPayload": {"detail": long}}),
            json!({"version": 1, "accountId": long}),
            json!({"version": 1e300}),
            json!({"version": -1}),
            json!(json!({"version": 1}).to_string()),
        ] {
            for text in [body.to_string(), json!(body.to_string()).to_string()] {
                let error = error(&text);
                assert!(
                    !error.is_empty() && error.len() < 1_000 && !error.contains("ecret"),
                    "{error}"
                );
            }
        }
    }

    #[test]
    fn what_is_kept_of_a_hostile_body_is_short_and_has_no_address() {
        let long = "secret@example.com, word ".repeat(50_000);
        let failed = json!({
            "requestContext": {"requestId": long},
            "timestamp": long,
            "requestPayload": {"id": long, "time": long, "detail": {
                "eventSource": "organizations.amazonaws.com",
                "eventName": "CreateAccountResult",
                "serviceEventDetails": {"createAccountStatus": {"accountId": "444455556666"}},
            }},
        });
        let Ok(Body::Failed { event: Redriven::NewAccounts(new), request_id, at }) =
            Body::parse(&failed.to_string())
        else {
            panic!("a record of an event that the function failed at");
        };
        assert_eq!((new.time, at), (None, None));
        for id in [new.event_id, request_id].into_iter().flatten() {
            assert!(id.chars().count() <= 1_001 && !id.contains("ecret"), "{id}");
        }
    }

    #[test]
    fn the_last_of_two_members_of_one_name_counts() {
        let twice = r#"{"accounts": ["444455556666"], "accounts": ["555566667777"]}"#;
        let Ok(Body::Undelivered(Redriven::NewAccounts(new))) = Body::parse(twice) else {
            panic!("an operator's call");
        };
        assert_eq!(new.accounts.len(), 1);
        assert_eq!(new.accounts[0].id.to_string(), "555566667777");
    }
}
