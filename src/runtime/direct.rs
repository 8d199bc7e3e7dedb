//! The encoder without anything around it.

use std::sync::Arc;

use super::RuntimeOptions;
use super::network::{Loaded, Network, Reader, load};
use super::weights::SharedWeights;
use crate::Result;
use crate::model::ModelDirectory;

/// An encoder of one session that its caller runs: without queue, threads or cache. What [`Encoder`](super::Encoder) adds to a lone call
/// is measured against it.
pub struct DirectEncoder {
    reader: Reader,
    network: Network,
    _weights: Arc<SharedWeights>,
}

impl DirectEncoder {
    /// Loads what [`Encoder::open`](super::Encoder::open) does, into one session of the threads that each of the encoder's has.
    ///
    /// # Errors
    /// See [`Encoder::open`](super::Encoder::open).
    pub fn open(directory: &ModelDirectory, options: &RuntimeOptions) -> Result<Self> {
        let Loaded { reader, mut networks, weights, .. } = load(directory, options, (1, options.for_encoder().1))?;
        Ok(Self { reader, network: networks.remove(0), _weights: weights })
    }

    /// The unit vector of `text`.
    ///
    /// # Errors
    /// See [`Encoder::encode`](super::Encoder::encode).
    pub fn encode(&mut self, text: &str) -> Result<Vec<f32>> {
        Ok(self.network.run(&[&self.reader.cut(text)?])?.remove(0))
    }
}
