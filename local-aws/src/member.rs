//! A member of GuardDuty in one Region, and what becomes of it in time.

use std::borrow::Cow;
use std::time::Duration;

/// One account that is or was a member.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member {
    /// The address it was created with.
    pub email: String,
    /// `Enabled`, `Disabled`, `Created`, `Removed`, … as of the last call; see [`Member::status`].
    pub relationship_status: String,
    /// When the member turns into what it ends as by itself.
    pub enabled_at: Option<Duration>,
    /// What it ends as: `Enabled`, but for what stops it.
    pub ends_as: Cow<'static, str>,
    /// When the member was last changed.
    pub updated_at: Duration,
    /// What that changed; `None` for a member that was there before the start.
    pub(crate) change: Option<Box<Change>>,
}

/// What was before a change of a member.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Change {
    pub(crate) at: Duration,
    pub(crate) before: Option<Member>,
}

impl Member {
    /// A member in the given status.
    #[must_use]
    pub fn new(email: &str, relationship_status: &str) -> Self {
        Self {
            email: email.to_owned(),
            relationship_status: relationship_status.to_owned(),
            enabled_at: None,
            ends_as: ENABLED,
            updated_at: Duration::ZERO,
            change: None,
        }
    }

    /// The same member, which a call or the organization made at this time of what was there before.
    pub(crate) fn since(self, at: Duration, before: Option<Self>) -> Self {
        Self { updated_at: at, change: Some(Box::new(Change { at, before })), ..self }
    }

    /// The status at a time.
    #[must_use]
    pub fn status(&self, now: Duration) -> &str {
        match self.enabled_at {
            Some(at) if at <= now => &self.ends_as,
            _ => &self.relationship_status,
        }
    }

    /// Since when `GetMembers` says `Enabled`; `None` if it does not at this time. Zero: from the start.
    #[must_use]
    pub fn enabled_since(&self, now: Duration) -> Option<Duration> {
        let is_enabled = self.status(now).eq_ignore_ascii_case(&ENABLED);
        is_enabled.then(|| self.enabled_at.unwrap_or(self.updated_at))
    }

    /// The member as a list shows it that is this much too late; `None` if the list does not have it yet.
    pub(crate) fn listed(&self, now: Duration, lag: Duration) -> Option<Self> {
        let mut member = self;
        while let Some(change) = &member.change
            && change.at + lag > now
        {
            member = change.before.as_ref()?;
        }
        let enabled_at = member.enabled_at.map(|at| at + lag);
        Some(Self { enabled_at, ..member.clone() })
    }

    /// Whether it counts towards the limit and belongs to `onlyAssociated=true`.
    pub(crate) fn is_associated(&self) -> bool {
        !["Removed", "Resigned"].contains(&self.relationship_status.as_str())
    }
}

const ENABLED: Cow<'static, str> = Cow::Borrowed("Enabled");
