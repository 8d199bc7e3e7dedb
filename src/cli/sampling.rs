//! How the decoder draws, for every command that lets it write on its own.

use clap::Args;

use crate::generate::{GenerateRequest, Sampling};

#[derive(Args, Debug, Clone)]
pub struct SamplingArgs {
    /// How many sentences to return for a text at most.
    #[arg(short, value_name = "N", default_value_t = 20)]
    pub k: usize,
    /// How many samples to draw, 1 to 1000.
    #[arg(short = 'n', long, value_name = "N", default_value_t = Sampling::default().samples)]
    pub samples: usize,
    /// Most new tokens of a sample.
    #[arg(long, value_name = "N", default_value_t = Sampling::default().max_tokens)]
    max_tokens: usize,
    /// Divides the logits: below 1 bolder choices are rarer, above 1 they are more frequent.
    #[arg(long, value_name = "T", default_value_t = Sampling::default().temperature)]
    temperature: f32,
    /// Draw among the K likeliest tokens only; 0 means all.
    #[arg(long, value_name = "K", default_value_t = Sampling::default().top_k)]
    top_k: usize,
    /// Draw among the likeliest tokens whose probabilities reach P; 1 means all.
    #[arg(long, value_name = "P", default_value_t = Sampling::default().top_p)]
    top_p: f32,
    /// Make TEXT's own words less likely: P is taken off their logits, 0 to 100. 1 to 3 is felt.
    #[arg(long, value_name = "P", default_value_t = Sampling::default().copy_penalty)]
    copy_penalty: f32,
    /// Hide this share of TEXT's words from the decoder, others for each of 8 groups of samples, 0 to 0.9: more variety,
    /// and more nonsense.
    #[arg(long, value_name = "SHARE", default_value_t = Sampling::default().mask_source)]
    mask_source: f32,
    /// Same seed, same sentences.
    #[arg(long, value_name = "SEED", default_value_t = Sampling::default().seed)]
    seed: u64,
    /// Leave out sentences with a lower cosine, −1 to 1.
    #[arg(long, value_name = "COSINE", allow_negative_numbers = true)]
    pub min_score: Option<f32>,
}

impl SamplingArgs {
    /// How samples are drawn.
    pub fn sampling(&self) -> Sampling {
        Sampling {
            samples: self.samples,
            max_tokens: self.max_tokens,
            temperature: self.temperature,
            top_k: self.top_k,
            top_p: self.top_p,
            copy_penalty: self.copy_penalty,
            mask_source: self.mask_source,
            seed: self.seed,
        }
    }

    /// A request for sentences similar to `text`.
    pub fn request(&self, text: &str) -> GenerateRequest {
        GenerateRequest { text: text.to_owned(), k: self.k, sampling: self.sampling(), min_score: self.min_score }
    }
}
