//! simbert: a vector search engine for FAQ retrieval with a built-in SimBERT encoder and paraphraser.
//!
//! One network does two jobs: its pooled `[CLS]` vector finds similar questions, its decoder half writes new ones.
//! The crate trains that network, exports it, serves it, and is the vector search engine its vectors live in.
//!
//! Each module is a room with one job; a room uses only rooms further down this list.
//!
//! | room | its one job |
//! |---|---|
//! | [`cli`] | one file per command: parses, calls, prints |
//! | [`server`] | gRPC services, health, reflection |
//! | [`eval`] | runs a model or a bank over labelled files |
//! | [`engine`] | a bank: encode + store + index as one thing |
//! | [`generate`] | samplers, decode loop, dedupe, rank |
//! | [`index`] | nearest neighbours: exact and by graphs |
//! | [`store`] | every byte on disk, in sled |
//! | [`runtime`] | ONNX Runtime sessions: encoder and decoder |
//! | [`train`] | pairs, losses, schedule, loop, checkpoints, report |
//! | [`onnx`] | writes the ONNX graphs |
//! | [`model`] | the network in candle, the UniLM mask, weights in and out |
//! | [`text`] | tokenizer, truncation, pairs, batches |
//! | [`metrics`] | pure functions: Spearman, recall, reciprocal rank |
//! | [`allocator`] | what becomes of freed memory |
//! | [`error`] | one error enum |

pub mod allocator;
pub mod cli;
pub mod engine;
pub mod error;
pub mod eval;
pub mod generate;
pub mod index;
pub mod metrics;
pub mod model;
pub mod onnx;
pub mod runtime;
pub mod server;
pub mod store;
pub mod text;
pub mod train;

pub use error::{Error, Result};

/// What the targets under `fuzz/` call; there is no other way to it.
#[cfg(fuzzing)]
#[doc(hidden)]
pub mod fuzzing {
    pub use crate::engine::fuzzing::{filter, segment};
    pub use crate::server::fuzzing::{page_token, request, timeout};
    pub use crate::train::fuzzing::groups;
}
