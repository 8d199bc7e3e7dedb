//! The numbers that matrix products are made of.

use serde::{Deserialize, Serialize};

/// In which numbers the matrix products of the linear layers and of the language-model head are computed, forward and
/// backward. The parameters, their gradients and their optimiser, normalisations, softmaxes, sentence vectors and losses
/// are f32 in any case.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Compute {
    /// As the numbers are.
    #[default]
    F32,
    /// Rounded to bf16 (8 bits of precision, the range of f32) and added up in f32.
    ///
    /// On the CPU only the factors are rounded. That is several times as fast where the processor has instructions for
    /// it (AVX-512 BF16); elsewhere the same result, up to the order of the sums, but slower.
    ///
    /// On a GPU, which must be of compute capability 8.0 or later, what a product, normalisation or attention leaves for
    /// the next is in bf16 too, and so are the products within the attention. A gradient of a matrix is rounded once on
    /// its way to f32, those of biases and normalisations not at all.
    Bf16,
}
