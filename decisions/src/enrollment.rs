//! The enrollment of accounts in one Region, as a state machine without I/O: it says which call of GuardDuty comes next
//! and takes the answer, until each account has its outcome.
//!
//! `GetMembers` first, because `CreateMembers` changes the settings of members that are enabled already. Then
//! `CreateMembers`, or `StartMonitoringMembers` for those that are to be resumed. Then `GetMembers` again, and again after
//! growing waits, because only `Enabled` counts and GuardDuty takes its time. A write without an answer is followed by a
//! look, never by the same write.

use alloc::collections::BTreeMap;
use alloc::string::String;
use alloc::vec::Vec;
use core::time::Duration;

use crate::account::{Account, AccountId, Email};
use crate::call_error::CallError;
use crate::classify;
use crate::configuration::Configuration;
use crate::membership::{Action, Membership};
use crate::outcome::Outcome;
use crate::reason::Reason;
use crate::redacted::Redacted;
use crate::status::Status;

/// The most accounts that `CreateMembers`, `GetMembers` and `StartMonitoringMembers` take (GuardDuty API reference). The
/// SDK sends 51 without complaint.
pub const MAX_ACCOUNTS_PER_CALL: usize = 50;

/// The waits between looks at accounts that GuardDuty has accepted but not enabled yet, in milliseconds: each look comes
/// at half as long again as the one before, plus half a second. Ours: 22 s in all; who takes longer waits in the queue.
const WAITS: [u64; 7] = [1_000, 1_000, 1_500, 2_250, 3_375, 5_060, 7_590];

/// How many waits an account gets that GuardDuty is making a member already, before `CreateMembers` asks for it too.
const PATIENCE: usize = 3;

/// What the configuration and the job decide about an enrollment.
#[derive(Debug, Clone, Copy)]
pub struct Rules {
    /// Whether a member that someone suspended is resumed.
    pub resume_suspended: bool,
    /// Whether the enrollment looks again, after a wait, at accounts that are not enabled yet.
    waits: bool,
}

/// What became of a pair before this attempt. A later one outweighs an earlier one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Before {
    /// Nothing that is known of.
    Nothing,
    /// GuardDuty accepted the account, and it is given time.
    Accepted,
    /// GuardDuty accepted the account long ago: it is asked again.
    GivenUp,
}

impl Rules {
    /// The rules of an event or a batch.
    #[must_use]
    pub fn of(configuration: &Configuration) -> Self {
        Self { resume_suspended: configuration.resume_suspended, waits: true }
    }

    /// The same, but whether it waits is said here.
    #[must_use]
    pub fn waiting(self, waits: bool) -> Self {
        Self { waits, ..self }
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

impl Call {
    /// The accounts that it is for.
    #[must_use]
    pub fn accounts(&self) -> Vec<AccountId> {
        match self {
            Self::GetMembers(ids) | Self::StartMonitoringMembers(ids) => ids.clone(),
            Self::CreateMembers(details) => details.iter().map(|(id, _)| *id).collect(),
        }
    }
}

/// What an enrollment needs next.
#[derive(Debug, PartialEq, Eq)]
pub enum Step {
    /// The answer to this call.
    Call(Call),
    /// What Organizations says of the accounts.
    Describe,
    /// This much time.
    Wait(Duration),
    /// Nothing: each account has its outcome.
    Done,
}

/// The enrollment of accounts in one Region.
#[derive(Debug)]
pub struct Enrollment {
    rules: Rules,
    accounts: BTreeMap<AccountId, (Before, Progress)>,
    /// Accounts that the next calls are for, the first call's last.
    groups: Vec<Group>,
    /// How many waits there were.
    waited: usize,
}

/// Accounts that one call is for.
#[derive(Debug)]
enum Group {
    Look(Vec<AccountId>),
    Write(Vec<AccountId>),
}

/// A call that changes something for an account.
#[derive(Debug, Clone)]
enum Write {
    Create(Email),
    Resume,
}

/// How far an account is.
#[derive(Debug)]
enum Progress {
    /// Nothing was asked yet.
    Named,
    /// GuardDuty has said what it is; Organizations has not.
    Seen(Result<Membership, Outcome>, Option<String>),
    ToWrite(Write),
    /// A write got no answer, and may have taken effect. Without a trace of that it is repeated, or it is `lost`.
    Doubtful {
        write: Write,
        repeat: bool,
        lost: Outcome,
    },
    /// GuardDuty has accepted the account.
    Waiting(Waiting),
    Ended(Outcome),
}

#[derive(Debug)]
struct Waiting {
    if_enabled: Status,
    otherwise: Outcome,
    /// The address, if somebody else made the member, and it is not known when.
    create: Option<Email>,
    /// After how many waits it was looked at last, and what was seen.
    looked: Option<usize>,
    seen: Option<Redacted>,
}

impl Enrollment {
    /// Enrolls these accounts.
    #[must_use]
    pub fn new(rules: Rules, accounts: impl IntoIterator<Item = (AccountId, Before)>) -> Self {
        let named = accounts.into_iter().map(|(id, before)| (id, (before, Progress::Named)));
        Self { rules, accounts: named.collect(), groups: Vec::new(), waited: 0 }
    }

    /// What comes next.
    pub fn step(&mut self) -> Step {
        loop {
            match self.groups.last() {
                Some(Group::Look(ids)) => return Step::Call(Call::GetMembers(ids.clone())),
                Some(Group::Write(ids)) if self.any_is_seen(ids) => return Step::Describe,
                Some(Group::Write(ids)) => match self.write(ids) {
                    Some(call) => return Step::Call(call),
                    // A look has shown that all of them are done.
                    None => drop(self.groups.pop()),
                },
                None => match self.next_group() {
                    Ok(group) => self.groups.push(group),
                    Err(step) => return step,
                },
            }
        }
    }

    /// The accounts that the next call is for, or what is needed before there can be one.
    fn next_group(&self) -> Result<Group, Step> {
        let first = |is_next: fn(&Self, &Progress) -> bool| {
            let next = self.accounts.iter().filter(|(_, (_, progress))| is_next(self, progress));
            let ids: Vec<_> = next.map(|(id, _)| *id).take(MAX_ACCOUNTS_PER_CALL).collect();
            (!ids.is_empty()).then_some(ids)
        };
        if let Some(ids) = first(|_, progress| matches!(progress, Progress::Named)) {
            return Ok(Group::Look(ids));
        }
        if first(|_, progress| matches!(progress, Progress::Seen(..))).is_some() {
            return Err(Step::Describe);
        }
        let look = |enrollment: &Self, progress: &Progress| match progress {
            Progress::Waiting(waiting) => waiting.looked != Some(enrollment.waited),
            Progress::Doubtful { .. } => true,
            _ => false,
        };
        let create =
            |_: &Self, progress: &Progress| matches!(progress, Progress::ToWrite(Write::Create(_)));
        let resume =
            |_: &Self, progress: &Progress| matches!(progress, Progress::ToWrite(Write::Resume));
        if let Some(ids) = first(look) {
            return Ok(Group::Look(ids));
        }
        if let Some(ids) = first(create).or_else(|| first(resume)) {
            return Ok(Group::Write(ids));
        }
        let waits = first(|_, progress| matches!(progress, Progress::Waiting(_))).is_some();
        let wait = WAITS.get(self.waited).filter(|_| waits && self.rules.waits);
        Err(wait.map_or(Step::Done, |millis| Step::Wait(Duration::from_millis(*millis))))
    }

    fn any_is_seen(&self, ids: &[AccountId]) -> bool {
        let mut known = ids.iter().filter_map(|id| self.accounts.get(id));
        known.any(|(_, progress)| matches!(progress, Progress::Seen(..)))
    }

    fn write(&self, ids: &[AccountId]) -> Option<Call> {
        let (mut create, mut resume) = (Vec::new(), Vec::new());
        for id in ids {
            match self.accounts.get(id) {
                Some((_, Progress::ToWrite(Write::Create(email)))) => {
                    create.push((*id, email.clone()));
                }
                Some((_, Progress::ToWrite(Write::Resume))) => resume.push(*id),
                _ => {}
            }
        }
        if !create.is_empty() {
            return Some(Call::CreateMembers(create));
        }
        (!resume.is_empty()).then_some(Call::StartMonitoringMembers(resume))
    }

    /// Takes what Organizations says of each account.
    pub fn described(&mut self, describe: impl Fn(AccountId) -> Result<Account, Outcome>) {
        for (id, (before, progress)) in &mut self.accounts {
            let Progress::Seen(membership, detector_id) = progress else {
                continue;
            };
            let membership = membership.clone();
            let action =
                Action::of(&describe(*id), membership, *before, self.rules.resume_suspended);
            *progress = match action {
                Action::End(mut outcome) => {
                    outcome.detector_id = outcome.detector_id.or(detector_id.take());
                    Progress::Ended(outcome)
                }
                Action::Wait(create) => Progress::Waiting(Waiting {
                    if_enabled: match before {
                        Before::Nothing => Status::AlreadyEnabled,
                        Before::Accepted | Before::GivenUp => Status::Enrolled,
                    },
                    otherwise: Outcome {
                        detector_id: detector_id.take(),
                        ..Outcome::because(Reason::NotYetEnabled)
                    },
                    create,
                    looked: Some(0),
                    seen: Some(Redacted::new("relationshipStatus is Created")),
                }),
                Action::Create(email) => Progress::ToWrite(Write::Create(email)),
                Action::Resume => Progress::ToWrite(Write::Resume),
            };
        }
    }

    /// Instead of this write, `GetMembers` comes next: what it said of the accounts is old, and somebody else may have made
    /// them members meanwhile.
    pub fn look_again(&mut self, write: &Call) {
        let ids = write.accounts();
        for id in &ids {
            self.set(*id, Progress::Named);
        }
        self.groups.push(Group::Look(ids));
    }

    /// The wait that [`Step::Wait`] asked for is over.
    pub fn waited(&mut self) {
        self.waited += 1;
    }

    /// Takes the answer to a call. A call for several accounts that fails because of some of them, or for a reason that
    /// passes, is repeated in halves, until the account that spoils it is alone.
    pub fn answered(&mut self, call: &Call, answer: &Result<Answer, CallError>) {
        self.groups.pop();
        let ids = call.accounts();
        match answer {
            Err(error) if ids.len() > 1 && classify::is_worth_splitting(error) => {
                self.split(call, error);
            }
            _ => {
                for id in ids {
                    match call {
                        Call::GetMembers(_) => self.looked(id, answer),
                        _ => self.written(id, answer),
                    }
                }
            }
        }
    }

    fn split(&mut self, call: &Call, error: &CallError) {
        let halves = match call {
            Call::CreateMembers(details) => by_address(details),
            Call::GetMembers(ids) | Call::StartMonitoringMembers(ids) => halved(ids),
        };
        if matches!(call, Call::GetMembers(_)) {
            return self.groups.extend(halves.map(Group::Look));
        }
        self.groups.extend(halves.map(Group::Write));
        if classify::may_have_taken_effect(error) {
            let lost = Outcome::failed(error);
            for id in call.accounts() {
                self.doubt(id, true, &lost);
            }
            self.groups.push(Group::Look(call.accounts()));
        }
    }

    fn doubt(&mut self, id: AccountId, repeat: bool, lost: &Outcome) {
        if let Some((_, progress)) = self.accounts.get_mut(&id)
            && let Progress::ToWrite(write) = progress
        {
            *progress = Progress::Doubtful { write: write.clone(), repeat, lost: lost.clone() };
        }
    }

    /// An account's part of a `GetMembers`.
    fn looked(&mut self, id: AccountId, answer: &Result<Answer, CallError>) {
        let Some((_, progress)) = self.accounts.get_mut(&id) else {
            return;
        };
        let seen = match answer {
            Ok(answer) => {
                let status = answer.members.get(&id).map(String::as_str);
                let unprocessed = answer.unprocessed.get(&id).map(Redacted::as_str);
                (Membership::found(status, unprocessed), Some(answer.detector_id.clone()))
            }
            Err(error) => (Err(Outcome::failed(error)), None),
        };
        let words = match answer {
            Ok(answer) => match answer.members.get(&id) {
                Some(status) => Some(Redacted::new(&format!("relationshipStatus is {status}"))),
                None => answer.unprocessed.get(&id).cloned(),
            },
            Err(error) => Some(Redacted::new(&error.result())),
        };
        *progress = match core::mem::replace(progress, Progress::Named) {
            Progress::Waiting(waiting) => waiting.looked(&seen.0, words, self.waited, self.rules),
            Progress::Doubtful { write, repeat, lost } => match seen.0 {
                Ok(Membership::Enabled) => Progress::Ended(Outcome {
                    detector_id: lost.detector_id,
                    ..Outcome::enrolled()
                }),
                Ok(Membership::WAITING) => Progress::Waiting(Waiting {
                    if_enabled: Status::Enrolled,
                    otherwise: Outcome {
                        detector_id: lost.detector_id,
                        ..Outcome::because(Reason::NotYetEnabled)
                    },
                    create: None,
                    looked: Some(self.waited),
                    seen: words,
                }),
                Ok(_) if repeat => Progress::ToWrite(write),
                _ => Progress::Ended(lost),
            },
            Progress::Ended(outcome) => Progress::Ended(outcome),
            _ => Progress::Seen(seen.0, seen.1),
        };
    }

    /// An account's part of a call that changes something.
    fn written(&mut self, id: AccountId, answer: &Result<Answer, CallError>) {
        let answer = match answer {
            Ok(answer) => answer,
            Err(error) => return self.not_written(id, error),
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
            let waiting = Waiting { if_enabled, otherwise, create: None, looked: None, seen: None };
            self.set(id, Progress::Waiting(waiting));
        } else {
            self.set(id, Progress::Ended(otherwise));
        }
    }

    /// A call for this account alone failed.
    fn not_written(&mut self, id: AccountId, error: &CallError) {
        let outcome = Outcome::failed(error);
        if classify::may_have_taken_effect(error) {
            self.doubt(id, false, &outcome);
            return;
        }
        let bad_address = matches!(
            self.accounts.get(&id),
            Some((_, Progress::ToWrite(Write::Create(email)))) if !email.keeps_guardduty_rule()
        );
        // The text decides; the address only if the text says nothing.
        let rejected = bad_address && classify::is_unexplained_bad_request(error);
        let outcome = if rejected {
            let rejected = Outcome::because(Reason::EmailRejected);
            Outcome { result: outcome.result, detector_id: outcome.detector_id, ..rejected }
        } else {
            outcome
        };
        self.set(id, Progress::Ended(outcome));
    }

    fn set(&mut self, id: AccountId, to: Progress) {
        if let Some((_, progress)) = self.accounts.get_mut(&id) {
            *progress = to;
        }
    }

    /// One outcome for each account. Those that are not done yet have met the deadline.
    #[must_use]
    pub fn finish(self) -> BTreeMap<AccountId, Outcome> {
        let outcomes = self.accounts.into_iter().map(|(id, (_, progress))| match progress {
            Progress::Ended(outcome) => (id, outcome),
            Progress::Waiting(waiting) => (id, waiting.pending()),
            Progress::Doubtful { lost, .. } => (id, lost),
            Progress::Named | Progress::Seen(..) | Progress::ToWrite(_) => {
                (id, Outcome::because(Reason::Deadline))
            }
        });
        outcomes.collect()
    }
}

impl Waiting {
    /// What becomes of it by what `GetMembers` says.
    fn looked(
        mut self,
        membership: &Result<Membership, Outcome>,
        words: Option<Redacted>,
        waited: usize,
        rules: Rules,
    ) -> Progress {
        self.looked = Some(waited);
        let is_patient = waited < PATIENCE && rules.waits;
        match membership {
            Ok(Membership::Enabled) => Progress::Ended(Outcome {
                status: self.if_enabled,
                reason: None,
                result: None,
                ..self.otherwise
            }),
            // The next attempt resumes it.
            Ok(Membership::SUSPENDED) if rules.resume_suspended => self.waits_on(words),
            Ok(Membership::NotEnabled(reason)) if *reason != Reason::NotYetEnabled => {
                let outcome = Outcome::because(*reason);
                Progress::Ended(Outcome {
                    result: words,
                    detector_id: self.otherwise.detector_id,
                    ..outcome
                })
            }
            Ok(membership) if self.create.is_some() && !membership.is_member() => self.write(),
            Ok(Membership::WAITING) if self.create.is_some() && !is_patient => self.write(),
            _ => self.waits_on(words),
        }
    }

    fn waits_on(self, words: Option<Redacted>) -> Progress {
        Progress::Waiting(Self { seen: words.or(self.seen), ..self })
    }

    fn write(self) -> Progress {
        match self.create {
            Some(email) => Progress::ToWrite(Write::Create(email)),
            None => Progress::Waiting(self),
        }
    }

    fn pending(self) -> Outcome {
        Outcome { result: self.otherwise.result.or(self.seen), ..self.otherwise }
    }
}

/// Halves of a batch that failed. If some of its addresses break GuardDuty's rule, these are the first half, so that the
/// good accounts pass with the next call.
fn by_address(details: &[(AccountId, Email)]) -> [Vec<AccountId>; 2] {
    let (good, bad): (Vec<_>, Vec<_>) =
        details.iter().partition(|(_, email)| email.keeps_guardduty_rule());
    let ids = |details: &[&(AccountId, Email)]| details.iter().map(|(id, _)| *id).collect();
    if good.is_empty() || bad.is_empty() {
        let all: Vec<AccountId> = details.iter().map(|(id, _)| *id).collect();
        return halved(&all);
    }
    [ids(&bad), ids(&good)]
}

fn halved(ids: &[AccountId]) -> [Vec<AccountId>; 2] {
    let (first, second) = ids.split_at(ids.len() / 2);
    [second.to_vec(), first.to_vec()]
}

#[cfg(test)]
mod tests {
    use std::borrow::ToOwned;

    use super::*;
    use crate::account::State;
    use crate::call_error::Failure;
    use crate::operation::Operation;

    const RULES: Rules = Rules { resume_suspended: true, waits: false };

    const ALREADY: &str = "the given account ID is already a member or associated member";

    fn id(number: usize) -> AccountId {
        format!("{number:012}").parse().unwrap()
    }

    fn email(text: &str) -> Email {
        Email::unmasked(text).unwrap()
    }

    fn active(address: &str) -> Account {
        Account {
            state: State::Active,
            email: Email::unmasked(address),
            joined: None,
            paths: vec![],
        }
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

    /// Plays an enrollment against a GuardDuty that answers each call by `reply`, which is told how many milliseconds the
    /// enrollment has waited. Returns the calls too.
    fn play_from(
        mut enrollment: Enrollment,
        describe: impl Fn(AccountId) -> Result<Account, Outcome>,
        mut reply: impl FnMut(u64, usize, &Call) -> Result<Answer, CallError>,
    ) -> (Vec<Call>, BTreeMap<AccountId, Outcome>) {
        let mut calls = Vec::new();
        let mut waited = 0;
        loop {
            match enrollment.step() {
                Step::Call(call) => {
                    enrollment.answered(&call, &reply(waited, calls.len(), &call));
                    calls.push(call);
                }
                Step::Describe => enrollment.described(&describe),
                Step::Wait(wait) => {
                    waited += u64::try_from(wait.as_millis()).unwrap();
                    enrollment.waited();
                }
                Step::Done => return (calls, enrollment.finish()),
            }
        }
    }

    fn enrollment(rules: Rules, accounts: usize, before: Before) -> Enrollment {
        Enrollment::new(rules, (0..accounts).map(|n| (id(n), before)))
    }

    /// The same for new accounts, without waits.
    fn play(
        accounts: usize,
        describe: impl Fn(AccountId) -> Result<Account, Outcome>,
        mut reply: impl FnMut(usize, &Call) -> Result<Answer, CallError>,
    ) -> (Vec<Call>, BTreeMap<AccountId, Outcome>) {
        let enrollment = enrollment(RULES, accounts, Before::Nothing);
        play_from(enrollment, describe, |_, nth, call| reply(nth, call))
    }

    fn creates(calls: &[Call]) -> usize {
        calls.iter().filter(|call| matches!(call, Call::CreateMembers(_))).count()
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
    fn a_member_that_is_still_suspended_after_a_write_waits_for_the_next_attempt_to_resume_it() {
        for (resume_suspended, reason) in
            [(true, Reason::NotYetEnabled), (false, Reason::MemberSuspended)]
        {
            let rules = Rules { resume_suspended, ..RULES };
            let enrollment = enrollment(rules, 1, Before::Nothing);
            let (_, outcomes) = play_from(enrollment, good, |_, nth, _| match nth {
                0 | 1 => Ok(answer(&[], &[])),
                _ => Ok(answer(&[(0, "Disabled")], &[])),
            });
            assert_eq!(outcomes.get(&id(0)).and_then(|outcome| outcome.reason), Some(reason));
        }
    }

    #[test]
    fn an_old_look_is_repeated_before_the_write_and_decides() {
        let mut enrollment = enrollment(RULES, 3, Before::Nothing);
        let mut calls = Vec::new();
        loop {
            match enrollment.step() {
                // Its first look is old when it is to be written, and its second one shows one account enabled.
                Step::Call(write @ Call::CreateMembers(_)) if calls.len() == 1 => {
                    enrollment.look_again(&write);
                    calls.push(write);
                }
                Step::Call(call) => {
                    let members: &[_] = if calls.len() > 1 { &[(1, "Enabled")] } else { &[] };
                    enrollment.answered(&call, &Ok(answer(members, &[])));
                    calls.push(call);
                }
                Step::Describe => enrollment.described(good),
                Step::Wait(_) => enrollment.waited(),
                Step::Done => break,
            }
        }
        let all = Call::GetMembers(vec![id(0), id(1), id(2)]);
        assert_eq!(calls.get(2), Some(&all));
        let written = calls.get(3).map(Call::accounts);
        assert_eq!(written, Some(vec![id(0), id(2)]));
        let known = enrollment.finish().remove(&id(1));
        assert_eq!(known, Some(Outcome::already_enabled().at("d1")));
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
            0 => Ok(answer(&[], &[])),
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
    fn a_failed_call_ends_its_account_at_its_detector() {
        let denied = || {
            error(Failure::Answered {
                status: 403,
                code: Some("AccessDeniedException".to_owned()),
                message: Redacted::new("no"),
            })
        };
        let (calls, outcomes) = play(2, good, |nth, _| match nth {
            0 => Ok(answer(&[], &[])),
            _ => Err(denied()),
        });
        // It is about the Region: there is no use in splitting it.
        assert_eq!(calls.len(), 2);
        for outcome in outcomes.into_values() {
            assert_eq!(outcome.reason, Some(Reason::AccessDenied));
            assert_eq!(outcome.detector_id.as_deref(), Some("d1"));
        }
    }

    #[test]
    fn a_write_whose_answer_is_lost_is_followed_by_a_look_and_not_repeated_if_it_took_effect() {
        for (status, outcome) in [
            ("Enabled", Outcome::enrolled()),
            (
                "Created",
                Outcome::because(Reason::NotYetEnabled).saying("relationshipStatus is Created"),
            ),
        ] {
            for accounts in [1, 2] {
                let all: Vec<_> = (0..accounts).map(|n| (n, status)).collect();
                let (calls, outcomes) = play(accounts, good, |nth, _| match nth {
                    0 => Ok(answer(&[], &[])),
                    1 => Err(error(Failure::no_answer("dropped"))),
                    _ => Ok(answer(&all, &[])),
                });
                assert_eq!(creates(&calls), 1);
                assert!(outcomes.into_values().all(|found| found == outcome.clone().at("d1")));
            }
        }
    }

    #[test]
    fn a_write_that_left_no_trace_is_repeated_in_halves_and_ends_for_the_account_that_spoils_it() {
        for bad in [0, 17, 49] {
            let mut made = Vec::new();
            let (calls, outcomes) = play(50, good, |_, call| match call {
                Call::CreateMembers(details) if details.iter().any(|(a, _)| *a == id(bad)) => {
                    Err(error(Failure::no_answer("dropped")))
                }
                Call::CreateMembers(details) => {
                    made.extend(details.iter().map(|(account, _)| *account));
                    Ok(answer(&[], &[]))
                }
                _ => {
                    let members = made.iter().map(|account| (*account, "Enabled".to_owned()));
                    Ok(Answer { members: members.collect(), ..answer(&[], &[]) })
                }
            });
            assert!(creates(&calls) <= 13, "{}", creates(&calls));
            let failed = outcomes.iter().filter(|(_, o)| o.status != Status::Enrolled);
            assert!(
                failed
                    .map(|(account, o)| (*account, o.reason))
                    .eq([(id(bad), Some(Reason::Unavailable))])
            );
        }
    }

    #[test]
    fn a_look_that_one_account_spoils_is_made_in_halves() {
        for bad in [0, 17, 49] {
            let (_, outcomes) = play(50, good, |_, call| match call {
                Call::GetMembers(ids) if ids.contains(&id(bad)) => Err(bad_request()),
                Call::GetMembers(ids) => {
                    let members = ids.iter().map(|account| (*account, "Enabled".to_owned()));
                    Ok(Answer { members: members.collect(), ..answer(&[], &[]) })
                }
                _ => panic!("nobody is to be created"),
            });
            let failed = outcomes.iter().filter(|(_, o)| o.status != Status::AlreadyEnabled);
            assert!(failed.map(|(account, _)| *account).eq([id(bad)]));
        }
    }

    #[test]
    fn a_resumption_that_one_account_spoils_is_made_in_halves() {
        let mut resumed = Vec::new();
        let (_, outcomes) = play(9, good, |_, call| match call {
            Call::StartMonitoringMembers(ids) if ids.contains(&id(4)) => Err(bad_request()),
            Call::StartMonitoringMembers(ids) => {
                resumed.extend(ids.clone());
                Ok(answer(&[], &[]))
            }
            Call::GetMembers(ids) => {
                let status =
                    |account| if resumed.contains(account) { "Enabled" } else { "Disabled" };
                let members = ids.iter().map(|account| (*account, status(account).to_owned()));
                Ok(Answer { members: members.collect(), ..answer(&[], &[]) })
            }
            Call::CreateMembers(_) => panic!("nobody is to be created"),
        });
        let failed = outcomes.iter().filter(|(_, o)| o.status != Status::Enrolled);
        assert!(failed.map(|(account, _)| *account).eq([id(4)]));
    }

    /// GuardDuty makes a member `Created` at `created` ms, and `Enabled` at `enabled` ms.
    fn slow(
        created: Option<u64>,
        enabled: u64,
    ) -> impl FnMut(u64, usize, &Call) -> Result<Answer, CallError> {
        let mut created = created;
        move |now, _, call| {
            if matches!(call, Call::CreateMembers(_)) {
                created.get_or_insert(now);
            }
            let status = if now >= enabled { "Enabled" } else { "Created" };
            let members: &[_] = if created.is_some() { &[(0, status)] } else { &[] };
            Ok(answer(members, &[]))
        }
    }

    const WAITING: Rules = Rules { waits: true, ..RULES };

    #[test]
    fn an_enrollment_waits_for_a_guardduty_that_takes_its_time_and_sees_it_soon_after() {
        for delay in [1, 400, 999, 1_000, 3_000, 5_800, 10_000, 14_000, 21_000] {
            let mut seen = 0;
            let mut guardduty = slow(None, delay);
            let new = enrollment(WAITING, 1, Before::Nothing);
            let (calls, outcomes) = play_from(new, good, |now, nth, call| {
                seen = now;
                guardduty(now, nth, call)
            });
            assert_eq!(outcomes.get(&id(0)), Some(&Outcome::enrolled().at("d1")), "{delay}");
            assert_eq!(creates(&calls), 1);
            assert!(seen <= delay * 3 / 2 + 1_000, "{delay}: seen after {seen} ms");
        }
    }

    #[test]
    fn a_member_that_takes_longer_than_all_waits_is_pending_with_what_was_seen() {
        let new = enrollment(WAITING, 1, Before::Nothing);
        let (calls, outcomes) = play_from(new, good, slow(None, 100_000));
        let pending =
            Outcome::because(Reason::NotYetEnabled).saying("relationshipStatus is Created");
        assert_eq!(outcomes.get(&id(0)), Some(&pending.at("d1")));
        // Before, the write, after, and once after each wait.
        assert_eq!(calls.len(), 3 + WAITS.len());
    }

    #[test]
    fn a_member_that_somebody_else_makes_is_not_created_again_unless_it_takes_too_long() {
        for (delay, count, status) in
            [(2_000, 0, Status::AlreadyEnabled), (10_000, 1, Status::AlreadyEnabled)]
        {
            let new = enrollment(WAITING, 1, Before::Nothing);
            let (calls, outcomes) = play_from(new, good, slow(Some(0), delay));
            assert_eq!(creates(&calls), count, "{delay}");
            let found = outcomes.get(&id(0)).map(|outcome| outcome.status);
            assert!(found == Some(status) || count == 1 && found == Some(Status::Enrolled));
        }
    }

    #[test]
    fn a_member_that_somebody_else_makes_gets_three_waits_and_keeps_its_detector() {
        let mut created = Vec::new();
        let mut guardduty = slow(Some(0), 99_000);
        let new = enrollment(WAITING, 1, Before::Nothing);
        play_from(new, good, |now, nth, call| {
            created.extend(matches!(call, Call::CreateMembers(_)).then_some(now));
            guardduty(now, nth, call)
        });
        assert_eq!(created, [1_000 + 1_000 + 1_500]);
        let late = enrollment(RULES, 1, Before::Accepted);
        let (_, outcomes) = play_from(late, good, slow(Some(0), 99_000));
        let said = "relationshipStatus is Created";
        let pending = Outcome::because(Reason::NotYetEnabled).saying(said).at("d1");
        assert_eq!(outcomes.get(&id(0)), Some(&pending));
    }

    #[test]
    fn a_member_that_waits_since_an_earlier_attempt_is_only_looked_at() {
        for (delay, status) in
            [(0, Status::Enrolled), (2_000, Status::Enrolled), (99_000, Status::Pending)]
        {
            let waiting = enrollment(WAITING, 1, Before::Accepted);
            let (calls, outcomes) = play_from(waiting, good, slow(Some(0), delay));
            assert_eq!(creates(&calls), 0);
            assert_eq!(outcomes.get(&id(0)).map(|outcome| outcome.status), Some(status), "{delay}");
        }
    }

    #[test]
    fn a_member_that_was_given_up_is_created_again() {
        let given_up = enrollment(WAITING, 1, Before::GivenUp);
        let (calls, _) = play_from(given_up, good, slow(Some(0), 5_000));
        assert_eq!(creates(&calls), 1);
    }

    #[test]
    fn a_member_that_ends_in_another_status_has_its_reason_at_once() {
        for (status, reason) in [
            ("RegionDisabled", Reason::MemberRegionDisabled),
            ("AccountSuspended", Reason::AccountSuspended),
            ("CannotCreateDetectorInOrgMaster", Reason::ManagementAccountNotEnabled),
        ] {
            let new = enrollment(WAITING, 1, Before::Nothing);
            let (calls, outcomes) = play_from(new, good, |_, nth, _| match nth {
                0 | 1 => Ok(answer(&[], &[])),
                _ => Ok(answer(&[(0, status)], &[])),
            });
            let said = format!("relationshipStatus is {status}");
            assert_eq!(
                outcomes.get(&id(0)),
                Some(&Outcome::because(reason).saying(&said).at("d1"))
            );
            assert_eq!(calls.len(), 3);
        }
    }

    #[test]
    fn a_text_of_passing_trouble_touches_nobody() {
        for text in ["Request throttled", "Service is temporarily unavailable", "Internal error"] {
            let (calls, outcomes) = play(1, good, |_, _| Ok(answer(&[], &[(0, text)])));
            assert_eq!(calls.len(), 1, "{text}");
            assert!(outcomes.into_values().all(|outcome| outcome.status == Status::Deferred));
        }
    }

    #[test]
    fn the_text_of_a_400_decides_and_the_address_only_if_the_text_says_nothing() {
        for (text, reason) in [
            ("an invalid value", Reason::EmailRejected),
            ("must first enable GuardDuty", Reason::ManagementAccountNotEnabled),
            ("is not an associated member", Reason::NotYetAssociated),
            ("is already a member or associated member", Reason::NotYetEnabled),
            ("an account cannot become a member of itself", Reason::AdministratorAccount),
        ] {
            let odd = |_| Ok(active("o'brien@example.com"));
            let (_, outcomes) = play(1, odd, |_, call| match call {
                Call::CreateMembers(_) => Err(error(Failure::Answered {
                    status: 400,
                    code: Some("BadRequestException".to_owned()),
                    message: Redacted::new(text),
                })),
                _ => Ok(answer(&[], &[])),
            });
            assert!(outcomes.into_values().all(|outcome| outcome.reason == Some(reason)), "{text}");
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
        assert_eq!(creates(&calls), 3);
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
            assert!(creates(&calls) <= 13);
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
        assert_eq!(by_address(&details), [vec![id(1)], vec![id(0), id(2)]]);
        for address in ["good@example.com", "o'brien@example.com"] {
            for size in 2..=50 {
                let alike: Vec<_> = (0..size).map(|n| (id(n), email(address))).collect();
                let [first, second] = by_address(&alike);
                assert!(!first.is_empty() && !second.is_empty());
                assert!(first.len().abs_diff(second.len()) <= 1);
                assert_eq!(first.len() + second.len(), size);
            }
        }
    }

    #[test]
    fn an_account_that_is_not_done_has_met_the_deadline() {
        let mut enrollment = Enrollment::new(RULES, [0, 1].map(|n| (id(n), Before::Nothing)));
        let look = enrollment.step();
        assert_eq!(look, Step::Call(Call::GetMembers(vec![id(0), id(1)])));
        let Step::Call(look) = look else { return };
        enrollment.answered(&look, &Ok(answer(&[(0, "Enabled")], &[])));
        enrollment.described(good);
        let expected = [Outcome::already_enabled().at("d1"), Outcome::because(Reason::Deadline)];
        assert!(enrollment.finish().into_values().eq(expected));
    }

    #[test]
    fn only_texts_that_this_version_does_not_know_are_unknown() {
        let texts = [(0, "Internal error"), (1, "Never seen"), (2, "is not an associated member")];
        let answer = answer(&[], &texts);
        assert!(answer.unknown().map(|(account, _)| account).eq([id(1)]));
    }
}
