//! Runs a model over labelled files: sentence pairs ([`sts`]), FAQ retrieval ([`faq`]) and generation ([`generation`]);
//! and fits probabilities to its scores on them ([`calibrate`]) and to its vectors ([`fit_kinds`]).
//!
//! The model comes in as a closure, from texts to vectors or from a text to similar ones, so that anything that encodes
//! or writes can be judged: the served model, a network in training, a baseline.

mod calibrate;
mod encode;
mod faq;
mod generation;
mod kinds;
mod sts;

pub use crate::text::{FaqQuestion, LabelledPair, read_pairs, read_queries, read_standard};
pub use calibrate::{
    Calibrated, Goodness, Method, Sample, WantedPrecision, calibrate, draw_calibration, hit_samples, pair_samples,
};
pub use encode::{Encode, Progress, Step};
pub use faq::{Faq, Paraphrase, faq};
pub use generation::{Example, Generation, Rewrite, SentenceRules, WordList, generation, read_examples, read_written};
pub use kinds::{KindLine, KindsFound, fit_kinds, read_kind_lines};
pub use sts::{Sts, sts};
