//! How an attempt ends for an (account, Region) pair: one of six statuses.

/// How an attempt ended for a pair, and what follows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Status {
    /// Made a member now, and seen `Enabled`.
    Enrolled,
    /// Was `Enabled` before: nothing was changed.
    AlreadyEnabled,
    /// GuardDuty accepted the account but does not list it as `Enabled`: retried.
    Pending,
    /// A transient failure: retried.
    Deferred,
    /// Retrying is useless until a person has acted: a dead letter.
    Refused,
    /// Not to be enrolled: nothing follows.
    Skipped,
}

impl Status {
    /// Every status, in the order of a pair's life.
    pub const ALL: [Self; 6] = [
        Self::Enrolled,
        Self::AlreadyEnabled,
        Self::Pending,
        Self::Deferred,
        Self::Refused,
        Self::Skipped,
    ];

    /// The name in replies, logs, queue messages and the docs, where it is called `outcome`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Enrolled => "enrolled",
            Self::AlreadyEnabled => "already-enabled",
            Self::Pending => "pending",
            Self::Deferred => "deferred",
            Self::Refused => "refused",
            Self::Skipped => "skipped",
        }
    }

    /// Whether a retry, without anyone's help, can make the pair `Enabled`.
    #[must_use]
    pub const fn is_retried(self) -> bool {
        matches!(self, Self::Pending | Self::Deferred)
    }

    /// Whether the pair is not to be enrolled.
    #[must_use]
    pub const fn is_skipped(self) -> bool {
        matches!(self, Self::Skipped)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_pending_and_deferred_pairs_are_retried() {
        let retried = Status::ALL.into_iter().filter(|status| status.is_retried());
        assert!(retried.eq([Status::Pending, Status::Deferred]));
    }
}
