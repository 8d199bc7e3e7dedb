//! Sentence vectors outside of training steps: for dev scores, and of the teacher.

use crate::Result;
use crate::model::Bert;
use crate::text::{Batch, Tokenizer};

/// Tokens of one pass.
const BATCH_TOKENS: usize = 2_048;

/// Sentence vectors of `sentences`, `[sentences][hidden]`, in their order; the network's prefix goes before each.
///
/// # Errors
/// The tokenizer refuses a sentence, or the device fails.
pub fn encode<S: AsRef<str>>(network: &Bert, tokenizer: &Tokenizer, sentences: &[S]) -> Result<Vec<Vec<f32>>> {
    let config = network.config();
    let mut vectors = Vec::with_capacity(sentences.len());
    let mut batch = Batch::new();
    for (position, sentence) in sentences.iter().enumerate() {
        let ids = tokenizer.sentence(&format!("{}{}", config.prefix, sentence.as_ref()), config.max_tokens)?;
        batch.push(&ids, &vec![0; ids.len()]);
        if batch.tokens() >= BATCH_TOKENS || position + 1 == sentences.len() {
            let states = network.forward(&batch, None)?.detach();
            vectors.extend(network.sentence_vectors(&states, &batch)?.detach().to_vec2::<f32>()?);
            batch = Batch::new();
        }
    }
    Ok(vectors)
}
