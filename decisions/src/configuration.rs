//! The function's configuration: every environment variable that it reads, checked before the first event.

use alloc::borrow::ToOwned;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::fmt;

use crate::account::AccountId;
use crate::exclusions::Exclusions;
use crate::redacted::Redacted;
use crate::region::{Coverage, Region};

/// The checked configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Configuration {
    /// `ADMIN_ACCOUNT_ID`: the delegated administrator's account, which the function runs in.
    pub administrator: AccountId,
    /// `REGIONS`: a comma-separated list, or `all` (the default).
    pub coverage: Coverage,
    /// `EXCLUDED_ACCOUNTS` and `EXCLUDED_PATHS`: the accounts that are never enrolled.
    pub exclusions: Exclusions,
    /// `RESUME_SUSPENDED_MEMBERS`: whether a member that someone suspended is resumed.
    pub resume_suspended: bool,
    /// `DEAD_LETTER_QUEUE_URL`: where pairs go that need a person.
    pub dead_letter_queue_url: String,
    /// `RETRY_QUEUE_URL`: where pairs wait for their next attempt.
    pub retry_queue_url: String,
    /// `LIST_ACCOUNTS_PER_SECOND`: the most pages of `ListAccounts` per second in a reconcile. Organizations allows 8 per
    /// account and 9 for the whole organization, shared with every other tool (Organizations quotas, read 2026-11), so
    /// 5 leave room.
    pub list_accounts_per_second: u32,
    /// `LIST_MEMBERS_PER_SECOND`: the most pages of `ListMembers` per second and Region in a reconcile. GuardDuty publishes
    /// no rate: 10 is assumed, and 8 leave room.
    pub list_members_per_second: u32,
    /// `CREATE_MEMBERS_PER_SECOND`: the most `CreateMembers` per second and Region in a reconcile. GuardDuty publishes no
    /// rate: 1 is assumed.
    pub create_members_per_second: u32,
}

/// Every variable that is wrong, with its value and what was expected.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub struct InvalidConfiguration {
    problems: Vec<String>,
}

impl fmt::Display for InvalidConfiguration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "the configuration is wrong; correct the function's environment variables: {}",
            self.problems.join("; ")
        )
    }
}

impl Configuration {
    /// Reads all variables through `variable` before any error is returned.
    ///
    /// ```
    /// use decisions::configuration::Configuration;
    ///
    /// let nothing_is_set = Configuration::read(|_| None);
    /// let error = nothing_is_set.unwrap_err().to_string();
    /// assert!(error.contains("ADMIN_ACCOUNT_ID is not set; DEAD_LETTER_QUEUE_URL is not set"));
    /// ```
    ///
    /// # Errors
    /// If at least one variable is missing or malformed; the error names each.
    pub fn read(variable: impl Fn(&str) -> Option<String>) -> Result<Self, InvalidConfiguration> {
        let mut reader = Reader { variable, problems: Vec::new() };
        let administrator = reader.required("ADMIN_ACCOUNT_ID", account);
        let coverage = reader.optional("REGIONS", coverage);
        let excluded = reader.optional("EXCLUDED_ACCOUNTS", Exclusions::by_id);
        let paths = reader.optional("EXCLUDED_PATHS", Exclusions::paths);
        let resume_suspended = reader.optional("RESUME_SUSPENDED_MEMBERS", boolean);
        let dead_letter_queue_url = reader.required("DEAD_LETTER_QUEUE_URL", queue_url);
        let retry_queue_url = reader.required("RETRY_QUEUE_URL", queue_url);
        let list_accounts_per_second = reader.optional("LIST_ACCOUNTS_PER_SECOND", rate);
        let list_members_per_second = reader.optional("LIST_MEMBERS_PER_SECOND", rate);
        let create_members_per_second = reader.optional("CREATE_MEMBERS_PER_SECOND", rate);
        // Log lines are written before there is a configuration, so only a typo is found here.
        reader.optional("LOG_FORMAT", log_format);
        if dead_letter_queue_url.is_some() && dead_letter_queue_url == retry_queue_url {
            // Each refused pair would come back as a new message for ever.
            let problem = "DEAD_LETTER_QUEUE_URL and RETRY_QUEUE_URL are the same queue";
            reader.problems.push(problem.to_owned());
        }
        match (administrator, dead_letter_queue_url, retry_queue_url) {
            (Some(administrator), Some(dead_letter_queue_url), Some(retry_queue_url))
                if reader.problems.is_empty() =>
            {
                Ok(Self {
                    administrator,
                    coverage: coverage.unwrap_or(Coverage::All),
                    exclusions: excluded.unwrap_or_default().with_paths(paths.unwrap_or_default()),
                    resume_suspended: resume_suspended.unwrap_or(false),
                    dead_letter_queue_url,
                    retry_queue_url,
                    list_accounts_per_second: list_accounts_per_second.unwrap_or(5),
                    list_members_per_second: list_members_per_second.unwrap_or(8),
                    create_members_per_second: create_members_per_second.unwrap_or(1),
                })
            }
            _ => Err(InvalidConfiguration { problems: reader.problems }),
        }
    }

    /// The Regions of `REGIONS` that this version does not know: newer than it, or misspelt all the same.
    pub fn unknown_regions(&self) -> impl Iterator<Item = &Region> {
        let listed = match &self.coverage {
            Coverage::All => None,
            Coverage::Listed(regions) => Some(regions.iter()),
        };
        listed.into_iter().flatten().filter(|region| Region::known(region.as_str()).is_none())
    }
}

/// Reads variables and collects what is wrong with them.
struct Reader<F> {
    variable: F,
    problems: Vec<String>,
}

impl<F: Fn(&str) -> Option<String>> Reader<F> {
    fn required<T>(&mut self, name: &str, parse: impl Fn(&str) -> Result<T, String>) -> Option<T> {
        if (self.variable)(name).is_none() {
            self.problems.push(format!("{name} is not set"));
        }
        self.optional(name, parse)
    }

    fn optional<T>(&mut self, name: &str, parse: impl Fn(&str) -> Result<T, String>) -> Option<T> {
        let value = (self.variable)(name)?;
        parse(&value)
            .map_err(|expected| {
                let problem = format!("{name} is {:?}: {expected}", Redacted::new(&value));
                self.problems.push(problem);
            })
            .ok()
    }
}

fn account(value: &str) -> Result<AccountId, String> {
    value.parse().map_err(|_| "expected a 12-digit account id".to_owned())
}

fn coverage(value: &str) -> Result<Coverage, String> {
    if value.trim() == "all" {
        return Ok(Coverage::All);
    }
    value
        .split(',')
        .map(|name| {
            Region::typed(name.trim()).map_err(|nearest| {
                let hint = nearest.map(|nearest| format!("; did you mean {nearest}?"));
                format!(
                    "{:?} is not the name of a Region{}; expected `all` or names such as `eu-west-1,us-east-1`",
                    Redacted::new(name.trim()),
                    hint.unwrap_or_default()
                )
            })
        })
        .collect::<Result<_, _>>()
        .map(|regions| Coverage::Listed(Arc::new(regions)))
}

fn boolean(value: &str) -> Result<bool, String> {
    match value {
        "true" => Ok(true),
        "false" => Ok(false),
        _ => Err("expected `true` or `false`".to_owned()),
    }
}

fn log_format(value: &str) -> Result<(), String> {
    let is_one = ["json", "text"].iter().any(|format| value.eq_ignore_ascii_case(format));
    is_one.then_some(()).ok_or_else(|| "expected `JSON` or `Text`".to_owned())
}

fn rate(value: &str) -> Result<u32, String> {
    let rate = value.parse().ok().filter(|rate| (1..=10_000).contains(rate));
    rate.ok_or_else(|| "expected calls per second, from 1 to 10000".to_owned())
}

/// `https://sqs.eu-west-1.amazonaws.com/222222222222/name`; http serves local endpoints.
fn queue_url(value: &str) -> Result<String, String> {
    let expected =
        "expected a queue URL such as https://sqs.eu-west-1.amazonaws.com/222222222222/name";
    let rest =
        value.strip_prefix("https://").or_else(|| value.strip_prefix("http://")).ok_or(expected)?;
    let parts: Vec<&str> = rest.split('/').collect();
    match parts.as_slice() {
        [host, account, name]
            if !host.is_empty() && account.parse::<AccountId>().is_ok() && !name.is_empty() =>
        {
            Ok(value.to_owned())
        }
        _ => Err(expected.to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::string::ToString;

    use super::*;

    const DEAD: &str = "https://sqs.eu-west-1.amazonaws.com/222222222222/dead";
    const RETRY: &str = "https://sqs.eu-west-1.amazonaws.com/222222222222/retry";

    fn read(changes: &[(&str, Option<&str>)]) -> Result<Configuration, String> {
        let mut variables = BTreeMap::from([
            ("ADMIN_ACCOUNT_ID", Some("222222222222")),
            ("DEAD_LETTER_QUEUE_URL", Some(DEAD)),
            ("RETRY_QUEUE_URL", Some(RETRY)),
        ]);
        variables.extend(changes.iter().copied());
        Configuration::read(|name| variables.get(name).copied().flatten().map(str::to_owned))
            .map_err(|error| error.to_string())
    }

    #[test]
    fn the_required_variables_are_enough() {
        let configuration = read(&[]).unwrap();
        assert_eq!(configuration.coverage, Coverage::All);
        assert!(configuration.exclusions == Exclusions::default());
        assert!(!configuration.resume_suspended);
        assert_eq!(configuration.list_accounts_per_second, 5);
        assert_eq!(configuration.list_members_per_second, 8);
        assert_eq!(configuration.create_members_per_second, 1);
        assert_eq!(configuration.dead_letter_queue_url, DEAD);
        assert_eq!(configuration.retry_queue_url, RETRY);
    }

    #[test]
    fn every_variable_is_read() {
        let configuration = read(&[
            ("REGIONS", Some("eu-west-1, us-east-1")),
            ("EXCLUDED_ACCOUNTS", Some("444455556666, 555566667777")),
            ("RESUME_SUSPENDED_MEMBERS", Some("true")),
            ("LIST_ACCOUNTS_PER_SECOND", Some("8")),
            ("LIST_MEMBERS_PER_SECOND", Some("9")),
            ("CREATE_MEMBERS_PER_SECOND", Some("10000")),
        ])
        .unwrap();
        assert_eq!(configuration.list_accounts_per_second, 8);
        assert_eq!(configuration.list_members_per_second, 9);
        assert_eq!(configuration.create_members_per_second, 10_000);
        let regions = ["eu-west-1", "us-east-1"].map(|name| Region::known(name).unwrap());
        assert_eq!(configuration.coverage, Coverage::Listed(Arc::new(regions.into())));
        assert!(configuration.exclusions.names("444455556666".parse().unwrap()));
        assert!(configuration.resume_suspended);
    }

    #[test]
    fn regions_of_every_partition_are_known() {
        for known in [
            "eusc-de-east-1",
            "us-gov-west-1",
            "cn-northwest-1",
            "us-iso-east-1,us-iso-west-1",
            "us-isob-east-1",
            "eu-isoe-west-1",
            "us-isof-south-1 , us-isof-east-1",
        ] {
            let configuration = read(&[("REGIONS", Some(known))]).unwrap();
            assert_eq!(configuration.unknown_regions().count(), 0, "{known}");
        }
    }

    #[test]
    fn a_region_newer_than_the_program_does_not_stop_it() {
        for new in ["me-west-1", "sa-west-1", "eu-north-2", "us-isob-west-1", "ap-southeast-12"] {
            let regions = format!("eu-west-1,{new}");
            let configuration = read(&[("REGIONS", Some(&regions))]).unwrap();
            let unknown: Vec<_> = configuration.unknown_regions().map(Region::as_str).collect();
            assert_eq!(unknown, [new]);
        }
    }

    #[test]
    fn a_name_that_cannot_be_a_regions_stops_the_program_with_the_nearest_that_is_known() {
        for (name, nearest) in [
            ("eu-wset-1", Some("eu-west-1")),
            ("eu-wst-1", Some("eu-west-1")),
            ("EU-WEST-1", Some("eu-west-1")),
            ("euwest1", Some("eu-west-1")),
            ("eu_west_1", Some("eu-west-1")),
            ("eu-west-1a", Some("eu-west-1")),
            ("eu-west", Some("eu-west-1")),
            ("eu-west-0", Some("eu-west-1")),
            ("eu-west-01", Some("eu-west-1")),
            ("eu-west-100", Some("eu-west-1")),
            ("us-gov-wets-1", Some("us-gov-west-1")),
            ("eusc-dr-east-1", Some("eusc-de-east-1")),
            ("us-west-2-lax-1", None),
            ("global", None),
            ("Frankfurt, Germany", None),
            ("evil.example.com/eu-west-1", None),
        ] {
            let error = read(&[("REGIONS", Some(name))]).unwrap_err();
            assert!(error.contains("is not the name of a Region"), "{error}");
            match nearest {
                Some(nearest) => {
                    assert!(error.contains(&format!("did you mean {nearest}?")), "{error}");
                }
                None => assert!(!error.contains("did you mean"), "{error}"),
            }
        }
    }

    #[test]
    fn resuming_can_be_switched_off_aloud() {
        let configuration = read(&[("RESUME_SUSPENDED_MEMBERS", Some("false"))]).unwrap();
        assert!(!configuration.resume_suspended);
    }

    #[test]
    fn a_template_can_leave_the_exclusions_empty() {
        let none = read(&[("EXCLUDED_ACCOUNTS", Some("")), ("EXCLUDED_PATHS", Some(""))]);
        assert_eq!(none.unwrap().exclusions, Exclusions::default());
    }

    #[test]
    fn one_error_names_every_wrong_variable_with_its_value() {
        let error = read(&[
            ("ADMIN_ACCOUNT_ID", Some("22222222222")),
            ("REGIONS", Some("eu-wset-1")),
            ("EXCLUDED_ACCOUNTS", Some("444455556666,x")),
            ("RESUME_SUSPENDED_MEMBERS", Some("yes")),
            ("DEAD_LETTER_QUEUE_URL", None),
            ("RETRY_QUEUE_URL", Some("retry")),
            ("LIST_ACCOUNTS_PER_SECOND", Some("0")),
            ("CREATE_MEMBERS_PER_SECOND", Some("10001")),
        ])
        .unwrap_err();
        for part in [
            "ADMIN_ACCOUNT_ID is \"22222222222\"",
            "REGIONS is \"eu-wset-1\"",
            "EXCLUDED_ACCOUNTS is \"444455556666,x\": entry 2 (\"x\") is neither",
            "RESUME_SUSPENDED_MEMBERS is \"yes\"",
            "DEAD_LETTER_QUEUE_URL is not set",
            "RETRY_QUEUE_URL is \"retry\"",
            "LIST_ACCOUNTS_PER_SECOND is \"0\"",
            "CREATE_MEMBERS_PER_SECOND is \"10001\"",
        ] {
            assert!(error.contains(part), "{part} in {error}");
        }
    }

    #[test]
    fn a_queue_url_has_a_host_an_account_and_a_name() {
        for bad in [
            "https:///222222222222/dead",
            "https://sqs.eu-west-1.amazonaws.com/22222/dead",
            "https://sqs.eu-west-1.amazonaws.com/222222222222/",
            "https://sqs.eu-west-1.amazonaws.com/222222222222",
            "https://sqs.eu-west-1.amazonaws.com/222222222222/a/b",
            "arn:aws:sqs:eu-west-1:222222222222:dead",
        ] {
            assert!(read(&[("RETRY_QUEUE_URL", Some(bad))]).is_err(), "{bad}");
        }
        assert!(read(&[("RETRY_QUEUE_URL", Some("http://127.0.0.1:4566/222222222222/x"))]).is_ok());
    }

    #[test]
    fn one_queue_cannot_be_both() {
        let error = read(&[("RETRY_QUEUE_URL", Some(DEAD))]).unwrap_err();
        assert!(error.contains("are the same queue"), "{error}");
    }

    #[test]
    fn an_address_in_a_variable_is_not_shown() {
        for name in [
            "ADMIN_ACCOUNT_ID",
            "REGIONS",
            "EXCLUDED_ACCOUNTS",
            "EXCLUDED_PATHS",
            "RESUME_SUSPENDED_MEMBERS",
            "RETRY_QUEUE_URL",
            "LIST_ACCOUNTS_PER_SECOND",
        ] {
            let error = read(&[(name, Some("someone@example.com"))]).unwrap_err();
            let is_shown = error.contains("someone") || error.contains("example.com");
            assert!(error.contains("<e-mail>") && !is_shown, "{error}");
        }
    }

    #[test]
    fn an_empty_value_is_a_mistake_not_a_default() {
        for name in [
            "ADMIN_ACCOUNT_ID",
            "REGIONS",
            "RESUME_SUSPENDED_MEMBERS",
            "DEAD_LETTER_QUEUE_URL",
            "RETRY_QUEUE_URL",
        ] {
            let error = read(&[(name, Some(""))]).unwrap_err();
            assert!(error.contains(&format!("{name} is \"\"")), "{error}");
        }
    }
}
