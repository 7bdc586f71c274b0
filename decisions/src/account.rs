//! An account of the organization: its id, its state, and its e-mail address, which only GuardDuty gets to see.

use alloc::borrow::ToOwned;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;
use core::str::FromStr;

use serde::{Serialize, Serializer};

use crate::redacted::Redacted;
use crate::timestamp::Timestamp;

/// A 12-digit AWS account id.
///
/// ```
/// use decisions::account::AccountId;
///
/// let id: AccountId = "012345678901".parse()?;
/// assert_eq!(id.to_string(), "012345678901");
/// assert!("Not Available".parse::<AccountId>().is_err());
/// # Ok::<(), decisions::account::NotAnAccountId>(())
/// ```
// A number, so that 50,000 of them take 400 kB; `Display` restores the leading zeros.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AccountId(u64);

/// The text is not exactly 12 ASCII digits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("an account id is exactly 12 digits")]
pub struct NotAnAccountId;

impl FromStr for AccountId {
    type Err = NotAnAccountId;

    fn from_str(text: &str) -> Result<Self, NotAnAccountId> {
        if text.len() != 12 || !text.bytes().all(|byte| byte.is_ascii_digit()) {
            return Err(NotAnAccountId);
        }
        text.parse().map(Self).map_err(|_| NotAnAccountId)
    }
}

impl fmt::Display for AccountId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:012}", self.0)
    }
}

impl fmt::Debug for AccountId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

impl Serialize for AccountId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// The e-mail address of an account's root user.
///
/// It has neither `Display` nor `Serialize`, and its `Debug` is a placeholder. The only way out is [`Email::expose`],
/// for the request to `CreateMembers`.
#[derive(Clone, PartialEq, Eq)]
pub struct Email(String);

impl Email {
    /// The address, unless the text is not one, or CloudTrail has masked it: all of it, or the part before or after its
    /// `@`, is asterisks alone (`"****"`).
    #[must_use]
    pub fn unmasked(text: &str) -> Option<Self> {
        let (local, domain) = text.rsplit_once('@')?;
        let is_masked = |part: &str| part.chars().all(|c| c == '*');
        (!is_masked(local) && !is_masked(domain)).then(|| Self(text.to_owned()))
    }

    /// The address in clear, for the request to GuardDuty.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// Whether the address keeps GuardDuty's rule, which is stricter than Organizations': 6 to 64 characters, all 7-bit
    /// ASCII, one `@`; before it no leading dot, no blank and none of `"'()<>[]:,\|%&`; after it letters, digits,
    /// hyphens and at least one dot, and neither a dot nor a hyphen at an end (GuardDuty API reference, data type
    /// `AccountDetail`).
    #[must_use]
    pub(crate) fn keeps_guardduty_rule(&self) -> bool {
        let mut halves = self.0.split('@');
        let (Some(local), Some(domain), None) = (halves.next(), halves.next(), halves.next())
        else {
            return false;
        };
        (6..=64).contains(&self.0.len())
            && self.0.is_ascii()
            && !local.is_empty()
            && !local.starts_with('.')
            && domain.contains('.')
            && !domain.starts_with(['.', '-'])
            && !domain.ends_with(['.', '-'])
            && domain.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-.".contains(&byte))
            && !local.contains(|c: char| c.is_whitespace() || "\"'()<>[]:,\\|%&".contains(c))
    }
}

impl fmt::Debug for Email {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("<e-mail>")
    }
}

/// An account's `State` in Organizations, or its older `Status`.
#[derive(Clone, PartialEq, Eq)]
pub enum State {
    /// In use: the only state that is enrolled.
    Active,
    /// Being created: not yet.
    PendingActivation,
    /// Suspended by AWS.
    Suspended,
    /// About to be closed.
    PendingClosure,
    /// Closed.
    Closed,
    /// A state that this version does not know, or none at all.
    Unknown(String),
}

impl fmt::Debug for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Active => "Active",
            Self::PendingActivation => "PendingActivation",
            Self::Suspended => "Suspended",
            Self::PendingClosure => "PendingClosure",
            Self::Closed => "Closed",
            Self::Unknown(name) => {
                return f.debug_tuple("Unknown").field(&Redacted::new(name)).finish();
            }
        })
    }
}

/// An account as Organizations describes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Account {
    pub state: State,
    /// Its e-mail address; Organizations may return none.
    pub email: Option<Email>,
    /// When it joined the organization, if Organizations says it.
    pub joined: Option<Timestamp>,
    /// The paths of the organizational units that it is in, if Organizations says them.
    pub paths: Vec<String>,
}

#[cfg(test)]
mod tests {
    use std::string::ToString;

    use super::*;

    #[test]
    fn an_account_id_is_exactly_twelve_ascii_digits() {
        assert_eq!(
            "000000000001".parse::<AccountId>().map(|id| id.to_string()),
            Ok("000000000001".to_owned())
        );
        for bad in [
            "",
            "12345678901",
            "1234567890123",
            "Not Available",
            "١٢٣٤٥٦٧٨٩٠١٢",
            "+12345678901",
            "44445555666 ",
        ] {
            assert_eq!(bad.parse::<AccountId>(), Err(NotAnAccountId), "{bad:?}");
        }
    }

    #[test]
    fn an_account_id_debugs_as_it_displays() {
        let id = "000000000001".parse::<AccountId>();
        assert_eq!(format!("{id:?}"), "Ok(000000000001)");
    }

    #[test]
    fn a_masked_address_is_not_an_address() {
        for masked in
            ["****", "**@example.com", "****@****", "a@****", "*", "", "@", "a@", "@example.com"]
        {
            assert_eq!(Email::unmasked(masked), None, "{masked}");
        }
    }

    #[test]
    fn an_address_with_asterisks_is_an_address() {
        for address in [
            "a@example.com",
            "a**b@example.com",
            "**a@example.com",
            "a****@example.com",
            "\"*@*\"@example.com",
        ] {
            let email = Email::unmasked(address);
            assert_eq!(email.as_ref().map(Email::expose), Some(address));
        }
    }

    #[test]
    fn debug_output_of_an_account_shows_no_address() {
        let state = State::Unknown("secret@example.com".to_owned());
        let account = Account {
            state,
            email: Email::unmasked("secret@example.com"),
            joined: None,
            paths: vec![],
        };
        let shown = "Account { state: Unknown(\"<e-mail>\"), email: Some(<e-mail>), joined: None, paths: [] }";
        assert_eq!(format!("{account:?}"), shown);
    }

    #[test]
    fn guarddutys_rule_for_addresses_is_that_of_the_table_with_its_sources() {
        let table = include_str!("../../local-aws/facts/addresses.tsv");
        let rows = table.lines().skip(1).map(|row| row.split('\t'));
        for mut row in rows {
            let (verdict, address) = (row.next().unwrap(), row.next().unwrap());
            let keeps = Email(address.to_owned()).keeps_guardduty_rule();
            assert_eq!(keeps, verdict == "accepted", "{address}");
        }
    }
}
