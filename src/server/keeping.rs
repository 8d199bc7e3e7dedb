//! What a reply keeps of the questions that it is made of, while they are read: what its mask names, and no more of that
//! than a message may hold.

use std::sync::atomic::{AtomicUsize, Ordering};

use super::convert::ReadMask;
use crate::engine::{MetadataValue, Question};
use crate::{Error, Result};

/// The questions of one reply.
pub(super) struct Keeping {
    wanted: ReadMask,
    /// Bytes that are left of the largest message.
    left: AtomicUsize,
    most: usize,
    /// What the caller might ask for instead.
    instead: &'static str,
}

impl Keeping {
    pub fn new(wanted: ReadMask, most: usize, instead: &'static str) -> Self {
        Self { wanted, left: most.into(), most, instead }
    }

    /// What is wanted of a question.
    ///
    /// # Errors
    /// With this one the reply would be too large.
    pub fn keep(&self, mut question: Question) -> Result<Question> {
        let ReadMask { text, faq_id, answer, metadata } = self.wanted;
        question.answer = question.answer.filter(|_| answer);
        let mut bytes = question.id.as_str().len();
        bytes += if text { question.text.len() } else { 0 };
        bytes += question.faq_id.as_ref().filter(|_| faq_id).map_or(0, |faq_id| faq_id.as_str().len());
        bytes += question.answer.as_ref().map_or(0, String::len);
        if metadata {
            let value = |value: &MetadataValue| if let MetadataValue::Text(text) = value { text.len() } else { 1 };
            bytes += question.metadata.iter().map(|(key, of)| key.len() + value(of)).sum::<usize>();
        } else {
            question.metadata.clear();
        }
        let less = |left: usize| left.checked_sub(bytes);
        match self.left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, less) {
            Ok(_) => Ok(question),
            Err(_) => Err(Error::TooLarge { most: self.most, instead: self.instead }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::QuestionId;

    #[test]
    fn what_is_not_wanted_takes_no_room_and_what_is_fills_it() {
        let question = || Question {
            id: QuestionId::new("q1").unwrap(),
            text: "开户".to_owned(),
            faq_id: None,
            answer: Some("x".repeat(1000)),
            metadata: [("lang".to_owned(), MetadataValue::Text("zh".to_owned()))].into(),
        };
        let only = |field: &str| {
            let mask = prost_types::FieldMask { paths: vec![field.to_owned()] };
            ReadMask::new(Some(mask)).unwrap()
        };
        let texts = Keeping::new(only("text"), 20, "fewer");
        let kept = texts.keep(question()).unwrap();
        assert!(kept.text == "开户" && kept.answer.is_none() && kept.metadata.is_empty());
        texts.keep(question()).unwrap();
        assert!(matches!(texts.keep(question()), Err(Error::TooLarge { most: 20, instead: "fewer" })));
        let all = Keeping::new(only("*"), 2 + 6 + 1000 + 4 + 2, "fewer");
        assert_eq!(all.keep(question()).unwrap(), question());
        assert!(all.keep(question()).is_err());
    }
}
