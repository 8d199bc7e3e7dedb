//! Searching a bank.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rayon::prelude::*;
use roaring::RoaringBitmap;

use super::bank::Shared;
use super::catalogue::Catalogue;
use super::limits::HITS;
use super::{Bank, Hit, Keep, OpenBank, Query, SearchRequest, SearchResponse, Timings, Vectors};
use crate::index::{Neighbour, VectorIndex, VectorQuery};
use crate::runtime::Waiter;
use crate::{Error, Result};

/// How much further each round looks for hits of other FAQs.
const WIDER: usize = 4;
/// Hits that a walk finds soon.
const FEW: usize = 100;

impl SearchRequest {
    /// Refuses what cannot be searched for.
    ///
    /// # Errors
    /// `k` is not 1 to 10,000, the lowest score is not a number, or the lowest probability is none.
    pub fn check(&self) -> Result<()> {
        if !(1..=HITS).contains(&self.k) {
            return Err(Error::invalid("k", format!("1 to {HITS} hits"), self.k));
        }
        match self.min_score {
            Some(score) if score.is_nan() => return Err(Error::invalid("min_score", "a cosine, −1 to 1", "NaN")),
            _ => {}
        }
        match self.min_probability {
            Some(least) if !(0.0..=1.0).contains(&least) => {
                Err(Error::invalid("min_probability", "a probability, 0 to 1", least))
            }
            _ => Ok(()),
        }
    }
}

/// What a hit is told apart by when hits are grouped: its FAQ, or itself where it has none.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) enum Group {
    Faq(Arc<str>),
    Question(u32),
}

impl Group {
    pub(super) fn of(catalogue: &Catalogue, internal: u32) -> Self {
        catalogue.faq_of(internal).map_or(Self::Question(internal), |faq| Self::Faq(Arc::clone(faq)))
    }
}

impl Bank {
    /// The questions nearest to the query, best first; equal scores always in the same order.
    ///
    /// # Errors
    /// The request is out of range or asks for probabilities of a model that has none, the model fails, or a question
    /// is damaged.
    pub fn search(&self, request: &SearchRequest) -> Result<SearchResponse> {
        only(self.search_batch(std::slice::from_ref(request))?)
    }

    /// Many look-ups at once, on all cores. The texts are encoded together: each response carries the encoding's times
    /// for all of them, and its own time for the search.
    ///
    /// # Errors
    /// As [`Bank::search`], for any of the requests.
    pub fn search_batch(&self, requests: &[SearchRequest]) -> Result<Vec<SearchResponse>> {
        self.search_batch_keeping(requests, &Ok)
    }

    /// The same, of whose questions `keep` says what becomes of them.
    ///
    /// # Errors
    /// As [`Bank::search_batch`]; or `keep`'s.
    pub fn search_batch_keeping(&self, requests: &[SearchRequest], keep: Keep<'_>) -> Result<Vec<SearchResponse>> {
        let shared = self.live()?;
        let texts = shared.texts(requests)?;
        let encoded = if texts.is_empty() { Vectors::default() } else { shared.model.encoder.encode(&texts)? };
        shared.search(requests, encoded, keep)
    }
}

impl OpenBank {
    /// As [`Bank::search_batch`], for a `waiter` that takes no thread: returns soon, and hands on, when the vectors are
    /// there, what ends the search. It is as `then` is in [`SentenceEncoder::encode_later`](super::SentenceEncoder::encode_later).
    pub fn search_later(
        self,
        requests: Vec<SearchRequest>,
        waiter: Waiter,
        then: impl FnOnce(Result<EncodedSearch>) + Send + 'static,
    ) {
        let texts = match self.0.texts(&requests) {
            Ok(texts) => texts,
            Err(error) => return then(Err(error)),
        };
        let encoder = Arc::clone(&self.0.model.encoder);
        let encoded = move |vectors: Result<Vectors>| {
            then(vectors.map(|vectors| EncodedSearch { bank: self, requests, vectors }));
        };
        if texts.is_empty() {
            encoded(Ok(Vectors::default()));
        } else {
            encoder.encode_later(texts, waiter, Box::new(encoded));
        }
    }
}

/// Look-ups whose texts have their vectors.
pub struct EncodedSearch {
    bank: OpenBank,
    requests: Vec<SearchRequest>,
    vectors: Vectors,
}

impl EncodedSearch {
    /// Whether it is a walk through the index and little else, as most are. A filter may take a look at every question, and
    /// so may who looks for one hit of each FAQ.
    pub fn is_short(&self) -> bool {
        matches!(&self.requests[..], [one] if one.filter.is_none() && !one.group_by_faq && !one.exact && one.k <= FEW)
    }

    /// Ends the search; this blocks.
    ///
    /// # Errors
    /// As [`Bank::search_batch_keeping`].
    pub fn search(self, keep: Keep<'_>) -> Result<Vec<SearchResponse>> {
        self.bank.0.search(&self.requests, self.vectors, keep)
    }
}

impl Shared {
    /// The texts to encode for `requests`, each of which is checked.
    fn texts(&self, requests: &[SearchRequest]) -> Result<Vec<String>> {
        requests.iter().try_for_each(|request| request.check().and_then(|()| self.model.check(request)))?;
        let texts = requests.iter().filter_map(|request| match &request.query {
            Query::Text(text) => Some(text.clone()),
            Query::Vector(_) => None,
        });
        let texts: Vec<String> = texts.collect();
        check_readable(&texts)?;
        Ok(texts)
    }

    /// Looks up `requests`; `texts` are the vectors of those that are texts.
    fn search(
        &self,
        requests: &[SearchRequest],
        (texts, timings): Vectors,
        keep: Keep<'_>,
    ) -> Result<Vec<SearchResponse>> {
        let mut texts = texts.into_iter();
        let vectors = requests.iter().map(|request| match &request.query {
            Query::Text(_) => texts.next().ok_or_else(|| Error::Internal("a text gave no vector".to_owned())),
            Query::Vector(vector) => unit(vector, self.index.dimension()),
        });
        let vectors = vectors.collect::<Result<Vec<_>>>()?;
        let search = |(request, vector): (&SearchRequest, &Vec<f32>)| {
            let started = Instant::now();
            let catalogue = self.catalogue.read();
            let found = self.nearest(&catalogue, request, vector)?;
            let hits = found.iter().map(|found| self.hit(found, keep)).collect::<Result<_>>()?;
            Ok(SearchResponse { hits, timings: Timings { search: started.elapsed(), ..timings } })
        };
        let _span = tracing::debug_span!("search", queries = requests.len()).entered();
        match requests {
            [request] => Ok(vec![search((request, &vectors[0]))?]), // a vector for each request
            _ => requests.par_iter().zip(&vectors).map(search).collect(),
        }
    }

    pub(super) fn encode_queries(&self, texts: &[String]) -> Result<Vectors> {
        check_readable(texts)?;
        self.model.encoder.encode(texts)
    }

    /// The best questions for one vector, filtered and grouped.
    pub(super) fn nearest(
        &self,
        catalogue: &Catalogue,
        request: &SearchRequest,
        vector: &[f32],
    ) -> Result<Vec<Neighbour>> {
        let allowed = request.filter.as_ref().map(|filter| catalogue.matching(filter)).transpose()?;
        let passes = |neighbour: &Neighbour| {
            let likely = |least| self.model.probability(neighbour.score).is_some_and(|p| p >= least);
            request.min_score.is_none_or(|least| neighbour.score >= least) && request.min_probability.is_none_or(likely)
        };
        let search = |k| {
            let query = VectorQuery { vector, k, allowed: allowed.as_ref(), exact: request.exact };
            self.index.search(query)
        };
        if !request.group_by_faq {
            let mut found = search(request.k)?;
            found.retain(passes);
            return Ok(found);
        }
        let most = allowed.as_ref().map_or(catalogue.len(), RoaringBitmap::len) as usize;
        let mut k = request.k.saturating_mul(2);
        loop {
            let found = search(k)?;
            let exhausted = k >= most || found.last().is_none_or(|last| !passes(last));
            let mut seen = HashSet::new();
            let mut best: Vec<Neighbour> =
                found.into_iter().filter(|neighbour| seen.insert(Group::of(catalogue, neighbour.id))).collect();
            if exhausted || best.len() >= request.k {
                best.retain(passes);
                best.truncate(request.k);
                return Ok(best);
            }
            k = k.saturating_mul(WIDER);
        }
    }

    fn hit(&self, found: &Neighbour, keep: Keep<'_>) -> Result<Hit> {
        let question = keep(self.question(found.id)?)?;
        let score = found.score.clamp(-1.0, 1.0); // rounding
        Ok(Hit { question, score, probability: self.model.probability(score), rank_score: score, phrase: None })
    }
}

/// The response of a search for one request.
pub(crate) fn only(mut responses: Vec<SearchResponse>) -> Result<SearchResponse> {
    responses.pop().ok_or_else(|| Error::Internal("a search gave no response".to_owned()))
}

/// Refuses a query of blanks.
fn check_readable(texts: &[String]) -> Result<()> {
    if texts.iter().any(|text| text.trim().is_empty()) {
        return Err(Error::invalid("query", "a text with something to read", "blanks"));
    }
    Ok(())
}

/// The vector of length 1 in the direction of `vector`.
///
/// # Errors
/// Another width than `dimension`, a component that is not finite, or no direction at all.
pub(super) fn unit(vector: &[f32], dimension: usize) -> Result<Vec<f32>> {
    if vector.len() != dimension {
        return Err(Error::invalid(
            "vector",
            format!("{dimension} components"),
            format!("{} components", vector.len()),
        ));
    }
    let length = vector.iter().map(|&x| f64::from(x).powi(2)).sum::<f64>().sqrt();
    if !length.is_finite() || length == 0.0 {
        return Err(Error::invalid("vector", "finite components that are not all zero", format!("length {length}")));
    }
    Ok(vector.iter().map(|&x| (f64::from(x) / length) as f32).collect())
}

/// Adds up what two stages took.
pub(crate) fn together(a: Timings, b: Timings) -> Timings {
    let Timings { queue, tokenise, infer, generate, search, store } = b;
    let sum = |x: Duration, y: Duration| x.saturating_add(y);
    Timings {
        queue: sum(a.queue, queue),
        tokenise: sum(a.tokenise, tokenise),
        infer: sum(a.infer, infer),
        generate: sum(a.generate, generate),
        search: sum(a.search, search),
        store: sum(a.store, store),
    }
}
