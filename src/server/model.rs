//! What the engine does without a bank.

use crate::Result;
use crate::engine::{Engine, ThenVectors, Timings};
use crate::generate::{GenerateRequest, Paraphrase};
use crate::runtime::{CacheUse, Waiter};

/// The model alone: whoever has this gets at no bank. Cheap to clone.
#[derive(Clone)]
pub(super) struct Model(Engine);

impl Model {
    pub fn of(engine: &Engine) -> Self {
        Self(engine.clone())
    }

    /// See [`Engine::embed_later`].
    pub fn embed_later(&self, texts: Vec<String>, waiter: Waiter, then: ThenVectors) {
        self.0.embed_later(texts, waiter, then);
    }

    /// See [`Engine::generate`].
    pub fn generate(&self, request: &GenerateRequest) -> Result<(Vec<Paraphrase>, Timings)> {
        self.0.generate(request)
    }

    /// See [`Engine::cache`].
    pub fn cache(&self) -> CacheUse {
        self.0.cache()
    }

    /// See [`Engine::dimension`].
    pub fn dimension(&self) -> usize {
        self.0.dimension()
    }

    /// See [`Engine::fingerprint`].
    pub fn fingerprint(&self) -> &str {
        self.0.fingerprint()
    }
}
