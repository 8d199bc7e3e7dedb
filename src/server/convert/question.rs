//! Questions, their metadata, and banks.

use crate::engine::{BankStatus, Metadata, MetadataValue, Question, QuestionId};
use crate::server::proto::metadata_value::Kind;
use crate::server::{limits, proto};
use crate::{Error, Result};

/// A question that the engine can take.
pub fn question(message: proto::Question) -> Result<Question> {
    Ok(Question {
        id: QuestionId::new(message.id)?,
        text: limits::sentence("question text", message.text)?,
        faq_id: message.faq_id.map(|id| limits::bytes("FAQ id", id, limits::FAQ_ID_BYTES)).transpose()?,
        answer: message.answer.map(|text| limits::bytes("answer", text, limits::ANSWER_BYTES)).transpose()?,
        metadata: metadata(message.metadata.into_iter())?,
    })
}

fn metadata(map: impl ExactSizeIterator<Item = (String, proto::MetadataValue)>) -> Result<Metadata> {
    limits::in_range("number of metadata keys", map.len(), 0..=limits::METADATA_KEYS)?;
    map.map(|(key, value)| {
        limits::in_range("length of a metadata key in bytes", key.len(), 1..=limits::METADATA_KEY_BYTES)?;
        let value = metadata_value(&key, value)?;
        Ok((key, value))
    })
    .collect()
}

/// A value under `key`; numbers are finite.
pub fn metadata_value(key: &str, value: proto::MetadataValue) -> Result<MetadataValue> {
    let what = || format!("metadata value of `{key}`");
    match value.kind {
        Some(Kind::Flag(flag)) => Ok(MetadataValue::Flag(flag)),
        Some(Kind::Number(number)) if number.is_finite() => Ok(MetadataValue::Number(number)),
        Some(Kind::Number(number)) => Err(Error::invalid(what(), "a finite number", number)),
        Some(Kind::Text(text)) => Ok(MetadataValue::Text(limits::bytes(&what(), text, limits::METADATA_TEXT_BYTES)?)),
        None => Err(Error::invalid(what(), "a flag, a number or a text", "none of them")),
    }
}

/// The ids of one call.
pub fn question_ids(ids: Vec<String>) -> Result<Vec<QuestionId>> {
    limits::items("ids", ids, limits::ITEMS)?.into_iter().map(QuestionId::new).collect()
}

/// A question as it was given.
pub fn question_message(question: Question) -> proto::Question {
    let value = |value| match value {
        MetadataValue::Flag(flag) => Kind::Flag(flag),
        MetadataValue::Number(number) => Kind::Number(number),
        MetadataValue::Text(text) => Kind::Text(text),
    };
    proto::Question {
        id: question.id.into(),
        text: question.text,
        faq_id: question.faq_id,
        answer: question.answer,
        metadata: question
            .metadata
            .into_iter()
            .map(|(key, v)| (key, proto::MetadataValue { kind: Some(value(v)) }))
            .collect(),
    }
}

/// What a bank is and holds.
pub fn bank(status: BankStatus) -> proto::Bank {
    proto::Bank {
        name: status.name.into(),
        description: status.settings.description,
        questions: status.questions,
        faqs: status.faqs,
        dimension: status.dimension as u32, // a model is thousands wide at most
        model_fingerprint: status.model_fingerprint,
        bytes_on_disk: status.bytes_on_disk,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message() -> proto::Question {
        let number = proto::MetadataValue { kind: Some(Kind::Number(2.5)) };
        proto::Question {
            id: "q1".to_owned(),
            text: "怎么开户".to_owned(),
            faq_id: Some("f1".to_owned()),
            answer: None,
            metadata: [("price".to_owned(), number)].into(),
        }
    }

    #[test]
    fn a_question_survives_the_way_in_and_out() {
        assert_eq!(question_message(question(message()).unwrap()), message());
    }

    #[test]
    fn each_field_is_checked() {
        let refused = |change: fn(&mut proto::Question)| {
            let mut bad = message();
            change(&mut bad);
            question(bad).unwrap_err().to_string()
        };
        assert!(refused(|q| q.id.clear()).starts_with("question id: expected 1 to 512 bytes"));
        assert!(refused(|q| q.text = " ".to_owned()).starts_with("question text: expected some text"));
        assert!(refused(|q| q.faq_id = Some("f".repeat(513))).starts_with("FAQ id: expected at most 512 bytes"));
        assert!(refused(|q| q.answer = Some("a".repeat(65_537))).starts_with("answer: expected at most 65536 bytes"));
        assert!(refused(|q| _ = q.metadata.insert(String::new(), Default::default())).contains("metadata key"));
        assert!(refused(|q| _ = q.metadata.insert("k".to_owned(), Default::default())).contains("none of them"));
        let nan = |q: &mut proto::Question| {
            q.metadata.insert("k".to_owned(), proto::MetadataValue { kind: Some(Kind::Number(f64::NAN)) });
        };
        assert_eq!(refused(nan), "metadata value of `k`: expected a finite number, received NaN");
    }
}
