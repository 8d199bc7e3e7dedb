//! What a message takes in memory once it is decoded, by its bytes alone: two of them may become a question, which takes
//! sixty times as much. Whoever bounds memory has to know before they are decoded.
//! Source of the encoding: protobuf.dev/programming-guides/encoding, and gRPC over HTTP/2 for the prefix of a message.

use std::collections::HashMap;
use std::sync::Arc;

use bytes::Buf;
use prost_reflect::{Kind, MessageDescriptor};

use super::contract;
use crate::Result;

/// Bytes of a message within another, or of an entry of a map, besides what it holds.
const MESSAGE: usize = 120;
/// Bytes of one of several texts, besides its letters.
const TEXT: usize = 40;
/// How deep messages may lie in each other; no decoder of ours goes deeper.
const DEPTH: usize = 100;
/// Bytes of gRPC's prefix: a flag, and the message's length.
const PREFIX: usize = 5;

/// What each call takes, by its path. Cheap to clone.
#[derive(Clone)]
pub(super) struct Weights(Arc<HashMap<String, MessageDescriptor>>);

impl Weights {
    /// Those of our own calls.
    ///
    /// # Errors
    /// The descriptors are damaged.
    pub fn new() -> Result<Self> {
        let pool = contract::ours()?;
        let inputs = contract::methods(&pool).map(|method| (contract::path(&method), method.input()));
        Ok(Self(Arc::new(inputs.collect())))
    }

    /// A scale for the messages of one call, if it is ours.
    pub fn scale(&self, path: &str) -> Option<Scale> {
        let message = self.0.get(path)?.clone();
        Some(Scale { message, weight: 0, levels: Vec::new(), at: At::Prefix([0; PREFIX], 0) })
    }
}

/// Weighs messages while their bytes come, in pieces of any size.
pub(super) struct Scale {
    /// What the call takes.
    message: MessageDescriptor,
    /// Of the message that comes.
    weight: usize,
    /// The messages that it is in, the innermost last.
    levels: Vec<Level>,
    at: At,
}

/// A message within a message.
struct Level {
    message: MessageDescriptor,
    /// Bytes that are left of it.
    left: usize,
}

/// What the next byte is.
enum At {
    /// Of the prefix, of which so many have come.
    Prefix([u8; PREFIX], usize),
    /// Of the number of a field.
    Tag(Varint),
    /// Of a number that is passed over.
    Number(Varint),
    /// Of the length of what the field of this number holds.
    Length(u32, Varint),
    /// One of so many that are passed over.
    Passed(usize),
    /// One of so many of a message that no decoder will take.
    Lost(usize),
}

/// A number that comes in pieces of seven bits.
#[derive(Clone, Copy, Default)]
struct Varint {
    value: u64,
    bits: u32,
}

impl Varint {
    /// Takes a byte; gives the number when it was the last, and nothing is left of it when there are too many.
    fn take(&mut self, byte: u8) -> Option<Option<u64>> {
        if self.bits >= 64 {
            return Some(None);
        }
        self.value |= u64::from(byte & 0x7F) << self.bits;
        self.bits += 7;
        (byte < 0x80).then_some(Some(self.value))
    }
}

impl Scale {
    /// Takes more bytes; returns what the heaviest message takes of those that they belong to.
    pub fn take(&mut self, mut bytes: &[u8]) -> usize {
        let mut heaviest = self.weight;
        while bytes.has_remaining() {
            self.step(&mut bytes);
            heaviest = heaviest.max(self.weight);
        }
        heaviest
    }

    /// Takes some bytes, or finds that no more of the message are any good.
    fn step(&mut self, bytes: &mut &[u8]) {
        let ended = self.levels.last().is_some_and(|level| level.left == 0);
        if ended {
            return self.lose(); // amid a number
        }
        match &mut self.at {
            At::Prefix(prefix, come) => {
                prefix[*come] = bytes.get_u8();
                *come += 1;
                if *come == PREFIX {
                    let [flag, length @ ..] = *prefix;
                    self.begin(flag, u32::from_be_bytes(length) as usize);
                }
            }
            At::Passed(left) => {
                let (passed, over) = pass(bytes, left);
                self.spend(passed);
                if over {
                    self.next();
                }
            }
            At::Lost(left) => {
                if let (_, true) = pass(bytes, left) {
                    self.next();
                }
            }
            At::Tag(varint) => {
                let number = varint.take(bytes.get_u8());
                self.spend(1);
                match number {
                    None => {}
                    Some(Some(tag)) => self.field(tag),
                    Some(None) => self.lose(),
                }
            }
            At::Number(varint) => {
                let number = varint.take(bytes.get_u8());
                self.spend(1);
                match number {
                    None => {}
                    Some(Some(_)) => self.next(),
                    Some(None) => self.lose(),
                }
            }
            At::Length(field, varint) => {
                let (field, length) = (*field, varint.take(bytes.get_u8()));
                self.spend(1);
                match length {
                    None => {}
                    Some(Some(length)) => self.held(field, length),
                    Some(None) => self.lose(),
                }
            }
        }
    }

    /// A message of so many bytes begins; one that is compressed is refused by whoever reads it.
    fn begin(&mut self, flag: u8, length: usize) {
        self.weight = 0;
        self.levels.clear();
        self.levels.push(Level { message: self.message.clone(), left: length });
        if flag == 0 { self.next() } else { self.lose() }
    }

    /// So many bytes of the innermost message have come.
    fn spend(&mut self, bytes: usize) {
        if let Some(level) = self.levels.last_mut() {
            level.left = level.left.saturating_sub(bytes);
        }
    }

    /// What a field holds is over: the next field begins, of this message or of the one that it is in.
    fn next(&mut self) {
        while self.levels.last().is_some_and(|level| level.left == 0) {
            self.levels.pop();
        }
        self.at = if self.levels.is_empty() { At::Prefix([0; PREFIX], 0) } else { At::Tag(Varint::default()) };
    }

    /// Nobody will decode the rest of the message.
    fn lose(&mut self) {
        let left = self.levels.drain(..).map(|level| level.left).sum();
        self.at = At::Lost(left);
        if left == 0 {
            self.next();
        }
    }

    fn field(&mut self, tag: u64) {
        let left = self.levels.last().map_or(0, |level| level.left);
        let passed = match tag & 7 {
            0 => None,
            1 => Some(8),
            2 => {
                self.at = At::Length((tag >> 3) as u32, Varint::default());
                return if left == 0 {
                    self.lose()
                };
            }
            5 => Some(4),
            _ => return self.lose(),
        };
        match passed {
            _ if left < passed.unwrap_or(1) => self.lose(),
            Some(bytes) => self.at = At::Passed(bytes),
            None => self.at = At::Number(Varint::default()),
        }
    }

    /// So many bytes belong to the field of this number.
    fn held(&mut self, field: u32, length: u64) {
        let Some(level) = self.levels.last_mut() else { return };
        let Some(length) = usize::try_from(length).ok().filter(|length| *length <= level.left) else {
            return self.lose();
        };
        let known = level.message.get_field(field);
        if let Some(Kind::Message(message)) = known.as_ref().map(|field| field.kind()) {
            self.weight = self.weight.saturating_add(MESSAGE);
            level.left -= length;
            self.levels.push(Level { message, left: length });
            return if self.levels.len() > DEPTH { self.lose() } else { self.next() };
        }
        if known.is_some_and(|field| field.is_list() && matches!(field.kind(), Kind::String | Kind::Bytes)) {
            self.weight = self.weight.saturating_add(TEXT);
        }
        self.at = At::Passed(length);
        if length == 0 {
            self.next();
        }
    }
}

/// Passes over as many bytes of those that are `left` as there are; returns how many, and whether none is left.
fn pass(bytes: &mut &[u8], left: &mut usize) -> (usize, bool) {
    let passed = bytes.len().min(*left);
    bytes.advance(passed);
    *left -= passed;
    (passed, *left == 0)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use prost::Message;

    use super::*;
    use crate::server::proto;

    fn scale(method: &str) -> Scale {
        Weights::new().unwrap().scale(&format!("/simbert.v1.{method}")).unwrap()
    }

    fn framed(message: &[u8]) -> Vec<u8> {
        [&[0], &(message.len() as u32).to_be_bytes()[..], message].concat()
    }

    fn weigh(method: &str, message: &impl Message) -> usize {
        scale(method).take(&framed(&message.encode_to_vec()))
    }

    #[test]
    fn empty_questions_weigh_what_they_take() {
        let questions = vec![proto::Question::default(); 1000];
        let request = proto::UpsertQuestionsRequest { bank: "faq".to_owned(), questions };
        assert!(MESSAGE >= size_of::<proto::Question>() && MESSAGE >= size_of::<proto::Filter>());
        assert_eq!(request.encoded_len(), 2005);
        assert_eq!(weigh("QuestionService/UpsertQuestions", &request), 1000 * MESSAGE);
    }

    #[test]
    fn texts_maps_and_nested_messages_count_and_vectors_do_not() {
        let embed = proto::EmbedRequest { texts: vec![String::new(); 10] };
        assert_eq!(weigh("EmbeddingService/Embed", &embed), 10 * TEXT);
        let value = proto::MetadataValue::default();
        let metadata = [("a".to_owned(), value.clone()), ("b".to_owned(), value)].into();
        let question = proto::Question { text: "怎么开户".to_owned(), metadata, ..Default::default() };
        let request = proto::UpsertQuestionsRequest { questions: vec![question], ..Default::default() };
        let weight = weigh("QuestionService/UpsertQuestions", &request);
        assert!((3 * MESSAGE..=5 * MESSAGE).contains(&weight), "{weight}: a question, two entries, their values");
        let vector = proto::Vector { values: vec![0.0; 384] };
        let query = Some(proto::Query { kind: Some(proto::query::Kind::Vector(vector)) });
        let search = proto::SearchRequest { query, ..Default::default() };
        assert_eq!(weigh("SearchService/Search", &search), 2 * MESSAGE);
    }

    #[test]
    fn each_message_of_a_stream_is_weighed_alone() {
        let message = |count| {
            let questions = vec![proto::Question::default(); count];
            framed(&proto::BulkUpsertQuestionsRequest { questions, ..Default::default() }.encode_to_vec())
        };
        let mut scale = scale("QuestionService/BulkUpsertQuestions");
        let weights: Vec<_> = [3, 1, 0].into_iter().map(|count| scale.take(&message(count))).collect();
        assert_eq!(weights, [3 * MESSAGE, 3 * MESSAGE, MESSAGE], "the heaviest that the bytes belong to");
    }

    #[test]
    fn there_is_none_for_calls_that_are_not_ours() {
        assert!(Weights::new().unwrap().scale("/grpc.health.v1.Health/Check").is_none());
    }

    proptest! {
        #[test]
        fn pieces_weigh_what_the_whole_weighs(
            texts in prop::collection::vec("[a-z开户]{0,5}", 0..20), cuts in prop::collection::vec(1_usize..9, 1..9),
        ) {
            let question = |text: &String| proto::Question { text: text.clone(), ..Default::default() };
            let request = proto::UpsertQuestionsRequest {
                questions: texts.iter().map(question).collect(), ..Default::default()
            };
            let bytes = framed(&request.encode_to_vec());
            let mut scale = scale("QuestionService/UpsertQuestions");
            let (mut rest, mut weight) = (&bytes[..], 0);
            for cut in cuts.into_iter().cycle() {
                let (piece, more) = rest.split_at(cut.min(rest.len()));
                weight = scale.take(piece).max(weight);
                rest = more;
                if rest.is_empty() {
                    break;
                }
            }
            prop_assert_eq!(weight, texts.len() * MESSAGE);
        }

        #[test]
        fn whatever_comes_is_survived_and_the_next_message_is_weighed(rubbish in prop::collection::vec(any::<u8>(), 0..200)) {
            let mut scale = scale("SearchService/BatchSearch");
            scale.take(&framed(&rubbish));
            let request = proto::BatchSearchRequest { queries: vec![proto::Query::default()], ..Default::default() };
            prop_assert!(scale.take(&framed(&request.encode_to_vec())) >= MESSAGE);
            let mut loose = self::scale("SearchService/BatchSearch");
            loose.take(&rubbish);
        }
    }
}
