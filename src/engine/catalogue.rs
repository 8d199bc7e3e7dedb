//! What a bank keeps in memory of its questions besides their vectors: ids, and who has which value.

use std::collections::{BTreeMap, HashMap};
use std::ops::Bound;
use std::sync::Arc;

use rayon::prelude::*;
use roaring::RoaringBitmap;

use super::limits::{FILTER_CONDITIONS, FILTER_DEPTH, FILTER_VALUES};
use super::{Filter, Metadata, MetadataValue, Question, QuestionId};
use crate::{Error, Result};

/// A finite number in its order; −0 is 0.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Number(f64);

impl Number {
    fn new(number: f64) -> Self {
        Self(number + 0.0)
    }
}
impl Eq for Number {}
impl PartialOrd for Number {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}
impl Ord for Number {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.0.total_cmp(&other.0)
    }
}

/// The questions that have a value under one metadata key.
#[derive(Debug, Default)]
struct Values {
    any: RoaringBitmap,
    flags: [RoaringBitmap; 2],
    numbers: BTreeMap<Number, RoaringBitmap>,
    texts: HashMap<String, RoaringBitmap>,
}

impl Values {
    fn get(&self, value: &MetadataValue) -> Option<&RoaringBitmap> {
        match value {
            MetadataValue::Flag(flag) => Some(&self.flags[usize::from(*flag)]),
            MetadataValue::Number(number) => self.numbers.get(&Number::new(*number)),
            MetadataValue::Text(text) => self.texts.get(text),
        }
    }

    fn insert(&mut self, value: &MetadataValue, internal: u32) {
        self.any.insert(internal);
        match value {
            MetadataValue::Flag(flag) => self.flags[usize::from(*flag)].insert(internal),
            MetadataValue::Number(number) => self.numbers.entry(Number::new(*number)).or_default().insert(internal),
            MetadataValue::Text(text) => match self.texts.get_mut(text) {
                Some(ids) => ids.insert(internal),
                None => self.texts.entry(text.clone()).or_default().insert(internal),
            },
        };
    }

    fn remove(&mut self, value: &MetadataValue, internal: u32) {
        self.any.remove(internal);
        match value {
            MetadataValue::Flag(flag) => {
                self.flags[usize::from(*flag)].remove(internal);
            }
            MetadataValue::Number(number) => {
                let number = Number::new(*number);
                if let Some(ids) = self.numbers.get_mut(&number) {
                    ids.remove(internal);
                    if ids.is_empty() {
                        self.numbers.remove(&number);
                    }
                }
            }
            MetadataValue::Text(text) => {
                if let Some(ids) = self.texts.get_mut(text) {
                    ids.remove(internal);
                    if ids.is_empty() {
                        self.texts.remove(text);
                    }
                }
            }
        }
    }
}

/// Ids and values of a bank's live questions. Inside, a question goes by its internal id.
#[derive(Debug, Default)]
pub(super) struct Catalogue {
    ids: BTreeMap<QuestionId, u32>,
    live: RoaringBitmap,
    faqs: HashMap<Arc<str>, RoaringBitmap>,
    /// Of live questions alone: each rewriting of a question gives it a new internal id.
    faq_of: HashMap<u32, Arc<str>>,
    metadata: HashMap<String, Values>,
}

impl Catalogue {
    pub(super) fn len(&self) -> u64 {
        self.live.len()
    }

    /// Internal ids of all questions.
    pub(super) fn live(&self) -> &RoaringBitmap {
        &self.live
    }

    pub(super) fn faqs(&self) -> u64 {
        self.faqs.len() as u64
    }

    pub(super) fn internal(&self, id: &QuestionId) -> Option<u32> {
        self.ids.get(id).copied()
    }

    /// A question's id; looks through all of them.
    pub(super) fn id_of(&self, internal: u32) -> Option<QuestionId> {
        self.ids.iter().find(|(_, found)| **found == internal).map(|(id, _)| id.clone())
    }

    /// Which FAQ a question phrases.
    pub(super) fn faq_of(&self, internal: u32) -> Option<&Arc<str>> {
        self.faq_of.get(&internal)
    }

    /// Up to `limit` questions in the order of their ids, after `after`.
    pub(super) fn list(&self, after: Option<&QuestionId>, limit: usize) -> Vec<u32> {
        let start = after.map_or(Bound::Unbounded, Bound::Excluded);
        self.ids.range((start, Bound::Unbounded)).take(limit).map(|(_, &internal)| internal).collect()
    }

    /// Number of FAQs once `removed` are gone and `added` are there.
    pub(super) fn faqs_after<'a>(
        &self,
        removed: impl Iterator<Item = &'a Question>,
        added: impl Iterator<Item = &'a Question>,
    ) -> u64 {
        let mut sizes: HashMap<&str, i64> = HashMap::new();
        let questions = removed.map(|question| (question, -1)).chain(added.map(|question| (question, 1)));
        for (question, change) in questions {
            if let Some(faq_id) = question.faq_id.as_deref() {
                let now = || self.faqs.get(faq_id).map_or(0, |ids| ids.len() as i64);
                *sizes.entry(faq_id).or_insert_with(now) += change;
            }
        }
        let change: i64 =
            sizes.iter().map(|(&faq_id, &size)| i64::from(size > 0) - i64::from(self.faqs.contains_key(faq_id))).sum();
        self.faqs().saturating_add_signed(change)
    }

    pub(super) fn insert(&mut self, internal: u32, question: &Question) {
        self.ids.insert(question.id.clone(), internal);
        self.insert_values(internal, question.faq_id.as_deref(), &question.metadata);
    }

    /// Gives all questions that [`Catalogue::insert_values`] took in their ids: at once, which is quicker than one by one.
    ///
    /// # Errors
    /// Two have the same id; gives it back.
    pub(super) fn name_all(&mut self, mut ids: Vec<(QuestionId, u32)>) -> Result<(), QuestionId> {
        ids.par_sort_unstable();
        if let Some([(twice, _), _]) = ids.array_windows().find(|[a, b]| a.0 == b.0) {
            return Err(twice.clone());
        }
        self.ids = ids.into_iter().collect();
        Ok(())
    }

    /// Takes in all of a question but its id.
    pub(super) fn insert_values(&mut self, internal: u32, faq_id: Option<&str>, metadata: &Metadata) {
        self.live.insert(internal);
        if let Some(faq_id) = faq_id {
            let known = self.faqs.get_key_value(faq_id).map(|(key, _)| Arc::clone(key));
            let faq_id = known.unwrap_or_else(|| Arc::from(faq_id));
            self.faqs.entry(Arc::clone(&faq_id)).or_default().insert(internal);
            self.faq_of.insert(internal, faq_id);
        }
        for (key, value) in metadata {
            match self.metadata.get_mut(key) {
                Some(values) => values.insert(value, internal),
                None => self.metadata.entry(key.clone()).or_default().insert(value, internal),
            }
        }
    }

    /// Forgets a question as it was inserted.
    pub(super) fn remove(&mut self, internal: u32, question: &Question) {
        if self.ids.get(&question.id) == Some(&internal) {
            self.ids.remove(&question.id);
        }
        self.live.remove(internal);
        if let Some(faq_id) = self.faq_of.remove(&internal)
            && let Some(ids) = self.faqs.get_mut(&faq_id)
        {
            ids.remove(internal);
            if ids.is_empty() {
                self.faqs.remove(&faq_id);
            }
        }
        for (key, value) in &question.metadata {
            if let Some(values) = self.metadata.get_mut(key) {
                values.remove(value, internal);
                if values.any.is_empty() {
                    self.metadata.remove(key);
                }
            }
        }
    }

    /// The questions that pass `filter`.
    ///
    /// # Errors
    /// The filter is too large, nests too deep, or has a bound that is not a number.
    pub(super) fn matching(&self, filter: &Filter) -> Result<RoaringBitmap> {
        check(filter, 1, &mut Seen::default())?;
        Ok(self.evaluate(filter))
    }

    fn evaluate(&self, filter: &Filter) -> RoaringBitmap {
        let union = |ids: Vec<Option<&RoaringBitmap>>| {
            ids.into_iter().flatten().fold(RoaringBitmap::new(), |all, ids| all | ids)
        };
        match filter {
            Filter::FaqId(faq_ids) => union(faq_ids.iter().map(|faq_id| self.faqs.get(faq_id.as_str())).collect()),
            Filter::In { key, values } => match self.metadata.get(key) {
                Some(held) => union(values.iter().map(|value| held.get(value)).collect()),
                None => RoaringBitmap::new(),
            },
            Filter::Range { key, min, max } => {
                let (min, max) = (min.unwrap_or(f64::NEG_INFINITY), max.unwrap_or(f64::INFINITY));
                match self.metadata.get(key) {
                    // A range that ends before it starts panics.
                    Some(held) if min <= max => union(
                        held.numbers.range(Number::new(min)..=Number::new(max)).map(|(_, ids)| Some(ids)).collect(),
                    ),
                    _ => RoaringBitmap::new(),
                }
            }
            Filter::Exists { key } => self.metadata.get(key).map(|held| held.any.clone()).unwrap_or_default(),
            Filter::All(filters) => filters.iter().fold(self.live.clone(), |left, filter| left & self.evaluate(filter)),
            Filter::Any(filters) => {
                filters.iter().fold(RoaringBitmap::new(), |all, filter| all | self.evaluate(filter))
            }
            Filter::Not(filter) => &self.live - self.evaluate(filter),
        }
    }
}

/// What was seen of a filter so far.
#[derive(Default)]
struct Seen {
    conditions: usize,
    values: usize,
}

fn check(filter: &Filter, depth: usize, seen: &mut Seen) -> Result<()> {
    seen.conditions += 1;
    seen.values += match filter {
        Filter::FaqId(faq_ids) => faq_ids.len(),
        Filter::In { values, .. } => values.len(),
        _ => 0,
    };
    if depth > FILTER_DEPTH || seen.conditions > FILTER_CONDITIONS || seen.values > FILTER_VALUES {
        let expected = format!(
            "at most {FILTER_CONDITIONS} conditions with {FILTER_VALUES} values in all, nested at most {FILTER_DEPTH} deep"
        );
        return Err(Error::invalid("filter", expected, "a larger one"));
    }
    match filter {
        Filter::Range { key, min, max } if [min, max].iter().any(|bound| bound.is_some_and(f64::is_nan)) => {
            Err(Error::invalid(format!("filter on `{key}`"), "bounds that are numbers", "NaN"))
        }
        Filter::All(filters) | Filter::Any(filters) => {
            filters.iter().try_for_each(|filter| check(filter, depth + 1, seen))
        }
        Filter::Not(filter) => check(filter, depth + 1, seen),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn value() -> impl Strategy<Value = MetadataValue> {
        prop_oneof![
            any::<bool>().prop_map(MetadataValue::Flag),
            prop::sample::select(vec![-0.0, 0.0, 1.5, -3.0, 1e300]).prop_map(MetadataValue::Number),
            "[ab]{0,1}".prop_map(MetadataValue::Text),
        ]
    }

    fn question() -> impl Strategy<Value = Question> {
        (0u8..40, prop::option::of("[xyz]"), prop::collection::btree_map("[kl]", value(), 0..3)).prop_map(
            |(id, faq_id, metadata)| Question {
                id: QuestionId::new(format!("q{id}")).unwrap(),
                text: "text".to_owned(),
                faq_id,
                answer: None,
                metadata,
            },
        )
    }

    fn filter() -> impl Strategy<Value = Filter> {
        let bound = || prop::option::of(prop::sample::select(vec![-5.0, -0.0, 0.0, 1.0, f64::INFINITY]));
        let leaf = prop_oneof![
            prop::collection::vec("[xyzw]", 0..3).prop_map(Filter::FaqId),
            ("[klm]", prop::collection::vec(value(), 0..3)).prop_map(|(key, values)| Filter::In { key, values }),
            ("[klm]", bound(), bound()).prop_map(|(key, min, max)| Filter::Range { key, min, max }),
            "[klm]".prop_map(|key| Filter::Exists { key }),
        ];
        leaf.prop_recursive(3, 12, 3, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..3).prop_map(Filter::All),
                prop::collection::vec(inner.clone(), 0..3).prop_map(Filter::Any),
                inner.prop_map(|filter| Filter::Not(Box::new(filter))),
            ]
        })
    }

    fn passes(question: &Question, filter: &Filter) -> bool {
        let held = |key: &String| question.metadata.get(key);
        match filter {
            Filter::FaqId(faq_ids) => question.faq_id.as_ref().is_some_and(|faq_id| faq_ids.contains(faq_id)),
            Filter::In { key, values } => held(key).is_some_and(|value| values.contains(value)),
            Filter::Range { key, min, max } => matches!(held(key), Some(MetadataValue::Number(n))
                if min.is_none_or(|min| *n >= min) && max.is_none_or(|max| *n <= max)),
            Filter::Exists { key } => held(key).is_some(),
            Filter::All(filters) => filters.iter().all(|filter| passes(question, filter)),
            Filter::Any(filters) => filters.iter().any(|filter| passes(question, filter)),
            Filter::Not(filter) => !passes(question, filter),
        }
    }

    proptest! {
        #[test]
        fn filters_give_what_looking_at_each_question_gives(
            questions in prop::collection::vec((question(), 0u8..4), 0..60),
            filters in prop::collection::vec(filter(), 1..8),
        ) {
            let mut catalogue = Catalogue::default();
            let mut held: BTreeMap<QuestionId, (u32, Question)> = BTreeMap::new();
            for (internal, (question, fate)) in (0u32..).zip(questions) {
                let old = held.get(&question.id).cloned();
                let added = (fate > 0).then_some(&question);
                let faqs = catalogue.faqs_after(old.iter().map(|(_, q)| q), added.into_iter());
                if let Some((old, question)) = &old {
                    catalogue.remove(*old, question);
                    held.remove(&question.id);
                }
                if let Some(question) = added {
                    catalogue.insert(internal, question);
                    held.insert(question.id.clone(), (internal, question.clone()));
                }
                prop_assert_eq!(catalogue.faqs(), faqs);
            }
            for filter in &filters {
                let expected: RoaringBitmap =
                    held.values().filter(|(_, question)| passes(question, filter)).map(|(internal, _)| *internal).collect();
                prop_assert_eq!(catalogue.matching(filter).unwrap(), expected, "{:?}", filter);
            }
            prop_assert_eq!(catalogue.list(None, 100), held.values().map(|(internal, _)| *internal).collect::<Vec<_>>());
            for (internal, question) in held.values() {
                catalogue.remove(*internal, question);
            }
            prop_assert!(catalogue.metadata.is_empty() && catalogue.faqs.is_empty() && catalogue.faq_of.is_empty());
        }
    }

    #[test]
    fn a_filter_beyond_the_limits_is_refused() {
        let catalogue = Catalogue::default();
        let leaf = Filter::Exists { key: "k".to_owned() };
        let deep = (0..40).fold(leaf.clone(), |filter, _| Filter::Not(Box::new(filter)));
        let nan = Filter::Range { key: "k".to_owned(), min: Some(f64::NAN), max: None };
        let many = Filter::FaqId(vec!["f".to_owned(); FILTER_VALUES + 1]);
        for filter in [deep, Filter::Any(vec![leaf; FILTER_CONDITIONS]), many, nan] {
            assert!(matches!(catalogue.matching(&filter), Err(Error::Invalid { .. })));
        }
    }
}
