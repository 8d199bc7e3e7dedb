//! Text to token ids and back: tokenizer, truncation, pairs, batches.
//!
//! A sentence becomes `[CLS] pieces… [SEP]`; a pair becomes `[CLS] a [SEP] b [SEP]` with segments 0…0 1…1.
//! Nothing here knows a language or a vocabulary: the tokenizer file decides.

mod batch;
mod tokenizer;

pub use batch::Batch;
pub use tokenizer::{Pair, SpecialIds, Tokenizer};
