//! Which accounts are never enrolled: by id, by id in one Region, or by organizational unit.

use alloc::collections::BTreeSet;
use alloc::string::String;
use alloc::vec::Vec;

use crate::account::AccountId;
use crate::redacted::Redacted;
use crate::region::Region;

/// The exclusions that the configuration names.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Exclusions {
    accounts: BTreeSet<AccountId>,
    pairs: BTreeSet<(AccountId, Region)>,
    paths: Vec<String>,
}

impl Exclusions {
    /// Reads comma-separated ids, such as `444455556666`, or `444455556666@eu-west-1` for one Region. An empty list is
    /// allowed: CloudFormation cannot leave a variable out.
    ///
    /// # Errors
    /// Says which part is wrong.
    pub(crate) fn by_id(value: &str) -> Result<Self, String> {
        let mut exclusions = Self::default();
        for (place, part) in parts(value).enumerate() {
            // An entry with an @ may be an address, which is not shown.
            let wrong = || {
                format!(
                    "entry {} ({:?}) is neither a 12-digit account id nor one with a Region, such as 444455556666@eu-west-1",
                    place + 1,
                    Redacted::new(part)
                )
            };
            let (id, region) = part.split_once('@').map_or((part, None), |(id, it)| (id, Some(it)));
            let id = id.parse().map_err(|_| wrong())?;
            match region {
                None => drop(exclusions.accounts.insert(id)),
                Some(name) => {
                    let region = Region::typed(name).map_err(|_| wrong())?;
                    exclusions.pairs.insert((id, region));
                }
            }
        }
        Ok(exclusions)
    }

    /// Reads comma-separated paths of organizational units, such as `o-a1b2c3d4e5/r-ab12/ou-ab12-11111111/`.
    ///
    /// # Errors
    /// Says which path is wrong.
    pub(crate) fn paths(value: &str) -> Result<Vec<String>, String> {
        let path = |part: &str| {
            // A closing slash, so that a unit is not taken for another one whose id begins alike.
            let path = format!("{}/", part.trim_end_matches('/'));
            let segments: Vec<&str> = path.trim_end_matches('/').split('/').collect();
            let is_path = segments.len() >= 3
                && segments.iter().enumerate().all(|(place, segment)| {
                    let start = ["o-", "r-"].get(place).copied().unwrap_or("ou-");
                    let id = segment.strip_prefix(start).unwrap_or_default();
                    let is_id = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
                    !id.is_empty() && id.bytes().all(|byte| is_id(byte) || byte == b'-')
                });
            is_path.then_some(path).ok_or_else(|| {
                format!(
                    "{:?} is not the path of an organizational unit; expected one such as o-a1b2c3d4e5/r-ab12/ou-ab12-11111111/, as `organizations describe-account` shows it in Paths",
                    Redacted::new(part)
                )
            })
        };
        parts(value).map(path).collect()
    }

    /// The same, and the accounts below these organizational units.
    #[must_use]
    pub(crate) fn with_paths(self, paths: Vec<String>) -> Self {
        Self { paths, ..self }
    }

    /// Whether the account is excluded everywhere, by its id.
    #[must_use]
    pub fn names(&self, account: AccountId) -> bool {
        self.accounts.contains(&account)
    }

    /// Whether the account is excluded in this Region, by its id.
    #[must_use]
    pub fn names_in(&self, account: AccountId, region: &Region) -> bool {
        self.names(account) || self.pairs.contains(&(account, region.clone()))
    }

    /// Whether an account with these paths is excluded; `None` if organizational units are excluded and it has no path. It
    /// is enrolled then: an account that stays unprotected is worse.
    #[must_use]
    pub fn covers(&self, paths: &[String]) -> Option<bool> {
        if !self.paths.is_empty() && paths.is_empty() {
            return None;
        }
        let is_below = |path: &String| self.paths.iter().any(|unit| path.starts_with(unit));
        Some(paths.iter().any(is_below))
    }
}

fn parts(value: &str) -> impl Iterator<Item = &str> {
    let list = if value.trim().is_empty() { None } else { Some(value.split(',').map(str::trim)) };
    list.into_iter().flatten()
}

#[cfg(test)]
mod tests {
    use std::string::ToString;

    use super::*;

    const UNIT: &str = "o-a1b2c3d4e5/r-ab12/ou-ab12-11111111/";

    fn id(text: &str) -> AccountId {
        text.parse().unwrap()
    }

    #[test]
    fn an_account_is_excluded_everywhere_or_in_one_region() {
        let exclusions = Exclusions::by_id("444455556666, 555566667777@eu-west-1").unwrap();
        let [here, there] = ["eu-west-1", "us-east-1"].map(|name| Region::known(name).unwrap());
        let excluded = |account: &str| {
            (
                exclusions.names(id(account)),
                exclusions.names_in(id(account), &here),
                exclusions.names_in(id(account), &there),
            )
        };
        assert_eq!(excluded("444455556666"), (true, true, true));
        assert_eq!(excluded("555566667777"), (false, true, false));
        assert_eq!(excluded("666677778888"), (false, false, false));
        assert_eq!(Exclusions::by_id("  "), Ok(Exclusions::default()));
    }

    #[test]
    fn a_wrong_exclusion_is_named() {
        for wrong in
            ["44445555666", "444455556666@", "444455556666@eu-wset-1", "x", "444455556666,"]
        {
            assert!(Exclusions::by_id(wrong).is_err(), "{wrong}");
        }
        for wrong in [
            "ou-ab12-11111111",
            "o-a1b2c3d4e5/r-ab12",
            "o-a1b2c3d4e5/ou-ab12-11111111/r-ab12/",
            "o-a1b2c3d4e5/r-ab12/ou-/",
            "o-a1b2c3d4e5/r-ab12/OU-ab12-11111111/",
            "o-a1b2c3d4e5//ou-ab12-11111111",
        ] {
            assert!(Exclusions::paths(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn an_account_below_an_organizational_unit_is_excluded_and_one_beside_it_is_not() {
        for written in [UNIT, UNIT.trim_end_matches('/')] {
            let exclusions = Exclusions::default().with_paths(Exclusions::paths(written).unwrap());
            for (paths, expected) in [
                (&[UNIT][..], Some(true)),
                (&["o-a1b2c3d4e5/r-ab12/ou-ab12-11111111/ou-ab12-22222222/"], Some(true)),
                (&["o-a1b2c3d4e5/r-ab12/ou-ab12-111111112/"], Some(false)),
                (&["o-a1b2c3d4e5/r-ab12/"], Some(false)),
                (&[], None),
            ] {
                let paths: Vec<String> = paths.iter().map(ToString::to_string).collect();
                assert_eq!(exclusions.covers(&paths), expected, "{paths:?}");
            }
        }
        assert_eq!(Exclusions::default().covers(&[]), Some(false));
    }
}
