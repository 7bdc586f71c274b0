//! The Regions of a simulated AWS: the first so many, or some by name.

use std::str::FromStr;

/// The Regions where GuardDuty has an endpoint, the four of [`local_aws::REGIONS`] first.
const ALL: [&str; 34] = [
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

/// Some of the Regions where GuardDuty has an endpoint.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Regions(pub(crate) Vec<String>);

impl Regions {
    pub(crate) fn first(count: usize) -> Self {
        Self(ALL.into_iter().take(count).map(str::to_owned).collect())
    }
}

impl FromStr for Regions {
    type Err = String;

    /// A number, or names with commas between them.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if let Ok(count) = text.parse() {
            return if (1..=ALL.len()).contains(&count) {
                Ok(Self::first(count))
            } else {
                Err(format!("there are 1 to {} Regions", ALL.len()))
            };
        }
        let names: Vec<_> = text.split(',').map(str::trim).collect();
        match names.iter().find(|name| !ALL.contains(name)) {
            None => Ok(Self(names.into_iter().map(str::to_owned).collect())),
            Some(unknown) => Err(format!(
                "`{unknown}` is no Region with GuardDuty; known are {}",
                ALL.join(", ")
            )),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn regions_are_a_number_or_a_list_of_known_names() {
        let names = |text: &str| text.parse().map(|Regions(names)| names);
        assert_eq!(
            names("4"),
            Ok(local_aws::REGIONS.map(str::to_owned).to_vec())
        );
        assert_eq!(names("34"), Ok(ALL.map(str::to_owned).to_vec()));
        let two = ["eu-west-1", "af-south-1"].map(str::to_owned).to_vec();
        assert_eq!(names("eu-west-1, af-south-1"), Ok(two));
        for wrong in ["0", "35", "eu-nowhere-9", ""] {
            assert!(names(wrong).is_err(), "{wrong}");
        }
    }
}
