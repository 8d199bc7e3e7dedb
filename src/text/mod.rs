//! Text to token ids and back: tokenizer, truncation, pairs, batches; labelled files.
//!
//! A sentence becomes `[CLS] pieces… [SEP]`; a pair becomes `[CLS] a [SEP] b [SEP]` with segments 0…0 1…1.
//! Nothing here knows a language or a vocabulary: the tokenizer file decides.

mod batch;
mod chunk;
pub(crate) mod labelled;
mod tokenizer;

pub use batch::Batch;
pub use chunk::first_chunk;
pub use labelled::{FaqQuestion, LabelledPair, read_pairs, read_queries, read_standard};
pub use tokenizer::{Pair, SpecialIds, Tokenizer};
