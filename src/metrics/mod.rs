//! Pure functions that judge a model: rank correlation, retrieval, diversity, overlap.
//!
//! ```
//! use simbert::metrics;
//!
//! let spearman = metrics::spearman(&[0.9, 0.2, 0.4], &[1.0, 0.0, 0.5]);
//! assert!(spearman.is_some_and(|correlation| correlation > 0.999));
//! assert_eq!(metrics::recall_at(&[Some(1), Some(3), None, Some(2)], 2), 0.5);
//! ```

mod correlation;
mod diversity;
mod overlap;
mod retrieval;

pub use correlation::spearman;
pub use diversity::{distinct_ngrams, distinct_share, self_bleu};
pub use overlap::bigram_f1;
pub use retrieval::{recall_at, reciprocal_rank_at};
