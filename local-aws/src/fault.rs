//! Faults: what the cloud does wrong on purpose, which call it concerns, and how a command line writes it.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use http::HeaderValue;

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
    /// The same, in a shape that the service itself does not write: as from another of AWS's front ends, or a proxy.
    OddError {
        /// The HTTP status.
        status: u16,
        /// The error code.
        code: Option<String>,
        /// The error message.
        message: String,
        /// Where the answer has both.
        shape: Shape,
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
    /// The normal answer, with this `Date`.
    Date(String),
    /// The effect takes place, but the body of the answer is not JSON.
    Garbage,
    /// The effect takes place, but the answer has no body.
    Empty,
    /// The same, but the answer does not say how long its body is.
    EmptyChunked,
    /// The effect takes place, but the answer is `{}`: every member is missing.
    Bare,
    /// The effect takes place, but `unprocessedAccounts` is missing from the answer.
    WithoutUnprocessedAccounts,
}

/// Where an error answer has its code and its message. The SDK looks for a code in the header, then in `code` and in
/// `__type` of the body, and for a message in `message`, `Message` and `errorMessage`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Shape {
    /// Where the code is.
    pub code: CodeIn,
    /// Where the message is.
    pub text: TextIn,
}

/// Where an error answer has its code.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum CodeIn {
    /// In `x-amzn-errortype`, and not in the body.
    #[default]
    Header,
    /// In `__type` of the body, behind a namespace.
    Type,
    /// In `code` of the body.
    Code,
    /// Nowhere: only the status and the message say what happened.
    Nowhere,
}

/// Where an error answer has its message.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum TextIn {
    /// In `message`.
    #[default]
    Lowercase,
    /// In `Message`, as IAM's refusals have it.
    Capitalized,
    /// In a page of HTML, which has no place for a code.
    Html,
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
        let named = |account| accounts.contains(account);
        let matches = self.operation == operation
            && self.region.as_ref().is_none_or(|wanted| wanted == region)
            && self.account.as_ref().is_none_or(named);
        self.matched += usize::from(matches);
        let since = self.matched.checked_sub(self.from);
        matches && since.is_some_and(|since| self.times.is_none_or(|times| since < times))
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
        let named = |account| accounts.contains(account);
        let mut texts = self.0.iter();
        let found = texts.find(|(wanted, _)| wanted.as_ref().is_none_or(named));
        found.map(|(_, text)| text.as_str())
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
                FaultKind::Unprocessed(text) => {
                    trouble.unprocessed.0.push((fault.account.clone(), text.clone()));
                }
                other => {
                    trouble.reply.get_or_insert_with(|| other.clone());
                }
            }
        }
        trouble
    }
}

/// Why a text does not describe a fault.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FaultSyntax(String);

impl fmt::Display for FaultSyntax {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

impl std::error::Error for FaultSyntax {}

fn wrong(text: &str, why: &str) -> FaultSyntax {
    FaultSyntax(format!("`{text}` {why}"))
}

impl FromStr for Fault {
    type Err = FaultSyntax;

    /// `OPERATION[@REGION[/ACCOUNT]]:KIND[:first=N][:from=N]`; `OPERATION@/ACCOUNT` is an account in every Region. An
    /// error can have `:code-in=` and `:text-in=` too.
    fn from_str(text: &str) -> Result<Self, FaultSyntax> {
        let (target, mut kind) = text
            .split_once(':')
            .ok_or_else(|| wrong(text, "has no kind: write OPERATION[@REGION[/ACCOUNT]]:KIND"))?;
        let (operation, place) = target.split_once('@').unwrap_or((target, ""));
        let known = OPERATIONS.map(|(_, known, _)| known);
        if !known.contains(&operation) {
            let known = known.join(", ");
            let why = format!("is not an operation of this small AWS; known are {known}");
            return Err(wrong(operation, &why));
        }
        let (region, account) = place.split_once('/').unwrap_or((place, ""));
        if !account.is_empty() && !is_account_id(account) {
            return Err(wrong(account, "is not an account id: 12 digits are"));
        }
        // Suffixes are taken from the end, because the text of a fault may have colons itself.
        let (mut times, mut from) = (None, 1);
        let (mut code_in, mut text_in) = (None, None);
        while let Some((rest, suffix)) = kind.rsplit_once(':') {
            match suffix.split_once('=') {
                Some(("first", number)) => times = Some(count(number)?),
                Some(("from", number)) => from = count(number)?,
                Some(("code-in", place)) => code_in = Some(one_of(place, &CODE_IN)?),
                Some(("text-in", place)) => text_in = Some(one_of(place, &TEXT_IN)?),
                _ => break,
            }
            kind = rest;
        }
        let kind = match (parse_kind(kind)?, code_in, text_in) {
            (kind, None, None) => kind,
            (FaultKind::Error { status, code, message }, code_in, text_in) => {
                let (in_code, in_text) = (code_in.unwrap_or_default(), text_in.unwrap_or_default());
                let shape = Shape { code: in_code, text: in_text };
                FaultKind::OddError { status, code, message, shape }
            }
            _ => return Err(wrong(kind, "has no shape: only an error has code-in and text-in")),
        };
        let some = |part: &str| (!part.is_empty()).then(|| part.to_owned());
        Ok(Self {
            region: some(region),
            account: some(account),
            from,
            times,
            ..Self::always(operation, kind)
        })
    }
}

const CODE_IN: [(&str, CodeIn); 4] = [
    ("header", CodeIn::Header),
    ("__type", CodeIn::Type),
    ("code", CodeIn::Code),
    ("nowhere", CodeIn::Nowhere),
];

const TEXT_IN: [(&str, TextIn); 3] =
    [("message", TextIn::Lowercase), ("Message", TextIn::Capitalized), ("html", TextIn::Html)];

fn one_of<T: Copy>(text: &str, known: &[(&str, T)]) -> Result<T, FaultSyntax> {
    let found = known.iter().find(|(word, _)| *word == text);
    let words: Vec<_> = known.iter().map(|(word, _)| *word).collect();
    let unknown =
        || wrong(text, &format!("is not a place in an error: write one of {}", words.join(", ")));
    found.map(|(_, place)| *place).ok_or_else(unknown)
}

fn count(text: &str) -> Result<usize, FaultSyntax> {
    let number = text.parse().ok().filter(|number| *number > 0);
    number
        .ok_or_else(|| wrong(text, "is not a count: write a number from 1 on, such as `:first=2`"))
}

fn parse_kind(text: &str) -> Result<FaultKind, FaultSyntax> {
    let (name, value) = match text.split_once('=') {
        Some((name, value)) => (name, Some(value)),
        None => (text, None),
    };
    Ok(match (name, value) {
        ("error", Some(value)) => {
            let mut parts = value.splitn(3, '/');
            let status = parts.next().unwrap_or_default();
            let number = status.parse().ok().filter(|number| (400..=599).contains(number));
            let why =
                "is not an HTTP error status: write error=STATUS[/CODE[/MESSAGE]] with 400 to 599";
            FaultKind::Error {
                status: number.ok_or_else(|| wrong(status, why))?,
                code: parts.next().filter(|code| !code.is_empty()).map(str::to_owned),
                message: parts.next().unwrap_or("Fault on purpose.").to_owned(),
            }
        }
        ("unprocessed", Some(value)) if !value.is_empty() => {
            FaultKind::Unprocessed(value.to_owned())
        }
        ("delay", Some(value)) => {
            let why = "is not a number of milliseconds: write delay=1500";
            FaultKind::Delay(
                value.parse().map(Duration::from_millis).map_err(|_| wrong(value, why))?,
            )
        }
        ("date", Some(value)) if HeaderValue::from_str(value).is_ok() => {
            FaultKind::Date(value.to_owned())
        }
        ("drop", None) => FaultKind::Drop { effect: false },
        ("drop-after", None) => FaultKind::Drop { effect: true },
        ("garbage", None) => FaultKind::Garbage,
        ("empty", None) => FaultKind::Empty,
        ("empty-chunked", None) => FaultKind::EmptyChunked,
        ("bare", None) => FaultKind::Bare,
        ("no-unprocessed", None) => FaultKind::WithoutUnprocessedAccounts,
        _ => {
            let why = "is not a kind of fault; kinds are error=STATUS[/CODE[/MESSAGE]][:code-in=PLACE][:text-in=PLACE], \
                       unprocessed=TEXT, delay=MILLIS, date=TEXT, drop, drop-after, garbage, empty, empty-chunked, bare, \
                       no-unprocessed";
            return Err(wrong(text, why));
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(text: &str) -> Result<Fault, String> {
        text.parse().map_err(|error: FaultSyntax| error.to_string())
    }

    #[test]
    fn a_command_line_can_write_every_kind() {
        let text = |text: &str| FaultKind::Unprocessed(text.to_owned());
        let error = |status, code: Option<&str>, message: &str| FaultKind::Error {
            status,
            code: code.map(str::to_owned),
            message: message.to_owned(),
        };
        let odd = |code, text| FaultKind::OddError {
            status: 400,
            code: Some("X".to_owned()),
            message: "a: b".to_owned(),
            shape: Shape { code, text },
        };
        let drop = |effect| FaultKind::Drop { effect };
        for (kind, expected) in [
            ("unprocessed=Internal error", text("Internal error")),
            ("error=503", error(503, None, "Fault on purpose.")),
            ("error=403/Denied/a/b: c", error(403, Some("Denied"), "a/b: c")),
            ("delay=1500", FaultKind::Delay(Duration::from_millis(1500))),
            (
                "date=Fri, 31 Dec 9999 23:59:59 GMT",
                FaultKind::Date("Fri, 31 Dec 9999 23:59:59 GMT".to_owned()),
            ),
            ("drop", drop(false)),
            ("drop-after", drop(true)),
            ("garbage", FaultKind::Garbage),
            ("empty", FaultKind::Empty),
            ("empty-chunked", FaultKind::EmptyChunked),
            ("bare", FaultKind::Bare),
            ("error=400/X/a: b:code-in=__type", odd(CodeIn::Type, TextIn::Lowercase)),
            ("error=400/X/a: b:text-in=Message", odd(CodeIn::Header, TextIn::Capitalized)),
            ("error=400/X/a: b:text-in=html:code-in=code", odd(CodeIn::Code, TextIn::Html)),
            ("error=400/X/a: b:code-in=nowhere", odd(CodeIn::Nowhere, TextIn::Lowercase)),
            ("no-unprocessed", FaultKind::WithoutUnprocessedAccounts),
        ] {
            let always = Fault::always("CreateMembers", expected);
            let in_region = always.clone().in_region("eu-west-1");
            let account = always.clone().on_account("444455556666");
            let both = in_region.clone().on_account("444455556666").first(2).from(3);
            for (place, suffix, fault) in [
                ("", "", always),
                ("@eu-west-1", "", in_region),
                ("@/444455556666", "", account),
                ("@eu-west-1/444455556666", ":first=2:from=3", both),
            ] {
                let text = format!("CreateMembers{place}:{kind}{suffix}");
                assert_eq!(parsed(&text), Ok(fault), "{text}");
            }
        }
    }

    #[test]
    fn a_typo_is_explained() {
        for (text, part) in [
            ("CreateMember:drop", "known are ListDetectors, CreateMembers,"),
            ("CreateMembers", "has no kind"),
            ("CreateMembers:explode", "kinds are error=STATUS"),
            ("CreateMembers:error=200", "400 to 599"),
            ("CreateMembers:delay=soon", "delay=1500"),
            ("CreateMembers:drop:first=0", "from 1 on"),
            ("CreateMembers:error=400/X:code-in=body", "one of header, __type, code, nowhere"),
            ("CreateMembers:drop:text-in=html", "only an error has"),
            ("CreateMembers@eu-west-1/4444:drop", "12 digits"),
        ] {
            let message = parsed(text).err().unwrap_or_default();
            assert!(message.contains(part), "{text}: {message}");
        }
    }
}
