//! Page tokens: where a page ended, with a checksum, so that one that was made up, or comes from another list, is told.

use super::refused::Refused;
use crate::Error;

/// Hexadecimal digits of the checksum in front.
const DIGITS: usize = 8;

/// The token of a page of `list` that ended with `last`. It is a last key and not a number, so it is right while others
/// write.
pub(super) fn write(list: &str, last: &str) -> String {
    format!("{:08x}{last}", checksum(list, last))
}

/// After what the page of `list` begins; nothing for the first page.
///
/// # Errors
/// It is no token of this list.
pub(super) fn read(list: &str, token: &str) -> Result<Option<String>, Refused> {
    if token.is_empty() {
        return Ok(None);
    }
    let parts = token.split_at_checked(DIGITS);
    match parts.and_then(|(digits, last)| Some((u32::from_str_radix(digits, 16).ok()?, last))) {
        Some((sum, last)) if sum == checksum(list, last) => Ok(Some(last.to_owned())),
        _ => Err(Error::invalid("page_token", "the `next_page_token` of a page of this list", "another text").into()),
    }
}

fn checksum(list: &str, last: &str) -> u32 {
    let mut sum = crc32fast::Hasher::new();
    for part in [list.as_bytes(), &[0], last.as_bytes()] {
        sum.update(part);
    }
    sum.finalize()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_token_is_read_by_its_list_alone(list in ".*", other in ".*", last in ".*") {
            let token = write(&list, &last);
            prop_assert_eq!(read(&list, &token).unwrap(), Some(last));
            prop_assert!(list == other || read(&other, &token).is_err());
        }

        #[test]
        fn no_text_is_a_token_by_chance(text in ".+") {
            prop_assert!(read("questions of faq", &text).is_err());
        }
    }

    #[test]
    fn the_first_page_has_none() {
        assert_eq!(read("banks", "").unwrap(), None);
    }
}
