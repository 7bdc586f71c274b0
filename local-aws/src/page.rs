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

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::ops::Bound;

    use super::*;

    /// The keys of all pages, each page asked for with the token of the one before.
    fn pages(list: &BTreeMap<String, u8>, size: usize) -> Vec<Vec<&str>> {
        let mut pages = Vec::new();
        let mut token = None;
        loop {
            let (_, after) =
                asked(None, token.as_deref(), 1, |key| list.contains_key(key)).unwrap();
            let rest = list.range::<str, _>((Bound::Excluded(after), Bound::Unbounded));
            let (shown, next) = cut(rest, size);
            pages.push(shown.iter().map(|(key, _)| key.as_str()).collect());
            token = next;
            if token.is_none() {
                return pages;
            }
        }
    }

    #[test]
    fn every_item_is_on_one_page_and_a_full_last_page_has_no_token() {
        let list = BTreeMap::from(["a", "b", "c", "d"].map(|key| (key.to_owned(), 0)));
        assert_eq!(pages(&list, 3), [vec!["a", "b", "c"], vec!["d"]]);
        assert_eq!(pages(&list, 2), [["a", "b"], ["c", "d"]]);
        assert_eq!(pages(&BTreeMap::new(), 2), [[""; 0]]);
    }

    #[test]
    fn a_size_and_a_token_that_nobody_gave_are_refused() {
        let sizes = [None, Some(1), Some(50)].map(|size| asked(size, None, 50, |_| true));
        assert_eq!(sizes, [50, 1, 50].map(|size| Some((size, ""))));
        for size in [-1, 0, 51] {
            assert_eq!(asked(Some(size), None, 50, |_| true), None);
        }
        assert_eq!(asked(None, Some("a"), 50, |_| true), None);
        assert_eq!(asked(None, Some("after-a"), 50, |_| false), None);
    }
}
