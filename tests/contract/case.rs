//! How names are written.

fn words(name: &str, letter: fn(&char) -> bool) -> bool {
    let word = |word: &str| !word.is_empty() && word.chars().all(|c| letter(&c) || c.is_ascii_digit());
    name.starts_with(|c| letter(&c)) && name.split('_').all(word)
}

/// `like_this`.
pub fn lower_snake(name: &str) -> bool {
    words(name, char::is_ascii_lowercase)
}

/// `LIKE_THIS`.
pub fn upper_snake(name: &str) -> bool {
    words(name, char::is_ascii_uppercase)
}

/// `LikeThis`.
pub fn pascal(name: &str) -> bool {
    name.starts_with(|c: char| c.is_ascii_uppercase()) && name.chars().all(|c| c.is_ascii_alphanumeric())
}

/// `LIKE_THIS` for `LikeThis`.
pub fn upper_snake_of(pascal: &str) -> String {
    let mut name = String::new();
    let mut before = None;
    for c in pascal.chars() {
        if c.is_ascii_uppercase() && before.is_some_and(|b: char| !b.is_ascii_uppercase()) {
            name.push('_');
        }
        name.push(c.to_ascii_uppercase());
        before = Some(c);
    }
    name
}

#[test]
fn names_are_told_apart() {
    for (name, is) in [("faq_id", true), ("min_1", true), ("FaqId", false), ("faq__id", false), ("_id", false)] {
        assert_eq!(lower_snake(name), is, "{name}");
    }
    assert!(upper_snake("INT8_OFF") && !upper_snake("Int8") && !upper_snake(""));
    assert!(pascal("GetBank") && !pascal("getBank") && !pascal("Get_Bank"));
    assert_eq!(upper_snake_of("BankState"), "BANK_STATE");
}
