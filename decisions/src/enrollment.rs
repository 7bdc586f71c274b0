//! The enrollment of accounts in one Region, as a state machine without I/O: it says which call of GuardDuty comes next
//! and takes the answer, until each account has its outcome.
//!
//! `GetMembers` first, because `CreateMembers` changes the settings of members that are enabled already. Then
//! `CreateMembers`, or `StartMonitoringMembers` for those that are to be resumed. Then `GetMembers` again, because only
//! `Enabled` counts.

use alloc::collections::BTreeMap;
use alloc::string::String;
use alloc::vec::Vec;

use crate::account::{Account, AccountId, Email};
use crate::call_error::{CallError, Failure};
use crate::classify;
use crate::configuration::Configuration;
use crate::membership::{Action, Membership};
use crate::outcome::Outcome;
use crate::reason::Reason;
use crate::redacted::Redacted;
use crate::region::Coverage;
use crate::status::Status;

/// The most accounts that `CreateMembers`, `GetMembers` and `StartMonitoringMembers` take (GuardDuty API reference). The
/// SDK sends 51 without complaint.
pub const MAX_ACCOUNTS_PER_CALL: usize = 50;

/// What the configuration decides about an enrollment.
#[derive(Debug, Clone, Copy)]
pub struct Rules {
    /// Whether a member that someone suspended is resumed.
    pub resume_suspended: bool,
    skip_without_detector: bool,
}

impl Rules {
    /// In a Region that someone listed, a missing detector is a mistake; with `all` it is a choice.
    #[must_use]
    pub fn of(configuration: &Configuration) -> Self {
        Self {
            resume_suspended: configuration.resume_suspended,
            skip_without_detector: configuration.coverage == Coverage::All,
        }
    }

    /// How a pair ends whose call failed.
    #[must_use]
    pub fn failed(self, error: &CallError) -> Outcome {
        let outcome = Outcome::failed(error);
        if error.failure == Failure::NoDetector && self.skip_without_detector {
            outcome.skipped()
        } else {
            outcome
        }
    }
}

/// A call of GuardDuty, for up to 50 accounts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Call {
    /// `GetMembers`.
    GetMembers(Vec<AccountId>),
    /// `CreateMembers`.
    CreateMembers(Vec<(AccountId, Email)>),
    /// `StartMonitoringMembers`.
    StartMonitoringMembers(Vec<AccountId>),
}

/// What GuardDuty answered, and the detector that was called. An account that it does not know is in neither map.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Answer {
    /// The detector.
    pub detector_id: String,
    /// `relationshipStatus` by account; from `GetMembers` only.
    pub members: BTreeMap<AccountId, String>,
    /// GuardDuty's text by account that it did not process. HTTP 200 says nothing about these.
    pub unprocessed: BTreeMap<AccountId, Redacted>,
}

impl Answer {
    /// The texts that this version does not know.
    pub fn unknown(&self) -> impl Iterator<Item = (AccountId, &Redacted)> {
        let texts = self.unprocessed.iter();
        let unknown = texts.filter(|(_, text)| classify::text(text.as_str()) == Reason::Unknown);
        unknown.map(|(id, text)| (*id, text))
    }
}

/// What an enrollment needs next.
#[derive(Debug, PartialEq, Eq)]
pub enum Step {
    /// The answer to this call.
    Call(Call),
    /// What Organizations says of the accounts.
    Describe,
    /// Nothing: each account has its outcome.
    Done,
}

/// The enrollment of accounts in one Region.
#[derive(Debug)]
pub struct Enrollment {
    rules: Rules,
    accounts: BTreeMap<AccountId, Progress>,
    /// Accounts that a call of `CreateMembers` is to be made for, the next one last.
    batches: Vec<Vec<AccountId>>,
}

/// How far an account is.
#[derive(Debug)]
enum Progress {
    Named,
    Seen(Result<Membership, Outcome>, Option<String>),
    ToCreate(Email),
    ToResume,
    Accepted { if_enabled: Status, otherwise: Outcome },
    Ended(Outcome),
}

impl Enrollment {
    /// Enrolls these accounts.
    #[must_use]
    pub fn new(rules: Rules, accounts: impl IntoIterator<Item = AccountId>) -> Self {
        let named = accounts.into_iter().map(|id| (id, Progress::Named));
        Self { rules, accounts: named.collect(), batches: Vec::new() }
    }

    /// What comes next. It stays the same until [`Self::answered`] or [`Self::described`].
    pub fn step(&mut self) -> Step {
        let named = self.first(|progress| matches!(progress, Progress::Named));
        if !named.is_empty() {
            return Step::Call(Call::GetMembers(named));
        }
        if self.accounts.values().any(|p| matches!(p, Progress::Seen(..))) {
            return Step::Describe;
        }
        if let Some(batch) = self.batches.last() {
            return Step::Call(self.create(batch));
        }
        let accepted = self.first(|progress| matches!(progress, Progress::Accepted { .. }));
        if !accepted.is_empty() {
            return Step::Call(Call::GetMembers(accepted));
        }
        let create = self.first(|progress| matches!(progress, Progress::ToCreate(_)));
        if !create.is_empty() {
            let call = self.create(&create);
            self.batches.push(create);
            return Step::Call(call);
        }
        let resume = self.first(|progress| matches!(progress, Progress::ToResume));
        if !resume.is_empty() {
            return Step::Call(Call::StartMonitoringMembers(resume));
        }
        Step::Done
    }

    fn first(&self, is_next: impl Fn(&Progress) -> bool) -> Vec<AccountId> {
        let next = self.accounts.iter().filter(|(_, progress)| is_next(progress));
        next.map(|(id, _)| *id).take(MAX_ACCOUNTS_PER_CALL).collect()
    }

    fn create(&self, batch: &[AccountId]) -> Call {
        let details = batch.iter().filter_map(|id| match self.accounts.get(id) {
            Some(Progress::ToCreate(email)) => Some((*id, email.clone())),
            _ => None,
        });
        Call::CreateMembers(details.collect())
    }

    /// Takes what Organizations says of each account.
    pub fn described(&mut self, describe: impl Fn(AccountId) -> Result<Account, Outcome>) {
        for (id, progress) in &mut self.accounts {
            let Progress::Seen(membership, detector_id) = progress else {
                continue;
            };
            let action =
                Action::of(&describe(*id), membership.clone(), self.rules.resume_suspended);
            *progress = match action {
                Action::End(mut outcome) => {
                    outcome.detector_id = outcome.detector_id.or(detector_id.take());
                    Progress::Ended(outcome)
                }
                Action::Create(email) => Progress::ToCreate(email),
                Action::Resume => Progress::ToResume,
            };
        }
    }

    /// Takes the answer to a call.
    pub fn answered(&mut self, call: &Call, answer: &Result<Answer, CallError>) {
        match call {
            Call::GetMembers(ids) => {
                for id in ids {
                    self.looked(*id, answer);
                }
            }
            Call::StartMonitoringMembers(ids) => {
                for id in ids {
                    self.written(*id, answer);
                }
            }
            Call::CreateMembers(details) => self.created(details, answer),
        }
    }

    fn created(&mut self, details: &[(AccountId, Email)], answer: &Result<Answer, CallError>) {
        self.batches.pop();
        let spoilt = answer.as_ref().err();
        let spoilt = spoilt.filter(|error| classify::may_concern_one_account(error));
        match (spoilt, details) {
            (Some(error), [(id, email)]) if !email.keeps_guardduty_rule() => {
                let outcome = Outcome::because(Reason::EmailRejected).saying(&error.result());
                let detector_id = error.detector_id.clone();
                self.end(*id, Outcome { detector_id, ..outcome });
            }
            (Some(_), [_, _, ..]) => self.batches.extend(split(details)),
            _ => {
                for (id, _) in details {
                    self.written(*id, answer);
                }
            }
        }
    }

    /// An account's part of a `GetMembers`, before anything was changed or after.
    fn looked(&mut self, id: AccountId, answer: &Result<Answer, CallError>) {
        let rules = self.rules;
        let Some(progress) = self.accounts.get_mut(&id) else {
            return;
        };
        *progress = match (core::mem::replace(progress, Progress::Named), answer) {
            (Progress::Accepted { if_enabled, otherwise }, _) => {
                Progress::Ended(confirmed(id, if_enabled, otherwise, answer))
            }
            (_, Err(error)) => Progress::Seen(Err(rules.failed(error)), None),
            (_, Ok(answer)) => {
                let status = answer.members.get(&id).map(String::as_str);
                let unprocessed = answer.unprocessed.get(&id).map(Redacted::as_str);
                let detector_id = Some(answer.detector_id.clone());
                Progress::Seen(Membership::found(status, unprocessed), detector_id)
            }
        };
    }

    /// An account's part of a call that changes something.
    fn written(&mut self, id: AccountId, answer: &Result<Answer, CallError>) {
        let answer = match answer {
            Ok(answer) => answer,
            Err(error) => return self.end(id, self.rules.failed(error)),
        };
        let (if_enabled, outcome) = match answer.unprocessed.get(&id) {
            None => (Status::Enrolled, Outcome::because(Reason::NotYetEnabled)),
            Some(text) => {
                let text = text.as_str();
                let outcome = Outcome::because(classify::text(text)).saying(text);
                (Status::AlreadyEnabled, outcome)
            }
        };
        let otherwise = outcome.at(&answer.detector_id);
        // "Already a member" is pending too: it counts only once GetMembers says `Enabled`.
        if otherwise.status == Status::Pending {
            self.accounts.insert(id, Progress::Accepted { if_enabled, otherwise });
        } else {
            self.end(id, otherwise);
        }
    }

    fn end(&mut self, id: AccountId, outcome: Outcome) {
        self.accounts.insert(id, Progress::Ended(outcome));
    }

    /// One outcome for each account. Those that are not done yet have met the deadline.
    #[must_use]
    pub fn finish(self) -> BTreeMap<AccountId, Outcome> {
        let outcomes = self.accounts.into_iter().map(|(id, progress)| match progress {
            Progress::Ended(outcome) => (id, outcome),
            _ => (id, Outcome::because(Reason::Deadline)),
        });
        outcomes.collect()
    }
}

/// How an accepted account ends by what `GetMembers` says of it.
fn confirmed(
    id: AccountId,
    if_enabled: Status,
    otherwise: Outcome,
    answer: &Result<Answer, CallError>,
) -> Outcome {
    let seen = match answer {
        Ok(answer) => match answer.members.get(&id) {
            Some(status) if Membership::of(status) == Membership::Enabled => {
                return Outcome { status: if_enabled, reason: None, result: None, ..otherwise };
            }
            Some(status) => Some(Redacted::new(&format!("relationshipStatus is {status}"))),
            None => answer.unprocessed.get(&id).cloned(),
        },
        Err(error) => Some(Redacted::new(&error.result())),
    };
    Outcome { result: otherwise.result.or(seen), ..otherwise }
}

/// Halves a batch that failed. If some of its addresses break GuardDuty's rule, these are the first half, so that the
/// good accounts pass with the next call.
fn split(details: &[(AccountId, Email)]) -> [Vec<AccountId>; 2] {
    let ids = |details: &[&(AccountId, Email)]| details.iter().map(|(id, _)| *id).collect();
    let (mut good, mut bad): (Vec<_>, Vec<_>) =
        details.iter().partition(|(_, email)| email.keeps_guardduty_rule());
    if good.is_empty() || bad.is_empty() {
        good.append(&mut bad);
        bad = good.split_off(good.len() / 2);
    }
    [ids(&bad), ids(&good)]
}

#[cfg(test)]
mod tests {
    use std::borrow::ToOwned;

    use super::*;
    use crate::account::State;
    use crate::operation::Operation;

    const RULES: Rules = Rules { resume_suspended: true, skip_without_detector: false };

    const ALREADY: &str = "the given account ID is already a member or associated member";

    fn id(number: usize) -> AccountId {
        format!("{number:012}").parse().unwrap()
    }

    fn email(text: &str) -> Email {
        Email::unmasked(text).unwrap()
    }

    fn active(address: &str) -> Account {
        Account { state: State::Active, email: Email::unmasked(address) }
    }

    #[expect(clippy::unnecessary_wraps, reason = "it is handed over as a function that can fail")]
    fn good(_: AccountId) -> Result<Account, Outcome> {
        Ok(active("good@example.com"))
    }

    fn error(failure: Failure) -> CallError {
        CallError {
            operation: Operation::CreateMembers,
            region: None,
            detector_id: Some("d1".to_owned()),
            failure,
        }
    }

    fn bad_request() -> CallError {
        error(Failure::Answered {
            status: 400,
            code: Some("BadRequestException".to_owned()),
            message: Redacted::new("an invalid value"),
        })
    }

    fn answer(members: &[(usize, &str)], unprocessed: &[(usize, &str)]) -> Answer {
        let texts = unprocessed.iter().map(|(n, text)| (id(*n), Redacted::new(text)));
        Answer {
            detector_id: "d1".to_owned(),
            members: members.iter().map(|(n, status)| (id(*n), (*status).to_owned())).collect(),
            unprocessed: texts.collect(),
        }
    }

    /// Plays an enrollment against a GuardDuty that answers each call by `reply`. Returns the calls too.
    fn play(
        accounts: usize,
        describe: impl Fn(AccountId) -> Result<Account, Outcome>,
        mut reply: impl FnMut(usize, &Call) -> Result<Answer, CallError>,
    ) -> (Vec<Call>, BTreeMap<AccountId, Outcome>) {
        let mut enrollment = Enrollment::new(RULES, (0..accounts).map(id));
        let mut calls = Vec::new();
        loop {
            match enrollment.step() {
                Step::Call(call) => {
                    enrollment.answered(&call, &reply(calls.len(), &call));
                    calls.push(call);
                }
                Step::Describe => enrollment.described(&describe),
                Step::Done => return (calls, enrollment.finish()),
            }
        }
    }

    #[test]
    fn an_account_is_looked_at_created_and_looked_at_again() {
        let (calls, outcomes) = play(1, good, |nth, _| match nth {
            2 => Ok(answer(&[(0, "Enabled")], &[])),
            _ => Ok(answer(&[], &[])),
        });
        let create = Call::CreateMembers(vec![(id(0), email("good@example.com"))]);
        let look = Call::GetMembers(vec![id(0)]);
        assert_eq!(calls, [look.clone(), create, look]);
        assert_eq!(outcomes.get(&id(0)), Some(&Outcome::enrolled().at("d1")));
    }

    #[test]
    fn a_suspended_member_is_resumed_and_looked_at_again() {
        let (calls, outcomes) = play(1, good, |nth, _| match nth {
            0 => Ok(answer(&[(0, "Disabled")], &[])),
            1 => Ok(answer(&[], &[])),
            _ => Ok(answer(&[(0, "Enabled")], &[])),
        });
        assert_eq!(calls.get(1), Some(&Call::StartMonitoringMembers(vec![id(0)])));
        assert_eq!(outcomes.get(&id(0)), Some(&Outcome::enrolled().at("d1")));
    }

    #[test]
    fn every_account_of_a_call_has_its_own_outcome() {
        let (_, outcomes) = play(4, good, |nth, _| match nth {
            0 => Ok(answer(&[(3, "Enabled")], &[])),
            1 => Ok(answer(&[], &[(1, "Internal error"), (2, ALREADY)])),
            _ => Ok(answer(&[(0, "Created"), (2, "Enabled")], &[])),
        });
        let late = Outcome::because(Reason::NotYetEnabled).saying("relationshipStatus is Created");
        let failed = Outcome::because(Reason::InternalError).saying("Internal error");
        let expected = [late, failed, Outcome::already_enabled(), Outcome::already_enabled()];
        let expected = expected.map(|outcome| outcome.at("d1"));
        assert!(outcomes.into_values().eq(expected));
    }

    #[test]
    fn a_text_that_calls_an_account_a_member_is_kept_until_it_is_enabled() {
        let (_, outcomes) = play(1, good, |nth, _| match nth {
            1 => Ok(answer(&[], &[(0, ALREADY)])),
            _ => Ok(answer(&[(0, "Created")], &[])),
        });
        let pending = Outcome::because(Reason::NotYetEnabled).saying(ALREADY).at("d1");
        assert_eq!(outcomes.get(&id(0)), Some(&pending));
    }

    #[test]
    fn fifty_one_accounts_are_two_calls_each_confirmed_before_the_next() {
        let (calls, _) = play(51, good, |_, _| Ok(answer(&[], &[])));
        let sizes = calls.iter().map(|call| match call {
            Call::GetMembers(ids) | Call::StartMonitoringMembers(ids) => ("look", ids.len()),
            Call::CreateMembers(details) => ("create", details.len()),
        });
        let expected =
            [("look", 50), ("look", 1), ("create", 50), ("look", 50), ("create", 1), ("look", 1)];
        assert!(sizes.eq(expected));
    }

    #[test]
    fn a_failed_call_ends_every_account_that_it_was_made_for_at_its_detector() {
        let (calls, outcomes) = play(2, good, |nth, _| match nth {
            0 => Ok(answer(&[], &[])),
            _ => Err(error(Failure::no_answer("dropped"))),
        });
        assert_eq!(calls.len(), 2);
        for outcome in outcomes.into_values() {
            assert_eq!(outcome.reason, Some(Reason::Unavailable));
            assert_eq!(outcome.detector_id.as_deref(), Some("d1"));
        }
    }

    #[test]
    fn a_bad_address_is_found_by_two_more_calls_and_refused() {
        let described = |account| {
            let address = if account == id(7) { "o'brien@example.com" } else { "good@example.com" };
            Ok(active(address))
        };
        let (calls, outcomes) = play(50, described, |_, call| match call {
            Call::CreateMembers(details)
                if details.iter().any(|(account, _)| *account == id(7)) =>
            {
                Err(bad_request())
            }
            _ => Ok(answer(&[], &[])),
        });
        let creates = calls.iter().filter(|call| matches!(call, Call::CreateMembers(_)));
        assert_eq!(creates.count(), 3);
        let rejected = outcomes.values().filter(|o| o.reason == Some(Reason::EmailRejected));
        assert_eq!(rejected.count(), 1);
    }

    #[test]
    fn a_400_that_no_address_explains_is_narrowed_down_by_halves() {
        for bad in [0, 17, 49] {
            let (calls, outcomes) = play(50, good, |_, call| match call {
                Call::CreateMembers(details)
                    if details.iter().any(|(account, _)| *account == id(bad)) =>
                {
                    Err(bad_request())
                }
                _ => Ok(answer(&[], &[])),
            });
            let creates = calls.iter().filter(|call| matches!(call, Call::CreateMembers(_)));
            assert!(creates.count() <= 13);
            let unknown = outcomes.iter().filter(|(_, o)| o.reason == Some(Reason::Unknown));
            assert!(unknown.map(|(account, _)| *account).eq([id(bad)]));
        }
    }

    #[test]
    fn a_batch_is_split_into_good_and_bad_addresses_or_halved() {
        let details: Vec<_> = ["good@example.com", "o'brien@example.com", "fine@example.com"]
            .into_iter()
            .enumerate()
            .map(|(n, address)| (id(n), email(address)))
            .collect();
        assert_eq!(split(&details), [vec![id(1)], vec![id(0), id(2)]]);
        for address in ["good@example.com", "o'brien@example.com"] {
            for size in 2..=50 {
                let alike: Vec<_> = (0..size).map(|n| (id(n), email(address))).collect();
                let [first, second] = split(&alike);
                assert!(!first.is_empty() && !second.is_empty());
                assert!(first.len().abs_diff(second.len()) <= 1);
                assert_eq!(first.len() + second.len(), size);
            }
        }
    }

    #[test]
    fn an_account_that_is_not_done_has_met_the_deadline() {
        let mut enrollment = Enrollment::new(RULES, [id(0), id(1)]);
        let look = enrollment.step();
        assert_eq!(look, Step::Call(Call::GetMembers(vec![id(0), id(1)])));
        let Step::Call(look) = look else { return };
        enrollment.answered(&look, &Ok(answer(&[(0, "Enabled")], &[])));
        enrollment.described(good);
        let expected = [Outcome::already_enabled().at("d1"), Outcome::because(Reason::Deadline)];
        assert!(enrollment.finish().into_values().eq(expected));
    }

    #[test]
    fn the_rules_say_how_a_pair_ends_without_a_detector() {
        for (skip_without_detector, status) in [(false, Status::Refused), (true, Status::Skipped)] {
            let rules = Rules { skip_without_detector, ..RULES };
            let outcome = rules.failed(&error(Failure::NoDetector));
            assert_eq!((outcome.status, outcome.reason), (status, Some(Reason::NoDetector)));
        }
    }

    #[test]
    fn only_texts_that_this_version_does_not_know_are_unknown() {
        let texts = [(0, "Internal error"), (1, "Never seen"), (2, "is not an associated member")];
        let answer = answer(&[], &texts);
        assert!(answer.unknown().map(|(account, _)| account).eq([id(1)]));
    }
}
