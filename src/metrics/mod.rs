//! Pure functions that judge a model: rank correlation, retrieval, diversity, overlap, and probabilities fitted to
//! scores and to vectors.
//!
//! ```
//! use simbert::metrics;
//!
//! let spearman = metrics::spearman(&[0.9, 0.2, 0.4], &[1.0, 0.0, 0.5]);
//! assert!(spearman.is_some_and(|correlation| correlation > 0.999));
//! assert_eq!(metrics::recall_at(&[Some(1), Some(3), None, Some(2)], 2), 0.5);
//! ```

mod correlation;
mod curve;
mod diversity;
mod isotonic;
mod logistic;
mod overlap;
mod platt;
mod probability;
mod retrieval;

pub use correlation::spearman;
pub use curve::{Curve, Outcome};
pub use diversity::{distinct_ngrams, distinct_share, self_bleu};
pub use isotonic::isotonic;
pub use logistic::{Logistic, logistic};
pub use overlap::bigram_f1;
pub use platt::platt;
pub use probability::{Bin, Cut, brier_score, calibration_error, cut_at_precision, log_loss, reliability};
pub use retrieval::{recall_at, reciprocal_rank_at};
