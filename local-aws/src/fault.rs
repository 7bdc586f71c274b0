//! Faults: what the cloud does wrong on purpose, which call it concerns, and how a command line writes it.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use crate::account_id::is_account_id;
use crate::protocol::OPERATIONS;

/// Something that goes wrong with some calls of one operation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// The operation concerned, such as `CreateMembers`.
    pub operation: String,
    /// Only calls in this Region.
    pub region: Option<String>,
    /// Only calls that name this account.
    pub account: Option<String>,
    /// The first call concerned, counting from 1.
    pub from: usize,
    /// How many calls are concerned; `None` is all of them.
    pub times: Option<usize>,
    /// What happens to them.
    pub kind: FaultKind,
    /// How many calls have matched so far.
    matched: usize,
}

/// What happens to a call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FaultKind {
    /// An error answer, without effect on the state. Without a code there is no error header and the body is plain
    /// text, as from a proxy.
    Error {
        /// The HTTP status.
        status: u16,
        /// The error code.
        code: Option<String>,
        /// The error message.
        message: String,
    },
    /// The accounts concerned come back in `unprocessedAccounts` with this text, and nothing happens to them. For
    /// `SendMessageBatch`: the entries concerned come back in `Failed`.
    Unprocessed(String),
    /// The normal answer, this much later. The effect takes place at once.
    Delay(Duration),
    /// The connection drops.
    Drop {
        /// Whether the effect has taken place before.
        effect: bool,
    },
    /// The effect takes place, but the body of the answer is no JSON.
    Garbage,
    /// The effect takes place, but the answer has no body.
    Empty,
    /// The effect takes place, but `unprocessedAccounts` is missing from the answer.
    WithoutUnprocessedAccounts,
}

impl Fault {
    /// A fault of every call of an operation.
    #[must_use]
    pub fn always(operation: &str, kind: FaultKind) -> Self {
        Self {
            operation: operation.to_owned(),
            region: None,
            account: None,
            from: 1,
            times: None,
            kind,
            matched: 0,
        }
    }

    /// Only in this Region.
    #[must_use]
    pub fn in_region(mut self, region: &str) -> Self {
        self.region = Some(region.to_owned());
        self
    }

    /// Only calls that name this account; [`FaultKind::Unprocessed`] then concerns this account only.
    #[must_use]
    pub fn on_account(mut self, account: &str) -> Self {
        self.account = Some(account.to_owned());
        self
    }

    /// Only this many calls.
    #[must_use]
    pub fn first(mut self, times: usize) -> Self {
        self.times = Some(times);
        self
    }

    /// Only from the n-th call on, counting from 1.
    #[must_use]
    pub fn from(mut self, call: usize) -> Self {
        self.from = call;
        self
    }

    /// Counts the call if it matches; true if it is to be spoiled.
    fn strikes(&mut self, operation: &str, region: &str, accounts: &[String]) -> bool {
        let matches = self.operation == operation
            && self.region.as_ref().is_none_or(|wanted| wanted == region)
            && self
                .account
                .as_ref()
                .is_none_or(|wanted| accounts.contains(wanted));
        if matches {
            self.matched += 1;
        }
        matches
            && self.matched >= self.from
            && self
                .times
                .is_none_or(|times| self.matched - self.from < times)
    }
}

/// Which accounts of one call are left unprocessed, and with which text.
#[derive(Clone, Debug, Default)]
pub(crate) struct Unprocessed(Vec<(Option<String>, String)>);

impl Unprocessed {
    pub(crate) fn text(&self, account: &str) -> Option<&str> {
        self.text_for_any(&[account.to_owned()])
    }

    /// The text for something that names several accounts.
    pub(crate) fn text_for_any(&self, accounts: &[String]) -> Option<&str> {
        self.0
            .iter()
            .find(|(wanted, _)| {
                wanted
                    .as_ref()
                    .is_none_or(|wanted| accounts.contains(wanted))
            })
            .map(|(_, text)| text.as_str())
    }
}

/// Everything that goes wrong with one call. Delays add up, accounts left unprocessed too; of the other kinds the
/// first one wins.
#[derive(Clone, Debug, Default)]
pub(crate) struct Trouble {
    pub(crate) any: bool,
    pub(crate) delay: Duration,
    pub(crate) unprocessed: Unprocessed,
    pub(crate) reply: Option<FaultKind>,
}

impl Trouble {
    pub(crate) fn of(
        faults: &mut [Fault],
        operation: &str,
        region: &str,
        accounts: &[String],
    ) -> Self {
        let mut trouble = Self::default();
        for fault in faults {
            if !fault.strikes(operation, region, accounts) {
                continue;
            }
            trouble.any = true;
            match &fault.kind {
                FaultKind::Delay(delay) => trouble.delay += *delay,
                FaultKind::Unprocessed(text) => trouble
                    .unprocessed
                    .0
                    .push((fault.account.clone(), text.clone())),
                other => {
                    trouble.reply.get_or_insert_with(|| other.clone());
                }
            }
        }
        trouble
    }
}

/// Why a text describes no fault.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FaultSyntax(String);

impl fmt::Display for FaultSyntax {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

impl std::error::Error for FaultSyntax {}

impl FromStr for Fault {
    type Err = FaultSyntax;

    /// `OPERATION[@REGION[/ACCOUNT]]:KIND[:first=N][:from=N]`; `OPERATION@/ACCOUNT` is an account in every Region.
    fn from_str(text: &str) -> Result<Self, FaultSyntax> {
        let (target, mut kind) = text.split_once(':').ok_or_else(|| {
            FaultSyntax(format!(
                "`{text}` has no kind: write OPERATION[@REGION[/ACCOUNT]]:KIND"
            ))
        })?;
        let (operation, place) = target.split_once('@').unwrap_or((target, ""));
        if !OPERATIONS.iter().any(|(_, known)| *known == operation) {
            let known: Vec<_> = OPERATIONS.iter().map(|(_, known)| *known).collect();
            return Err(FaultSyntax(format!(
                "`{operation}` is no operation of this cloud; known are {}",
                known.join(", ")
            )));
        }
        let (region, account) = place.split_once('/').unwrap_or((place, ""));
        if !account.is_empty() && !is_account_id(account) {
            return Err(FaultSyntax(format!(
                "`{account}` is no account id: 12 digits are"
            )));
        }
        // Suffixes are taken from the end, because the text of a fault may have colons itself.
        let (mut first, mut from) = (None, None);
        while let Some((rest, suffix)) = kind.rsplit_once(':') {
            match suffix.split_once('=') {
                Some(("first", number)) => first = Some(count(number)?),
                Some(("from", number)) => from = Some(count(number)?),
                _ => break,
            }
            kind = rest;
        }
        let mut fault = Self::always(operation, parse_kind(kind)?);
        fault.region = Some(region.to_owned()).filter(|region| !region.is_empty());
        fault.account = Some(account.to_owned()).filter(|account| !account.is_empty());
        fault.times = first;
        fault.from = from.unwrap_or(1);
        Ok(fault)
    }
}

fn count(text: &str) -> Result<usize, FaultSyntax> {
    text.parse()
        .ok()
        .filter(|number| *number > 0)
        .ok_or_else(|| {
            FaultSyntax(format!(
                "`{text}` is no count: write a number from 1 on, such as `:first=2`"
            ))
        })
}

fn parse_kind(text: &str) -> Result<FaultKind, FaultSyntax> {
    let (name, value) = match text.split_once('=') {
        Some((name, value)) => (name, Some(value)),
        None => (text, None),
    };
    match (name, value) {
        ("error", Some(value)) => {
            let mut parts = value.splitn(3, '/');
            let status = parts.next().unwrap_or_default();
            let status = status.parse().ok().filter(|status| (400..=599).contains(status)).ok_or_else(|| {
                FaultSyntax(format!("`{status}` is no HTTP error status: write error=STATUS[/CODE[/MESSAGE]] with 400 to 599"))
            })?;
            let code = parts
                .next()
                .filter(|code| !code.is_empty())
                .map(str::to_owned);
            let message = parts.next().unwrap_or("Fault on purpose.").to_owned();
            Ok(FaultKind::Error {
                status,
                code,
                message,
            })
        }
        ("unprocessed", Some(value)) if !value.is_empty() => {
            Ok(FaultKind::Unprocessed(value.to_owned()))
        }
        ("delay", Some(value)) => value
            .parse()
            .map(|millis| FaultKind::Delay(Duration::from_millis(millis)))
            .map_err(|_| {
                FaultSyntax(format!(
                    "`{value}` is no number of milliseconds: write delay=1500"
                ))
            }),
        ("drop", None) => Ok(FaultKind::Drop { effect: false }),
        ("drop-after", None) => Ok(FaultKind::Drop { effect: true }),
        ("garbage", None) => Ok(FaultKind::Garbage),
        ("empty", None) => Ok(FaultKind::Empty),
        ("no-unprocessed", None) => Ok(FaultKind::WithoutUnprocessedAccounts),
        _ => Err(FaultSyntax(format!(
            "`{text}` is no kind of fault; kinds are error=STATUS[/CODE[/MESSAGE]], unprocessed=TEXT, delay=MILLIS, \
             drop, drop-after, garbage, empty, no-unprocessed"
        ))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(text: &str) -> Result<Fault, String> {
        text.parse().map_err(|error: FaultSyntax| error.to_string())
    }

    #[test]
    fn a_command_line_can_write_every_kind() {
        let always = |operation, kind| Ok(Fault::always(operation, kind));
        let text = |text: &str| FaultKind::Unprocessed(text.to_owned());
        let error = |status, code: Option<&str>, message: &str| FaultKind::Error {
            status,
            code: code.map(str::to_owned),
            message: message.to_owned(),
        };
        let denied = error(403, Some("AccessDeniedException"), "not authorized");
        assert_eq!(
            parsed("CreateMembers:unprocessed=Internal error"),
            always("CreateMembers", text("Internal error"))
        );
        assert_eq!(
            parsed("CreateMembers@eu-west-1:error=403/AccessDeniedException/not authorized"),
            always("CreateMembers", denied).map(|fault| fault.in_region("eu-west-1"))
        );
        assert_eq!(
            parsed("GetMembers:error=503"),
            always("GetMembers", error(503, None, "Fault on purpose."))
        );
        assert_eq!(
            parsed("CreateMembers@eu-west-1/444455556666:unprocessed=a: b:first=2:from=3"),
            always("CreateMembers", text("a: b")).map(|fault| fault
                .in_region("eu-west-1")
                .on_account("444455556666")
                .first(2)
                .from(3))
        );
        assert_eq!(
            parsed("DescribeAccount@/444455556666:drop"),
            always("DescribeAccount", FaultKind::Drop { effect: false })
                .map(|fault| fault.on_account("444455556666"))
        );
        assert_eq!(
            parsed("ListDetectors:delay=1500"),
            always(
                "ListDetectors",
                FaultKind::Delay(Duration::from_millis(1500))
            )
        );
        for (name, kind) in [
            ("drop-after", FaultKind::Drop { effect: true }),
            ("garbage", FaultKind::Garbage),
            ("empty", FaultKind::Empty),
            ("no-unprocessed", FaultKind::WithoutUnprocessedAccounts),
        ] {
            assert_eq!(
                parsed(&format!("CreateMembers:{name}")),
                always("CreateMembers", kind)
            );
        }
    }

    #[test]
    fn a_typo_is_explained() {
        for (text, part) in [
            (
                "CreateMember:drop",
                "known are ListDetectors, CreateMembers,",
            ),
            ("CreateMembers", "has no kind"),
            ("CreateMembers:explode", "kinds are error=STATUS"),
            ("CreateMembers:error=200", "400 to 599"),
            ("CreateMembers:delay=soon", "delay=1500"),
            ("CreateMembers:drop:first=0", "from 1 on"),
            ("CreateMembers@eu-west-1/4444:drop", "12 digits"),
        ] {
            let message = parsed(text).err().unwrap_or_default();
            assert!(message.contains(part), "{text}: {message}");
        }
    }
}
