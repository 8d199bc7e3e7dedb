//! Read masks: which fields of a question a caller wants.

use prost_types::FieldMask;

use crate::Error;
use crate::server::refused::Refused;

/// Which fields of a question go out, besides its id.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ReadMask {
    pub text: bool,
    pub faq_id: bool,
    pub answer: bool,
    pub metadata: bool,
}

impl ReadMask {
    const ALL: Self = Self { text: true, faq_id: true, answer: true, metadata: true };
    const NONE: Self = Self { text: false, faq_id: false, answer: false, metadata: false };

    /// What a mask names; everything where there is none, or an empty one.
    ///
    /// # Errors
    /// A path names no field of a question.
    pub fn new(mask: Option<FieldMask>) -> Result<Self, Refused> {
        let Some(FieldMask { paths }) = mask.filter(|mask| !mask.paths.is_empty()) else { return Ok(Self::ALL) };
        let mut wanted = Self::NONE;
        for path in paths {
            match path.as_str() {
                "id" => {}
                "text" => wanted.text = true,
                "faq_id" => wanted.faq_id = true,
                "answer" => wanted.answer = true,
                "metadata" => wanted.metadata = true,
                "*" => wanted = Self::ALL,
                _ => {
                    let expected = "`id`, `text`, `faq_id`, `answer`, `metadata`, or `*` for all";
                    return Err(Error::invalid("read_mask", expected, format!("`{path}`")).into());
                }
            }
        }
        Ok(wanted)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mask(paths: &[&str]) -> Result<ReadMask, Refused> {
        ReadMask::new(Some(FieldMask { paths: paths.iter().map(|&path| path.to_owned()).collect() }))
    }

    #[test]
    fn what_is_named_is_wanted() {
        assert_eq!(ReadMask::new(None).unwrap(), ReadMask::ALL);
        assert_eq!(mask(&[]).unwrap(), ReadMask::ALL);
        assert_eq!(mask(&["id"]).unwrap(), ReadMask::NONE);
        assert_eq!(mask(&["text", "text"]).unwrap(), ReadMask { text: true, ..ReadMask::NONE });
        assert_eq!(mask(&["answer", "*"]).unwrap(), ReadMask::ALL);
    }

    #[test]
    fn what_is_no_field_is_refused() {
        for path in ["", "Text", "question.text", "metadata.lang"] {
            let sentence = mask(&["text", path]).unwrap_err().to_string();
            assert!(sentence.contains("expected `id`, `text`") && sentence.contains(path), "{sentence}");
        }
    }
}
