//! The server's parsers for fuzz targets: what a caller sends, turned into the engine's types.

use prost::Message;
use tonic::Status;
use tonic::codegen::http::HeaderValue;

use super::convert::{self, ReadMask};
use super::limits::Limits;
use super::refused::Refused;
use super::{calls, page_token, proto};
use crate::engine::{BankName, QuestionId, fuzzing};

/// Bytes of headers that the strictest client takes.
const HEADERS: usize = 8 << 10;

/// Decodes a request, of a kind that the first byte chooses, and turns it into the engine's types.
pub fn request(bytes: &[u8]) {
    let Some((kind, bytes)) = bytes.split_first() else { return };
    let limits = Limits::default();
    match kind % 8 {
        0 => with(bytes, |message: proto::SearchRequest| {
            convert::read_mask(message.options.as_ref())?;
            let search = convert::search_request(convert::query(message.query, &limits)?, message.options, &limits)?;
            _ = search.check();
            search.filter.iter().for_each(fuzzing::evaluate);
            BankName::new(message.bank).map(drop).map_err(Refused::from)
        }),
        1 => with(bytes, |message: proto::ExpandedSearchRequest| {
            convert::expand_request(message, &limits).map(|request| _ = request.check())
        }),
        2 => with(bytes, |message: proto::GenerateRequest| {
            convert::generate_request(message, &limits).map(|request| request.validate().expect("checked at the door"))
        }),
        3 => with(bytes, |message: proto::Question| {
            let question = convert::question(message.clone(), &limits)?;
            question.check().expect("checked at the door");
            let all = ReadMask::new(None).expect("no mask is one");
            assert_eq!(convert::question_message(question, all).encode_to_vec(), message.encode_to_vec());
            Ok(())
        }),
        4 => with(bytes, |message: proto::UpsertQuestionsRequest| {
            message.questions.into_iter().try_for_each(|question| convert::question(question, &limits).map(drop))
        }),
        5 => with(bytes, |message: proto::GetQuestionsRequest| {
            convert::question_ids(message.ids, &limits)?;
            ReadMask::new(message.read_mask).map(drop)
        }),
        6 => with(bytes, |message: proto::CreateBankRequest| {
            BankName::new(message.name)?;
            convert::quantisation(message.quantisation)?;
            Ok(())
        }),
        _ => with(bytes, |message: proto::Filter| {
            convert::filter(message, &limits).map(|filter| fuzzing::evaluate(&filter))
        }),
    }
}

/// Does something with a message; what is refused has to make a status that fits into headers.
fn with<M: Message + Default>(bytes: &[u8], work: impl FnOnce(M) -> Result<(), Refused>) {
    let Ok(message) = M::decode(bytes) else { return };
    if let Err(refused) = work(message) {
        let answer = Status::from(refused).into_http::<tonic::body::Body>();
        assert!(answer.headers().values().map(HeaderValue::len).sum::<usize>() < HEADERS);
    }
}

/// Reads a page token; one that is read has to be the one that is written.
pub fn page_token(text: &str) {
    if let Ok(Some(last)) = page_token::read("questions of faq", text) {
        assert_eq!(page_token::write("questions of faq", &last).to_lowercase(), text.to_lowercase());
        _ = QuestionId::new(last);
    }
    let written = page_token::write("questions of faq", text);
    assert_eq!(page_token::read("questions of faq", &written).expect("it was written").as_deref(), Some(text));
}

/// Reads a deadline.
pub fn timeout(bytes: &[u8]) {
    if let Ok(value) = HeaderValue::from_bytes(bytes) {
        calls::timeout(&[("grpc-timeout".parse().expect("a name"), value)].into_iter().collect());
    }
}
