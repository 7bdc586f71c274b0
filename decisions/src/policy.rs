//! Whether an Organizations policy manages GuardDuty: then the Regional auto-enable settings do not count.

use serde::Serialize;

use crate::call_error::{CallError, Failure};
use crate::outcome::Outcome;
use crate::redacted::Redacted;
use crate::report::Blocked;
use crate::timestamp::Timestamp;

/// The longest policy that a report shows, in characters. Ours: enough for each plan in each Region.
const MAX_CONTENT: usize = 4_000;

/// The GuardDuty policy that is in force for the administrator's own account.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct EffectivePolicy {
    /// Whether there is one. `None` if that is not known.
    pub in_force: Option<bool>,
    /// When it was last updated.
    pub last_updated: Option<Timestamp>,
    /// What it says.
    pub content: Option<Redacted>,
    /// Why it is not known.
    pub blocked: Option<Blocked>,
}

impl EffectivePolicy {
    /// A policy with this content.
    #[must_use]
    pub fn saying(content: &str, last_updated: Option<Timestamp>) -> Self {
        let content = Some(Redacted::new(content).cut(MAX_CONTENT));
        Self { in_force: Some(true), last_updated, content, blocked: None }
    }

    /// What an error says: that there is no policy, or that nobody knows.
    #[must_use]
    pub fn failed(error: &CallError) -> Self {
        let code = match &error.failure {
            Failure::Answered { code, .. } => code.as_deref(),
            _ => None,
        };
        if code == Some("EffectivePolicyNotFoundException") {
            return Self {
                in_force: Some(false),
                last_updated: None,
                content: None,
                blocked: None,
            };
        }
        Self::unknown(&Outcome::failed(error))
    }

    /// Nobody knows, for this reason.
    #[must_use]
    pub fn unknown(outcome: &Outcome) -> Self {
        let blocked = Some(Blocked::by(outcome));
        Self { in_force: None, last_updated: None, content: None, blocked }
    }
}

#[cfg(test)]
mod tests {
    use std::borrow::ToOwned;

    use super::*;
    use crate::operation::Operation;

    fn failed(code: &str) -> EffectivePolicy {
        EffectivePolicy::failed(&CallError {
            operation: Operation::DescribeEffectivePolicy,
            region: None,
            detector_id: None,
            failure: Failure::answered(400, Some(code), Some("words"), b""),
        })
    }

    #[test]
    fn an_error_says_that_there_is_no_policy_or_that_nobody_knows() {
        let none = failed("EffectivePolicyNotFoundException");
        assert_eq!((none.in_force, none.blocked.is_none()), (Some(false), true));
        let denied = failed("AccessDeniedException");
        assert_eq!((denied.in_force, denied.blocked.is_some()), (None, true));
    }

    #[test]
    fn a_policy_is_shown_up_to_a_limit_and_without_addresses() {
        let long = "someone@example.com ".to_owned() + &"x".repeat(9_000);
        let content = EffectivePolicy::saying(&long, None).content.unwrap();
        assert!(!content.as_str().contains("someone"));
        assert!(content.as_str().chars().count() <= MAX_CONTENT + 1);
    }
}
