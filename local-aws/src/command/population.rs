//! An organization of many accounts, of which some are not members of GuardDuty.

use local_aws::{ADMIN_ACCOUNT, Cloud, MANAGEMENT_ACCOUNT, Member, Setup};

/// The first of the accounts' ids; the others count up from it.
const FIRST_ID: u64 = 700_000_000_000;

/// Of this many missing accounts one is another in the next Region.
const DIFFERING: u32 = 4;

/// A share that is a whole number but for this is taken for it.
const ROUNDING: f64 = 1e-6;

/// A part of a whole, such as `3%` or `0.5%`.
pub(crate) fn percents(text: &str) -> Result<f64, &'static str> {
    let number = text.trim().trim_end_matches('%').parse().ok();
    let number = number.filter(|percents| (0.0..=100.0).contains(percents));
    number.ok_or("write percents from 0% to 100%, such as 3% or 0.5%")
}

/// An organization of many accounts, of which some are not members.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Population {
    accounts: u32,
    missing: u32,
}

impl Population {
    /// How many are missing is rounded up: a share that is not nothing is at least one.
    pub(crate) fn new(accounts: u32, missing: f64) -> Self {
        let share = f64::from(accounts) * missing - ROUNDING;
        let missing = (0..accounts).take_while(|n| f64::from(*n) * 100.0 < share);
        Self { accounts, missing: missing.map(|_| 1).sum() }
    }

    /// How many accounts should be members in each Region: all but the administrator.
    pub(crate) fn expected(self) -> u64 {
        u64::from(self.accounts) + 1
    }

    /// A cloud with this organization. The management account is a member everywhere.
    pub(crate) fn cloud(self, setup: Setup) -> Cloud {
        let named = |id: &str, name: &str| (id.to_owned(), format!("{name}@example.com"));
        let mut accounts =
            vec![named(MANAGEMENT_ACCOUNT, "management"), named(ADMIN_ACCOUNT, "security")];
        accounts.extend((0..self.accounts).map(|n| (id(n), email(n))));
        let cloud = Cloud::new(&Setup { accounts, ..setup });
        for (place, guardduty) in (0..).zip(cloud.lock().guardduty.values_mut()) {
            let mut missing = self.missing_in(place).peekable();
            for n in 0..self.accounts {
                if missing.next_if_eq(&n).is_none() {
                    let member = Member::new(&email(n), "Enabled");
                    guardduty.members.insert(id(n), member);
                }
            }
            let management = Member::new("management@example.com", "Enabled");
            guardduty.members.insert(MANAGEMENT_ACCOUNT.to_owned(), management);
            // GuardDuty's limit would leave the management account out of the largest organization.
            guardduty.member_limit = usize::MAX;
        }
        cloud
    }

    /// The accounts that are not members in a Region: spread evenly, as many in every Region, and most of them the same.
    fn missing_in(self, region: u32) -> impl Iterator<Item = u32> {
        let position = move |k: u32| k * self.accounts / self.missing.max(1);
        (0..self.missing).map(move |k| {
            let differs =
                (k + region).is_multiple_of(DIFFERING) && position(k) + 1 < position(k + 1);
            position(k) + u32::from(differs)
        })
    }
}

fn id(n: u32) -> String {
    (FIRST_ID + u64::from(n)).to_string()
}

fn email(n: u32) -> String {
    format!("aws+{n}@example.com")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn population(accounts: u32, missing: &str) -> Population {
        Population::new(accounts, percents(missing).unwrap())
    }

    #[test]
    fn a_share_is_percents() {
        for good in ["3%", "0.0001", "100%", "0%"] {
            assert!(percents(good).is_ok(), "{good}");
        }
        for bad in ["", "%", "100.1%", "-1%", "NaN", "three", "1.2.3"] {
            assert!(percents(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn as_many_accounts_are_missing_as_were_asked_for() {
        for (accounts, percents, missing) in [
            (1_000, "3%", 30),
            (100, "1%", 1),
            (10, "1%", 1),
            (10, "0.0001%", 1),
            (3_000, "1.1%", 33),
            (1_000, "0%", 0),
            (77, "100%", 77),
            (77, "70%", 54),
        ] {
            let cloud = population(accounts, percents).cloud(Setup::default());
            for guardduty in cloud.lock().guardduty.values() {
                assert_eq!(
                    guardduty.members.len(),
                    usize::try_from(accounts + 1 - missing).unwrap(),
                    "{percents}"
                );
            }
        }
    }

    #[test]
    fn regions_differ_a_little() {
        let cloud = population(1_000, "3%").cloud(Setup::default());
        let state = cloud.lock();
        let mut regions = state.guardduty.values();
        let (first, second) = (regions.next().unwrap(), regions.next().unwrap());
        let only = |members: &local_aws::GuardDuty, others: &local_aws::GuardDuty| {
            let mut ids = members.members.keys();
            ids.by_ref().filter(|id| !others.members.contains_key(*id)).count()
        };
        assert_eq!((only(first, second), only(second, first)), (15, 15));
    }
}
