//! Questions, their metadata, and banks.

use super::ReadMask;
use crate::Error;
use crate::engine::{BankStatus, MetadataValue, Quantisation, Question, QuestionId};
use crate::server::limits::{ITEMS, Limits, TEXT_BYTES};
use crate::server::proto;
use crate::server::proto::metadata_value::Kind;
use crate::server::refused::{At, Refused};

/// A question that the engine can take.
///
/// # Errors
/// See [`QuestionId::new`] and [`Question::check`]; its text is longer than the server's limit lets it.
pub fn question(message: proto::Question, limits: &Limits) -> Result<Question, Refused> {
    let id = QuestionId::new(message.id).at("id")?;
    let metadata = message.metadata.into_iter().map(|(key, value)| {
        let value = metadata_value(&key, value).at(format!("metadata[{key:?}]"))?;
        Ok((key, value))
    });
    let question = Question {
        text: limits.bytes(&format!("question `{id}`, text"), message.text, TEXT_BYTES).at("text")?,
        faq_id: message.faq_id,
        answer: message.answer,
        metadata: metadata.collect::<Result<_, Refused>>()?,
        id,
    };
    match question.check_fields() {
        Ok(()) => Ok(question),
        Err((field, error)) => Err(error).at(field),
    }
}

/// The value under `key`.
///
/// # Errors
/// There is none.
pub fn metadata_value(key: &str, value: proto::MetadataValue) -> crate::Result<MetadataValue> {
    match value.kind {
        Some(Kind::Flag(flag)) => Ok(MetadataValue::Flag(flag)),
        Some(Kind::Number(number)) => Ok(MetadataValue::Number(number)),
        Some(Kind::Text(text)) => Ok(MetadataValue::Text(text)),
        None => Err(Error::invalid(format!("value of metadata `{key}`"), "a flag, a number or a text", "none")),
    }
}

/// The ids of one call.
pub fn question_ids(ids: Vec<String>, limits: &Limits) -> Result<Vec<QuestionId>, Refused> {
    let ids = limits.items("ids", ids, ITEMS).at("ids")?.into_iter().enumerate();
    ids.map(|(place, id)| QuestionId::new(id).at(format!("ids[{place}]"))).collect()
}

/// A question as it was given; of it, what is wanted.
pub fn question_message(question: Question, wanted: ReadMask) -> proto::Question {
    let value = |value| match value {
        MetadataValue::Flag(flag) => Kind::Flag(flag),
        MetadataValue::Number(number) => Kind::Number(number),
        MetadataValue::Text(text) => Kind::Text(text),
    };
    let metadata = if wanted.metadata { question.metadata } else { Default::default() };
    proto::Question {
        id: question.id.into(),
        text: if wanted.text { question.text } else { String::new() },
        faq_id: question.faq_id.filter(|_| wanted.faq_id),
        answer: question.answer.filter(|_| wanted.answer),
        metadata: metadata.into_iter().map(|(key, v)| (key, proto::MetadataValue { kind: Some(value(v)) })).collect(),
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
        questions_in_graph: status.questions_in_graph,
        quantisation: match status.settings.quantisation {
            Quantisation::Off => proto::Quantisation::Off,
            Quantisation::F16 => proto::Quantisation::F16,
            Quantisation::Int8 => proto::Quantisation::Int8,
        }
        .into(),
        index_bytes: status.index_bytes,
        damaged_graphs: status.damaged_graphs,
    }
}

/// How a new bank's graphs are to see its vectors, where the caller chooses.
///
/// # Errors
/// The number names nothing.
pub fn quantisation(number: i32) -> crate::Result<Option<Quantisation>> {
    match proto::Quantisation::try_from(number) {
        Ok(proto::Quantisation::Unspecified) => Ok(None),
        Ok(proto::Quantisation::Off) => Ok(Some(Quantisation::Off)),
        Ok(proto::Quantisation::F16) => Ok(Some(Quantisation::F16)),
        Ok(proto::Quantisation::Int8) => Ok(Some(Quantisation::Int8)),
        Err(_) => Err(Error::invalid("quantisation", "0 to 3, see bank.proto", number)),
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
        let question = question(message(), &Limits::default()).unwrap();
        assert_eq!(question_message(question.clone(), ReadMask::new(None).unwrap()), message());
        let id = prost_types::FieldMask { paths: vec!["id".to_owned()] };
        let bare = proto::Question { id: message().id, ..Default::default() };
        assert_eq!(question_message(question, ReadMask::new(Some(id)).unwrap()), bare);
    }

    #[test]
    fn each_field_is_checked_and_named() {
        let refused = |change: fn(&mut proto::Question)| {
            let mut bad = message();
            change(&mut bad);
            let refused = question(bad, &Limits { text_bytes: 100, ..Limits::default() }).unwrap_err();
            (refused.field.clone(), refused.to_string())
        };
        let (field, message) = refused(|q| q.id.clear());
        assert!(field == "id" && message.starts_with("question id: expected 1 to 512 bytes"), "{field}: {message}");
        let (field, message) = refused(|q| q.text = " ".to_owned());
        let expected = "question `q1`, text: expected something to read";
        assert!(field == "text" && message.starts_with(expected), "{field}: {message}");
        let (field, message) = refused(|q| q.text = "x".repeat(101));
        let expected = "question `q1`, text: expected at most 100 bytes of text, received 101 bytes; the server's";
        assert!(field == "text" && message.starts_with(expected), "{field}: {message}");
        let (field, message) = refused(|q| _ = q.metadata.insert("k".to_owned(), Default::default()));
        assert!(field == "metadata[\"k\"]" && message.starts_with("value of metadata `k`"), "{field}: {message}");
        let nan = |q: &mut proto::Question| {
            q.metadata.insert("k".to_owned(), proto::MetadataValue { kind: Some(Kind::Number(f64::NAN)) });
        };
        let expected = "question `q1`, metadata `k`: expected a finite number, received NaN".to_owned();
        assert_eq!(refused(nan), ("metadata[\"k\"]".to_owned(), expected));
    }
}
