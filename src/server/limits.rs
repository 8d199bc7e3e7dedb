//! What a call may ask for, besides what the engine itself checks. The numbers are part of the contract: `proto/simbert/v1/` names them field by field.

use std::fmt::Display;
use std::ops::RangeInclusive;

use crate::{Error, Result};

/// Texts, questions or ids of one call.
pub const ITEMS: usize = 1024;
/// Bytes of a text to encode; the engine's own limit for a question.
pub const TEXT_BYTES: usize = 8 << 10;
/// Bytes of a bank's description.
pub const DESCRIPTION_BYTES: usize = 4 << 10;
/// Hits of a search, paraphrases of a reply, questions of a page.
pub const HITS: usize = 1000;
/// Queries of a batch.
pub const QUERIES: usize = 256;
/// Hits of a whole batch.
pub const BATCH_HITS: usize = 50_000;
/// Samples drawn by the decoder.
pub const SAMPLES: usize = 1000;
/// New tokens of a sample.
pub const SAMPLE_TOKENS: usize = 512;
/// Phrases of an expanded search.
pub const PHRASES: usize = 100;
/// Points of a bank's map.
pub const POINTS: usize = 10_000;
/// How deep a filter nests.
pub const FILTER_DEPTH: usize = 8;
/// Conditions of a filter.
pub const FILTER_CONDITIONS: usize = 1000;
/// Values of all conditions of a filter.
pub const FILTER_VALUES: usize = 4096;

/// An absent number is `default`; a present one must lie in `1..=most`.
pub(super) fn count(what: &str, received: Option<u32>, default: usize, most: usize) -> Result<usize> {
    let number = received.map_or(default, |n| n as usize);
    in_range(what, number, 1..=most)
}

/// `received` when it lies in the range; NaN lies in none.
pub(super) fn in_range<T: PartialOrd + Display>(what: &str, received: T, range: RangeInclusive<T>) -> Result<T> {
    if range.contains(&received) {
        return Ok(received);
    }
    Err(Error::invalid(what, format!("{} to {}", range.start(), range.end()), received))
}

/// A list of 1 to `most` items.
pub(super) fn items<T>(what: &str, list: Vec<T>, most: usize) -> Result<Vec<T>> {
    in_range(&format!("number of {what}"), list.len(), 1..=most)?;
    Ok(list)
}

/// A text of at most `most` bytes. Its content is left out of the message: it may be private, and it is long.
pub(super) fn bytes(what: &str, text: String, most: usize) -> Result<String> {
    if text.len() <= most {
        return Ok(text);
    }
    Err(Error::invalid(what, format!("at most {most} bytes of text"), format!("{} bytes", text.len())))
}

/// A text that can be encoded: not blank, at most [`TEXT_BYTES`].
pub(super) fn sentence(what: &str, text: String) -> Result<String> {
    if text.trim().is_empty() {
        return Err(Error::invalid(what, "some text", "a blank one"));
    }
    bytes(what, text, TEXT_BYTES)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_absent_count_is_the_default_and_zero_is_refused() {
        assert_eq!(count("k", None, 10, HITS).unwrap(), 10);
        assert_eq!(count("k", Some(1000), 10, HITS).unwrap(), 1000);
        assert_eq!(count("k", Some(0), 10, HITS).unwrap_err().to_string(), "k: expected 1 to 1000, received 0");
        assert!(count("k", Some(1001), 10, HITS).is_err());
    }

    #[test]
    fn nan_lies_in_no_range() {
        assert!(in_range("min_score", f32::NAN, -1.0..=1.0).is_err());
    }

    #[test]
    fn blank_and_enormous_texts_are_refused_without_being_quoted() {
        assert!(sentence("text", " \u{3000}\n".to_owned()).is_err());
        let message = sentence("text", "长".repeat(TEXT_BYTES)).unwrap_err().to_string();
        assert_eq!(message, "text: expected at most 8192 bytes of text, received 24576 bytes");
    }
}
