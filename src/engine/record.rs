//! A question at the door and on disk: what is accepted, and how it is stored.

use super::limits::TEXT_BYTES;
use super::{Metadata, MetadataValue, Question, QuestionId};
use crate::store::{Outline, Record, Value, value};
use crate::{Error, Result};

const ANSWER_BYTES: usize = 256 << 10;
const NAME_BYTES: usize = 512;
const METADATA_VALUES: usize = 64;
const METADATA_TEXT_BYTES: usize = 4 << 10;

impl Question {
    /// Refuses what a bank does not hold: a text that is blank or above 8 KiB, an answer above 256 KiB, a FAQ id that
    /// is empty or above 512 bytes, more than 64 metadata values, a key that is empty or above 512 bytes, a metadata
    /// text above 4 KiB, a number that is not finite.
    ///
    /// # Errors
    /// Names the question, and what is wrong with it.
    pub fn check(&self) -> Result<()> {
        self.check_fields().map_err(|(_, error)| error)
    }

    /// As [`Question::check`], and names the field: `text`, `metadata["lang"]` and the like.
    ///
    /// # Errors
    /// The field, and what is wrong with it.
    pub(crate) fn check_fields(&self) -> Result<(), (String, Error)> {
        let refuse = |field: &str, what: &str, expected: String, received: String| {
            Err((field.to_owned(), Error::invalid(format!("question `{}`, {what}", self.id), expected, received)))
        };
        let between = |field: &str, what: &str, length: usize, least: usize, most: usize| {
            if (least..=most).contains(&length) {
                return Ok(());
            }
            refuse(field, what, format!("{least} to {most} bytes"), format!("{length} bytes"))
        };
        if self.text.trim().is_empty() {
            let received = format!("{} bytes of blanks", self.text.len());
            return refuse("text", "text", "something to read".to_owned(), received);
        }
        between("text", "text", self.text.len(), 1, TEXT_BYTES)?;
        between("answer", "answer", self.answer.as_ref().map_or(0, String::len), 0, ANSWER_BYTES)?;
        if let Some(faq_id) = &self.faq_id {
            between("faq_id", "FAQ id", faq_id.len(), 1, NAME_BYTES)?;
        }
        if self.metadata.len() > METADATA_VALUES {
            let expected = format!("at most {METADATA_VALUES} values");
            return refuse("metadata", "metadata", expected, format!("{} values", self.metadata.len()));
        }
        for (key, value) in &self.metadata {
            between("metadata", "metadata key", key.len(), 1, NAME_BYTES)?;
            let (field, what) = (format!("metadata[{key:?}]"), format!("metadata `{key}`"));
            match value {
                MetadataValue::Text(text) => between(&field, &what, text.len(), 0, METADATA_TEXT_BYTES)?,
                MetadataValue::Number(number) if !number.is_finite() => {
                    return refuse(&field, &what, "a finite number".to_owned(), number.to_string());
                }
                MetadataValue::Number(_) | MetadataValue::Flag(_) => {}
            }
        }
        Ok(())
    }

    /// As it is stored.
    pub(super) fn to_record(&self) -> Record {
        let value = |value: &MetadataValue| match value {
            MetadataValue::Flag(flag) => value::Kind::Flag(*flag),
            MetadataValue::Number(number) => value::Kind::Number(*number),
            MetadataValue::Text(text) => value::Kind::Text(text.clone()),
        };
        let metadata = self.metadata.iter().map(|(key, v)| (key.clone(), Value { kind: Some(value(v)) })).collect();
        Record {
            id: self.id.as_str().to_owned(),
            text: self.text.clone(),
            faq_id: self.faq_id.clone(),
            answer: self.answer.clone(),
            metadata,
        }
    }

    /// As it was stored.
    ///
    /// # Errors
    /// The record has an impossible id or a value without a kind: it is damaged.
    pub(super) fn from_record(record: Record) -> Result<Self> {
        let Record { id, text, faq_id, answer, metadata } = record;
        let (id, faq_id, metadata) = Self::outlined(Outline { id, faq_id, metadata })?;
        Ok(Self { id, text, faq_id, answer, metadata })
    }

    /// Id, FAQ id and metadata as they were stored.
    ///
    /// # Errors
    /// See [`Question::from_record`].
    pub(super) fn outlined(outline: Outline) -> Result<(QuestionId, Option<String>, Metadata)> {
        let damaged = |what| Error::corrupt("a question's record", what);
        let metadata = outline.metadata.into_iter().map(|(key, value)| {
            let value = match value.kind {
                Some(value::Kind::Flag(flag)) => MetadataValue::Flag(flag),
                Some(value::Kind::Number(number)) => MetadataValue::Number(number),
                Some(value::Kind::Text(text)) => MetadataValue::Text(text),
                None => return Err(damaged(format!("the value of `{key}` has no kind"))),
            };
            Ok((key, value))
        });
        let metadata = metadata.collect::<Result<_>>()?;
        let id = QuestionId::new(outline.id).map_err(|e| damaged(e.to_string()))?;
        Ok((id, outline.faq_id, metadata))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn question() -> Question {
        let metadata = [
            ("flag".to_owned(), MetadataValue::Flag(true)),
            ("number".to_owned(), MetadataValue::Number(-0.5)),
            ("text".to_owned(), MetadataValue::Text("值".to_owned())),
        ];
        Question {
            id: QuestionId::new("q 1").unwrap(),
            text: "怎么开户".to_owned(),
            faq_id: Some("open".to_owned()),
            answer: Some(String::new()),
            metadata: metadata.into(),
        }
    }

    #[test]
    fn a_question_survives_its_record() {
        assert_eq!(Question::from_record(question().to_record()).unwrap(), question());
        let bare = Question { faq_id: None, answer: None, metadata: Default::default(), ..question() };
        assert_eq!(Question::from_record(bare.to_record()).unwrap(), bare);
    }

    #[test]
    fn a_refusal_names_the_question_and_the_fault() {
        question().check().unwrap();
        let number = |n: f64| [("n".to_owned(), MetadataValue::Number(n))].into();
        let bad = [
            (Question { text: " \u{3000}\n".to_owned(), ..question() }, "text: expected something to read"),
            (Question { text: "x".repeat(9000), ..question() }, "text: expected 1 to 8192 bytes, received 9000 bytes"),
            (Question { faq_id: Some(String::new()), ..question() }, "FAQ id"),
            (Question { answer: Some("x".repeat(300_000)), ..question() }, "answer"),
            (Question { metadata: number(f64::NAN), ..question() }, "metadata `n`: expected a finite number"),
        ];
        for (question, fault) in bad {
            let (field, error) = question.check_fields().unwrap_err();
            assert!(["text", "faq_id", "answer", "metadata[\"n\"]"].contains(&field.as_str()), "{field}");
            let message = error.to_string();
            assert!(message.starts_with("question `q 1`, ") && message.contains(fault), "{message}");
        }
    }
}
