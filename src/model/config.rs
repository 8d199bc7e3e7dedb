//! `config.json`: the shape of the network, in the field names of Hugging Face's BERT plus our own `pooling`.

use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::{Error, Result};

/// How a sentence vector comes out of the last layer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, Default)]
#[serde(rename_all = "snake_case")]
pub enum Pooling {
    /// `W · h_[CLS] + b`, no tanh: SimBERT's sentence vector.
    #[default]
    Pooler,
    /// `h_[CLS]` itself.
    Cls,
    /// The mean of all tokens' states.
    Mean,
}

/// The shape of a BERT with post-LayerNorm, learned positions and erf GELU.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Config {
    pub vocab_size: usize,
    pub hidden_size: usize,
    pub num_hidden_layers: usize,
    pub num_attention_heads: usize,
    pub intermediate_size: usize,
    pub max_position_embeddings: usize,
    #[serde(default = "two")]
    pub type_vocab_size: usize,
    #[serde(default = "layer_norm_eps")]
    pub layer_norm_eps: f64,
    #[serde(default = "dropout")]
    pub hidden_dropout_prob: f64,
    #[serde(default = "gelu")]
    pub hidden_act: String,
    /// Which vector stands for a sentence. Absent in a plain Hugging Face BERT: the pooler.
    #[serde(default)]
    pub pooling: Pooling,
    /// What is put before a text that is to become a sentence vector, as some encoders want it (`query: `).
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub prefix: String,
    /// Most tokens of a single sentence, `[CLS]` and `[SEP]` counted.
    #[serde(default = "max_tokens")]
    pub max_tokens: usize,
    #[serde(default)]
    pub pad_token_id: u32,
    /// `[CLS]`; absent in older configs, then the tokenizer file decides.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bos_token_id: Option<u32>,
    /// `[SEP]`; absent in older configs, then the tokenizer file decides.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub eos_token_id: Option<u32>,
}

fn two() -> usize {
    2
}
fn layer_norm_eps() -> f64 {
    1e-12
}
fn dropout() -> f64 {
    0.1
}
fn gelu() -> String {
    "gelu".to_owned()
}
fn max_tokens() -> usize {
    64
}

impl Config {
    /// Reads and checks a `config.json`.
    ///
    /// # Errors
    /// The file cannot be read, is not JSON of this shape, or names a network we cannot build.
    pub fn from_file(path: impl AsRef<Path>) -> Result<Self> {
        let path = path.as_ref();
        let bytes = std::fs::read(path).map_err(|e| Error::io("read the model's configuration", path, e))?;
        let config: Self = serde_json::from_slice(&bytes)
            .map_err(|e| Error::corrupt(path, format!("expected a BERT configuration in JSON: {e}")))?;
        config.validate().map(|()| config)
    }

    /// Width of one attention head.
    pub fn head_size(&self) -> usize {
        self.hidden_size / self.num_attention_heads
    }

    /// Refuses shapes that make no network.
    ///
    /// # Errors
    /// A zero size, heads that do not divide the width, or an activation other than erf GELU.
    pub fn validate(&self) -> Result<()> {
        // Far above any BERT, and below what overflows when it is multiplied.
        let sizes = [
            ("vocab_size", self.vocab_size, 10_000_000),
            ("hidden_size", self.hidden_size, 65_536),
            ("num_hidden_layers", self.num_hidden_layers, 1000),
            ("num_attention_heads", self.num_attention_heads, 65_536),
            ("intermediate_size", self.intermediate_size, 1_000_000),
            ("max_position_embeddings", self.max_position_embeddings, 1_000_000),
        ];
        for (name, size, most) in sizes {
            if !(1..=most).contains(&size) {
                return Err(Error::invalid(format!("config.json `{name}`"), format!("1 to {most}"), size));
            }
        }
        if !self.hidden_size.is_multiple_of(self.num_attention_heads) {
            return Err(Error::invalid(
                "config.json `hidden_size`",
                format!("a multiple of the {} attention heads", self.num_attention_heads),
                self.hidden_size,
            ));
        }
        if !(2..=1000).contains(&self.type_vocab_size) {
            return Err(Error::invalid(
                "config.json `type_vocab_size`",
                "2 (source and target) to 1000",
                self.type_vocab_size,
            ));
        }
        if self.hidden_act != "gelu" {
            return Err(Error::invalid("config.json `hidden_act`", "`gelu` (by erf)", &self.hidden_act));
        }
        if self.max_tokens < 3 || self.max_tokens > self.max_position_embeddings {
            return Err(Error::invalid(
                "config.json `max_tokens`",
                format!("between 3 and the {} positions", self.max_position_embeddings),
                self.max_tokens,
            ));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_that_nobody_has_memory_for_are_refused() {
        let json = r#"{"vocab_size":5,"hidden_size":4,"num_hidden_layers":2,"num_attention_heads":2,
            "intermediate_size":6,"max_position_embeddings":64}"#;
        let config: Config = serde_json::from_str(json).unwrap();
        config.validate().unwrap();
        let most = usize::MAX;
        let cases = [
            Config { vocab_size: most, ..config.clone() },
            Config { hidden_size: most - 1, ..config.clone() },
            Config { num_hidden_layers: most, ..config.clone() },
            Config { intermediate_size: most, ..config.clone() },
            Config { max_position_embeddings: most, ..config.clone() },
            Config { type_vocab_size: most, ..config },
        ];
        for config in cases {
            let refused = config.validate().unwrap_err().to_string();
            assert!(
                refused.starts_with("config.json `") && refused.contains("1 to ") || refused.contains("to 1000"),
                "{refused}"
            );
        }
    }
}
