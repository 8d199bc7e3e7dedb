//! Similar questions from the decoder half: samplers, decode loop, dedupe, rank.

mod draft;
mod many;
mod paraphraser;
mod sampler;
mod wording;
mod writer;

pub use paraphraser::Paraphraser;
pub use sampler::Sampler;
pub use wording::folded;

use serde::Serialize;

use crate::{Error, Result};

/// Most samples of one request.
pub const MAX_SAMPLES: usize = 1000;

/// Largest [`Sampling::copy_penalty`]: more than any two logits differ by.
pub const MAX_COPY_PENALTY: f32 = 100.0;
/// Largest [`Sampling::mask_source`].
pub const MAX_MASKED: f32 = 0.9;
/// In how many ways the source of a request is masked.
pub const READINGS: usize = 8;

/// How the next token is drawn. The published SimBERT uses top-k 5, its later versions top-p 0.95.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Sampling {
    /// How many samples are drawn, 1 to 1000.
    pub samples: usize,
    /// Most new tokens of a sample, the closing `[SEP]` counted.
    pub max_tokens: usize,
    /// Divides the logits; above 0.
    pub temperature: f32,
    /// Keep the k likeliest tokens; 0 keeps all.
    pub top_k: usize,
    /// Then keep the likeliest tokens until their sum crosses p, the crossing one included; 1 keeps all.
    pub top_p: f32,
    /// Taken off the logit of each piece of the source, 0 to 100: the higher, the more other words. 0 takes nothing off.
    pub copy_penalty: f32,
    /// Share of the source's pieces that a sample does not get to read, 0 to 0.9: others for each of [`READINGS`] groups
    /// of samples. What is hidden has to be made up, so the higher, the more variety and the more nonsense.
    pub mask_source: f32,
    /// Same seed, same output.
    pub seed: u64,
}

impl Default for Sampling {
    fn default() -> Self {
        Self {
            samples: 100,
            max_tokens: 32,
            temperature: 1.0,
            top_k: 5,
            top_p: 0.95,
            copy_penalty: 0.0,
            mask_source: 0.0,
            seed: 42,
        }
    }
}

impl Sampling {
    /// Checks the ranges that do not depend on a model.
    ///
    /// # Errors
    /// A value is out of its range or not finite.
    pub fn validate(&self) -> Result<()> {
        if !(1..=MAX_SAMPLES).contains(&self.samples) {
            return Err(Error::invalid("samples", format!("1 to {MAX_SAMPLES}"), self.samples));
        }
        if self.max_tokens == 0 {
            return Err(Error::invalid("max_tokens", "at least 1", self.max_tokens));
        }
        if !(self.temperature.is_finite() && self.temperature > 0.0) {
            return Err(Error::invalid("temperature", "a finite number above 0", self.temperature));
        }
        if !(self.top_p > 0.0 && self.top_p <= 1.0) {
            return Err(Error::invalid("top_p", "above 0 and at most 1", self.top_p));
        }
        if !(0.0..=MAX_COPY_PENALTY).contains(&self.copy_penalty) {
            return Err(Error::invalid("copy_penalty", format!("0 to {MAX_COPY_PENALTY}"), self.copy_penalty));
        }
        if !(0.0..=MAX_MASKED).contains(&self.mask_source) {
            return Err(Error::invalid("mask_source", format!("0 to {MAX_MASKED}"), self.mask_source));
        }
        Ok(())
    }
}

/// A wish for similar questions.
#[derive(Debug, Clone, PartialEq)]
pub struct GenerateRequest {
    pub text: String,
    /// Return the best k.
    pub k: usize,
    pub sampling: Sampling,
    /// Leave out what has a lower cosine with the input.
    pub min_score: Option<f32>,
}

impl GenerateRequest {
    /// Checks everything but the model's limits.
    ///
    /// # Errors
    /// The text is blank, or a number is out of its range.
    pub fn validate(&self) -> Result<()> {
        if self.text.trim().is_empty() {
            return Err(Error::invalid("text", "a question to paraphrase", "a blank text"));
        }
        if self.k == 0 {
            return Err(Error::invalid("k", "at least 1", self.k));
        }
        if let Some(score) = self.min_score
            && !(-1.0..=1.0).contains(&score)
        {
            return Err(Error::invalid("min_score", "a cosine, −1 to 1", score));
        }
        self.sampling.validate()
    }
}

/// A generated question.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Paraphrase {
    pub text: String,
    /// Cosine of the sentence vectors with the input.
    pub score: f32,
}
