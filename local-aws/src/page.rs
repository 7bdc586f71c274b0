//! A page of a list that is sorted by a key: how long it is, where it begins, and the token for the next one.

/// How many items the page has at most, and the key behind which it begins, which is empty for the first; `None` if the
/// number is out of range or no answer ever gave such a token.
pub(crate) fn asked(
    size: Option<i64>,
    token: Option<&str>,
    most: usize,
    is_key: impl Fn(&str) -> bool,
) -> Option<(usize, &str)> {
    let size = size.map_or(Some(most), |size| usize::try_from(size).ok())?;
    let after =
        token.map_or(Some(""), |token| token.strip_prefix("after-").filter(|key| is_key(key)))?;
    (1..=most).contains(&size).then_some((size, after))
}

/// The first `size` items of the rest of the list, and the token if there are more.
pub(crate) fn cut<'a, T>(
    mut rest: impl Iterator<Item = (&'a String, T)>,
    size: usize,
) -> (Vec<(&'a String, T)>, Option<String>) {
    let shown: Vec<_> = rest.by_ref().take(size).collect();
    let more = rest.next().and(shown.last());
    let token = more.map(|(last, _)| format!("after-{last}"));
    (shown, token)
}
