//! Runs a model over labelled files: sentence pairs ([`sts`]) and FAQ retrieval ([`faq`]), and fits probabilities to
//! its scores on them ([`calibrate`]).
//!
//! The model comes in as a closure from texts to vectors, so that anything that encodes can be judged: the served
//! encoder, a network in training, a baseline.

mod calibrate;
mod encode;
mod faq;
mod files;
mod sts;

pub use calibrate::{
    Calibrated, Goodness, Method, Sample, WantedPrecision, calibrate, draw_calibration, hit_samples, pair_samples,
};
pub use encode::{Encode, Progress, Step};
pub use faq::{Faq, Paraphrase, faq};
pub use files::{FaqQuestion, LabelledPair, read_pairs, read_queries, read_standard};
pub use sts::{Sts, sts};
