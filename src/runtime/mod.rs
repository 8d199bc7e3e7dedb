//! ONNX Runtime sessions: the encoder and the decoder of an exported model directory.

mod attention;
mod batcher;
mod cache;
mod call;
mod decoder;
mod direct;
mod encoder;
mod library;
mod network;
mod patience;
mod pool;
mod queue;
mod vector_cache;
mod weights;

use std::path::PathBuf;

use crate::Error;
use crate::model::Arithmetic;

pub use cache::{Cache, Rows, Slot};
pub use decoder::{Decoder, Logits};
pub use direct::DirectEncoder;
pub use encoder::{EncodeTimings, Encoded, Encoder};
pub use library::DISABLE_TELEMETRY;
pub use patience::{Patience, Waiter, patience, waited_for, while_waited_for, while_waiting};
pub(crate) use patience::{begun, waiter};
pub use vector_cache::CacheUse;

/// How a model is run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RuntimeOptions {
    /// The ONNX Runtime library; searched for when absent.
    pub onnxruntime: Option<PathBuf>,
    /// Threads for inference, all sessions together; 0 for one for each core.
    pub threads: usize,
    /// Sessions of each graph, which run side by side and each hold the weights; 0 for as many as serve best: one for
    /// each thread, but one for every four in the decoder in f32.
    pub sessions: usize,
    /// Most tokens that the encoder computes at once, padding counted; a longer sentence is a batch by itself.
    pub tokens_per_batch: usize,
    /// Bytes for vectors of texts that were encoded lately; 0 for none.
    pub cache_bytes: usize,
}

/// More threads than this gain little on the small matrices of one batch.
const THREADS_PER_SESSION: usize = 4;

impl Default for RuntimeOptions {
    fn default() -> Self {
        Self { onnxruntime: None, threads: 0, sessions: 0, tokens_per_batch: 256, cache_bytes: 0 }
    }
}

impl RuntimeOptions {
    /// Sessions of the encoder, and threads for each of them; both at least 1. By default a session has one thread: two
    /// sessions of one encode 1.3 times (f32) to twice (int8) as many sentences a second as one session of two, whose
    /// threads wait for each other after each of some hundred small operators (`simbert bench encode`).
    fn for_encoder(&self) -> (usize, usize) {
        let (sessions, threads) = self.resolved();
        if self.sessions == 0 { (sessions * threads, 1) } else { (sessions, threads) }
    }

    /// Sessions of the decoder, and threads for each of them; both at least 1. In f32 the threads of a session share the
    /// work of a lone request, which takes 0.7 of the time with two. In int8 the products are so short that one thread
    /// alone is faster, by 1.36 times (`make bench-generate`), and the others serve other requests.
    fn for_decoder(&self, arithmetic: Arithmetic) -> (usize, usize) {
        match arithmetic {
            Arithmetic::F32 => self.resolved(),
            Arithmetic::Int8 => self.for_encoder(),
        }
    }

    /// Sessions, and threads for each of them; both at least 1.
    fn resolved(&self) -> (usize, usize) {
        let cores = || std::thread::available_parallelism().map_or(1, usize::from);
        let threads = if self.threads == 0 { cores() } else { self.threads };
        let sessions = if self.sessions == 0 { threads.div_ceil(THREADS_PER_SESSION) } else { self.sessions };
        (sessions, threads.div_ceil(sessions))
    }
}

/// Turns an error of ONNX Runtime into ours; `action` completes “cannot …”. (Its own error type carries the builder
/// that failed, which is not `Send`.)
fn failed<T>(action: impl Into<String>) -> impl FnOnce(ort::Error<T>) -> Error {
    let action = action.into();
    move |error| Error::Runtime { action, message: error.message().to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn threads_are_shared_out_among_sessions() {
        let resolved = |threads, sessions| RuntimeOptions { threads, sessions, ..Default::default() }.resolved();
        assert_eq!(resolved(1, 0), (1, 1));
        assert_eq!(resolved(8, 0), (2, 4));
        assert_eq!(resolved(8, 8), (8, 1));
        assert_eq!(resolved(2, 3), (3, 1));
        let encoder = |threads, sessions| RuntimeOptions { threads, sessions, ..Default::default() }.for_encoder();
        assert_eq!((encoder(1, 0), encoder(8, 0), encoder(8, 2)), ((1, 1), (8, 1), (2, 4)));
        let options = RuntimeOptions { threads: 8, ..Default::default() };
        let decoder = |arithmetic| options.for_decoder(arithmetic);
        assert_eq!((decoder(Arithmetic::F32), decoder(Arithmetic::Int8)), ((2, 4), (8, 1)));
    }
}
