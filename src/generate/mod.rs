//! Similar questions from the decoder half: samplers, decode loop, dedupe, rank.

use crate::Result;

/// How the next token is drawn. Source: REFERENCE of SimBERT uses top-k 5, later versions top-p 0.95.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Sampling {
    /// How many samples are drawn, 1 to 1000.
    pub samples: usize,
    /// Most new tokens of a sample.
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
        Self { samples: 100, max_tokens: 32, temperature: 1.0, top_k: 0, top_p: 0.95, seed: 42 }
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

/// A generated question.
#[derive(Debug, Clone, PartialEq)]
pub struct Paraphrase {
    pub text: String,
    /// Cosine of the sentence vectors with the input.
    pub score: f32,
}

/// The encoder and the decoder of one model, as a writer of similar questions.
pub struct Paraphraser {}

#[expect(unused_variables, reason = "skeleton")]
impl Paraphraser {
    /// Similar questions, best first; blanks, duplicates and the input itself are dropped.
    pub fn generate(&self, request: &GenerateRequest) -> Result<Vec<Paraphrase>> {
        todo!()
    }
}
