//! The network in candle, its configuration, and its weights in and out.

mod config;
mod directory;
pub mod ops;

pub use config::{Config, Pooling};
pub use directory::ModelDirectory;
