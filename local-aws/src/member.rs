//! A member of GuardDuty in one Region, and what becomes of it in time.

use std::time::Duration;

/// One account that is or was a member.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member {
    /// The address it was created with.
    pub email: String,
    /// `Enabled`, `Disabled`, `Created`, `Removed`, … as of the last call; see [`Member::status`].
    pub relationship_status: String,
    /// When the member turns `Enabled` by itself.
    pub enabled_at: Option<Duration>,
    /// When the member was last changed.
    pub updated_at: Duration,
}

impl Member {
    /// A member in the given status.
    #[must_use]
    pub fn new(email: &str, relationship_status: &str) -> Self {
        Self {
            email: email.to_owned(),
            relationship_status: relationship_status.to_owned(),
            enabled_at: None,
            updated_at: Duration::ZERO,
        }
    }

    /// The status at a time.
    #[must_use]
    pub fn status(&self, now: Duration) -> &str {
        match self.enabled_at {
            Some(at) if at <= now => "Enabled",
            _ => &self.relationship_status,
        }
    }

    /// Whether it counts towards the limit and belongs to `onlyAssociated=true`.
    pub(crate) fn is_associated(&self) -> bool {
        !["Removed", "Resigned"].contains(&self.relationship_status.as_str())
    }
}
