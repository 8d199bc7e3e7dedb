//! What a search takes and gives.

use std::sync::Arc;
use std::time::Duration;

use super::{MetadataValue, Question};
use crate::Result;
use crate::generate::{Paraphrase, Sampling};

/// What to look for.
#[derive(Debug, Clone, PartialEq)]
pub enum Query {
    /// A question, to be encoded.
    Text(String),
    /// A sentence vector of the bank's width; it is normalised first.
    Vector(Vec<f32>),
}

/// Which questions may be found.
#[derive(Debug, Clone, PartialEq)]
pub enum Filter {
    /// The FAQ id is one of these.
    FaqId(Vec<String>),
    /// The metadata value under this key equals one of these.
    In {
        key: String,
        values: Vec<MetadataValue>,
    },
    /// The metadata number under this key lies within `[min, max]`, an absent end being open.
    Range {
        key: String,
        min: Option<f64>,
        max: Option<f64>,
    },
    /// There is a metadata value under this key.
    Exists {
        key: String,
    },
    All(Vec<Filter>),
    Any(Vec<Filter>),
    Not(Box<Filter>),
}

/// One look-up.
#[derive(Debug, Clone, PartialEq)]
pub struct SearchRequest {
    pub query: Query,
    /// How many hits at most: 1 to 10,000.
    pub k: usize,
    pub filter: Option<Arc<Filter>>,
    /// Leave out hits with a lower cosine.
    pub min_score: Option<f32>,
    /// Leave out hits that are less likely right, 0 to 1; for models with a calibration only.
    pub min_probability: Option<f64>,
    /// At most one hit, the best, for each FAQ id.
    pub group_by_faq: bool,
    /// Compare with every vector instead of walking the graph.
    pub exact: bool,
}

impl SearchRequest {
    /// The `k` nearest questions to `text`, unfiltered.
    pub fn text(text: impl Into<String>, k: usize) -> Self {
        Self {
            query: Query::Text(text.into()),
            k,
            filter: None,
            min_score: None,
            min_probability: None,
            group_by_faq: false,
            exact: false,
        }
    }
}

/// A question found.
#[derive(Debug, Clone, PartialEq)]
pub struct Hit {
    pub question: Question,
    /// Cosine with the query, or with the best phrase of an expanded one: −1 to 1.
    pub score: f32,
    /// How likely it is, by that cosine, that it means the same: 0 to 1. Absent where the model has no calibration.
    pub probability: Option<f64>,
    /// What the hits are ordered by: the cosine, or the fused score of an expanded search.
    pub rank_score: f32,
    /// The phrase that found it best, in an expanded search.
    pub phrase: Option<String>,
}

/// How long each stage took.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Timings {
    pub queue: Duration,
    pub tokenise: Duration,
    pub infer: Duration,
    pub generate: Duration,
    pub search: Duration,
    /// Writing to the disk until it is there, or reading by id.
    pub store: Duration,
}

impl Timings {
    /// Each stage by its name.
    pub fn stages(self) -> [(&'static str, Duration); 6] {
        let Self { queue, tokenise, infer, generate, search, store } = self;
        [
            ("queue", queue),
            ("tokenise", tokenise),
            ("infer", infer),
            ("generate", generate),
            ("search", search),
            ("store", store),
        ]
    }

    /// The longer of both, stage by stage: the times of what ran side by side.
    #[must_use]
    pub fn longest(self, other: Self) -> Self {
        Self {
            queue: self.queue.max(other.queue),
            tokenise: self.tokenise.max(other.tokenise),
            infer: self.infer.max(other.infer),
            generate: self.generate.max(other.generate),
            search: self.search.max(other.search),
            store: self.store.max(other.store),
        }
    }
}

/// What becomes of each question that a look-up reads: it may be cut down, or be one too many.
pub type Keep<'a> = &'a (dyn Fn(Question) -> Result<Question> + Sync);

/// What a look-up found, best first.
#[derive(Debug, Clone, PartialEq)]
pub struct SearchResponse {
    pub hits: Vec<Hit>,
    pub timings: Timings,
}

/// How the rankings of several phrases become one.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Fusion {
    /// Reciprocal rank fusion: Σ 1 / (k + rank), ranks from 1 (Cormack et al. 2009, k = 60).
    ReciprocalRank { k: f32 },
    /// The highest cosine over the phrases.
    MaximumScore,
}

/// A look-up widened by generated paraphrases of the query.
#[derive(Debug, Clone, PartialEq)]
pub struct ExpandRequest {
    /// The look-up; its query must be text.
    pub search: SearchRequest,
    /// Most paraphrases to search with, 1 to 100.
    pub phrases: usize,
    pub sampling: Sampling,
    pub fusion: Fusion,
}

/// What an expanded look-up found, and by which phrases.
#[derive(Debug, Clone, PartialEq)]
pub struct Expansion {
    pub hits: Vec<Hit>,
    /// The paraphrases searched with, best first; the query itself is not among them.
    pub phrases: Vec<Paraphrase>,
    pub timings: Timings,
}
