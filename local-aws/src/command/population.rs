//! An organization of many accounts, of which some are no members of GuardDuty.

use std::str::FromStr;

use local_aws::{ADMIN_ACCOUNT, Cloud, MANAGEMENT_ACCOUNT, Member, Setup};

/// The first of the accounts' ids; the others count up from it.
const FIRST_ID: usize = 700_000_000_000;

/// One in so many missing accounts is another one in the next Region.
const DIFFERING: usize = 4;

const MILLION: usize = 1_000_000;

/// A part of a whole, written as percents with up to four decimals.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Share {
    per_million: usize,
}

impl FromStr for Share {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let error = "write percents from 0% to 100%, such as 3% or 0.5%";
        let number = text.trim().trim_end_matches('%');
        let (whole, decimals) = number.split_once('.').unwrap_or((number, ""));
        let digits = format!("{whole}{decimals:0<4}");
        if whole.is_empty() || decimals.len() > 4 || !digits.bytes().all(|b| b.is_ascii_digit()) {
            return Err(error);
        }
        match digits.parse() {
            Ok(per_million) if per_million <= MILLION => Ok(Self { per_million }),
            _ => Err(error),
        }
    }
}

impl Share {
    /// Rounded up: a share that is not nothing is at least one.
    fn of(self, whole: usize) -> usize {
        (whole * self.per_million).div_ceil(MILLION)
    }
}

/// An organization of many accounts, of which some are no members.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Population {
    accounts: usize,
    missing: usize,
}

impl Population {
    pub(crate) fn new(accounts: usize, missing: Share) -> Self {
        Self {
            accounts,
            missing: missing.of(accounts),
        }
    }

    /// How many accounts should be members in each Region: all but the administrator.
    pub(crate) fn expected(self) -> u64 {
        // An organization has 50,000 accounts at most.
        u64::try_from(self.accounts).unwrap_or(u64::MAX) + 1
    }

    /// A cloud with this organization. The management account is a member everywhere.
    pub(crate) fn cloud(self, setup: Setup) -> Cloud {
        let named = |id: &str, name: &str| (id.to_owned(), format!("{name}@example.com"));
        let mut accounts = vec![
            named(MANAGEMENT_ACCOUNT, "management"),
            named(ADMIN_ACCOUNT, "security"),
        ];
        accounts.extend((0..self.accounts).map(|n| (id(n), email(n))));
        let cloud = Cloud::new(&Setup { accounts, ..setup });
        for (place, guardduty) in cloud.lock().guardduty.values_mut().enumerate() {
            let mut missing = self.missing_in(place).peekable();
            for n in 0..self.accounts {
                if missing.next_if_eq(&n).is_none() {
                    let member = Member::new(&email(n), "Enabled");
                    guardduty.members.insert(id(n), member);
                }
            }
            let management = Member::new("management@example.com", "Enabled");
            guardduty
                .members
                .insert(MANAGEMENT_ACCOUNT.to_owned(), management);
            // GuardDuty's limit would leave the management account out of the largest organization.
            guardduty.member_limit = guardduty.member_limit.max(self.accounts + 2);
        }
        cloud
    }

    /// The accounts that are no members in a Region: spread evenly, in every Region so many, and most of them the same.
    fn missing_in(self, region: usize) -> impl Iterator<Item = usize> {
        let position = move |k: usize| k * self.accounts / self.missing.max(1);
        (0..self.missing).map(move |k| {
            let differs =
                (k + region).is_multiple_of(DIFFERING) && position(k) + 1 < position(k + 1);
            position(k) + usize::from(differs)
        })
    }
}

fn id(n: usize) -> String {
    (FIRST_ID + n).to_string()
}

fn email(n: usize) -> String {
    format!("aws+{n}@example.com")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn share(text: &str) -> Result<usize, &'static str> {
        text.parse().map(|share: Share| share.per_million)
    }

    fn population(accounts: usize, missing: &str) -> Population {
        Population::new(accounts, missing.parse().unwrap())
    }

    #[test]
    fn a_share_is_percents() {
        assert_eq!(share("3%"), Ok(30_000));
        assert_eq!(share("0.0001"), Ok(1));
        assert_eq!(share("100%"), Ok(MILLION));
        for bad in ["", "%", "100.1%", "-1%", "1.23456%", "three", "1.2.3", ".5"] {
            assert!(share(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn as_many_accounts_are_missing_as_were_asked_for() {
        for (accounts, percents, missing) in [
            (1_000, "3%", 30),
            (100, "1%", 1),
            (10, "1%", 1),
            (1_000, "0%", 0),
            (77, "100%", 77),
            (77, "70%", 54),
        ] {
            let cloud = population(accounts, percents).cloud(Setup::default());
            for guardduty in cloud.lock().guardduty.values() {
                assert_eq!(
                    guardduty.members.len(),
                    accounts + 1 - missing,
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
            ids.by_ref()
                .filter(|id| !others.members.contains_key(*id))
                .count()
        };
        assert_eq!((only(first, second), only(second, first)), (15, 15));
    }
}
