//! Which sentences a step sees: the draw of each batch, from the seed and the step alone.

use std::collections::HashMap;

use rand::seq::{IndexedRandom, SliceRandom};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::groups::{Corpus, fold, overlap};
use super::noise::Noise;
use super::{DataSettings, OptimizerSettings};
use crate::text::{Batch, Tokenizer};
use crate::{Error, Result};

/// One sequence of a batch, before it is cut into tokens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Row<'a> {
    pub text: &'a str,
    /// What it shall write, if anything.
    pub target: Option<&'a str>,
    /// Rows of equal number mean the same and are no negatives of each other.
    pub meaning: usize,
}

/// The sentences of one step. The first `compared` rows take part in the similarity losses.
#[derive(Debug, Clone)]
pub struct Draw<'a> {
    pub rows: Vec<Row<'a>>,
    pub compared: usize,
    /// Ordered pairs of rows that mean the same: an anchor and its positive.
    pub positives: Vec<[usize; 2]>,
    /// Pairs of rows that are labelled as not meaning the same.
    pub negatives: Vec<[usize; 2]>,
}

/// Draws the batches of a run. A batch depends on the seed and the step, so that a run that resumes sees what it would
/// have seen.
///
/// A batch is of one source where the source has groups for it, so that its sentences are hard to tell apart; small
/// sources, and what is left over of large ones, stand side by side, whole, in batches of a few sources each.
#[derive(Debug)]
pub struct Batches {
    corpus: Corpus,
    settings: DataSettings,
    /// Groups of a batch.
    pairs: usize,
    seed: u64,
    /// Positions of the groups, by source (one only where batches are mixed).
    by_source: Vec<Vec<usize>>,
    /// Positions of the loose pairs that are unlike, by source as in `by_source`.
    unlike: Vec<Vec<usize>>,
    /// The batches of one epoch, and which.
    plan: (u64, Vec<Vec<usize>>),
}

impl Batches {
    /// Batches of the settings' number of pairs, fewer where there are not as many groups.
    ///
    /// # Errors
    /// The settings bound a source that the corpus does not have, or leave too little for one batch.
    pub fn new(corpus: Corpus, settings: &DataSettings, optimizer: &OptimizerSettings, seed: u64) -> Result<Self> {
        let unknown = |names: Vec<&String>| names.into_iter().find(|name| !corpus.sources.contains(*name)).cloned();
        for (setting, name) in [
            ("data.most_of", unknown(settings.most_of.keys().collect())),
            ("data.ranked", unknown(settings.ranked.iter().flatten().collect())),
        ] {
            if let Some(name) = name {
                let likeness = |source: &str| strsim::jaro_winkler(source, &name);
                let known = corpus.sources.iter().map(String::as_str);
                let nearest = known.max_by(|a, b| likeness(a).total_cmp(&likeness(b))).unwrap_or_default();
                let expected = format!("one of the {} sources of the data, such as `{nearest}`", corpus.sources.len());
                return Err(Error::invalid(format!("training setting `{setting}`"), expected, name));
            }
        }
        let slot = |source: usize| if settings.by_source { source } else { 0 };
        let mut by_source = vec![Vec::new(); slot(corpus.sources.len().saturating_sub(1)) + 1];
        let mut unlike = by_source.clone();
        for (position, group) in corpus.groups.iter().enumerate() {
            by_source[slot(group.source)].push(position);
        }
        for (position, pair) in corpus.unlike.iter().enumerate() {
            unlike[slot(pair.source)].push(position);
        }
        let pairs = optimizer.batch_pairs.min(corpus.groups.len());
        let mut this =
            Self { corpus, settings: settings.clone(), pairs, seed, by_source, unlike, plan: (0, Vec::new()) };
        this.plan = (0, this.planned(0));
        if this.plan.1.is_empty() {
            let expected = format!("enough groups for a batch of {pairs}");
            return Err(Error::invalid(
                "training settings `data.most_of_source` and `data.most_of`",
                expected,
                "fewer",
            ));
        }
        Ok(this)
    }

    /// Most groups of a source in an epoch.
    fn most_of(&self, source: usize) -> usize {
        let own = self.settings.most_of.get(&self.corpus.sources[source]).filter(|_| self.settings.by_source);
        own.copied().or(self.settings.most_of_source).unwrap_or(usize::MAX)
    }

    /// Steps of one epoch: each group comes once, or as many groups of each source as the settings allow.
    pub fn steps_per_epoch(&self) -> u64 {
        self.plan.1.len() as u64
    }

    /// Whether the unlike pairs of a source are ranked.
    fn is_ranked(&self, source: usize) -> bool {
        self.settings.ranked.as_ref().is_none_or(|ranked| ranked.contains(&self.corpus.sources[source]))
    }

    /// The groups of each batch of an epoch.
    fn planned(&self, epoch: u64) -> Vec<Vec<usize>> {
        let mut random = ChaCha8Rng::seed_from_u64(self.seed ^ 0x5EED_0F0E);
        random.set_stream(epoch);
        let (mut batches, mut rest) = (Vec::new(), Vec::<Vec<usize>>::new());
        for (source, groups) in self.by_source.iter().enumerate() {
            let mut groups = groups.clone();
            let most = self.most_of(source).min(groups.len());
            if most < groups.len() {
                // One order for all epochs, of which each epoch takes the next part.
                let mut once = ChaCha8Rng::seed_from_u64(self.seed ^ 0x5EED_0F0F);
                once.set_stream(source as u64);
                groups.shuffle(&mut once);
                let first = (epoch as usize).wrapping_mul(most) % groups.len();
                groups.rotate_left(first);
                groups.truncate(most);
            }
            groups.shuffle(&mut random);
            let whole = groups.len() / self.pairs * self.pairs;
            rest.push(groups.split_off(whole));
            batches.extend(groups.chunks(self.pairs).map(<[usize]>::to_vec));
        }
        rest.shuffle(&mut random);
        batches.extend(rest.concat().chunks_exact(self.pairs).map(<[usize]>::to_vec));
        batches.shuffle(&mut random);
        batches
    }

    /// The sentences of one step.
    pub fn draw(&mut self, step: u64) -> Draw<'_> {
        let epoch = step / self.steps_per_epoch();
        if self.plan.0 != epoch {
            self.plan = (epoch, self.planned(epoch));
        }
        let groups = &self.plan.1[(step % self.steps_per_epoch()) as usize];
        let mut random = self.random(step, 1);
        let mut draw = Draw { rows: Vec::new(), compared: 0, positives: Vec::new(), negatives: Vec::new() };
        let settings = &self.settings;
        let mut unlike = settings.batch_negatives;
        let [least, most] = settings.written_overlap;
        for (meaning, &group) in groups.iter().enumerate() {
            let group = &self.corpus.groups[group];
            let first = draw.rows.len();
            let chosen: Vec<&str> =
                group.sentences.choose_multiple(&mut random, settings.per_group).map(String::as_str).collect();
            for (i, &text) in chosen.iter().enumerate() {
                let next = chosen[(i + 1) % chosen.len()];
                let written = meaning < settings.written_pairs.unwrap_or(usize::MAX)
                    && ((least <= 0.0 && most >= 1.0) || (least..=most).contains(&overlap(text, next)));
                draw.rows.push(Row { text, target: written.then_some(next), meaning });
                draw.positives.extend((0..chosen.len()).filter(|&j| j != i).map(|j| [first + i, first + j]));
            }
            if unlike > 0
                && let Some(text) = group.negatives.choose(&mut random)
            {
                unlike -= 1;
                let anchor = first + random.random_range(0..chosen.len());
                if self.is_ranked(group.source) {
                    draw.negatives.push([anchor, draw.rows.len()]);
                }
                draw.rows.push(Row { text, target: None, meaning: usize::MAX });
            }
        }
        let source = self.corpus.groups[groups[0]].source;
        let loose = &self.unlike[if settings.by_source { source } else { 0 }];
        for &pair in loose.choose_multiple(&mut random, unlike) {
            let first = draw.rows.len();
            if self.is_ranked(self.corpus.unlike[pair].source) {
                draw.negatives.push([first, first + 1]);
            }
            let texts = self.corpus.unlike[pair].sentences.iter();
            draw.rows.extend(texts.map(|text| Row { text, target: None, meaning: usize::MAX }));
        }
        draw.compared = draw.rows.len();
        for text in self.corpus.texts.choose_multiple(&mut random, settings.batch_texts) {
            draw.rows.push(Row { text, target: Some(text), meaning: usize::MAX });
        }
        draw.name_meanings();
        draw
    }

    /// Cuts a draw into tokens: `[CLS] text [SEP]`, or `[CLS] text [SEP] target [SEP]` where there is one to write. Noise
    /// falls on what writes, always where it writes itself.
    ///
    /// # Errors
    /// The tokenizer refuses a text.
    pub fn pack(draw: &Draw<'_>, tokenizer: &Tokenizer, settings: &DataSettings, random: ChaCha8Rng) -> Result<Batch> {
        let mut random = random;
        let mut batch = Batch::new();
        let noise = Noise::new(tokenizer, settings.noise_rate)?;
        let pieces = |text: &str| match settings.max_characters {
            Some(most) => tokenizer.pieces(crate::text::first_chunk(text, most)),
            None => tokenizer.pieces(text),
        };
        for row in &draw.rows {
            let mut source = pieces(row.text)?;
            let Some(target) = row.target else {
                let mut pair = tokenizer.pair_of_pieces(source, Vec::new(), settings.max_tokens + 1);
                pair.ids.pop();
                pair.segments.pop();
                batch.push(&pair.ids, &pair.segments);
                continue;
            };
            let noisy = std::ptr::eq(target, row.text) || random.random_bool(settings.noise);
            if noisy && let Some(noise) = &noise {
                noise.fall_on(&mut source, &mut random);
            }
            let pair = tokenizer.pair_of_pieces(source, pieces(target)?, settings.max_tokens);
            batch.push(&pair.ids, &pair.segments);
        }
        Ok(batch)
    }

    /// The random numbers of a step; `purpose` keeps those of different uses apart.
    pub fn random(&self, step: u64, purpose: u64) -> ChaCha8Rng {
        let mut random = ChaCha8Rng::seed_from_u64(self.seed ^ purpose.wrapping_mul(0x9E37_79B9_7F4A_7C15));
        random.set_stream(step + 1);
        random
    }

    /// How many groups there are, and how many groups, pairs and texts were left out.
    pub fn sizes(&self) -> (usize, usize) {
        (self.corpus.groups.len(), self.corpus.excluded)
    }
}

impl Draw<'_> {
    /// Gives rows of the same text one meaning, and so the groups that they stand in; a row without a group gets a
    /// meaning of its own.
    fn name_meanings(&mut self) {
        let count = self.rows.len();
        let mut joined: Vec<usize> = (0..2 * count).collect();
        let root = |joined: &[usize], mut at: usize| {
            while joined[at] != at {
                at = joined[at];
            }
            at
        };
        let mut of_text = HashMap::new();
        for (position, row) in self.rows.iter_mut().enumerate() {
            if row.meaning == usize::MAX {
                row.meaning = count + position;
            }
            let text = fold(row.text);
            if !text.is_empty() {
                let first = *of_text.entry(text).or_insert(row.meaning);
                let (a, b) = (root(&joined, first), root(&joined, row.meaning));
                joined[a.max(b)] = a.min(b);
            }
        }
        for row in &mut self.rows {
            row.meaning = root(&joined, row.meaning);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::groups::{Group, Unlike};
    use super::*;

    fn corpus(groups: &[(usize, &[&str])]) -> Corpus {
        let owned = |texts: &[&str]| texts.iter().map(|&text| text.to_owned()).collect();
        let group =
            |&(source, texts): &(usize, &[&str])| Group { sentences: owned(texts), negatives: Vec::new(), source };
        let sources = groups.iter().map(|&(source, _)| source).max().map_or(0, |most| most + 1);
        Corpus {
            groups: groups.iter().map(group).collect(),
            sources: (0..sources).map(|source| source.to_string()).collect(),
            ..Corpus::default()
        }
    }

    fn batches(corpus: Corpus, settings: DataSettings, pairs: usize) -> Batches {
        let optimizer = OptimizerSettings { batch_pairs: pairs, ..OptimizerSettings::default() };
        Batches::new(corpus, &settings, &optimizer, 7).unwrap()
    }

    fn letters(count: usize, source: usize) -> Vec<(usize, [String; 2])> {
        (0..count).map(|i| (source, [format!("a{source}b{i}"), format!("c{source}d{i}")])).collect()
    }

    fn of_letters(parts: &[(usize, [String; 2])]) -> Corpus {
        let groups: Vec<(usize, Vec<&str>)> =
            parts.iter().map(|(source, texts)| (*source, texts.iter().map(String::as_str).collect())).collect();
        corpus(&groups.iter().map(|(source, texts)| (*source, &texts[..])).collect::<Vec<_>>())
    }

    #[test]
    fn every_group_comes_once_an_epoch_and_batches_are_of_one_source() {
        let parts = [letters(9, 0), letters(7, 1)].concat();
        let batches = batches(of_letters(&parts), DataSettings::default(), 4);
        let plan = batches.planned(3);
        assert_eq!(batches.steps_per_epoch(), 4);
        let mut all = plan.concat();
        all.sort_unstable();
        assert_eq!(all, (0..16).collect::<Vec<_>>());
        let pure = |batch: &&Vec<usize>| batch.iter().all(|&group| (group < 9) == (batch[0] < 9));
        assert!(plan.iter().filter(pure).count() >= 3, "{plan:?}");
        assert_eq!(plan, batches.planned(3));
        assert_ne!(plan, batches.planned(4));
    }

    #[test]
    fn a_large_source_comes_in_parts_that_differ_from_epoch_to_epoch() {
        let settings = DataSettings { most_of_source: Some(4), ..DataSettings::default() };
        let batches = batches(of_letters(&letters(8, 0)), settings, 4);
        let mut both = [batches.planned(0), batches.planned(1)].concat().concat();
        assert_eq!(both.len(), 8);
        both.sort_unstable();
        assert_eq!(both, (0..8).collect::<Vec<_>>());
    }

    #[test]
    fn small_sources_stay_together() {
        let parts = [letters(3, 0), letters(3, 1), letters(3, 2), letters(3, 3)].concat();
        let batches = batches(of_letters(&parts), DataSettings::default(), 6);
        for batch in batches.planned(1) {
            let mut sources: Vec<usize> = batch.iter().map(|group| group / 3).collect();
            sources.dedup();
            assert_eq!(sources.len(), 2, "{batch:?}");
        }
    }

    #[test]
    fn a_source_may_have_a_bound_of_its_own() {
        let most_of = [("1".to_owned(), 2)].into();
        let settings = DataSettings { most_of_source: Some(6), most_of, ..DataSettings::default() };
        let corpus = of_letters(&[letters(8, 0), letters(8, 1)].concat());
        let plan = batches(corpus.clone(), settings.clone(), 2).planned(0).concat();
        assert_eq!(plan.iter().filter(|&&group| group < 8).count(), 6);
        assert_eq!(plan.iter().filter(|&&group| group >= 8).count(), 2);
        let optimizer = OptimizerSettings { batch_pairs: 2, ..OptimizerSettings::default() };
        let fails =
            |settings: DataSettings| Batches::new(corpus.clone(), &settings, &optimizer, 7).unwrap_err().to_string();
        let unknown = DataSettings { most_of: [("2".to_owned(), 2)].into(), ..settings.clone() };
        assert!(fails(unknown).contains("one of the 2 sources of the data, such as `"));
        let none = DataSettings {
            most_of: [("0", 0), ("1", 1)].map(|(name, most)| (name.to_owned(), most)).into(),
            ..settings
        };
        assert!(fails(none).contains("enough groups for a batch of 2"));
    }

    #[test]
    fn groups_with_a_sentence_in_common_mean_the_same() {
        let corpus = corpus(&[(0, &["甲", "乙"]), (0, &["乙？", "丙"]), (0, &["丁", "戊"])]);
        let mut batches = batches(corpus, DataSettings::default(), 3);
        let draw = batches.draw(0);
        let meaning = |text: &str| draw.rows.iter().find(|row| row.text == text).unwrap().meaning;
        assert_eq!(meaning("甲"), meaning("丙"));
        assert_ne!(meaning("甲"), meaning("丁"));
        assert_eq!(draw.positives.len(), 6);
    }

    #[test]
    fn negatives_stand_beside_their_anchor_and_are_filled_up_with_loose_pairs() {
        let mut corpus = corpus(&[(0, &["甲", "乙"]), (0, &["丙", "丁"])]);
        corpus.groups[0].negatives.push("申".to_owned());
        corpus.unlike.push(Unlike { sentences: ["一".to_owned(), "二".to_owned()], source: 0 });
        let settings = DataSettings { batch_negatives: 2, ..DataSettings::default() };
        let mut batches = batches(corpus, settings, 2);
        let draw = batches.draw(5);
        let texts = |[a, b]: [usize; 2]| (draw.rows[a].text, draw.rows[b].text);
        let mut negatives: Vec<_> = draw.negatives.iter().copied().map(texts).collect();
        negatives.sort_unstable();
        assert_eq!(negatives[0], ("一", "二"));
        assert!(matches!(negatives[1], ("甲" | "乙", "申")), "{negatives:?}");
        assert_eq!(draw.compared, 7);
    }

    #[test]
    fn pairs_of_a_source_that_is_not_ranked_are_only_rows() {
        let mut corpus = corpus(&[(0, &["甲", "乙"]), (0, &["丙", "丁"])]);
        corpus.groups[0].negatives.push("申".to_owned());
        for (ranked, negatives) in [(None, 1), (Some(vec!["0".to_owned()]), 1), (Some(vec![]), 0)] {
            let settings = DataSettings { batch_negatives: 2, ranked, ..DataSettings::default() };
            let mut batches = batches(corpus.clone(), settings, 2);
            let draw = batches.draw(0);
            assert_eq!((draw.compared, draw.negatives.len()), (5, negatives));
        }
    }

    #[test]
    fn only_pairs_of_the_wanted_overlap_are_written() {
        let corpus = corpus(&[(0, &["怎么退款", "如何退款"]), (0, &["怎么登录", "进不去了"])]);
        let settings = DataSettings { written_overlap: [0.3, 1.0], ..DataSettings::default() };
        let mut batches = batches(corpus, settings, 2);
        for row in &batches.draw(0).rows {
            assert_eq!(row.target.is_some(), row.text.contains("退款"), "{row:?}");
        }
    }
}
