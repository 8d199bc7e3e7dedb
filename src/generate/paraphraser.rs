//! Writes similar questions and ranks them.

use std::collections::HashSet;
use std::sync::Arc;

use super::wording::folded;
use super::writer::Writer;
use super::{GenerateRequest, Paraphrase};
use crate::model::ModelDirectory;
use crate::runtime::{Decoder, Encoder, RuntimeOptions};
use crate::{Error, Result};

/// Fewest tokens of a source that says something: `[CLS]`, one piece, `[SEP]`.
const LEAST_SOURCE: usize = 3;

/// The encoder and the decoder of one model, as a writer of similar questions. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Paraphraser {
    encoder: Arc<Encoder>,
    decoder: Arc<Decoder>,
    writer: Arc<Writer>,
}

impl Paraphraser {
    /// Loads both halves of the model in `directory`.
    ///
    /// # Errors
    /// See [`Encoder::open`] and [`Decoder::open`].
    pub fn open(directory: &ModelDirectory, options: &RuntimeOptions) -> Result<Self> {
        let encoder = Arc::new(Encoder::open(directory, options)?);
        Self::new(encoder, Arc::new(Decoder::open(directory, options)?))
    }

    /// Joins two halves that are loaded already.
    ///
    /// # Errors
    /// They are of different models.
    pub fn new(encoder: Arc<Encoder>, decoder: Arc<Decoder>) -> Result<Self> {
        if encoder.fingerprint() != decoder.fingerprint() {
            let expected = format!("that of the encoder's model {}", encoder.fingerprint());
            return Err(Error::invalid("decoder", expected, format!("model {}", decoder.fingerprint())));
        }
        let writer = Arc::new(Writer::start(&decoder, encoder.tokenizer())?);
        Ok(Self { encoder, decoder, writer })
    }

    /// Similar questions, best first. Of the samples drawn, blanks, the input itself and all but the first of those
    /// that read alike are dropped (alike: but for width, case, spaces and punctuation). The `k` whose sentence vectors
    /// have the highest cosine with the input's are returned. A long input is cut off where the model's positions no
    /// longer leave room for `max_tokens`. Requests of several threads are written together, and what one gets does not
    /// depend on the others.
    ///
    /// # Errors
    /// The request is out of range, the model fails, or nobody waits any more, which is noticed before each step
    /// ([`while_waited_for`](crate::runtime::while_waited_for)).
    pub fn generate(&self, request: &GenerateRequest) -> Result<Vec<Paraphrase>> {
        request.validate()?;
        let samples = self.samples(request)?;
        // The input goes first, to be compared with.
        let input = std::iter::once(request.text.as_str());
        let texts: Vec<&str> = input.chain(samples.iter().map(String::as_str)).collect();
        let vectors = self.encoder.encode(&texts)?.vectors;
        let cosine = |vector: &[f32]| vectors[0].iter().zip(vector).map(|(a, b)| a * b).sum::<f32>().clamp(-1.0, 1.0);
        let scores: Vec<f32> = vectors[1..].iter().map(|vector| cosine(vector)).collect();
        Ok(ranked(samples, &scores, request))
    }

    /// The samples of a request, each wording once, unranked, in the order in which they were drawn.
    ///
    /// # Errors
    /// See [`Paraphraser::generate`].
    pub fn samples(&self, request: &GenerateRequest) -> Result<Vec<String>> {
        let tokenizer = self.encoder.tokenizer();
        let most = self.decoder.positions().saturating_sub(LEAST_SOURCE);
        if request.sampling.max_tokens > most {
            return Err(Error::invalid(
                "max_tokens",
                format!("at most {most}, which this model's {} positions leave", self.decoder.positions()),
                request.sampling.max_tokens,
            ));
        }
        let limit = (self.decoder.positions() - request.sampling.max_tokens).min(self.encoder.config().max_tokens);
        let source = tokenizer.sentence(&request.text, limit)?;
        let mut seen = HashSet::from([String::new(), folded(&request.text)]);
        let mut samples = Vec::new();
        for target in self.writer.write(source, &request.sampling)? {
            let text = tokenizer.decode(&target)?;
            if seen.insert(folded(&text)) {
                samples.push(text);
            }
        }
        Ok(samples)
    }
}

/// The best `request.k` of `samples`, best first; `scores` are their cosines with the input.
fn ranked(samples: Vec<String>, scores: &[f32], request: &GenerateRequest) -> Vec<Paraphrase> {
    let mut found: Vec<Paraphrase> = samples
        .into_iter()
        .zip(scores)
        .map(|(text, &score)| Paraphrase { text, score })
        .filter(|paraphrase| request.min_score.is_none_or(|least| paraphrase.score >= least))
        .collect();
    found.sort_by(|a, b| b.score.total_cmp(&a.score).then_with(|| a.text.cmp(&b.text)));
    found.truncate(request.k);
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::generate::Sampling;

    #[test]
    fn a_least_score_holds_for_all_and_equals_go_by_text() {
        let request =
            GenerateRequest { text: "问".to_owned(), k: 2, sampling: Sampling::default(), min_score: Some(0.55) };
        let samples = ["b", "a", "c", "d"].map(str::to_owned).to_vec();
        let best: Vec<String> =
            ranked(samples, &[0.6, 0.6, 0.5, 0.58], &request).into_iter().map(|paraphrase| paraphrase.text).collect();
        assert_eq!(best, ["a", "b"]);
    }
}
