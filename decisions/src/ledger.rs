//! The ledger: which accounts became protected, when, by which way and how fast, and what ended for good. One entry for each
//! account of an invocation, so that the log alone can answer who was protected.

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::string::String;
use alloc::vec::Vec;

use crate::account::AccountId;
use crate::cause::{By, Cause, Found, Verdict};
use crate::outcome::Outcome;
use crate::pair::{Pair, PairOutcomes};
use crate::reason::Reason;
use crate::region::Region;
use crate::retry::{Request, Way};
use crate::roster::Expected;
use crate::status::Status;
use crate::timestamp::Timestamp;

/// What became of one account in an invocation, with the Regions of each outcome.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// How the function came to work on it.
    pub way: Way,
    /// The event that named it, else the Lambda request id.
    pub event_id: Option<String>,
    /// When it joined, as that event says; without that, when it failed first.
    pub since: Option<Timestamp>,
    /// The greatest number of attempts of its pairs, this one included.
    pub attempts: u32,
    /// Where it was made a member now, and seen `Enabled`.
    pub enrolled: BTreeSet<Region>,
    /// Where it was `Enabled` before.
    pub already_enabled: BTreeSet<Region>,
    /// Where it needs a person, and why.
    pub dead_letters: BTreeMap<Region, Reason>,
    /// Where it is not to be enrolled, and why.
    pub skipped: BTreeMap<Region, Reason>,
    /// In a reconcile: why it was not `Enabled` where it is now, or lost its protection.
    pub causes: BTreeMap<Region, Cause>,
    /// Where it lost its protection.
    pub lost: BTreeSet<Region>,
    /// Whether no event announced it.
    pub missed_join: bool,
}

impl Entry {
    /// The seconds from [`Self::since`] to `now`, if it was enrolled somewhere now.
    #[must_use]
    pub fn seconds(&self, now: Timestamp) -> Option<f64> {
        let took = self.since.and_then(|since| now.since(since))?;
        (!self.enrolled.is_empty()).then_some(took.as_secs_f64())
    }

    fn new(way: Way, attempts: u32) -> Self {
        Self {
            way,
            event_id: None,
            since: None,
            attempts,
            enrolled: BTreeSet::new(),
            already_enabled: BTreeSet::new(),
            dead_letters: BTreeMap::new(),
            skipped: BTreeMap::new(),
            causes: BTreeMap::new(),
            lost: BTreeSet::new(),
            missed_join: false,
        }
    }

    fn of(request: &Request) -> Self {
        let origin = &request.origin;
        Self {
            event_id: origin.event_id.clone(),
            since: origin.event_time.or(origin.first_failed_at),
            ..Self::new(request.way, origin.attempts)
        }
    }

    /// What a reconcile found and did for the account with this index; `None` if nothing was missing, or still is and
    /// nothing was lost.
    #[must_use]
    pub fn of_reconcile(
        index: usize,
        account: &Expected,
        found: &BTreeMap<Region, Found>,
        verdict: &Verdict,
        now: Timestamp,
    ) -> Option<Self> {
        let has = |ids: &[AccountId]| ids.binary_search(&account.id).is_ok();
        let mut entry = Self::new(Way::Reconcile, 1);
        entry.missed_join = has(&verdict.missed);
        for (region, found) in found {
            let is_lost = verdict.lost.get(region).is_some_and(|lost| has(lost));
            if is_lost {
                entry.lost.insert(region.clone());
            }
            let by = found.enabled_by(index);
            match by {
                Some(By::ThisRun) => _ = entry.enrolled.insert(region.clone()),
                Some(By::SomebodyElse) => _ = entry.already_enabled.insert(region.clone()),
                None => {}
            }
            if is_lost || by.is_some() {
                let cause = found.cause(index, account, now);
                entry.causes.extend(cause.map(|cause| (region.clone(), cause)));
            }
        }
        (!entry.causes.is_empty()).then_some(entry)
    }

    fn add(&mut self, region: Region, outcome: &Outcome) {
        match (outcome.status, outcome.reason) {
            (Status::Enrolled, _) => {
                self.enrolled.insert(region);
            }
            (Status::Skipped, Some(reason)) => {
                self.skipped.insert(region, reason);
            }
            (_, Some(reason)) => {
                self.dead_letters.insert(region, reason);
            }
            (_, None) => {
                self.already_enabled.insert(region);
            }
        }
    }
}

/// The entries of one invocation. Each pair is in one entry, however many messages ask for it.
#[derive(Debug, Default)]
pub struct Ledger {
    entries: BTreeMap<AccountId, Entry>,
    pairs: BTreeSet<Pair>,
}

impl Ledger {
    /// Adds what became of a request's pairs. A pair that is tried again is not in the ledger yet; one whose message stays
    /// is there only if it was enrolled now, because each further attempt looks at it again.
    pub fn add(&mut self, request: &Request, all: &PairOutcomes, stays: bool) {
        for (pair, outcome) in request.own(all) {
            let is_new = outcome.status == Status::Enrolled;
            let is_tried_again =
                stays || (request.way != Way::Retry && outcome.status.is_retried());
            if (is_new || !is_tried_again) && self.pairs.insert(pair.clone()) {
                let entry = self.entries.entry(pair.account);
                let entry = entry.or_insert_with(|| Entry::of(request));
                entry.attempts = entry.attempts.max(request.origin.attempts);
                entry.add(pair.region.clone(), outcome);
            }
        }
    }

    /// Each account's entry.
    #[must_use]
    pub fn entries(&self) -> &BTreeMap<AccountId, Entry> {
        &self.entries
    }
}

/// Regions as a log line shows them: `eu-west-1,us-east-1`; `None` if there is none.
#[must_use]
pub fn names<'a>(regions: impl IntoIterator<Item = &'a Region>) -> Option<String> {
    let names: Vec<&str> = regions.into_iter().map(Region::as_str).collect();
    (!names.is_empty()).then(|| names.join(","))
}

/// The same with a word for each: `eu-west-1:no-detector,us-east-1:excluded`.
#[must_use]
pub fn words<W: Copy>(
    regions: &BTreeMap<Region, W>,
    word: impl Fn(W) -> &'static str,
) -> Option<String> {
    let shown: Vec<_> =
        regions.iter().map(|(region, it)| format!("{region}:{}", word(*it))).collect();
    (!shown.is_empty()).then(|| shown.join(","))
}

#[cfg(test)]
mod tests {
    use std::borrow::ToOwned;

    use super::*;
    use crate::event::NewAccount;
    use crate::queued_pair::Origin;
    use crate::retry::Wanted;

    const ACCOUNT: &str = "444455556666";

    fn region(name: &str) -> Region {
        Region::known(name).unwrap()
    }

    fn request(way: Way, attempts: u32) -> Request {
        let new = NewAccount { id: ACCOUNT.parse().unwrap(), email: None };
        Request {
            way,
            wanted: Wanted::Everywhere(vec![new]),
            origin: Origin {
                event_id: Some("e-1".to_owned()),
                event_time: "2026-05-28T20:26:30Z".parse().ok(),
                first_failed_at: None,
                attempts,
            },
        }
    }

    fn outcomes() -> PairOutcomes {
        [
            ("ap-southeast-2", Outcome::because(Reason::Throttled)),
            ("eu-central-1", Outcome::already_enabled()),
            ("eu-west-1", Outcome::enrolled()),
            ("us-east-1", Outcome::because(Reason::MemberLimitReached)),
            ("us-west-2", Outcome::because(Reason::Excluded)),
        ]
        .map(|(name, outcome)| {
            let account = ACCOUNT.parse().unwrap();
            (Pair { account, region: region(name) }, outcome)
        })
        .into()
    }

    /// What the ledger says of the account, as its line shows it.
    fn shown(ledger: &Ledger) -> [Option<String>; 4] {
        let entry = ledger.entries().values().next().unwrap();
        [
            names(&entry.enrolled),
            names(&entry.already_enabled),
            words(&entry.dead_letters, Reason::code),
            words(&entry.skipped, Reason::code),
        ]
    }

    fn texts(texts: [&str; 4]) -> [Option<String>; 4] {
        texts.map(|text| (!text.is_empty()).then(|| text.to_owned()))
    }

    #[test]
    fn an_event_enters_each_pair_that_is_not_tried_again() {
        let mut ledger = Ledger::default();
        ledger.add(&request(Way::Event, 1), &outcomes(), false);
        let expected =
            ["eu-west-1", "eu-central-1", "us-east-1:member-limit-reached", "us-west-2:excluded"];
        assert_eq!(shown(&ledger), texts(expected));
    }

    #[test]
    fn a_message_that_stays_enters_only_what_was_enrolled_and_one_that_is_done_enters_all() {
        let mut stays = Ledger::default();
        stays.add(&request(Way::Retry, 3), &outcomes(), true);
        assert_eq!(shown(&stays), texts(["eu-west-1", "", "", ""]));
        let mut done = Ledger::default();
        done.add(&request(Way::Retry, 8), &outcomes(), false);
        let letters = "ap-southeast-2:throttled,us-east-1:member-limit-reached";
        let expected = ["eu-west-1", "eu-central-1", letters, "us-west-2:excluded"];
        assert_eq!(shown(&done), texts(expected));
    }

    #[test]
    fn two_messages_for_one_account_make_one_entry_with_each_pair_once() {
        let mut ledger = Ledger::default();
        for attempts in [2, 5] {
            ledger.add(&request(Way::Retry, attempts), &outcomes(), false);
        }
        assert_eq!(ledger.entries().len(), 1);
        let entry = ledger.entries().values().next().unwrap();
        assert_eq!((entry.attempts, entry.enrolled.len()), (2, 1));
    }

    #[test]
    fn the_seconds_are_those_from_the_event_and_only_of_what_was_enrolled_now() {
        let now = "2026-05-28T20:26:40Z".parse().unwrap();
        let mut ledger = Ledger::default();
        ledger.add(&request(Way::Event, 1), &outcomes(), false);
        let mut entry = ledger.entries().values().next().unwrap().clone();
        assert_eq!(entry.seconds(now), Some(10.0));
        entry.enrolled.clear();
        assert_eq!(entry.seconds(now), None);
    }

    #[test]
    fn an_account_that_is_only_tried_again_has_no_entry() {
        let mut ledger = Ledger::default();
        let waits = outcomes().into_iter().filter(|(_, outcome)| outcome.status.is_retried());
        ledger.add(&request(Way::Event, 1), &waits.collect(), false);
        assert!(ledger.entries().is_empty());
    }
}
