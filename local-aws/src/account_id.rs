//! What an account id looks like, alone and in a text.

/// 12 digits.
pub(crate) fn is_account_id(text: &str) -> bool {
    text.len() == 12 && text.bytes().all(|byte| byte.is_ascii_digit())
}

/// Every run of exactly 12 digits once, in their order: the layout of a message is its sender's affair.
pub(crate) fn account_ids_in(text: &str) -> Vec<String> {
    let mut found: Vec<String> = Vec::new();
    for run in text.split(|character: char| !character.is_ascii_digit()) {
        if is_account_id(run) && !found.iter().any(|known| known == run) {
            found.push(run.to_owned());
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn account_ids_are_found_once_each_and_longer_numbers_are_none() {
        let text = r#"{"a":"444455556666","b":[555566667777,4444555566667,"x444455556666y"]}"#;
        assert_eq!(account_ids_in(text), ["444455556666", "555566667777"]);
    }
}
