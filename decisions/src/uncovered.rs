//! Regions that are uncovered, where `REGIONS` is `all`: GuardDuty is off there, is not delegated to this account, or is
//! denied by a policy.
//!
//! One Region alone does not show that: a role without a permission, or an administrator that is none any more, meets every
//! Region. So a Region is uncovered only if GuardDuty answered in another one in the same run.

use alloc::collections::BTreeSet;

use crate::outcome::Outcome;
use crate::pair::PairOutcomes;
use crate::reason::Reason;
use crate::region::Region;

/// Whether GuardDuty answers like this in a Region that is uncovered.
#[must_use]
pub fn is_sign(region: &Region, outcome: &Outcome) -> bool {
    match outcome.reason {
        Some(Reason::NoDetector | Reason::NotAdministrator) => true,
        // Not even the first call, ListDetectors, is allowed.
        Some(Reason::AccessDenied) => outcome.detector_id.is_none(),
        // GuardDuty may not be offered in a Region that is newer than this version.
        Some(Reason::Unavailable) => {
            outcome.detector_id.is_none() && Region::known(region.as_str()).is_none()
        }
        _ => false,
    }
}

/// Skips the pairs of Regions that are uncovered.
pub fn skip(outcomes: &mut PairOutcomes) {
    let mut answered = BTreeSet::new();
    for (pair, outcome) in &*outcomes {
        if outcome.detector_id.is_some() && !is_sign(&pair.region, outcome) {
            answered.insert(pair.region.clone());
        }
    }
    if answered.is_empty() {
        return;
    }
    for (pair, outcome) in outcomes {
        if is_sign(&pair.region, outcome) && !answered.contains(&pair.region) {
            *outcome = outcome.clone().skipped();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::borrow::ToOwned;
    use std::vec::Vec;

    use super::*;
    use crate::pair::Pair;
    use crate::status::Status;

    fn outcome(reason: Reason) -> Outcome {
        Outcome::because(reason)
    }

    fn skipped(of: &[(&str, Outcome)]) -> Vec<&'static str> {
        let mut outcomes = PairOutcomes::new();
        for (number, (region, outcome)) in of.iter().enumerate() {
            let account = format!("{number:012}").parse().unwrap();
            let region = Region::named(region).unwrap();
            outcomes.insert(Pair { account, region }, outcome.clone());
        }
        skip(&mut outcomes);
        let skipped = outcomes.values().filter(|outcome| outcome.status == Status::Skipped);
        skipped.map(|outcome| outcome.reason.unwrap().code()).collect()
    }

    #[test]
    fn a_region_is_uncovered_beside_one_that_answered() {
        for reason in [Reason::NoDetector, Reason::NotAdministrator, Reason::AccessDenied] {
            for other in [Outcome::enrolled(), outcome(Reason::EmailRejected)] {
                let of = [("eu-west-1", other.at("d")), ("us-east-1", outcome(reason))];
                assert_eq!(skipped(&of), [reason.code()]);
            }
        }
    }

    #[test]
    fn no_region_is_uncovered_where_none_answered() {
        let mut of: Vec<_> =
            ["eu-west-1", "us-east-1"].map(|it| (it, outcome(Reason::AccessDenied))).into();
        assert!(skipped(&of).is_empty());
        of.push(("us-west-2", outcome(Reason::Unavailable)));
        assert!(skipped(&of).is_empty());
        of.push(("us-east-2", outcome(Reason::NotAdministrator).at("d")));
        assert!(skipped(&of).is_empty());
        of.push(("us-west-1", Outcome::already_enabled().at("d")));
        assert_eq!(skipped(&of), ["access-denied", "access-denied", "not-administrator"]);
    }

    #[test]
    fn a_region_that_answered_is_not_uncovered() {
        let of = [
            ("eu-west-1", Outcome::enrolled().at("d")),
            ("eu-west-1", outcome(Reason::NoDetector)),
            ("us-east-1", outcome(Reason::AccessDenied).at("d")),
            ("us-west-1", outcome(Reason::Unavailable)),
            ("us-west-2", outcome(Reason::InternalError)),
        ];
        assert!(skipped(&of).is_empty());
    }

    #[test]
    fn guardduty_may_not_be_offered_in_a_region_that_is_newer_than_this_version() {
        let new = ("eu-west-99", outcome(Reason::Unavailable));
        let old = ("eu-west-1", Outcome::enrolled().at("d"));
        assert_eq!(skipped(&[new.clone(), old.clone()]), ["unavailable"]);
        let answered = ("eu-west-99", new.1.at("d"));
        assert_eq!(skipped(&[answered, old]), [""; 0].map(str::to_owned));
    }
}
