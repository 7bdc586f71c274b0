//! An AWS Region by its name, and the choice of Regions that the function covers.

use alloc::collections::BTreeSet;
use alloc::sync::Arc;
use core::fmt;

use serde::{Serialize, Serializer};

/// The name of a Region, such as `eu-west-1`.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Region(Arc<str>);

/// Commercial Regions with a GuardDuty endpoint (botocore 1.44.5, `endpoints.json`, service `guardduty`). Those that every
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

/// Regions of `GovCloud` and China with a GuardDuty endpoint (the same source).
const OTHER_PARTITIONS: [&str; 4] =
    ["cn-north-1", "cn-northwest-1", "us-gov-east-1", "us-gov-west-1"];

impl Region {
    /// A Region that a person typed: it must be one where GuardDuty has an endpoint, because a misspelt Region still
    /// resolves to a plausible host name, so nothing else would notice.
    #[must_use]
    pub fn known(name: &str) -> Option<Self> {
        let known = COMMERCIAL.contains(&name) || OTHER_PARTITIONS.contains(&name);
        known.then(|| Self(name.into()))
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

    /// The name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
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
