//! An AWS Region by its name, and the choice of Regions that the function covers.

use alloc::collections::BTreeSet;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::fmt;

use serde::{Serialize, Serializer};

/// The name of a Region, such as `eu-west-1`.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Region(Arc<str>);

/// Commercial Regions with a GuardDuty endpoint (botocore 1.44.8, `endpoints.json`, service `guardduty`). Those that every
/// account has come first.
pub const COMMERCIAL: [&str; 34] = [
    "us-east-1",
    "eu-west-1",
    "eu-central-1",
    "ap-southeast-2",
    "us-east-2",
    "us-west-1",
    "us-west-2",
    "ca-central-1",
    "eu-north-1",
    "eu-west-2",
    "eu-west-3",
    "ap-northeast-1",
    "ap-northeast-2",
    "ap-northeast-3",
    "ap-south-1",
    "ap-southeast-1",
    "sa-east-1",
    "af-south-1",
    "ap-east-1",
    "ap-east-2",
    "ap-south-2",
    "ap-southeast-3",
    "ap-southeast-4",
    "ap-southeast-5",
    "ap-southeast-6",
    "ap-southeast-7",
    "ca-west-1",
    "eu-central-2",
    "eu-south-1",
    "eu-south-2",
    "il-central-1",
    "me-central-1",
    "me-south-1",
    "mx-central-1",
];

/// Regions of the other partitions with a GuardDuty endpoint (the same source): China, `GovCloud`, the isolated ones, and
/// the EU sovereign cloud.
const OTHER_PARTITIONS: [&str; 11] = [
    "cn-north-1",
    "cn-northwest-1",
    "us-gov-east-1",
    "us-gov-west-1",
    "us-iso-east-1",
    "us-iso-west-1",
    "us-isob-east-1",
    "eu-isoe-west-1",
    "us-isof-east-1",
    "us-isof-south-1",
    "eusc-de-east-1",
];

/// How Regions' names begin (the same source, `regionRegex` of each partition).
const GEOGRAPHIES: [&str; 16] = [
    "af", "ap", "ca", "cn", "eu", "eu-isoe", "eusc-de", "il", "me", "mx", "sa", "us", "us-gov",
    "us-iso", "us-isob", "us-isof",
];

/// What follows: a part of the geography, before a number.
const DIRECTIONS: [&str; 9] = [
    "central",
    "east",
    "north",
    "northeast",
    "northwest",
    "south",
    "southeast",
    "southwest",
    "west",
];

impl Region {
    /// A Region of the lists above.
    #[must_use]
    pub fn known(name: &str) -> Option<Self> {
        known_names().any(|known| known == name).then(|| Self(name.into()))
    }

    /// Every Region that this version knows.
    pub fn all_known() -> impl Iterator<Item = Self> {
        known_names().map(|name| Self(name.into()))
    }

    /// A Region that a person typed. A Region can be newer than the lists above, so the words of AWS's names are enough.
    /// A name with another word is misspelt: it still resolves to a plausible host name, so nothing else would notice.
    ///
    /// # Errors
    /// With the known name that is nearest, if one is near.
    pub fn typed(name: &str) -> Result<Self, Option<&'static str>> {
        if Self::known(name).is_some() || has_awss_words(name) {
            return Ok(Self(name.into()));
        }
        // Three letters are a slip; more is another name.
        let near = |known: &&str| name.len() <= 32 && distance(name, known) <= 3;
        Err(known_names().filter(near).min_by_key(|known| distance(name, known)))
    }

    /// A Region that AWS or one of our own records named: anything that has the form of a Region's name. With
    /// `REGIONS=all`, a Region newer than the list above is covered without an update.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        let is_part = |part: &str| {
            let mut bytes = part.bytes();
            !part.is_empty() && bytes.all(|b| b.is_ascii_lowercase() || b.is_ascii_digit())
        };
        let well_formed =
            name.len() <= 32 && name.split('-').count() >= 3 && name.split('-').all(is_part);
        well_formed.then(|| Self(name.into()))
    }

    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

fn known_names() -> impl Iterator<Item = &'static str> {
    COMMERCIAL.into_iter().chain(OTHER_PARTITIONS)
}

/// A geography, a direction and a number from 1 to 99, as in `ap-southeast-12`.
fn has_awss_words(name: &str) -> bool {
    let mut parts = name.rsplitn(3, '-');
    let number = parts.next().unwrap_or_default();
    let direction = parts.next().unwrap_or_default();
    let geography = parts.next().unwrap_or_default();
    GEOGRAPHIES.contains(&geography)
        && DIRECTIONS.contains(&direction)
        && (1..=2).contains(&number.len())
        && number.bytes().all(|byte| byte.is_ascii_digit())
        && !number.starts_with('0')
}

/// How many letters are inserted, left out or changed between two names, capitals apart (Levenshtein's distance).
fn distance(one: &str, other: &str) -> usize {
    let mut row: Vec<usize> = (0..=other.len()).collect();
    for (line, a) in one.bytes().enumerate() {
        let (mut diagonal, mut left) = (line, line + 1);
        for (cell, b) in row.iter_mut().skip(1).zip(other.bytes()) {
            let changed = diagonal + usize::from(!a.eq_ignore_ascii_case(&b));
            diagonal = *cell;
            left = changed.min(left + 1).min(*cell + 1);
            *cell = left;
        }
    }
    row.last().copied().unwrap_or_default()
}

impl fmt::Display for Region {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Region {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Serialize for Region {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

/// Which Regions the function covers (`REGIONS`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Coverage {
    /// Every Region that is enabled for the administrator account.
    All,
    /// Exactly these.
    Listed(Arc<BTreeSet<Region>>),
}

#[cfg(test)]
mod tests {
    use std::borrow::ToOwned;
    use std::string::ToString;

    use super::*;

    #[test]
    fn every_known_region_has_the_words_of_awss_names() {
        for name in known_names() {
            assert!(has_awss_words(name), "{name}");
        }
    }

    #[test]
    fn the_distance_of_two_names_is_what_a_typist_did_wrong() {
        for (name, letters) in
            [("eu-west-1", 0), ("EU-West-1", 0), ("eu-wset-1", 2), ("", 9), ("eu-west-12", 1)]
        {
            assert_eq!(distance(name, "eu-west-1"), letters, "{name}");
        }
    }

    #[test]
    fn a_misspelt_region_is_not_known() {
        assert_eq!(Region::known("eu-wset-1"), None);
        assert_eq!(Region::known("EU-WEST-1"), None);
        assert_eq!(Region::known("eu-west-1").map(|r| r.to_string()), Some("eu-west-1".to_owned()));
    }

    #[test]
    fn a_region_shows_as_its_name() {
        let region = Region::known("eu-west-1").unwrap();
        assert_eq!(region.as_str(), "eu-west-1");
        assert_eq!(format!("{region} {region:?}"), "eu-west-1 eu-west-1");
    }

    #[test]
    fn a_region_newer_than_the_list_is_accepted_if_aws_names_it() {
        assert!(Region::known("eu-east-9").is_none());
        assert!(Region::named("eu-east-9").is_some());
        for bad in ["", "global", "eu-west", "eu--west-1", "evil.example.com/a-b-c", "EU-WEST-1"] {
            assert!(Region::named(bad).is_none(), "{bad}");
        }
    }
}
