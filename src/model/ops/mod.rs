//! The differentiable operators that training is made of, fast on a CPU.
//!
//! candle multiplies matrices fast, but its other operators are scalar, single-threaded, or have no gradient. These
//! are vectorised, use the current rayon pool, and have gradients for every argument that candle would give one.
//! They serve f32 in host memory; on any other device or type each function is a composition of candle's own
//! operators, so that callers need not tell them apart. A composition's type of numbers is that of its states: given
//! bf16, it multiplies matrices in bf16, computes all else in f32, and returns bf16.
//!
//! Results depend neither on the number of threads nor on what other work the pool has.

mod attention;
mod blocks;
mod cross_entropy;
mod dropout;
mod embedding;
mod gathered;
mod gelu;
mod host;
mod layer_norm;
mod linear;
mod matmul;
mod mixed;
mod rows;
mod simd;
mod tied_cross_entropy;

#[cfg(test)]
mod check;
#[cfg(test)]
mod timing;

pub use attention::{AttentionLayout, attention};
pub use blocks::{linear_gelu, self_attention};
pub use cross_entropy::cross_entropy;
pub use dropout::dropout;
pub use embedding::embedding;
pub use gathered::{Tokens, attend};
pub use gelu::{bias_gelu, gelu};
pub use layer_norm::{dropout_residual_layer_norm, layer_norm, residual_layer_norm};
pub use linear::{linear, project};
pub use tied_cross_entropy::tied_cross_entropy;
