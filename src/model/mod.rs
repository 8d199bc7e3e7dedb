//! The network in candle, its configuration, and its weights in and out.

mod bert;
mod config;
mod directory;
pub mod ops;
mod weights;

pub use bert::{Bert, Dropout};
pub use config::{Config, Pooling};
pub use directory::{Arithmetic, ModelDirectory};
pub use weights::{Precision, Weights};
