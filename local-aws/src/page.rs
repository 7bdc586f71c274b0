//! A page of a list that is sorted by a key: how long it is, where it begins, and the token for the next one.

/// As many items as are wanted, or the most there can be; `None` if the number is out of range.
pub(crate) fn size(wanted: Option<i64>, most: usize) -> Option<usize> {
    wanted.map_or(Some(most), |wanted| {
        let wanted = usize::try_from(wanted).ok()?;
        (1..=most).contains(&wanted).then_some(wanted)
    })
}

/// The key behind which the page begins, which is empty for the first; `None` if no answer ever gave such a token.
pub(crate) fn after(token: Option<&str>, is_key: impl Fn(&str) -> bool) -> Option<&str> {
    token.map_or(Some(""), |token| {
        token.strip_prefix("after-").filter(|key| is_key(key))
    })
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
            let after = after(token.as_deref(), |key| list.contains_key(key)).unwrap();
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
        assert_eq!(
            [None, Some(1), Some(50)].map(|wanted| size(wanted, 50)),
            [Some(50), Some(1), Some(50)]
        );
        assert_eq!([-1, 0, 51].map(|wanted| size(Some(wanted), 50)), [None; 3]);
        assert_eq!(after(Some("a"), |_| true), None);
        assert_eq!(after(Some("after-a"), |_| false), None);
    }
}
