//! Which questions are on a map, and what is read of them.

use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash, Hasher};

use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use roaring::RoaringBitmap;

use super::super::bank::Shared;
use super::super::catalogue::Catalogue;
use super::super::{Bank, MetadataValue, QuestionId};
use super::{MapRequest, check_waited_for};
use crate::index::{VectorIndex, VectorQuery};
use crate::{Error, Result};

/// Characters of a text that a map shows.
const SHOWN: usize = 200;
/// Near-duplicates that are looked for of each question.
const TWINS: usize = 8;
/// Most comparisons with vectors that have no graph yet, some ten seconds of them. Where the questions of a map would
/// need more, near-duplicates are looked up for some of them only.
const COMPARISONS: u64 = 50_000_000;

/// What is read of a question.
pub(super) struct Drawn {
    pub internal: u32,
    pub id: QuestionId,
    pub text: String,
    pub faq_id: Option<String>,
    /// Hash of the answer.
    pub answer: Option<u64>,
    pub label: Option<String>,
    pub vector: Vec<f32>,
}

/// Questions that were sampled, and what the index found beside them.
#[derive(Default)]
pub(super) struct Sampled {
    pub drawn: Vec<Drawn>,
    /// Cosines of near-duplicates by their internal ids, the lower first. One of two at least is among the drawn.
    pub pairs: BTreeMap<(u32, u32), f32>,
    /// Questions of the bank.
    pub questions: u64,
    /// Of how many of the drawn near-duplicates were looked up.
    pub looked_up: usize,
}

impl Bank {
    /// Reads a sample of the bank, and looks near-duplicates of each up in all of it; of some, evenly spread, while much
    /// of the bank waits for its graph. The catalogue is locked for one question at a time, so that writers get their
    /// turn.
    pub(super) fn sample(&self, request: &MapRequest) -> Result<Sampled> {
        let shared = self.live()?;
        let chosen = choose(shared.catalogue.read().live(), request.points, request.seed);
        let mut sampled = Sampled { questions: shared.catalogue.read().len(), ..Sampled::default() };
        let waiting = sampled.questions.saturating_sub(shared.index.maintained() as u64);
        let lookups = usize::try_from(COMPARISONS / waiting.max(1)).unwrap_or(usize::MAX).clamp(1, chosen.len().max(1));
        for (i, &internal) in chosen.iter().enumerate() {
            check_waited_for()?;
            shared.check_not_deleted()?;
            let catalogue = shared.catalogue.read();
            let Some(drawn) = shared.drawn(&catalogue, internal, request.label.as_deref())? else { continue };
            if is_chosen(i, lookups, chosen.len()) {
                sampled.looked_up += 1;
                let query = VectorQuery { vector: &drawn.vector, k: TWINS + 1, allowed: None, exact: false };
                let found = shared.index.search(query)?;
                let twins = found.iter().filter(|found| found.id != internal && found.score >= request.near_duplicate);
                for twin in twins {
                    let pair = (internal.min(twin.id), internal.max(twin.id));
                    sampled.pairs.insert(pair, twin.score.min(1.0));
                }
            }
            sampled.drawn.push(drawn);
        }
        Ok(sampled)
    }
}

impl Shared {
    /// Reads a question of the catalogue, which the caller has locked; `None` if it is gone.
    pub(super) fn drawn(&self, catalogue: &Catalogue, internal: u32, label: Option<&str>) -> Result<Option<Drawn>> {
        if !catalogue.live().contains(internal) {
            return Ok(None);
        }
        let question = self.question(internal)?;
        let missing = || Error::corrupt(self.banks.path(self.name.as_str()), format!("vector {internal} is missing"));
        let hash = |answer: String| {
            let mut hasher = DefaultHasher::new();
            answer.hash(&mut hasher);
            hasher.finish()
        };
        Ok(Some(Drawn {
            internal,
            label: label.and_then(|key| question.metadata.get(key)).map(shown_value),
            id: question.id,
            text: shortened(&question.text),
            faq_id: question.faq_id,
            answer: question.answer.map(hash),
            vector: self.store.vector(internal)?.ok_or_else(missing)?,
        }))
    }
}

/// All ids where they are no more than `most`; else one of each of `most` stretches of equal length.
fn choose(live: &RoaringBitmap, most: usize, seed: u64) -> Vec<u32> {
    let (all, most) = (live.len(), most as u64);
    if all <= most {
        return live.iter().collect();
    }
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    let start = |stretch: u64| (u128::from(stretch) * u128::from(all) / u128::from(most)) as u32; // ids are u32
    let one = |stretch| live.select(random.random_range(start(stretch)..start(stretch + 1)));
    (0..most).filter_map(one).collect()
}

/// Whether the one at this place is among `some` that are spread evenly over `all`.
pub(super) fn is_chosen(place: usize, some: usize, all: usize) -> bool {
    (place + 1) * some / all > place * some / all
}

fn shown_value(value: &MetadataValue) -> String {
    let text = match value {
        MetadataValue::Flag(flag) => flag.to_string(),
        MetadataValue::Number(number) => number.to_string(),
        MetadataValue::Text(text) => text.clone(),
    };
    shortened(&text)
}

fn shortened(text: &str) -> String {
    match text.char_indices().nth(SHOWN) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sample_has_one_of_each_stretch() {
        let live: RoaringBitmap = (0..1000).map(|i| 7 * i).collect();
        let sample = choose(&live, 30, 1);
        assert_eq!(sample.len(), 30);
        for (stretch, id) in (0..).zip(&sample) {
            assert!(id % 7 == 0 && (1000 * stretch / 30..1000 * (stretch + 1) / 30).contains(&(id / 7)), "{id}");
        }
        assert_eq!(choose(&live, 30, 1), sample);
        assert_ne!(choose(&live, 30, 2), sample);
        assert_eq!(choose(&live, 1000, 1).len(), 1000);
        assert_eq!(choose(&live, 999, 1).len(), 999);
        assert!(choose(&RoaringBitmap::new(), 5, 1).is_empty());
    }

    #[test]
    fn some_of_all_are_spread_evenly() {
        for (some, all) in [(0, 7), (3, 7), (7, 7), (1, 1), (250, 1000)] {
            let chosen: Vec<usize> = (0..all).filter(|&place| is_chosen(place, some, all)).collect();
            assert_eq!(chosen.len(), some);
            assert!(chosen.windows(2).all(|pair| pair[1] - pair[0] <= all.div_ceil(some)));
        }
    }

    #[test]
    fn a_long_text_is_cut_between_characters() {
        assert_eq!(shortened("怎么退款"), "怎么退款");
        let long = shortened(&"退".repeat(300));
        assert_eq!((long.chars().count(), long.chars().last()), (201, Some('…')));
    }
}
