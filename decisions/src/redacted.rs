//! A text from outside, kept for the person who must act, but without any e-mail address.

use alloc::borrow::ToOwned;
use alloc::string::String;
use core::fmt;

use serde::{Serialize, Serializer};

/// The longest text that is kept, in characters. Ours: ten records in one SQS batch stay far below its 1 MiB, and no
/// known answer of GuardDuty is longer than 200.
const MAX_CHARACTERS: usize = 1_000;

/// A text of AWS, or of an event, that is safe to log and to store.
///
/// The only way to make one removes every e-mail address, so an address that a service repeats in its error cannot
/// reach a log or a queue.
///
/// ```
/// use decisions::redacted::Redacted;
///
/// assert_eq!(Redacted::new("invalid: a.b@example.com").as_str(), "invalid: <e-mail>");
/// ```
#[derive(Clone, PartialEq, Eq)]
pub struct Redacted(String);

impl Redacted {
    /// Removes e-mail addresses, replaces what SQS refuses or what breaks a log line by blanks, and cuts the text at
    /// 1,000 characters.
    #[must_use]
    pub fn new(raw: &str) -> Self {
        let mut safe = String::with_capacity(raw.len().min(MAX_CHARACTERS));
        let mut rest = raw;
        while let Some(at) = rest.find('@') {
            let (before, after) = rest.split_at(at);
            let kept = before.get(..start_of_local_part(before));
            safe.push_str(kept.unwrap_or_default());
            safe.push_str("<e-mail>");
            rest = after.trim_start_matches(|c: char| c.is_alphanumeric() || "@.-_".contains(c));
        }
        safe.push_str(rest);
        let unfit = |c: char| c.is_control() || matches!(c, '\u{fffe}' | '\u{ffff}');
        Self(safe.replace(unfit, " ")).cut(MAX_CHARACTERS)
    }

    /// The text, cut at `longest` characters.
    #[must_use]
    pub fn cut(&self, longest: usize) -> Self {
        match self.0.char_indices().nth(longest) {
            Some((end, _)) => Self(self.0.get(..end).unwrap_or_default().to_owned() + "…"),
            None => self.clone(),
        }
    }

    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Where the part of an address before its `@` starts: after the last blank or, if it is quoted, at its opening quote.
/// Every other character can be in an address, so all of them go.
fn start_of_local_part(before: &str) -> usize {
    let quoted = before.strip_suffix('"').and_then(|inner| inner.rfind('"'));
    quoted.unwrap_or_else(|| {
        let blank = before.char_indices().rfind(|(_, c)| c.is_whitespace());
        blank.map_or(0, |(at, c)| at + c.len_utf8())
    })
}

impl fmt::Display for Redacted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Redacted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

impl Serialize for Redacted {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_inside_a_text_is_taken_out_and_the_rest_is_kept() {
        for (raw, safe) in [
            ("Invalid value a.b+c@example.com for email", "Invalid value <e-mail> for email"),
            ("x@y.z, and a@b.co", "<e-mail>, and <e-mail>"),
            ("x@y.z", "<e-mail>"),
            ("Internal error", "Internal error"),
            ("", ""),
        ] {
            assert_eq!(Redacted::new(raw).as_str(), safe);
        }
    }

    #[test]
    fn no_part_of_an_unusual_address_is_left() {
        for address in [
            "finance(prod)secret@example.com",
            "o'secret@example.com",
            "\"john secret\"@example.com",
            "\"secret john\"@example.com",
            "secret{a}=b;c,d@example.com",
            "secret@one@example.com",
            "sécret@exämple.com",
        ] {
            for text in
                [format!("bad address {address} given"), format!("{{\"email\":\"{address}\"}}")]
            {
                let safe = Redacted::new(&text);
                assert!(!safe.as_str().contains("ecret"), "{text} → {safe}");
                assert!(!safe.as_str().contains("xample"), "{text} → {safe}");
            }
        }
    }

    #[test]
    fn a_long_text_is_cut_and_says_so() {
        let safe = Redacted::new(&"word ".repeat(100_000));
        assert_eq!(safe.as_str().chars().count(), 1_001);
        assert!(safe.as_str().ends_with('…'));
        let exact = "x".repeat(1_000);
        assert_eq!(Redacted::new(&exact).as_str(), exact);
    }

    #[test]
    fn a_text_breaks_no_log_line_and_no_message() {
        assert_eq!(Redacted::new("a\nb\u{1b}[31m").as_str(), "a b [31m");
        assert_eq!(Redacted::new("a\u{fffe}b\u{ffff}c").as_str(), "a b c");
    }
}
