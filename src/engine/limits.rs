//! What the engine bears at most, for whoever sets limits of their own.

/// Bytes of a question's text.
pub const TEXT_BYTES: usize = 8 << 10;
/// Hits of one search.
pub const HITS: usize = 10_000;
/// Samples drawn by the decoder.
pub const SAMPLES: usize = crate::generate::MAX_SAMPLES;
/// Phrases of an expanded search.
pub const PHRASES: usize = 100;
/// Conditions of one filter, values of all of them, and how deep they nest: far above what a person writes, below what a
/// stack holds.
pub const FILTER_CONDITIONS: usize = 10_000;
pub const FILTER_VALUES: usize = 65_536;
pub const FILTER_DEPTH: usize = 32;
