//! Runs a model over labelled files: sentence pairs ([`sts`]) and FAQ retrieval ([`faq`]).
//!
//! The model comes in as a closure from texts to vectors, so that anything that encodes can be judged: the served
//! encoder, a network in training, a baseline.

mod encode;
mod faq;
mod sts;

pub use crate::text::{FaqQuestion, LabelledPair, read_pairs, read_queries, read_standard};
pub use encode::{Encode, Progress, Step};
pub use faq::{Faq, Paraphrase, faq};
pub use sts::{Sts, sts};
