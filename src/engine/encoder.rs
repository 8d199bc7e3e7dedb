//! What an engine needs of a model.

use super::Timings;
use crate::Result;
use crate::generate::{GenerateRequest, Paraphrase};
use crate::runtime::CacheUse;

/// Turns sentences into vectors.
pub trait SentenceEncoder: Send + Sync {
    /// A unit vector for each text, in their order, and how long it took: `[texts][dimension]`.
    ///
    /// # Errors
    /// A text cannot be tokenised, or the model fails.
    fn encode(&self, texts: &[String]) -> Result<(Vec<Vec<f32>>, Timings)>;

    /// Width of the vectors.
    fn dimension(&self) -> usize;

    /// Names the model: two encoders with one fingerprint give the same vectors.
    fn fingerprint(&self) -> &str;

    /// Texts that wait to be encoded.
    fn queued(&self) -> usize {
        0
    }

    /// How its cache of vectors is used; it need not have one.
    fn cache(&self) -> CacheUse {
        CacheUse::default()
    }
}

/// Writes questions that mean the same.
pub trait QuestionWriter: Send + Sync {
    /// Similar questions, best first, and how long it took. Ends soon once nobody waits
    /// ([`waited_for`](crate::runtime::waited_for)).
    ///
    /// # Errors
    /// The request is out of range, the model fails, or nobody waits any more.
    fn write(&self, request: &GenerateRequest) -> Result<(Vec<Paraphrase>, Timings)>;
}
