//! Questions, their metadata, and banks.

use crate::engine::{BankStatus, MetadataValue, Quantisation, Question, QuestionId};
use crate::server::proto::metadata_value::Kind;
use crate::server::{limits, proto};
use crate::{Error, Result};

/// A question that the engine can take.
///
/// # Errors
/// See [`QuestionId::new`] and [`Question::check`].
pub fn question(message: proto::Question) -> Result<Question> {
    let metadata = message.metadata.into_iter().map(|(key, value)| {
        let value = metadata_value(&key, value)?;
        Ok((key, value))
    });
    let question = Question {
        id: QuestionId::new(message.id)?,
        text: message.text,
        faq_id: message.faq_id,
        answer: message.answer,
        metadata: metadata.collect::<Result<_>>()?,
    };
    question.check()?;
    Ok(question)
}

/// The value under `key`.
///
/// # Errors
/// There is none.
pub fn metadata_value(key: &str, value: proto::MetadataValue) -> Result<MetadataValue> {
    match value.kind {
        Some(Kind::Flag(flag)) => Ok(MetadataValue::Flag(flag)),
        Some(Kind::Number(number)) => Ok(MetadataValue::Number(number)),
        Some(Kind::Text(text)) => Ok(MetadataValue::Text(text)),
        None => Err(Error::invalid(format!("value of metadata `{key}`"), "a flag, a number or a text", "none")),
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

/// How a new bank's graphs are to see its vectors.
///
/// # Errors
/// The number names nothing.
pub fn quantisation(number: i32) -> Result<Quantisation> {
    match proto::Quantisation::try_from(number) {
        Ok(proto::Quantisation::Unspecified) => Ok(Quantisation::default()),
        Ok(proto::Quantisation::Off) => Ok(Quantisation::Off),
        Ok(proto::Quantisation::F16) => Ok(Quantisation::F16),
        Ok(proto::Quantisation::Int8) => Ok(Quantisation::Int8),
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
        assert!(refused(|q| q.text = " ".to_owned()).starts_with("question `q1`, text: expected something to read"));
        assert!(
            refused(|q| _ = q.metadata.insert("k".to_owned(), Default::default())).starts_with("value of metadata `k`")
        );
        let nan = |q: &mut proto::Question| {
            q.metadata.insert("k".to_owned(), proto::MetadataValue { kind: Some(Kind::Number(f64::NAN)) });
        };
        assert_eq!(refused(nan), "question `q1`, metadata `k`: expected a finite number, received NaN");
    }
}
