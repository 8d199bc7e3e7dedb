//! The numbers that matrix products are made of.

use serde::{Deserialize, Serialize};

/// In which numbers the matrix products of the linear layers and of the language-model head are computed, forward and
/// backward. Everything else, the parameters and their optimiser included, is f32.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Compute {
    /// As the numbers are.
    #[default]
    F32,
    /// Rounded to bf16 (8 bits of precision, the range of f32) and added up in f32. Several times as fast where the
    /// processor has instructions for it (AVX-512 BF16); elsewhere the same result, up to the order of the sums, but slower.
    Bf16,
}
