//! A text from outside, kept for the person who must act, but without any e-mail address.

use alloc::borrow::ToOwned;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;
use core::ops::RangeInclusive;

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
    /// 1,000 characters. Takes time linear in the text's length.
    ///
    /// Every `@`, however it is encoded, is taken for an address: rather a word too many than a part of one too few.
    #[must_use]
    pub fn new(raw: &str) -> Self {
        let letters = decoded(raw);
        let offset = |index: usize| letters.get(index).map_or(raw.len(), |letter| letter.at);
        let mut safe = String::with_capacity(raw.len());
        let mut kept_from = 0;
        for (start, end) in addresses(&letters) {
            safe.push_str(raw.get(kept_from..offset(start)).unwrap_or_default());
            safe.push_str("<e-mail>");
            kept_from = offset(end);
        }
        safe.push_str(raw.get(kept_from..).unwrap_or_default());
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

    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// A character as it is meant.
#[derive(Clone, Copy)]
struct Letter {
    /// Where its spelling starts.
    at: usize,
    meant: char,
    /// What opens the escape that it is written as; of several, a backslash.
    escape: Option<char>,
}

impl Letter {
    /// A blank that an encoding writes in another way is in the middle of a word there.
    fn is_blank(self) -> bool {
        self.escape.is_none() && self.meant.is_ascii_whitespace()
    }

    fn is_at_sign(self) -> bool {
        matches!(self.meant, '@' | '＠' | '﹫')
    }

    /// Whether it can be next to a quoted part of an address, and not only next to a quoted text.
    fn is_in_word(self) -> bool {
        !self.is_blank() && !"\"\\:,;[]{}()<>=".contains(self.meant)
    }

    fn is_in_domain(self) -> bool {
        self.meant.is_ascii_alphanumeric() || ".-_".contains(self.meant) || !self.meant.is_ascii()
    }
}

/// The text with every escape resolved, those inside others too: `\u0040`, `%2540`, `&amp;#64;`.
fn decoded(raw: &str) -> Vec<Letter> {
    // From the end: what follows a character is decoded by then, so one pass resolves escapes of any depth.
    let mut letters: Vec<Letter> = Vec::with_capacity(raw.len());
    for (at, mut meant) in raw.char_indices().rev() {
        let mut opening = None;
        while let Some((length, character)) = escape(meant, &letters) {
            letters.truncate(letters.len() - length);
            opening = opening.filter(|known| *known == '\\').or(Some(meant));
            meant = character;
        }
        letters.push(Letter { at, meant, escape: opening });
    }
    letters.reverse();
    letters
}

/// If a character is the start of an escape: how many of those that follow it are its rest, and what is meant. The next
/// character is the last of `rest`.
fn escape(first: char, rest: &[Letter]) -> Option<(usize, char)> {
    let meant = |letter: &Letter| letter.meant;
    let next = |skip: usize| rest.len().checked_sub(skip + 1).and_then(|n| rest.get(n)).map(meant);
    let number = |skip: usize, radix: u32, digits: RangeInclusive<usize>| {
        let (mut end, mut code) = (skip, 0_u32);
        while end - skip < *digits.end()
            && let Some(digit) = next(end).and_then(|character| character.to_digit(radix))
        {
            code = code.saturating_mul(radix).saturating_add(digit);
            end += 1;
        }
        let character = char::from_u32(code).unwrap_or(char::REPLACEMENT_CHARACTER);
        digits.contains(&(end - skip)).then_some((end, character))
    };
    let closed = |(end, character), mark| (end + usize::from(next(end) == Some(mark)), character);
    let name = |(name, character): (&str, char)| {
        let letters = (0..name.len()).map_while(next).map(|letter| letter.to_ascii_lowercase());
        letters.eq(name.chars()).then(|| closed((name.len(), character), ';'))
    };
    match (first, next(0)?, next(1)) {
        ('\\', 'u' | 'x', Some('{')) => Some(closed(number(2, 16, 1..=usize::MAX)?, '}')),
        ('\\' | '%', 'u', _) => number(1, 16, 4..=4),
        ('\\', 'U', _) => number(1, 16, 8..=8),
        ('\\', 'x', _) => number(1, 16, 2..=2),
        ('%', _, _) => number(0, 16, 2..=2),
        // An escape inside a text that is escaped once more. How many a quote has is of importance.
        ('\\', other, _) if other != '"' && rest.last().is_some_and(|l| l.escape == Some('\\')) => {
            (other != '\\').then_some((1, other))
        }
        ('&', '#', Some('x' | 'X')) => Some(closed(number(2, 16, 1..=usize::MAX)?, ';')),
        ('&', '#', _) => Some(closed(number(1, 10, 1..=usize::MAX)?, ';')),
        ('&', _, _) => [("amp", '&'), ("quot", '"'), ("commat", '@')].into_iter().find_map(name),
        // The bytes of `＠` and `﹫` in UTF-8, read one by one.
        ('ï', '¼', Some('\u{a0}')) | ('ï', '¹', Some('«')) => Some((2, '@')),
        _ => None,
    }
}

/// Where the addresses are, in letters: first to last, and none touches another.
fn addresses(letters: &[Letter]) -> Vec<(usize, usize)> {
    let mut found: Vec<(usize, usize)> = Vec::new();
    let mut local_part = LocalPart::default();
    for (index, letter) in letters.iter().enumerate() {
        if letter.is_at_sign() {
            let mut start = local_part.start();
            while let Some((earlier, _)) = found.pop_if(|(_, end)| *end >= start) {
                start = start.min(earlier);
            }
            found.push((start, index + 1 + domain(letters.get(index + 1..).unwrap_or_default())));
        }
        local_part.read(index, *letter);
    }
    found
}

/// How long the domain is that a text starts with. Blanks can be before it.
fn domain(text: &[Letter]) -> usize {
    let blanks = text.iter().take_while(|letter| letter.is_blank()).count();
    let text = text.get(blanks..).unwrap_or_default();
    let is_literal = text.first().is_some_and(|letter| letter.meant == '[');
    // It ends at the next `@`, so no letter is read twice.
    let is_inside = |letter: &&Letter| {
        let is_inside = if is_literal { letter.meant != ']' } else { letter.is_in_domain() };
        is_inside && !letter.is_blank() && !letter.is_at_sign()
    };
    match text.iter().take_while(is_inside).count() {
        0 => 0,
        length => blanks + length + usize::from(is_literal),
    }
}

/// The most characters of a local part (RFC 5321).
const LONGEST_LOCAL_PART: usize = 64;

/// Where the local part of an address starts if its `@` is the next letter: at the last word or, if there is a quoted
/// part in it, at the word that has its opening quote. All of it follows from one reading of the text before.
#[derive(Default)]
struct LocalPart {
    /// Where the last word starts, with all of the quoted parts that end in it.
    word: usize,
    after_blank: bool,
    /// Set if the last word ends with a quote or a parenthesis: where the word of the opening one starts, and whether it
    /// can be in the middle of a word.
    closed: Option<(usize, bool)>,
    /// Each quote so far: the start of its word, and how many letters that are not backslashes were before it.
    quotes: Vec<(usize, usize)>,
    /// The last quote of each depth, by its number. Each level of escaping writes a backslash twice and a quote with one
    /// backslash more, so quotes of one level have as many trailing ones in the number of their backslashes.
    last_quotes: [Option<usize>; 8],
    /// The first of the quotes that are so near that a local part can start there.
    near: usize,
    parentheses: Vec<usize>,
    backslashes: usize,
    /// The last letter that is not a backslash, and how many there were.
    last: Option<Letter>,
    length: usize,
}

impl LocalPart {
    fn start(&self) -> usize {
        self.closed.map_or(self.word, |(start, _)| start.min(self.word))
    }

    fn read(&mut self, index: usize, letter: Letter) {
        if letter.is_blank() {
            self.after_blank = true;
        } else {
            if self.after_blank && !letter.is_at_sign() {
                self.word = index;
            } else if let Some((start, true)) = self.closed
                && letter.is_in_word()
            {
                self.word = self.word.min(start);
            }
            self.after_blank = false;
            self.closed = match letter.meant {
                '"' => Some(self.quote(letter)),
                ')' => self.parentheses.pop().map(|start| (start, true)),
                _ => None,
            };
            if letter.meant == '(' {
                self.parentheses.push(self.word);
            }
        }
        if letter.meant == '\\' {
            self.backslashes += 1;
        } else {
            self.backslashes = 0;
            self.last = Some(letter);
            self.length += 1;
        }
    }

    /// Remembers a quote. Returns where the local part starts if it closes one.
    fn quote(&mut self, letter: Letter) -> (usize, bool) {
        let backslashes = self.backslashes + usize::from(letter.escape == Some('\\'));
        let depth = (backslashes.trailing_ones() as usize).min(self.last_quotes.len() - 1);
        let opening = self.last_quotes.iter().take(depth + 1).flatten().max();
        let word_of = |quote: &(usize, usize)| quote.0;
        let opening = opening.and_then(|number| self.quotes.get(*number)).map_or(0, word_of);
        // Where the depths mislead, because a text mixes encodings, no quote that is near is too early.
        let is_far = |quote: &&(usize, usize)| quote.1 + LONGEST_LOCAL_PART < self.length;
        self.near += self.quotes.iter().skip(self.near).take_while(is_far).count();
        let start = self.quotes.get(self.near).map_or(opening, word_of).min(opening);
        if let Some(last) = self.last_quotes.get_mut(depth) {
            *last = Some(self.quotes.len());
        }
        self.quotes.push((self.word, self.length));
        (start, self.last.is_some_and(Letter::is_in_word))
    }
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
    use std::string::{String, ToString};

    use proptest::collection::vec;
    use proptest::prelude::*;
    use proptest::sample::select;
    use proptest::test_runner::{Config, RngSeed};

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

    /// Local parts whose words all contain `ecret`, as RFC 5321, RFC 6531 and Organizations allow them, and some that
    /// nobody allows.
    const LOCAL_PARTS: [&str; 25] = [
        "secret",
        "secret.secret+secret-secret_secret",
        "finance(prod)secret",
        "o'secret",
        "secret{a}=b;c,d",
        "secret@one",
        "sécret",
        "secret\u{a0}sécret\u{3000}secret",
        "secret/secret=secret%secret!secret",
        r#""john secret""#,
        r#""secret john""#,
        r#""secret @ \"secret\" secret""#,
        r#""secret, <secret>; (secret) [secret] secret""#,
        r#""secret \"x\\""#,
        r#""secret \\ \" \\\" secret x\\""#,
        r#""secret\@x.y secret""#,
        r#""secret x"."secret y""#,
        r#"secret."secret y""#,
        r#""secret x".secret"#,
        r#"secret"x""#,
        r#"secret"secret y"secret"#,
        r#""secret \"x"y"#,
        "\"secret\tx\n secret\"",
        "secret(secret (x) secret)",
        "@relay.example,@secret:secret",
    ];

    /// How encodings write an `@`, one inside another too.
    const MARKS: [&str; 34] = [
        "@",
        "%40",
        "%2540",
        "%252540",
        "%25252540",
        "%u0040",
        "%25u0040",
        "\\u0040",
        "\\\\u0040",
        "\\\\\\\\u0040",
        "\\u{40}",
        "\\u{0040}",
        "\\U00000040",
        "\\x40",
        "\\x{40}",
        "&#64;",
        "&#064;",
        "&#64",
        "&#x40;",
        "&#X0040;",
        "&commat;",
        "&amp;#64;",
        "&amp;amp;commat;",
        "&#38;#64;",
        "\\u0026#64;",
        "%26%2364%3B",
        "\\u002540",
        "＠",
        "﹫",
        "%EF%BC%A0",
        "%ef%b9%ab",
        "\\uff20",
        "&#65312;",
        "&#xFE6B;",
    ];

    const DOMAINS: [&str; 7] = [
        "example.com",
        "a-b.example.co.uk",
        "[192.168.1.1]",
        "[IPv6:::1]",
        "[IPv6:2001:db8::1]",
        "exämple.中国",
        "example。中国",
    ];

    /// A text in which every character that is not a letter or a digit is written in another way.
    fn spelt(text: &str, write: impl Fn(u32) -> String) -> String {
        let spell = |c: char| if c.is_alphanumeric() { c.to_string() } else { write(c.into()) };
        text.chars().map(spell).collect()
    }

    fn json_text(text: &str) -> String {
        serde_json::to_string(text).unwrap()
    }

    fn xml(text: &str) -> String {
        let text = text.replace('&', "&amp;").replace('"', "&quot;");
        text.replace('<', "&lt;").replace('>', "&gt;")
    }

    fn url(text: &str) -> String {
        let unreserved = |b: u8| b.is_ascii_alphanumeric() || b"-._~".contains(&b);
        text.bytes()
            .map(|b| if unreserved(b) { char::from(b).to_string() } else { format!("%{b:02X}") })
            .collect()
    }

    /// The forms in which a text is around an address, or around a text in another form.
    const FORMS: [fn(&str) -> String; 21] = [
        |x| format!("BAD ADDRESS {x} GIVEN"),
        ToString::to_string,
        |x| format!("A <{x}>, B <{x}>; C"),
        |x| format!("{x},{x};{x}"),
        |x| format!("({x})[{x}]'{x}'`{x}`"),
        |x| format!("mailto:{x}?SUBJECT=A%20B"),
        |x| format!("{{\"A B\":\"C D\",\"EMAIL\":{},\"X\":1}}", json_text(x)),
        |x| format!("{{\"A\": \"C D\", \"E\": [{}, {}]}}", json_text(x), json_text(x)),
        |x| json_text(&json_text(x)),
        |x| json_text(&json_text(&format!("A {} B", json_text(x)))),
        |x| format!("<A B=\"C D\">\n<E>{}</E></A>", xml(x)),
        |x| format!("<A E=\"{}\"/>", xml(&xml(x))),
        |x| format!("HTTPS://A.B/C?EMAIL={}&X=1", url(x)),
        |x| format!("?EMAIL={}&X=1", url(&url(x))),
        |x| format!("A+{}+B", url(x).replace("%20", "+")),
        |x| spelt(x, |c| format!("\\u{c:04x}")),
        |x| spelt(x, |c| format!("\\\\u{c:04X}")),
        |x| spelt(x, |c| format!("&#{c};")),
        |x| spelt(x, |c| format!("\\u{{{c:x}}}")),
        |x| format!("{:?} {:?}", x, Some(format!("{x:?}"))),
        |x| format!("User: arn:aws:sts::111122223333:assumed-role/R/{x} IS NOT"),
    ];

    fn assert_gone(text: &str, parts: &[&str]) {
        let safe = Redacted::new(text).to_string();
        let rest = safe.replace("<e-mail>", "");
        for part in parts {
            assert!(!rest.contains(part), "{part} of {text} is left: {safe}");
        }
    }

    #[test]
    fn no_part_of_an_unusual_address_is_left_however_its_at_is_written() {
        for local in LOCAL_PARTS {
            for domain in DOMAINS {
                for mark in MARKS {
                    let parts = &["ecret", "xample", "192", "db8", "中"];
                    let address = format!("{local}{mark}{domain}");
                    assert_gone(&format!("BAD {address} GIVEN"), parts);
                    assert_gone(&format!("BAD {} GIVEN", address.replace('@', mark)), parts);
                }
                assert_gone(&format!("GIVEN {local} @ {domain}"), &["ecret", "xample"]);
            }
        }
    }

    #[test]
    fn no_part_of_an_address_is_left_in_any_form_of_text_nor_in_one_inside_another() {
        for local in LOCAL_PARTS {
            let address = format!("{local}@example.com");
            for outer in FORMS {
                for inner in FORMS {
                    assert_gone(&outer(&inner(&address)), &["ecret", "xample"]);
                }
            }
        }
    }

    /// Addresses that RFC 5321 and RFC 6531 allow: dot-strings, quoted strings, domains, address literals.
    fn addresses() -> impl Strategy<Value = String> {
        // `z` and `q`: no word of the texts around is like one of these.
        let word = || "[zq][a-z]{3,9}";
        let atom = prop_oneof![
            word(),
            ("[A-Z0-9!#$%&'*+/=?^_`{|}~-]{1,3}", word())
                .prop_map(|(sign, word)| format!("{sign}{word}")),
            ("[é日ß\u{a0}\u{3000}]{1,3}", word()).prop_map(|(sign, word)| format!("{word}{sign}")),
        ];
        let dot_string = vec(atom, 1..5).prop_map(|atoms| atoms.join("."));
        let quoted_part = prop_oneof![
            word(),
            r"[ !#-\[\]-~]{1,3}"
                .prop_map(|text| text.replace(|c: char| c.is_ascii_lowercase(), "@")),
            r"\\[ -@\[-`{-~]",
        ];
        let quoted = vec(quoted_part, 1..9).prop_map(|parts| format!("\"{}\"", parts.concat()));
        let local =
            prop_oneof![dot_string, quoted].prop_filter("RFC 5321", |l| l.chars().count() <= 64);
        let domain = prop_oneof![
            "[A-Z]{1,9}(-[0-9A-Z]{1,4})?(\\.[A-Z]{2,5}){1,3}",
            "(é|中|ß){1,5}\\.(中国|DE)",
            "\\[(1[0-9]{2}\\.){3}[0-9]\\]",
            "\\[IPv6:([0-9a-f]{1,4}:){2,5}:[0-9]\\]",
        ];
        (local, domain).prop_map(|(local, domain)| format!("{local}@{domain}"))
    }

    proptest! {
        #![proptest_config(Config {
            cases: 1_024,
            rng_seed: RngSeed::Fixed(1),
            failure_persistence: None,
            ..Config::default()
        })]

        #[test]
        fn no_four_letters_of_a_local_part_that_rfc_5321_allows_are_left(
            address in addresses(),
            mark in select(MARKS.to_vec()),
            forms in vec(select(FORMS.to_vec()), 0..4),
        ) {
            let local: Vec<char> = address.rsplit_once('@').unwrap().0.chars().collect();
            let pieces: Vec<String> = local
                .windows(4)
                .filter(|piece| piece.iter().all(char::is_ascii_lowercase))
                .map(|piece| piece.iter().collect())
                .collect();
            let address = address.replace('@', mark);
            let text = forms.iter().fold(address, |text, form| form(&text));
            let safe = Redacted::new(&text).to_string().replace("<e-mail>", "");
            let known = FORMS.iter().map(|form| form("")).collect::<String>();
            for piece in pieces.iter().filter(|piece| !known.contains(*piece)) {
                prop_assert!(!safe.contains(piece), "{piece} of {text} is left: {safe}");
            }
        }
    }

    #[test]
    fn a_quoted_local_part_of_any_length_is_taken_out() {
        let words = "secret \\\" ".repeat(200);
        for text in [format!("A \"{words}\"@b.c"), json_text(&format!("A \"{words}\"@b.c"))] {
            assert_gone(&text, &["ecret"]);
        }
        assert_gone("a secret without a quote before it\"@b.c", &["ecret"]);
    }

    #[test]
    fn the_words_around_an_address_are_kept() {
        for (raw, safe) in [
            ("The value a@b.co is bad", "The value <e-mail> is bad"),
            ("The value \"a b\"@b.co is bad", "The value <e-mail> is bad"),
            ("The value a@[192.168.1.1] is bad", "The value <e-mail> is bad"),
            ("The value a%40b.co is bad", "The value <e-mail> is bad"),
            (r#"{"a": "b c", "email": "a@b.co"}"#, r#"{"a": "b c", "email": <e-mail>"}"#),
            ("<M>The value a@b.co</M>", "<M>The value <e-mail></M>"),
            ("a@b.co,c@d.co", "<e-mail>"),
            ("a@b.co, c@d.co; <e@f.co>", "<e-mail>, <e-mail>; <e-mail>>"),
            // An `@` in any spelling is taken for an address, with the word before it.
            ("12 %40x y", "<e-mail> y"),
            ("@", "<e-mail>"),
        ] {
            assert_eq!(Redacted::new(raw).as_str(), safe);
        }
    }

    #[test]
    fn a_text_without_an_address_is_kept_word_for_word() {
        for text in [
            "The request is rejected because the input detectorId is not owned by the current account.",
            "User: arn:aws:sts::222222222222:assumed-role/enroll/f is not authorized to perform: guardduty:GetMembers on resource: arn:aws:guardduty:eu-west-1:222222222222:detector/12abc",
            "444455556666 at 2026-05-28T20:26:40.123+02:00, 50% of 40%, 100 %, %4 %zz %4g limit=40",
            r#"{"a\\b": "\"c\" \n \u00e9 \ud83d\ude00 \u{e9} \x41", "d": ["\\", "&amp;", "&#65;", "&", "&#", "&x;"]}"#,
            "https://sqs.eu-west-1.amazonaws.com/1/q?a=1&amp=2&b=%20%25%2Fx+y#z",
            "at (at) [at] a(t) ＃ à",
            "\\",
            "%",
            "&",
            "\\u",
            "\\u{",
            "\\u{}",
            "\\u{zz}",
            "\\u004",
            "%4",
            "&#;",
            "&#x;",
            "\"",
            ")",
            "\")(\"",
        ] {
            assert_eq!(Redacted::new(text).as_str(), text);
        }
    }

    #[test]
    fn the_cost_is_linear_in_the_length_of_a_text() {
        // A quadratic loop over texts of this length takes minutes.
        for part in [
            "@",
            "a@",
            "\"@",
            "\"a\"@",
            "@[",
            "@ ",
            " @",
            "\\",
            "\\\"",
            "\\\"@",
            "%25",
            "&#0",
            "&amp;",
            "&#",
            "\\u{0",
            "\\u{",
            "(",
            ")@",
            "()@",
            "&",
            "a \"b\"@c ",
            "%",
            "%40",
            "\u{ef}",
            " ",
            "a",
        ] {
            let text = part.repeat(100_000 / part.len());
            for text in [format!("{text}@"), format!("\"{text}\"@"), format!("(&#{text})@{text}")] {
                assert!(Redacted::new(&text).as_str().chars().count() <= 1_001, "{part}");
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
