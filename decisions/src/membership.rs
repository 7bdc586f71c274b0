//! What GuardDuty lists an account as in one Region, and the action that follows from it.

use crate::account::{Account, Email, State};
use crate::classify;
use crate::enrollment::Before;
use crate::outcome::Outcome;
use crate::reason::{Reason, Scope};

/// An account's membership in a Region: one byte, so that 50,000 accounts in 34 Regions take 1.7 MB.
///
/// Order matters: if a member is listed twice, the higher one wins, so an enabled member is never modified.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Membership {
    /// Not a member.
    Absent,
    /// A member of a status that this version does not know.
    Gone,
    /// Not a member any more: the administrator removed it.
    Removed,
    /// Not a member any more: it left by itself.
    Resigned,
    /// A member that is not protected, and why.
    NotEnabled(Reason),
    /// A member that is protected.
    Enabled,
}

impl Membership {
    /// A member that GuardDuty is about to enable.
    pub const WAITING: Self = Self::NotEnabled(Reason::NotYetEnabled);

    /// A member that someone suspended.
    pub const SUSPENDED: Self = Self::NotEnabled(Reason::MemberSuspended);

    /// What a member's `relationshipStatus` means.
    ///
    /// ```
    /// use decisions::membership::Membership;
    /// use decisions::reason::Reason;
    ///
    /// assert_eq!(Membership::of("Enabled"), Membership::Enabled);
    /// assert_eq!(Membership::of("Disabled"), Membership::SUSPENDED);
    /// assert_eq!(Membership::of("Created"), Membership::NotEnabled(Reason::NotYetEnabled));
    /// assert_eq!(Membership::of("resigned"), Membership::Resigned);
    /// ```
    #[must_use]
    pub fn of(relationship_status: &str) -> Self {
        if relationship_status.eq_ignore_ascii_case("enabled") {
            return Self::Enabled;
        }
        for (status, gone) in [("removed", Self::Removed), ("resigned", Self::Resigned)] {
            if relationship_status.eq_ignore_ascii_case(status) {
                return gone;
            }
        }
        classify::member(relationship_status).map_or(Self::Gone, Self::NotEnabled)
    }

    /// Whether GuardDuty has the account as a member of a status that is known.
    #[must_use]
    pub const fn is_member(self) -> bool {
        matches!(self, Self::NotEnabled(_) | Self::Enabled)
    }

    /// What `GetMembers` says of an account: its `relationshipStatus`, its text in `unprocessedAccounts`, or nothing.
    ///
    /// # Errors
    /// How the pair ends if GuardDuty is in trouble. Nothing is changed then, because `CreateMembers` would apply the
    /// organization's settings to an enabled member again.
    pub(crate) fn found(status: Option<&str>, unprocessed: Option<&str>) -> Result<Self, Outcome> {
        match (status, unprocessed) {
            (Some(status), _) => Ok(Self::of(status)),
            (None, None) => Ok(Self::Absent),
            (None, Some(text)) => match classify::text(text) {
                trouble if trouble.scope() == Scope::Service => {
                    Err(Outcome::because(trouble).saying(text))
                }
                // Any other text is read as "not a member". GuardDuty does not document its words for that, and an
                // account that is not a member must not wait for ever.
                _ => Ok(Self::Absent),
            },
        }
    }
}

/// What to do for one pair.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Action {
    /// Nothing: it has ended.
    End(Outcome),
    /// To look again, and `CreateMembers` with this address if it takes too long.
    Wait(Option<Email>),
    /// `CreateMembers` with this address.
    Create(Email),
    /// `StartMonitoringMembers`.
    Resume,
}

impl Action {
    /// An account that is gone is skipped, an enabled member needs nothing, and everything else needs an ACTIVE account.
    pub(crate) fn of(
        described: &Result<Account, Outcome>,
        membership: Result<Membership, Outcome>,
        before: Before,
        resume_suspended: bool,
    ) -> Self {
        let end = |reason| Self::End(Outcome::because(reason));
        match described.as_ref().map(|account| &account.state) {
            Ok(State::Suspended) => return end(Reason::AccountSuspended),
            Ok(State::PendingClosure | State::Closed) => return end(Reason::AccountClosed),
            Err(outcome) if outcome.reason == Some(Reason::Excluded) => {
                return Self::End(outcome.clone());
            }
            _ => {}
        }
        if membership == Ok(Membership::Enabled) {
            return Self::End(match before {
                Before::Nothing => Outcome::already_enabled(),
                // It was made a member by an earlier attempt.
                Before::Accepted | Before::GivenUp => Outcome::enrolled(),
            });
        }
        let account = match described {
            Ok(account) => account,
            Err(outcome) => return Self::End(outcome.clone()),
        };
        let not_active = |reason, state: &str| {
            let text = format!("the account's state is {state}");
            Self::End(Outcome::because(reason).saying(&text))
        };
        match &account.state {
            State::PendingActivation => {
                return not_active(Reason::PendingActivation, "PENDING_ACTIVATION");
            }
            State::Unknown(name) => return not_active(Reason::Unknown, name),
            State::Active | State::Suspended | State::PendingClosure | State::Closed => {}
        }
        match (membership, &account.email) {
            (Err(outcome), _) => Self::End(outcome),
            (Ok(Membership::SUSPENDED), _) if resume_suspended => Self::Resume,
            (Ok(Membership::SUSPENDED), _) => Self::End(left_suspended()),
            (Ok(Membership::WAITING), _) if before == Before::Accepted => Self::Wait(None),
            (Ok(Membership::WAITING), email) if before == Before::Nothing => {
                Self::Wait(email.clone())
            }
            (Ok(_), Some(email)) => Self::Create(email.clone()),
            (Ok(_), None) => Self::End(Outcome::because(Reason::EmailRejected).saying(
                "neither Organizations nor the event has an e-mail address for the account",
            )),
        }
    }
}

/// How the pair of a suspended member ends that is not to be resumed.
#[must_use]
pub fn left_suspended() -> Outcome {
    Outcome::because(Reason::MemberSuspended).saying("relationshipStatus is Disabled")
}

#[cfg(test)]
mod tests {
    use std::borrow::ToOwned;

    use super::*;
    use crate::status::Status;

    fn email() -> Email {
        Email::unmasked("new@example.com").unwrap()
    }

    fn account(state: State) -> Account {
        Account { state, email: Some(email()), joined: None, paths: vec![] }
    }

    fn ended(described: &Result<Account, Outcome>, membership: Membership) -> Outcome {
        match Action::of(described, Ok(membership), Before::Nothing, false) {
            Action::End(outcome) => outcome,
            action => panic!("{action:?}"),
        }
    }

    #[test]
    fn an_active_account_that_is_not_enabled_is_created() {
        for membership in
            [Membership::Absent, Membership::Gone, Membership::Removed, Membership::Resigned]
        {
            let action =
                Action::of(&Ok(account(State::Active)), Ok(membership), Before::Nothing, false);
            assert_eq!(action, Action::Create(email()));
        }
    }

    #[test]
    fn a_member_that_guardduty_is_making_is_given_time_unless_it_was_given_up() {
        let active = Ok(account(State::Active));
        for (before, action) in [
            (Before::Nothing, Action::Wait(Some(email()))),
            (Before::Accepted, Action::Wait(None)),
            (Before::GivenUp, Action::Create(email())),
        ] {
            assert_eq!(Action::of(&active, Ok(Membership::WAITING), before, false), action);
        }
    }

    #[test]
    fn a_member_that_an_earlier_attempt_made_counts_as_enrolled_whenever_it_is_seen() {
        for before in [Before::Accepted, Before::GivenUp] {
            let active = Ok(account(State::Active));
            let action = Action::of(&active, Ok(Membership::Enabled), before, false);
            assert_eq!(action, Action::End(Outcome::enrolled()));
        }
    }

    #[test]
    fn an_enabled_member_is_left_alone_even_if_organizations_does_not_answer() {
        for described in [
            Ok(account(State::Active)),
            Ok(account(State::PendingActivation)),
            Err(Outcome::because(Reason::Unavailable)),
        ] {
            let outcome = ended(&described, Membership::Enabled);
            assert_eq!(outcome.status, Status::AlreadyEnabled);
        }
    }

    #[test]
    fn an_account_that_is_gone_is_skipped_whatever_guardduty_says() {
        for (state, reason) in [
            (State::Suspended, Reason::AccountSuspended),
            (State::PendingClosure, Reason::AccountClosed),
            (State::Closed, Reason::AccountClosed),
        ] {
            for membership in [Membership::Enabled, Membership::Absent] {
                let outcome = ended(&Ok(account(state.clone())), membership);
                assert_eq!(outcome, Outcome::because(reason));
                assert!(outcome.status.is_skipped());
            }
        }
    }

    #[test]
    fn an_account_that_is_not_active_yet_is_deferred() {
        for (state, reason) in [
            (State::PendingActivation, Reason::PendingActivation),
            (State::Unknown("NEW".to_owned()), Reason::Unknown),
        ] {
            let outcome = ended(&Ok(account(state)), Membership::Absent);
            assert_eq!((outcome.status, outcome.reason), (Status::Deferred, Some(reason)));
        }
    }

    #[test]
    fn an_account_that_organizations_does_not_describe_is_never_created() {
        let not_found = Outcome::because(Reason::AccountNotFound);
        assert_eq!(ended(&Err(not_found.clone()), Membership::Absent), not_found);
    }

    #[test]
    fn an_account_without_an_address_is_refused() {
        let bare = Account { state: State::Active, email: None, joined: None, paths: vec![] };
        let outcome = ended(&Ok(bare), Membership::Absent);
        assert_eq!(outcome.reason, Some(Reason::EmailRejected));
    }

    #[test]
    fn a_suspended_member_is_resumed_only_on_request() {
        let active = Ok(account(State::Active));
        assert_eq!(ended(&active, Membership::SUSPENDED), left_suspended());
        let action = Action::of(&active, Ok(Membership::SUSPENDED), Before::Nothing, true);
        assert_eq!(action, Action::Resume);
    }

    #[test]
    fn nothing_is_changed_while_the_membership_is_not_known() {
        let outcome = Outcome::because(Reason::InternalError);
        let action =
            Action::of(&Ok(account(State::Active)), Err(outcome.clone()), Before::Nothing, true);
        assert_eq!(action, Action::End(outcome));
    }

    #[test]
    fn the_membership_is_read_from_status_and_text() {
        use Membership::{Absent, Enabled};
        for (status, text, membership) in [
            (Some("Enabled"), None, Enabled),
            (Some("ENABLED"), None, Enabled),
            (Some("Disabled"), None, Membership::SUSPENDED),
            (Some("Created"), None, Membership::WAITING),
            (Some("Removed"), None, Membership::Removed),
            (Some("NeverSeen"), None, Membership::Gone),
            (Some(""), None, Membership::Gone),
            (None, None, Absent),
            (None, Some("is not an associated member"), Absent),
            (None, Some("never seen"), Absent),
        ] {
            let found = Membership::found(status, text);
            assert_eq!(found, Ok(membership), "{status:?} {text:?}");
        }
        for (text, reason) in
            [("Internal error", Reason::InternalError), ("Rate exceeded", Reason::Throttled)]
        {
            let outcome = Outcome::because(reason).saying(text);
            assert_eq!(Membership::found(None, Some(text)), Err(outcome));
        }
    }

    #[test]
    fn a_member_that_is_listed_twice_counts_by_its_higher_membership() {
        let all = [
            Membership::Absent,
            Membership::of("Removed"),
            Membership::of("Disabled"),
            Membership::of("Enabled"),
        ];
        assert!(all.is_sorted_by(|lower, higher| lower < higher));
    }
}
