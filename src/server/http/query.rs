//! A query string as a message: each key is a field.

use percent_encoding::percent_decode_str;
use prost_reflect::{DynamicMessage, MessageDescriptor};
use serde_json::{Map, Value};

use super::failure::Failure;

/// The message that a query string means. Keys are named as in JSON or as in the contract; numbers are text there, which
/// the mapping to JSON allows.
///
/// # Errors
/// A key is no field, or comes twice; a value does not fit its field, or is no UTF-8.
pub(super) fn message(input: MessageDescriptor, query: &str) -> Result<DynamicMessage, Failure> {
    let mut fields = Map::new();
    for pair in query.split('&').filter(|pair| !pair.is_empty()) {
        let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
        let (key, value) = (decode(key)?, decode(value)?);
        if fields.insert(key.clone(), Value::String(value)).is_some() {
            return Err(Failure::invalid(format!("query: expected `{key}` once, received it twice")));
        }
    }
    DynamicMessage::deserialize(input, Value::Object(fields))
        .map_err(|error| Failure::invalid(format!("query: {error}")))
}

/// Source: URL Standard, application/x-www-form-urlencoded parsing.
fn decode(text: &str) -> Result<String, Failure> {
    let spaced = text.replace('+', " ");
    let decoded = percent_decode_str(&spaced).decode_utf8();
    decoded.map(Into::into).map_err(|_| Failure::invalid("query: expected UTF-8, received other bytes"))
}

#[cfg(test)]
mod tests {
    use prost_reflect::DescriptorPool;

    use super::*;
    use crate::server::proto;

    #[test]
    fn keys_are_fields_and_values_are_decoded() {
        let pool = DescriptorPool::decode(proto::DESCRIPTORS).unwrap();
        let input = pool.get_message_by_name("simbert.v1.ListQuestionsRequest").unwrap();
        let read = |text: &str| {
            let message = message(input.clone(), text).map_err(|failure| format!("{failure:?}"))?;
            message.transcode_to::<proto::ListQuestionsRequest>().map_err(|e| e.to_string())
        };
        let request = |page_size, page_token: &str| proto::ListQuestionsRequest {
            page_size,
            page_token: page_token.to_owned(),
            ..Default::default()
        };
        assert_eq!(read(""), Ok(request(None, "")));
        assert_eq!(read("page_size=5&page_token=%E9%97%AE+1"), Ok(request(Some(5), "问 1")));
        assert_eq!(read("pageSize=5&"), Ok(request(Some(5), "")));
        for bad in ["page_size=-1", "page_size=many", "size=5", "page_size=1&page_size=2", "page_token=%FF"] {
            assert!(read(bad).unwrap_err().contains("query: "), "{bad}");
        }
    }
}
