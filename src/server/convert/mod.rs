//! From the wire's messages to the engine's types, checked on the way, and back.

mod filter;
mod map;
mod mask;
mod question;
mod search;

pub(super) use filter::filter;
pub(super) use map::{bank_map, map_request};
pub(super) use mask::ReadMask;
pub(super) use question::{bank, quantisation, question, question_ids, question_message};
pub(super) use search::{expand_request, generate_request, hit, paraphrase, query, read_mask, search_request, timings};
