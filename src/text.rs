//! What AWS said, in its own words: kept for the person who must act, but without any e-mail address.

use std::fmt;

use serde::{Serialize, Serializer};

/// The longest text that is kept, in characters. Ours: a dead letter stays far below SQS's limit,
/// and no known answer of GuardDuty is longer than 200.
const LONGEST: usize = 1_000;

/// A text of AWS, or of an event, that is safe to log and to store.
///
/// The only way to make one takes every word with an `@` out, so an address that a service repeats in
/// its error cannot reach a log or a queue.
#[derive(Clone, PartialEq, Eq)]
pub struct SafeText(String);

impl SafeText {
    /// Takes e-mail addresses and control characters out, and cuts the text at 1,000 characters.
    #[must_use]
    pub fn new(raw: &str) -> Self {
        let mut safe = String::with_capacity(raw.len().min(LONGEST));
        for word in raw.split_inclusive(|c: char| c.is_whitespace() || "\"'<>()[]{},;=".contains(c))
        {
            if word.contains('@') {
                let end = word
                    .char_indices()
                    .next_back()
                    .filter(|(_, c)| c.is_whitespace() || "\"'<>()[]{},;=".contains(*c));
                safe.push_str("<e-mail>");
                safe.extend(end.map(|(_, c)| c));
            } else {
                safe.push_str(word);
            }
            if safe.chars().count() > LONGEST {
                safe = safe.chars().take(LONGEST).chain(['…']).collect();
                break;
            }
        }
        Self(safe.replace(char::is_control, " "))
    }

    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for SafeText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for SafeText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.0)
    }
}

impl Serialize for SafeText {
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
            (
                "Invalid value a.b+c@example.com for email",
                "Invalid value <e-mail> for email",
            ),
            (
                "{\"email\":\"x@y.z\",\"n\":1}",
                "{\"email\":\"<e-mail>\",\"n\":1}",
            ),
            ("x@y.z", "<e-mail>"),
            ("Internal error", "Internal error"),
        ] {
            assert_eq!(SafeText::new(raw).as_str(), safe);
        }
    }

    #[test]
    fn a_long_text_is_cut_and_says_so() {
        let long = "word ".repeat(100_000);
        let safe = SafeText::new(&long);
        assert_eq!(safe.as_str().chars().count(), 1_001);
        assert!(safe.as_str().ends_with('…'));
    }

    #[test]
    fn a_text_cannot_break_a_log_line() {
        assert_eq!(SafeText::new("a\nb\u{1b}[31m").as_str(), "a b [31m");
    }
}
