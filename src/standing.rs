//! An account's standing with GuardDuty in one Region, and the step that follows from it: decisions alone, no call.

use crate::account::{Account, Email, State};
use crate::outcome::{Ending, Outcome, Reason};
use crate::verdict;

/// An account's standing in a Region: a byte each, so that 50,000 accounts in 34 Regions are 1.7 MB. The order
/// counts: a member that is listed twice has the greater one, so that one that is enabled is never touched.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Standing {
    /// Not a member.
    Absent,
    /// A member that is not protected: created, invited, removed, resigned, or a word that GuardDuty adds one day.
    NotEnabled,
    /// A member that someone suspended.
    Suspended,
    /// A member that is protected.
    Enabled,
}

impl Standing {
    /// What a member's `relationshipStatus` means. It is a free string: whatever is not known is "not enabled".
    ///
    /// ```
    /// use guardduty_enroller::standing::Standing;
    ///
    /// assert_eq!(Standing::of("Enabled"), Standing::Enabled);
    /// assert_eq!(Standing::of("Disabled"), Standing::Suspended);
    /// assert_eq!(Standing::of("Resigned"), Standing::NotEnabled);
    /// ```
    #[must_use]
    pub fn of(relationship_status: &str) -> Self {
        if relationship_status.eq_ignore_ascii_case("enabled") {
            Self::Enabled
        } else if relationship_status.eq_ignore_ascii_case("disabled") {
            Self::Suspended
        } else {
            Self::NotEnabled
        }
    }

    /// What `GetMembers` says of an account: its `relationshipStatus`, its text in `unprocessedAccounts`, or nothing.
    ///
    /// # Errors
    /// How the pair ends where GuardDuty did not say: then nothing is changed, because `CreateMembers` would apply the
    /// organization's settings anew to a member that is enabled.
    pub fn found(status: Option<&str>, unprocessed: Option<&str>) -> Result<Self, Ending> {
        match (status, unprocessed) {
            (Some(status), _) => Ok(Self::of(status)),
            (None, None) => Ok(Self::Absent),
            (None, Some(text)) => match verdict::of_text(text) {
                outcome @ Outcome::Deferred(Reason::InternalError | Reason::Throttled) => {
                    Err(Ending::said(outcome, text))
                }
                // Any other text is taken to say in its own words that the account is not a member: which words
                // GuardDuty uses for that is not documented, and an account that is none must not wait for ever.
                _ => Ok(Self::Absent),
            },
        }
    }
}

/// What to do for one pair.
#[derive(Debug, PartialEq, Eq)]
pub enum Step {
    /// Nothing: it has ended.
    End(Ending),
    /// `CreateMembers` with this address.
    Create(Email),
    /// `StartMonitoringMembers`.
    Resume,
}

impl Step {
    /// Organizations' word comes first where it says that the account is gone; a member that is enabled needs nothing
    /// more; everything else needs an ACTIVE account.
    #[must_use]
    pub fn of(
        described: &Result<Account, Ending>,
        standing: Result<Standing, Ending>,
        resume_suspended: bool,
    ) -> Self {
        let skip = |reason| Self::End(Ending::plain(Outcome::Skipped(reason)));
        match described.as_ref().map(|account| &account.state) {
            Ok(State::Suspended) => return skip(Reason::AccountSuspended),
            Ok(State::PendingClosure | State::Closed) => return skip(Reason::AccountClosed),
            _ => {}
        }
        if standing == Ok(Standing::Enabled) {
            return Self::End(Ending::plain(Outcome::AlreadyEnabled));
        }
        let account = match described {
            Ok(account) => account,
            Err(ending) => return Self::End(ending.clone()),
        };
        match &account.state {
            State::PendingActivation => {
                let outcome = Outcome::Deferred(Reason::PendingActivation);
                let text = "the account's state is PENDING_ACTIVATION";
                return Self::End(Ending::said(outcome, text));
            }
            State::Unknown(name) => {
                let text = format!("the account's state is {name}");
                return Self::End(Ending::said(Outcome::Deferred(Reason::Unknown), &text));
            }
            State::Active | State::Suspended | State::PendingClosure | State::Closed => {}
        }
        match (standing, &account.email) {
            (Err(ending), _) => Self::End(ending),
            (Ok(Standing::Suspended), _) if resume_suspended => Self::Resume,
            (Ok(Standing::Suspended), _) => Self::End(left_suspended()),
            (Ok(_), Some(email)) => Self::Create(email.clone()),
            (Ok(_), None) => Self::End(Ending::said(
                Outcome::Refused(Reason::EmailRejected),
                "neither Organizations nor the event has an e-mail address for the account",
            )),
        }
    }
}

/// How the pair of a member ends that someone suspended, and that is not to be resumed.
#[must_use]
pub fn left_suspended() -> Ending {
    let outcome = Outcome::Refused(Reason::MemberSuspended);
    Ending::said(outcome, "relationshipStatus is Disabled")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn email() -> Email {
        Email::unmasked("new@example.com").unwrap()
    }

    fn account(state: State) -> Account {
        Account {
            state,
            email: Some(email()),
        }
    }

    fn ended(described: &Result<Account, Ending>, standing: Standing) -> Outcome {
        match Step::of(described, Ok(standing), false) {
            Step::End(ending) => ending.outcome,
            step => panic!("{step:?}"),
        }
    }

    #[test]
    fn an_active_account_that_is_not_enabled_is_created() {
        for standing in [Standing::Absent, Standing::NotEnabled] {
            let step = Step::of(&Ok(account(State::Active)), Ok(standing), false);
            assert_eq!(step, Step::Create(email()));
        }
    }

    #[test]
    fn an_enabled_member_is_left_alone_even_where_organizations_does_not_answer() {
        for described in [
            Ok(account(State::Active)),
            Ok(account(State::PendingActivation)),
            Err(Ending::plain(Outcome::Deferred(Reason::Unavailable))),
        ] {
            let outcome = ended(&described, Standing::Enabled);
            assert_eq!(outcome, Outcome::AlreadyEnabled);
        }
    }

    #[test]
    fn an_account_that_is_gone_is_skipped_whatever_guardduty_says() {
        for (state, reason) in [
            (State::Suspended, Reason::AccountSuspended),
            (State::PendingClosure, Reason::AccountClosed),
            (State::Closed, Reason::AccountClosed),
        ] {
            for standing in [Standing::Enabled, Standing::Absent] {
                let outcome = ended(&Ok(account(state.clone())), standing);
                assert_eq!(outcome, Outcome::Skipped(reason));
            }
        }
    }

    #[test]
    fn an_account_that_is_not_active_yet_is_deferred() {
        for (state, reason) in [
            (State::PendingActivation, Reason::PendingActivation),
            (State::Unknown("NEW".to_owned()), Reason::Unknown),
        ] {
            let outcome = ended(&Ok(account(state)), Standing::Absent);
            assert_eq!(outcome, Outcome::Deferred(reason));
        }
    }

    #[test]
    fn an_account_that_organizations_does_not_describe_is_never_created() {
        let not_found = Outcome::Deferred(Reason::AccountNotFound);
        let outcome = ended(&Err(Ending::plain(not_found)), Standing::Absent);
        assert_eq!(outcome, not_found);
    }

    #[test]
    fn an_account_without_an_address_is_refused() {
        let bare = Account {
            state: State::Active,
            email: None,
        };
        let outcome = ended(&Ok(bare), Standing::Absent);
        assert_eq!(outcome, Outcome::Refused(Reason::EmailRejected));
    }

    #[test]
    fn a_suspended_member_is_resumed_only_on_request() {
        let active = Ok(account(State::Active));
        let outcome = ended(&active, Standing::Suspended);
        assert_eq!(outcome, Outcome::Refused(Reason::MemberSuspended));
        let step = Step::of(&active, Ok(Standing::Suspended), true);
        assert_eq!(step, Step::Resume);
    }

    #[test]
    fn nothing_is_changed_while_the_standing_is_not_known() {
        let ending = Ending::plain(Outcome::Deferred(Reason::InternalError));
        let step = Step::of(&Ok(account(State::Active)), Err(ending.clone()), true);
        assert_eq!(step, Step::End(ending));
    }

    #[test]
    fn the_standing_is_read_from_status_and_text() {
        use Standing::{Absent, Enabled, NotEnabled, Suspended};
        for (status, text, standing) in [
            (Some("Enabled"), None, Enabled),
            (Some("ENABLED"), None, Enabled),
            (Some("Disabled"), None, Suspended),
            (Some("Created"), None, NotEnabled),
            (Some("Invited"), None, NotEnabled),
            (Some("Removed"), None, NotEnabled),
            (Some("Resigned"), None, NotEnabled),
            (Some("NeverSeen"), None, NotEnabled),
            (Some(""), None, NotEnabled),
            (None, None, Absent),
            (None, Some("is not an associated member"), Absent),
            (None, Some("never seen"), Absent),
        ] {
            let found = Standing::found(status, text);
            assert_eq!(found, Ok(standing), "{status:?} {text:?}");
        }
        for (text, reason) in [
            ("Internal error", Reason::InternalError),
            ("Rate exceeded", Reason::Throttled),
        ] {
            let ending = Ending::said(Outcome::Deferred(reason), text);
            assert_eq!(Standing::found(None, Some(text)), Err(ending));
        }
    }

    #[test]
    fn a_member_that_is_listed_twice_counts_by_its_better_word() {
        let standings = ["Removed", "Disabled", "Enabled"].map(Standing::of);
        assert!(standings.is_sorted());
        assert!(Standing::of("Removed") > Standing::Absent);
    }
}
