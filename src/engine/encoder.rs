//! What an engine needs of a model.

use std::sync::Arc;

use super::Timings;
use crate::Result;
use crate::generate::{GenerateRequest, Paraphrase};
use crate::runtime::{CacheUse, Waiter, while_waiting};

/// A unit vector for each text, in their order, and how long they took: `[texts][dimension]`.
pub type Vectors = (Vec<Vec<f32>>, Timings);

/// What is done with vectors, on whatever thread has them. It must not take long: others wait for that thread.
pub type ThenVectors = Box<dyn FnOnce(Result<Vectors>) + Send>;

/// Turns sentences into vectors.
pub trait SentenceEncoder: Send + Sync + 'static {
    /// The vectors of `texts`.
    ///
    /// # Errors
    /// A text cannot be tokenised, or the model fails.
    fn encode(&self, texts: &[String]) -> Result<Vectors>;

    /// As [`SentenceEncoder::encode`], for a `waiter` that takes no thread: returns soon, and hands the vectors on when
    /// they are there. Unless an encoder has a better way, each call has a thread of its own.
    fn encode_later(self: Arc<Self>, texts: Vec<String>, waiter: Waiter, then: ThenVectors) {
        std::thread::spawn(move || then(while_waiting(waiter, || self.encode(&texts))));
    }

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
