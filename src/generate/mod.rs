//! Similar questions from the decoder half: samplers, decode loop, dedupe, rank.

mod draft;
mod paraphraser;
mod sampler;
mod stop;
mod wording;
mod writer;

pub use paraphraser::Paraphraser;
pub use sampler::Sampler;
pub use stop::{Stop, StopOnDrop};
pub use wording::folded;

use serde::Serialize;

use crate::{Error, Result};

/// Most samples of one request.
pub const MAX_SAMPLES: usize = 1000;

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
    /// Same seed, same output.
    pub seed: u64,
}

impl Default for Sampling {
    fn default() -> Self {
        Self { samples: 100, max_tokens: 32, temperature: 1.0, top_k: 5, top_p: 0.95, seed: 42 }
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
#[derive(Debug, Clone, PartialEq)]
pub struct Paraphrase {
    pub text: String,
    /// Cosine of the sentence vectors with the input.
    pub score: f32,
}
