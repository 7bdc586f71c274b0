//! One Region's part of the work: from accounts to their endings, with the fewest calls of GuardDuty.

use std::collections::BTreeMap;
use std::sync::Arc;

use tracing::warn;

use crate::account::{Account, AccountId, Email, State};
use crate::configuration::Configuration;
use crate::guardduty::{ACCOUNTS_A_CALL, CallFailed, Members, RegionalGuardDuty};
use crate::outcome::{Ending, Outcome, Reason};
use crate::pace::Pace;
use crate::region::Coverage;
use crate::text::SafeText;
use crate::verdict;

/// What Organizations says of each account, or how its pairs end because Organizations did not say it.
pub type Described = Arc<BTreeMap<AccountId, Result<Account, Ending>>>;

/// The endings of one Region. They are written as they come, so that those reached before a deadline stay.
pub type Endings = BTreeMap<AccountId, Ending>;

/// What the configuration leaves to decide here.
#[derive(Debug, Clone, Copy)]
pub struct Rules {
    /// Whether a member that someone suspended is resumed.
    pub resume_suspended: bool,
    /// How a pair ends in a Region without a detector.
    pub without_detector: Outcome,
}

impl Rules {
    /// In a Region that someone listed, a missing detector is a mistake; with `all` it is a choice.
    #[must_use]
    pub const fn of(configuration: &Configuration) -> Self {
        Self {
            resume_suspended: configuration.resume_suspended,
            without_detector: match configuration.coverage {
                Coverage::Listed(_) => Outcome::Refused(Reason::NoDetector),
                Coverage::All => Outcome::Skipped(Reason::NoDetector),
            },
        }
    }
}

/// Enrolls `accounts` in one Region: `GetMembers` beside `described`, then `CreateMembers` for those that are
/// not `Enabled`, then `GetMembers` to see that it took. Each account has its ending in `endings` at the end. The
/// caller has taken a turn of `pace`; further calls of `CreateMembers` for the same accounts take their own.
pub async fn enroll(
    guardduty: &RegionalGuardDuty,
    accounts: &[AccountId],
    described: impl Future<Output = Described>,
    rules: Rules,
    pace: &mut Pace,
    endings: &mut Endings,
) {
    let (memberships, described) = tokio::join!(memberships(guardduty, accounts, rules), described);
    let mut create = Vec::new();
    let mut resume = Vec::new();
    for (id, membership) in memberships {
        let Some(described) = described.get(&id) else {
            continue;
        };
        match step(described, membership, rules) {
            Step::End(ending) => {
                endings.insert(id, ending);
            }
            Step::Create(email) => create.push((id, email)),
            Step::Resume => resume.push(id),
        }
    }
    for chunk in create.chunks(ACCOUNTS_A_CALL) {
        let accepted = create_members(guardduty, chunk, rules, pace, endings).await;
        confirm(guardduty, accepted, endings).await;
    }
    for chunk in resume.chunks(ACCOUNTS_A_CALL) {
        let answer = guardduty.start_monitoring(chunk).await;
        let accepted = accepted(chunk.iter().copied(), &answer, rules, endings);
        confirm(guardduty, accepted, endings).await;
    }
}

/// An account's standing in a Region before anything is changed.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Membership {
    Enabled(String),
    Suspended(String),
    /// Not a member, or one that is not enabled.
    NotEnabled,
    /// GuardDuty did not say: then nothing is changed, because `CreateMembers` would re-apply the
    /// organization's settings to a member that is enabled.
    NotKnown(Ending),
}

async fn memberships(
    guardduty: &RegionalGuardDuty,
    accounts: &[AccountId],
    rules: Rules,
) -> BTreeMap<AccountId, Membership> {
    let mut memberships = BTreeMap::new();
    for chunk in accounts.chunks(ACCOUNTS_A_CALL) {
        let answer = guardduty.members(chunk).await;
        if let Ok((members, _)) = &answer {
            for (id, text) in unknown(members) {
                warn!(
                    accountId = %id,
                    result = %text,
                    "GetMembers gave a text that this version does not know; it is read as: not a member"
                );
            }
        }
        memberships.extend(chunk.iter().map(|&id| {
            let membership = match &answer {
                Err(failed) => Membership::NotKnown(ending_of(failed, rules)),
                Ok((members, detector_id)) => membership(
                    members.status.get(&id).map(String::as_str),
                    members.unprocessed.get(&id).map(SafeText::as_str),
                    detector_id,
                ),
            };
            (id, membership)
        }));
    }
    memberships
}

/// The texts of `GetMembers` that this version does not know.
fn unknown(members: &Members) -> impl Iterator<Item = (&AccountId, &SafeText)> {
    let unknown =
        |text: &SafeText| verdict::of_text(text.as_str()) == Outcome::Deferred(Reason::Unknown);
    members
        .unprocessed
        .iter()
        .filter(move |(_, text)| unknown(text))
}

fn membership(status: Option<&str>, unprocessed: Option<&str>, detector_id: &str) -> Membership {
    match (status, unprocessed) {
        (Some(status), _) if is_enabled(status) => Membership::Enabled(detector_id.to_owned()),
        (Some(status), _) if is_suspended(status) => Membership::Suspended(detector_id.to_owned()),
        (Some(_), _) | (None, None) => Membership::NotEnabled,
        (None, Some(text)) => match verdict::of_text(text) {
            outcome @ Outcome::Deferred(Reason::InternalError | Reason::Throttled) => {
                Membership::NotKnown(Ending::said(outcome, text).at(detector_id))
            }
            // Any other text is taken to say in its own words that the account is not a member: which words GuardDuty
            // uses for that is not documented, and an account that is none must not wait for ever.
            _ => Membership::NotEnabled,
        },
    }
}

/// Whether a `relationshipStatus` means that the member is protected. A free string: everything else is "no".
#[must_use]
pub fn is_enabled(relationship_status: &str) -> bool {
    relationship_status.eq_ignore_ascii_case("enabled")
}

/// Whether a `relationshipStatus` means that someone suspended the member.
#[must_use]
pub fn is_suspended(relationship_status: &str) -> bool {
    relationship_status.eq_ignore_ascii_case("disabled")
}

#[derive(Debug, PartialEq, Eq)]
enum Step {
    End(Ending),
    Create(Email),
    Resume,
}

/// What to do for one pair. Organizations' word comes first where it says that the account is gone; a member
/// that is enabled needs nothing more; everything else needs an ACTIVE account.
fn step(described: &Result<Account, Ending>, membership: Membership, rules: Rules) -> Step {
    let skip = |reason| Step::End(Ending::plain(Outcome::Skipped(reason)));
    match described.as_ref().map(|account| &account.state) {
        Ok(State::Suspended) => return skip(Reason::AccountSuspended),
        Ok(State::PendingClosure | State::Closed) => return skip(Reason::AccountClosed),
        _ => {}
    }
    if let Membership::Enabled(detector_id) = &membership {
        return Step::End(Ending::plain(Outcome::AlreadyEnabled).at(detector_id));
    }
    let account = match described {
        Ok(account) => account,
        Err(ending) => return Step::End(ending.clone()),
    };
    match &account.state {
        State::PendingActivation => {
            let outcome = Outcome::Deferred(Reason::PendingActivation);
            return Step::End(Ending::said(
                outcome,
                "the account's state is PENDING_ACTIVATION",
            ));
        }
        State::Unknown(name) => {
            let text = format!("the account's state is {name}");
            return Step::End(Ending::said(Outcome::Deferred(Reason::Unknown), &text));
        }
        State::Active | State::Suspended | State::PendingClosure | State::Closed => {}
    }
    match (membership, &account.email) {
        (Membership::NotKnown(ending), _) => Step::End(ending),
        (Membership::Suspended(_), _) if rules.resume_suspended => Step::Resume,
        (Membership::Suspended(detector_id), _) => Step::End(
            Ending::said(
                Outcome::Refused(Reason::MemberSuspended),
                "relationshipStatus is Disabled",
            )
            .at(&detector_id),
        ),
        (_, Some(email)) => Step::Create(email.clone()),
        (_, None) => Step::End(Ending::said(
            Outcome::Refused(Reason::EmailRejected),
            "neither Organizations nor the event has an e-mail address for the account",
        )),
    }
}

/// An account that GuardDuty accepted, until `GetMembers` has been asked.
struct Accepted {
    if_enabled: Outcome,
    otherwise: Ending,
}

type AcceptedAccounts = BTreeMap<AccountId, Accepted>;

/// `CreateMembers` for up to 50 accounts. A call that fails because of what stood in it is split, until the
/// account that spoils it stands alone: 12 more calls (2 · log₂ 50) for one such account, 98 where all are.
async fn create_members(
    guardduty: &RegionalGuardDuty,
    accounts: &[(AccountId, Email)],
    rules: Rules,
    pace: &mut Pace,
    endings: &mut Endings,
) -> AcceptedAccounts {
    let mut all_accepted = AcceptedAccounts::new();
    let mut batches = vec![accounts.to_vec()];
    let mut first = true;
    while let Some(batch) = batches.pop() {
        // The first call had its turn before GetMembers was asked, so that no wait lies between the two.
        if !std::mem::take(&mut first) {
            pace.turn().await;
        }
        let answer = guardduty.create_members(&batch).await;
        match (&answer, batch.as_slice()) {
            (Err(CallFailed::At(detector_id, failure)), [(id, email)])
                if verdict::blames_the_request(failure) && !email.keeps_guardduty_rule() =>
            {
                let outcome = Outcome::Refused(Reason::EmailRejected);
                let mut ending = Ending::said(outcome, &failure.to_string());
                ending.detector_id.clone_from(detector_id);
                endings.insert(*id, ending);
            }
            (Err(CallFailed::At(_, failure)), [_, _, ..])
                if verdict::blames_the_request(failure) =>
            {
                batches.extend(split(batch));
            }
            _ => {
                let ids = batch.iter().map(|(id, _)| *id);
                all_accepted.extend(accepted(ids, &answer, rules, endings));
            }
        }
    }
    all_accepted
}

/// Halves a batch that failed; where some of its addresses break GuardDuty's rule, these are the first half,
/// so that the good accounts pass with the next call.
fn split(batch: Vec<(AccountId, Email)>) -> [Vec<(AccountId, Email)>; 2] {
    let (mut good, mut bad): (Vec<_>, Vec<_>) = batch
        .into_iter()
        .partition(|(_, email)| email.keeps_guardduty_rule());
    if good.is_empty() || bad.is_empty() {
        good.append(&mut bad);
        bad = good.split_off(good.len() / 2);
    }
    [bad, good]
}

/// Tells the accounts that were accepted from those that have their ending already.
fn accepted(
    accounts: impl Iterator<Item = AccountId>,
    answer: &Result<(BTreeMap<AccountId, SafeText>, String), CallFailed>,
    rules: Rules,
    endings: &mut Endings,
) -> AcceptedAccounts {
    let mut accepted = AcceptedAccounts::new();
    for id in accounts {
        let (unprocessed, detector_id) = match answer {
            Ok(answer) => answer,
            Err(failed) => {
                endings.insert(id, ending_of(failed, rules));
                continue;
            }
        };
        let Some(text) = unprocessed.get(&id) else {
            let otherwise = Ending::plain(Outcome::Pending(Reason::NotYetEnabled)).at(detector_id);
            accepted.insert(
                id,
                Accepted {
                    if_enabled: Outcome::Enrolled,
                    otherwise,
                },
            );
            continue;
        };
        let ending = Ending::said(verdict::of_text(text.as_str()), text.as_str()).at(detector_id);
        if matches!(ending.outcome, Outcome::Pending(_)) {
            // "Already a member" counts only once GetMembers says `Enabled`.
            accepted.insert(
                id,
                Accepted {
                    if_enabled: Outcome::AlreadyEnabled,
                    otherwise: ending,
                },
            );
        } else {
            endings.insert(id, ending);
        }
    }
    accepted
}

/// `GetMembers` for the accounts that were accepted: only `Enabled` is done.
async fn confirm(guardduty: &RegionalGuardDuty, accepted: AcceptedAccounts, endings: &mut Endings) {
    if accepted.is_empty() {
        return;
    }
    let ids: Vec<AccountId> = accepted.keys().copied().collect();
    let answer = guardduty.members(&ids).await;
    for (id, accepted) in accepted {
        let mut ending = accepted.otherwise;
        let said = match &answer {
            Ok((members, _)) => match members.status.get(&id) {
                Some(status) if is_enabled(status) => {
                    ending.outcome = accepted.if_enabled;
                    ending.result = None;
                    None
                }
                Some(status) => Some(format!("relationshipStatus is {status}")),
                None => members.unprocessed.get(&id).map(ToString::to_string),
            },
            Err(CallFailed::At(_, failure)) => Some(failure.to_string()),
            Err(CallFailed::NoDetector) => None,
        };
        if let (None, Some(said)) = (&ending.result, said) {
            ending = Ending {
                result: Ending::said(ending.outcome, &said).result,
                ..ending
            };
        }
        endings.insert(id, ending);
    }
}

/// How a pair ends whose call came to no answer.
#[must_use]
pub fn ending_of(failed: &CallFailed, rules: Rules) -> Ending {
    match failed {
        CallFailed::NoDetector => Ending::said(
            rules.without_detector,
            "ListDetectors named no detector: GuardDuty is not enabled here",
        ),
        CallFailed::At(detector_id, failure) => Ending {
            detector_id: detector_id.clone(),
            ..Ending::said(verdict::of_failure(failure), &failure.to_string())
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::failure::Failure;

    const RULES: Rules = Rules {
        resume_suspended: false,
        without_detector: Outcome::Refused(Reason::NoDetector),
    };

    fn id(number: u64) -> AccountId {
        format!("{number:012}").parse().unwrap()
    }

    fn email(text: &str) -> Email {
        Email::unmasked(text).unwrap()
    }

    fn account(state: State) -> Account {
        Account {
            state,
            email: Some(email("new@example.com")),
        }
    }

    fn enabled() -> Membership {
        Membership::Enabled("d1".to_owned())
    }

    fn outcome(step: Step) -> Outcome {
        match step {
            Step::End(ending) => ending.outcome,
            other => panic!("{other:?} is no end"),
        }
    }

    #[test]
    fn an_active_account_that_is_no_member_is_created() {
        let step = step(&Ok(account(State::Active)), Membership::NotEnabled, RULES);
        assert_eq!(step, Step::Create(email("new@example.com")));
    }

    #[test]
    fn an_enabled_member_is_left_alone_even_where_organizations_does_not_answer() {
        let silent = Err(Ending::plain(Outcome::Deferred(Reason::Unavailable)));
        for described in [
            Ok(account(State::Active)),
            Ok(account(State::PendingActivation)),
            silent,
        ] {
            assert_eq!(
                outcome(step(&described, enabled(), RULES)),
                Outcome::AlreadyEnabled
            );
        }
    }

    #[test]
    fn an_account_that_is_gone_is_skipped_whatever_guardduty_says() {
        for (state, reason) in [
            (State::Suspended, Reason::AccountSuspended),
            (State::PendingClosure, Reason::AccountClosed),
            (State::Closed, Reason::AccountClosed),
        ] {
            for membership in [enabled(), Membership::NotEnabled] {
                let step = step(&Ok(account(state.clone())), membership, RULES);
                assert_eq!(outcome(step), Outcome::Skipped(reason));
            }
        }
    }

    #[test]
    fn an_account_that_is_not_active_yet_is_deferred() {
        for (state, reason) in [
            (State::PendingActivation, Reason::PendingActivation),
            (State::Unknown("NEW".to_owned()), Reason::Unknown),
        ] {
            let step = step(&Ok(account(state)), Membership::NotEnabled, RULES);
            assert_eq!(outcome(step), Outcome::Deferred(reason));
        }
    }

    #[test]
    fn an_account_that_organizations_does_not_describe_is_never_created() {
        let unknown = Err(Ending::plain(Outcome::Deferred(Reason::AccountNotFound)));
        let step = step(&unknown, Membership::NotEnabled, RULES);
        assert_eq!(outcome(step), Outcome::Deferred(Reason::AccountNotFound));
    }

    #[test]
    fn an_account_without_an_address_is_refused() {
        let bare = Ok(Account {
            state: State::Active,
            email: None,
        });
        let step = step(&bare, Membership::NotEnabled, RULES);
        assert_eq!(outcome(step), Outcome::Refused(Reason::EmailRejected));
    }

    #[test]
    fn a_suspended_member_is_resumed_only_on_request() {
        let suspended = || Membership::Suspended("d1".to_owned());
        assert_eq!(
            outcome(step(&Ok(account(State::Active)), suspended(), RULES)),
            Outcome::Refused(Reason::MemberSuspended)
        );
        let rules = Rules {
            resume_suspended: true,
            ..RULES
        };
        assert_eq!(
            step(&Ok(account(State::Active)), suspended(), rules),
            Step::Resume
        );
    }

    #[test]
    fn nothing_is_changed_while_the_membership_is_not_known() {
        let ending = Ending::plain(Outcome::Deferred(Reason::InternalError));
        let step = step(
            &Ok(account(State::Active)),
            Membership::NotKnown(ending.clone()),
            RULES,
        );
        assert_eq!(step, Step::End(ending));
    }

    #[test]
    fn the_membership_is_read_from_status_and_text() {
        let of = |status, text| membership(status, text, "d1");
        assert_eq!(of(Some("Enabled"), None), enabled());
        assert_eq!(of(Some("ENABLED"), None), enabled());
        assert_eq!(
            of(Some("Disabled"), None),
            Membership::Suspended("d1".to_owned())
        );
        for status in ["Created", "Invited", "Removed", "Resigned", "NeverSeen", ""] {
            assert_eq!(of(Some(status), None), Membership::NotEnabled, "{status}");
        }
        assert_eq!(of(None, None), Membership::NotEnabled);
        assert_eq!(
            of(
                None,
                Some(
                    "the given account ID is not an associated member of account the current account."
                )
            ),
            Membership::NotEnabled
        );
        assert_eq!(
            of(None, Some("Internal error")),
            Membership::NotKnown(
                Ending::said(Outcome::Deferred(Reason::InternalError), "Internal error").at("d1")
            )
        );
    }

    #[test]
    fn only_texts_that_this_version_does_not_know_are_told() {
        let texts = [
            "Internal error",
            "Never seen",
            "is not an associated member",
        ];
        let unprocessed = (0..).map(id).zip(texts.map(SafeText::new));
        let members = Members {
            unprocessed: unprocessed.collect(),
            ..Members::default()
        };
        let told: Vec<_> = unknown(&members).map(|(id, _)| *id).collect();
        assert_eq!(told, [id(1)]);
    }

    #[test]
    fn a_failed_batch_is_split_into_bad_and_good_addresses() {
        let batch = vec![
            (id(1), email("good@example.com")),
            (id(2), email("o'brien@example.com")),
            (id(3), email("fine@example.com")),
        ];
        let [bad, good] = split(batch);
        assert_eq!(bad.iter().map(|(id, _)| *id).collect::<Vec<_>>(), [id(2)]);
        assert_eq!(
            good.iter().map(|(id, _)| *id).collect::<Vec<_>>(),
            [id(1), id(3)]
        );
    }

    #[test]
    fn a_failed_batch_whose_addresses_look_alike_is_halved() {
        for address in ["good@example.com", "o'brien@example.com"] {
            for size in 2..=50 {
                let batch: Vec<_> = (0..size).map(|n| (id(n), email(address))).collect();
                let [first, second] = split(batch.clone());
                assert!(!first.is_empty() && !second.is_empty());
                assert!(first.len().abs_diff(second.len()) <= 1);
                assert_eq!(first.len() + second.len(), batch.len());
            }
        }
    }

    #[test]
    fn every_account_of_a_call_is_either_accepted_or_ended() {
        let texts = BTreeMap::from([
            (id(2), SafeText::new("Internal error")),
            (
                id(3),
                SafeText::new("the given account ID is already a member or associated member"),
            ),
        ]);
        let mut endings = Endings::new();
        let answer = Ok((texts, "d1".to_owned()));
        let accepted = accepted(
            [id(1), id(2), id(3)].into_iter(),
            &answer,
            RULES,
            &mut endings,
        );
        assert_eq!(accepted.keys().copied().collect::<Vec<_>>(), [id(1), id(3)]);
        assert_eq!(accepted.get(&id(1)).unwrap().if_enabled, Outcome::Enrolled);
        assert_eq!(
            accepted.get(&id(3)).unwrap().if_enabled,
            Outcome::AlreadyEnabled
        );
        let refused = endings.get(&id(2)).unwrap();
        assert_eq!(refused.outcome, Outcome::Deferred(Reason::InternalError));
        assert_eq!(refused.result.as_ref().unwrap().as_str(), "Internal error");
        assert_eq!(refused.detector_id.as_deref(), Some("d1"));
    }

    #[test]
    fn a_failed_call_ends_every_account_that_it_was_made_for() {
        let mut endings = Endings::new();
        let failure = Failure::no_answer("dropped");
        let answer = Err(CallFailed::At(Some("d1".to_owned()), failure));
        let accepted = accepted([id(1), id(2)].into_iter(), &answer, RULES, &mut endings);
        assert!(accepted.is_empty());
        assert_eq!(endings.len(), 2);
    }

    #[test]
    fn a_failed_call_keeps_the_detector_that_it_was_made_at() {
        for detector_id in [None, Some("d1".to_owned())] {
            let failed = CallFailed::At(detector_id.clone(), Failure::no_answer("dropped"));
            assert_eq!(ending_of(&failed, RULES).detector_id, detector_id);
        }
    }

    #[test]
    fn the_rules_say_how_a_pair_ends_without_a_detector() {
        for outcome in [Outcome::Refused, Outcome::Skipped] {
            let rules = Rules {
                without_detector: outcome(Reason::NoDetector),
                ..RULES
            };
            let ending = ending_of(&CallFailed::NoDetector, rules);
            assert_eq!(ending.outcome, outcome(Reason::NoDetector));
        }
    }
}
