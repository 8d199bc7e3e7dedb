//! A search widened by paraphrases of its query: search with each, make one ranking of many.

use std::collections::HashMap;
use std::hash::Hash;
use std::time::Instant;

use super::limits::PHRASES;
use super::lookup::{Group, together};
use super::{Bank, ExpandRequest, Expansion, Fusion, Hit, Keep, Query, SearchRequest, Timings};
use crate::generate::GenerateRequest;
use crate::index::Neighbour;
use crate::{Error, Result};

/// Each phrase is searched this many times deeper than hits are wanted: what is low in every list may still win.
pub(crate) const DEEPER: usize = 3;

impl ExpandRequest {
    /// Refuses what cannot be searched for.
    ///
    /// # Errors
    /// The query is not text, a number is out of its range.
    pub fn check(&self) -> Result<()> {
        self.search.check()?;
        if !matches!(self.search.query, Query::Text(_)) {
            return Err(Error::invalid("query of an expanded search", "a text, to be paraphrased", "a vector"));
        }
        if !(1..=PHRASES).contains(&self.phrases) {
            return Err(Error::invalid("phrases", format!("1 to {PHRASES}"), self.phrases));
        }
        match self.fusion {
            Fusion::ReciprocalRank { k } if !(k.is_finite() && k >= 0.0) => {
                Err(Error::invalid("k of reciprocal rank fusion", "a number from 0", k))
            }
            _ => Ok(()),
        }
    }
}

/// What several rankings make of one item.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Fused {
    /// The item's neighbour with the highest cosine.
    pub(crate) best: Neighbour,
    /// Which ranking that was in.
    ranking: usize,
    rank_score: f32,
}

/// Makes one ranking of many; `key` says what counts as one item. Best first; equals by cosine, then by id.
pub(crate) fn fuse<K: Hash + Eq>(rankings: &[Vec<Neighbour>], fusion: Fusion, key: impl Fn(u32) -> K) -> Vec<Fused> {
    let mut items: HashMap<K, Fused> = HashMap::new();
    for (ranking, neighbours) in rankings.iter().enumerate() {
        for (place, &best) in neighbours.iter().enumerate() {
            let item = items.entry(key(best.id)).or_insert(Fused { best, ranking, rank_score: 0.0 });
            if best.score > item.best.score {
                (item.best, item.ranking) = (best, ranking);
            }
            item.rank_score = match fusion {
                Fusion::ReciprocalRank { k } => item.rank_score + 1.0 / (k + place as f32 + 1.0),
                Fusion::MaximumScore => item.best.score,
            };
        }
    }
    let mut fused: Vec<Fused> = items.into_values().collect();
    fused.sort_unstable_by(|a, b| {
        b.rank_score
            .total_cmp(&a.rank_score)
            .then(b.best.score.total_cmp(&a.best.score))
            .then(a.best.id.cmp(&b.best.id))
    });
    fused
}

impl Bank {
    /// Searches with the query and with generated paraphrases of it, and makes one ranking of all.
    ///
    /// # Errors
    /// The request is out of range, the model has no decoder or fails, or a question is damaged.
    pub fn expand(&self, request: &ExpandRequest) -> Result<Expansion> {
        self.expand_keeping(request, &Ok)
    }

    /// The same, of whose questions `keep` says what becomes of them.
    ///
    /// # Errors
    /// As [`Bank::expand`]; or `keep`'s.
    pub fn expand_keeping(&self, request: &ExpandRequest, keep: Keep<'_>) -> Result<Expansion> {
        request.check()?;
        let shared = self.live()?;
        shared.model.check(&request.search)?;
        let Query::Text(text) = &request.search.query else {
            return Err(Error::Internal("an expanded search by vector was not refused".to_owned()));
        };
        let wish =
            GenerateRequest { text: text.clone(), k: request.phrases, sampling: request.sampling, min_score: None };
        let (phrases, generated) = shared.model.writer()?.write(&wish)?;
        let texts: Vec<String> =
            std::iter::once(text).chain(phrases.iter().map(|phrase| &phrase.text)).cloned().collect();
        let (vectors, encoded) = shared.encode_queries(&texts)?;
        let deeper = SearchRequest { k: request.search.k.saturating_mul(DEEPER), ..request.search.clone() };

        let _span = tracing::debug_span!("search", queries = texts.len()).entered();
        let started = Instant::now();
        let catalogue = shared.catalogue.read();
        // On this thread alone: it holds a lock, and rayon's may want the same lock, behind a writer who waits for us.
        let rankings: Vec<_> =
            vectors.iter().map(|vector| shared.nearest(&catalogue, &deeper, vector)).collect::<Result<_>>()?;
        let fused = if request.search.group_by_faq {
            fuse(&rankings, request.fusion, |id| Group::of(&catalogue, id))
        } else {
            fuse(&rankings, request.fusion, Group::Question)
        };
        let hits = fused.into_iter().take(request.search.k).map(|item| {
            Ok(Hit {
                question: keep(shared.question(item.best.id)?)?,
                score: item.best.score.clamp(-1.0, 1.0),
                probability: shared.model.probability(item.best.score),
                rank_score: item.rank_score,
                phrase: Some(texts[item.ranking].clone()),
            })
        });
        let hits = hits.collect::<Result<_>>()?;
        let search = Timings { search: started.elapsed(), ..Timings::default() };
        Ok(Expansion { hits, phrases, timings: together(together(generated, encoded), search) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ranking(items: &[(u32, f32)]) -> Vec<Neighbour> {
        items.iter().map(|&(id, score)| Neighbour { id, score }).collect()
    }

    #[test]
    fn reciprocal_ranks_add_up() {
        let rankings = [ranking(&[(1, 0.9), (2, 0.8), (3, 0.7)]), ranking(&[(2, 0.95), (4, 0.5)])];
        let fused = fuse(&rankings, Fusion::ReciprocalRank { k: 60.0 }, |id| id);
        assert_eq!(fused.iter().map(|item| item.best.id).collect::<Vec<_>>(), [2, 1, 4, 3]);
        assert!((fused[0].rank_score - (1.0 / 62.0 + 1.0 / 61.0)).abs() < 1e-7);
        assert!((fused[3].rank_score - 1.0 / 63.0).abs() < 1e-7);
        assert_eq!((fused[0].best.score, fused[0].ranking), (0.95, 1));
    }

    #[test]
    fn the_maximum_ignores_ranks() {
        let rankings = [ranking(&[(1, 0.9), (2, 0.8)]), ranking(&[(3, 0.85), (2, 0.84)])];
        let fused = fuse(&rankings, Fusion::MaximumScore, |id| id);
        assert_eq!(
            fused.iter().map(|item| (item.best.id, item.rank_score)).collect::<Vec<_>>(),
            [(1, 0.9), (3, 0.85), (2, 0.84)]
        );
    }

    #[test]
    fn items_of_one_group_count_as_one() {
        let rankings = [ranking(&[(1, 0.9), (3, 0.2)]), ranking(&[(2, 0.95)])];
        let fused = fuse(&rankings, Fusion::ReciprocalRank { k: 60.0 }, |id| id == 3);
        assert_eq!((fused.len(), fused[0].best.id), (2, 2));
    }
}
