//! The enrollment of accounts in one Region: from their ids to their endings, with the fewest calls of GuardDuty.

use std::collections::BTreeMap;
use std::sync::Arc;

use tracing::warn;

use crate::account::{Account, AccountId, Email};
use crate::configuration::Configuration;
use crate::guardduty::{ACCOUNTS_A_CALL, CallFailed, Members, RegionalGuardDuty, Unprocessed};
use crate::outcome::{Ending, Outcome, Reason};
use crate::pace::Pace;
use crate::region::Coverage;
use crate::standing::{Standing, Step};
use crate::text::SafeText;
use crate::verdict;

/// What Organizations says of each account, or how its pairs end because Organizations did not say it.
pub type Described = Arc<BTreeMap<AccountId, Result<Account, Ending>>>;

/// The endings of one Region.
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

    /// How a pair ends whose call came to no answer.
    #[must_use]
    pub fn ending_of(self, failed: &CallFailed) -> Ending {
        match failed {
            CallFailed::NoDetector => Ending::said(
                self.without_detector,
                "ListDetectors named no detector: GuardDuty is not enabled here",
            ),
            CallFailed::At(detector_id, failure) => Ending {
                detector_id: detector_id.clone(),
                ..Ending::said(verdict::of_failure(failure), &failure.to_string())
            },
        }
    }
}

/// Enrolls accounts in one Region.
#[derive(Debug)]
pub struct Enrollment<'a> {
    /// The Region.
    pub guardduty: &'a RegionalGuardDuty,
    /// What the configuration decides.
    pub rules: Rules,
    /// How fast `CreateMembers` may be called.
    pub pace: Pace,
    /// They are written as they come, so that those reached before the cutoff stay.
    pub endings: Endings,
}

impl<'a> Enrollment<'a> {
    /// Makes no call.
    #[must_use]
    pub fn new(guardduty: &'a RegionalGuardDuty, rules: Rules, pace: Pace) -> Self {
        Self {
            guardduty,
            rules,
            pace,
            endings: Endings::new(),
        }
    }

    /// `GetMembers` beside `described`, then `CreateMembers` for those that are not `Enabled`, then `GetMembers` to see
    /// that it took. Each account has its ending then. The first `CreateMembers` of each 50 accounts takes no turn of
    /// `pace`: where there is one, the caller has waited for it, so that no wait lies between looking and acting.
    pub async fn run(
        &mut self,
        accounts: &[AccountId],
        described: impl Future<Output = Described>,
    ) {
        let (looked, described) = tokio::join!(self.look(accounts), described);
        let mut create = Vec::new();
        let mut resume = Vec::new();
        for (id, (standing, detector_id)) in looked {
            let Some(described) = described.get(&id) else {
                continue;
            };
            match Step::of(described, standing, self.rules.resume_suspended) {
                Step::End(mut ending) => {
                    ending.detector_id = ending.detector_id.or(detector_id);
                    self.endings.insert(id, ending);
                }
                Step::Create(email) => create.push((id, email)),
                Step::Resume => resume.push(id),
            }
        }
        for chunk in create.chunks(ACCOUNTS_A_CALL) {
            let accepted = self.create(chunk).await;
            self.confirm(accepted).await;
        }
        for chunk in resume.chunks(ACCOUNTS_A_CALL) {
            let answer = self.guardduty.start_monitoring_members(chunk).await;
            let (accepted, ended) = told_apart(chunk.iter().copied(), &answer, self.rules);
            self.endings.extend(ended);
            self.confirm(accepted).await;
        }
    }

    /// `GetMembers` for all accounts.
    async fn look(&self, accounts: &[AccountId]) -> BTreeMap<AccountId, Looked> {
        let mut looked = BTreeMap::new();
        for chunk in accounts.chunks(ACCOUNTS_A_CALL) {
            let answer = self.guardduty.get_members(chunk).await;
            if let Ok((members, _)) = &answer {
                for (id, text) in unknown(members) {
                    warn!(
                        accountId = %id,
                        result = %text,
                        "GetMembers gave a text that this version does not know; it is read as: not a member"
                    );
                }
            }
            looked.extend(chunk.iter().map(|&id| {
                let looked = match &answer {
                    Err(failed) => (Err(self.rules.ending_of(failed)), None),
                    Ok((members, detector_id)) => {
                        let status = members.status.get(&id).map(String::as_str);
                        let unprocessed = members.unprocessed.get(&id).map(SafeText::as_str);
                        let standing = Standing::found(status, unprocessed);
                        (standing, Some(detector_id.clone()))
                    }
                };
                (id, looked)
            }));
        }
        looked
    }

    /// `CreateMembers` for up to 50 accounts. A call that fails because of what stood in it is split, until the
    /// account that spoils it stands alone: 12 more calls (2 · log₂ 50) for one such account, 98 where all are.
    async fn create(&mut self, accounts: &[(AccountId, Email)]) -> AcceptedAccounts {
        let mut all_accepted = AcceptedAccounts::new();
        let mut batches = vec![accounts.to_vec()];
        let mut first = true;
        while let Some(batch) = batches.pop() {
            if !std::mem::take(&mut first) {
                self.pace.turn().await;
            }
            let answer = self.guardduty.create_members(&batch).await;
            match (&answer, batch.as_slice()) {
                (Err(CallFailed::At(detector_id, failure)), [(id, email)])
                    if verdict::blames_the_request(failure) && !email.keeps_guardduty_rule() =>
                {
                    let outcome = Outcome::Refused(Reason::EmailRejected);
                    let mut ending = Ending::said(outcome, &failure.to_string());
                    ending.detector_id.clone_from(detector_id);
                    self.endings.insert(*id, ending);
                }
                (Err(CallFailed::At(_, failure)), [_, _, ..])
                    if verdict::blames_the_request(failure) =>
                {
                    batches.extend(split(batch));
                }
                _ => {
                    let ids = batch.iter().map(|(id, _)| *id);
                    let (accepted, ended) = told_apart(ids, &answer, self.rules);
                    all_accepted.extend(accepted);
                    self.endings.extend(ended);
                }
            }
        }
        all_accepted
    }

    /// `GetMembers` for the accounts that were accepted: only `Enabled` is done.
    async fn confirm(&mut self, accepted: AcceptedAccounts) {
        if accepted.is_empty() {
            return;
        }
        let ids: Vec<AccountId> = accepted.keys().copied().collect();
        let answer = self.guardduty.get_members(&ids).await;
        self.endings.extend(confirmed(accepted, &answer));
    }
}

/// An account's standing before anything is changed, and the detector that was asked for it.
type Looked = (Result<Standing, Ending>, Option<String>);

/// The texts of `GetMembers` that this version does not know.
fn unknown(members: &Members) -> impl Iterator<Item = (&AccountId, &SafeText)> {
    let unknown =
        |text: &SafeText| verdict::of_text(text.as_str()) == Outcome::Deferred(Reason::Unknown);
    members
        .unprocessed
        .iter()
        .filter(move |(_, text)| unknown(text))
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

/// How an account that GuardDuty accepted ends, once `GetMembers` has been asked.
struct Accepted {
    if_enabled: Outcome,
    otherwise: Ending,
}

type AcceptedAccounts = BTreeMap<AccountId, Accepted>;

/// Tells the accounts that were accepted from those that have ended already.
fn told_apart(
    accounts: impl Iterator<Item = AccountId>,
    answer: &Result<(Unprocessed, String), CallFailed>,
    rules: Rules,
) -> (AcceptedAccounts, Endings) {
    let (mut accepted, mut ended) = (AcceptedAccounts::new(), Endings::new());
    for id in accounts {
        let (unprocessed, detector_id) = match answer {
            Ok(answer) => answer,
            Err(failed) => {
                ended.insert(id, rules.ending_of(failed));
                continue;
            }
        };
        let (if_enabled, otherwise) = match unprocessed.get(&id) {
            None => (
                Outcome::Enrolled,
                Ending::plain(Outcome::Pending(Reason::NotYetEnabled)),
            ),
            Some(text) => (
                Outcome::AlreadyEnabled,
                Ending::said(verdict::of_text(text.as_str()), text.as_str()),
            ),
        };
        let otherwise = otherwise.at(detector_id);
        // "Already a member" is pending too: it counts only once GetMembers says `Enabled`.
        if matches!(otherwise.outcome, Outcome::Pending(_)) {
            let account = Accepted {
                if_enabled,
                otherwise,
            };
            accepted.insert(id, account);
        } else {
            ended.insert(id, otherwise);
        }
    }
    (accepted, ended)
}

/// How accepted accounts end by what `GetMembers` says of them.
fn confirmed(
    accepted: AcceptedAccounts,
    answer: &Result<(Members, String), CallFailed>,
) -> Endings {
    let ended = accepted.into_iter().map(|(id, accepted)| {
        let mut ending = accepted.otherwise;
        let said = match answer {
            Ok((members, _)) => match members.status.get(&id) {
                Some(status) if Standing::of(status) == Standing::Enabled => {
                    ending.outcome = accepted.if_enabled;
                    ending.result = None;
                    return (id, ending);
                }
                Some(status) => Some(SafeText::new(&format!("relationshipStatus is {status}"))),
                None => members.unprocessed.get(&id).cloned(),
            },
            Err(CallFailed::At(_, failure)) => Some(SafeText::new(&failure.to_string())),
            Err(CallFailed::NoDetector) => None,
        };
        ending.result = ending.result.or(said);
        (id, ending)
    });
    ended.collect()
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
        let answer = Ok((texts, "d1".to_owned()));
        let ids = [id(1), id(2), id(3)];
        let (accepted, ended) = told_apart(ids.into_iter(), &answer, RULES);
        assert_eq!(accepted.keys().copied().collect::<Vec<_>>(), [id(1), id(3)]);
        assert_eq!(accepted.get(&id(1)).unwrap().if_enabled, Outcome::Enrolled);
        assert_eq!(
            accepted.get(&id(3)).unwrap().if_enabled,
            Outcome::AlreadyEnabled
        );
        let refused = ended.get(&id(2)).unwrap();
        assert_eq!(refused.outcome, Outcome::Deferred(Reason::InternalError));
        assert_eq!(refused.result.as_ref().unwrap().as_str(), "Internal error");
        assert_eq!(refused.detector_id.as_deref(), Some("d1"));
    }

    #[test]
    fn a_failed_call_ends_every_account_that_it_was_made_for() {
        let failure = Failure::no_answer("dropped");
        let answer = Err(CallFailed::At(Some("d1".to_owned()), failure));
        let (accepted, ended) = told_apart([id(1), id(2)].into_iter(), &answer, RULES);
        assert!(accepted.is_empty());
        assert_eq!(ended.len(), 2);
    }

    #[test]
    fn a_failed_call_keeps_the_detector_that_it_was_made_at() {
        for detector_id in [None, Some("d1".to_owned())] {
            let failed = CallFailed::At(detector_id.clone(), Failure::no_answer("dropped"));
            assert_eq!(RULES.ending_of(&failed).detector_id, detector_id);
        }
    }

    #[test]
    fn the_rules_say_how_a_pair_ends_without_a_detector() {
        for outcome in [Outcome::Refused, Outcome::Skipped] {
            let rules = Rules {
                without_detector: outcome(Reason::NoDetector),
                ..RULES
            };
            let ending = rules.ending_of(&CallFailed::NoDetector);
            assert_eq!(ending.outcome, outcome(Reason::NoDetector));
        }
    }
}
