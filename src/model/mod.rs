//! The network in candle, its configuration, and its weights in and out.

mod bert;
mod blend;
mod calibration;
mod compute;
mod config;
mod directory;
mod json;
mod kinds;
pub mod ops;
mod weights;

pub use bert::{Bert, Dropout};
pub use blend::blend;
pub use calibration::{Calibration, Fitted};
pub use compute::Compute;
pub use config::{Config, Pooling};
pub use directory::{Arithmetic, ModelDirectory};
pub use kinds::{Kinds, KindsFitted};
pub use weights::{Precision, Weights};
