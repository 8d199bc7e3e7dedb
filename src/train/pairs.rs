//! Groups of similar questions, and the pairs drawn from them.

use std::collections::HashSet;
use std::io::BufRead;
use std::path::{Path, PathBuf};

use rand::SeedableRng;
use rand::seq::SliceRandom;
use rand_chacha::ChaCha8Rng;
use serde::Deserialize;
use unicode_normalization::UnicodeNormalization;

use super::neighbours;
use crate::text::{Batch, Tokenizer};
use crate::{Error, Result};

/// Sentences that mean the same: two or more.
pub type Group = Vec<String>;

/// A line of a `.jsonl` file.
#[derive(Deserialize)]
struct Line {
    text: String,
    synonyms: Vec<String>,
}

/// All groups of a run, and how many were left out because a file to be kept apart has one of their sentences.
#[derive(Debug, Clone)]
pub struct Pairs {
    pub groups: Vec<Group>,
    pub excluded: usize,
}

impl Pairs {
    /// Reads `.jsonl` groups and `.tsv` pairs. Groups with fewer than two different sentences are skipped.
    ///
    /// # Errors
    /// A file cannot be read or has a bad line, or nothing is left to train on.
    pub fn read(files: &[PathBuf], exclude: &[PathBuf]) -> Result<Self> {
        let mut apart = HashSet::new();
        for file in exclude {
            for_each_line(file, |_, line| {
                apart.extend(line.split('\t').map(fold).filter(|text| !text.is_empty()));
                Ok(())
            })?;
        }
        let (mut groups, mut excluded) = (Vec::new(), 0);
        for file in files {
            let json = match file.extension().and_then(|extension| extension.to_str()) {
                Some("jsonl") => true,
                Some("tsv") => false,
                _ => return Err(Error::invalid("file of pairs", "a `.jsonl` or `.tsv` file", file.display())),
            };
            for_each_line(file, |number, line| {
                let mut group = if json { group_of_json(line) } else { group_of_tsv(line) }
                    .map_err(|reason| Error::BadLine { path: file.clone(), line: number, reason })?;
                if group.iter().any(|text| apart.contains(&fold(text))) {
                    excluded += 1;
                    return Ok(());
                }
                let mut seen = HashSet::new();
                group.retain(|text| !text.trim().is_empty() && seen.insert(text.clone()));
                if group.len() >= 2 {
                    groups.push(group);
                }
                Ok(())
            })?;
        }
        if groups.len() < 2 {
            return Err(Error::invalid("training data", "at least two groups of similar sentences", groups.len()));
        }
        Ok(Self { groups, excluded })
    }
}

/// Draws the batches of a run. The batch of a step depends on the seed and the step alone, so that a run that
/// resumes sees what it would have seen.
#[derive(Debug)]
pub struct Batches {
    groups: Vec<Group>,
    pairs: usize,
    max_tokens: usize,
    seed: u64,
    /// A sentence vector for each group, where batches shall be of near neighbours.
    vectors: Option<Vec<Vec<f32>>>,
    /// The order of the groups in one epoch, and which.
    order: (u64, Vec<usize>),
}

impl Batches {
    /// Batches of `pairs` pairs, fewer where there are not as many groups.
    pub fn new(groups: Vec<Group>, pairs: usize, max_tokens: usize, seed: u64) -> Self {
        let order = (0, shuffled(groups.len(), seed, 0));
        Self { pairs: pairs.min(groups.len()), groups, max_tokens, seed, vectors: None, order }
    }

    /// The same, each batch of groups that are near one another. Only the groups that `steps` steps can reach are
    /// kept; `vector` gives the sentence vectors of some groups' first sentences, `[sentences][width]`.
    ///
    /// # Errors
    /// `vector` fails.
    pub fn of_neighbours(mut self, steps: u64, vector: impl FnOnce(&[&str]) -> Result<Vec<Vec<f32>>>) -> Result<Self> {
        let reach = usize::try_from(steps).unwrap_or(usize::MAX).saturating_mul(self.pairs).max(self.pairs);
        let keep = self.order.1.iter().take(reach).map(|&group| self.groups[group].clone()).collect();
        self.groups = keep;
        let first: Vec<&str> = self.groups.iter().map(|group| group[0].as_str()).collect();
        self.vectors = Some(vector(&first)?);
        self.order = (0, self.ordered(0));
        Ok(self)
    }

    /// The groups in the order of one epoch.
    fn ordered(&self, epoch: u64) -> Vec<usize> {
        let Some(vectors) = &self.vectors else { return shuffled(self.groups.len(), self.seed, epoch) };
        let mut random = ChaCha8Rng::seed_from_u64(self.seed ^ 0x5EED_0F0E);
        random.set_stream(epoch);
        neighbours::leaves(vectors, self.pairs, &mut random).concat()
    }

    /// Steps in which each group comes once.
    pub fn steps_per_epoch(&self) -> u64 {
        (self.groups.len() / self.pairs) as u64
    }

    /// The batch of one step: a pair drawn from each of the next groups, packed in both directions next to each
    /// other, so that row 2i is (a → b) and row 2i + 1 is (b → a).
    ///
    /// # Errors
    /// The tokenizer refuses a text.
    pub fn batch(&mut self, step: u64, tokenizer: &Tokenizer) -> Result<Batch> {
        let epoch = step / self.steps_per_epoch();
        if self.order.0 != epoch {
            self.order = (epoch, self.ordered(epoch));
        }
        let first = (step % self.steps_per_epoch()) as usize * self.pairs;
        let mut random = ChaCha8Rng::seed_from_u64(self.seed);
        random.set_stream(step + 1);
        let mut batch = Batch::new();
        for &group in &self.order.1[first..first + self.pairs] {
            let group = &self.groups[group];
            let chosen = rand::seq::index::sample(&mut random, group.len(), 2);
            let (a, b) = (tokenizer.pieces(&group[chosen.index(0)])?, tokenizer.pieces(&group[chosen.index(1)])?);
            for pair in [
                tokenizer.pair_of_pieces(a.clone(), b.clone(), self.max_tokens),
                tokenizer.pair_of_pieces(b, a, self.max_tokens),
            ] {
                batch.push(&pair.ids, &pair.segments);
            }
        }
        Ok(batch)
    }
}

fn shuffled(count: usize, seed: u64, epoch: u64) -> Vec<usize> {
    let mut random = ChaCha8Rng::seed_from_u64(seed ^ 0x5EED_0F0E);
    random.set_stream(epoch);
    let mut order: Vec<usize> = (0..count).collect();
    order.shuffle(&mut random);
    order
}

/// Intersection over union of the characters of two sentences, folded: 0 to 1, and 1 where neither has any.
pub fn overlap(a: &str, b: &str) -> f64 {
    let (a, b): (HashSet<char>, HashSet<char>) = (fold(a).chars().collect(), fold(b).chars().collect());
    match a.union(&b).count() {
        0 => 1.0,
        union => a.intersection(&b).count() as f64 / union as f64,
    }
}

/// What two spellings of one sentence share: width, case, space and punctuation folded away.
pub fn fold(text: &str) -> String {
    text.nfkc().filter(|c| c.is_alphanumeric()).flat_map(char::to_lowercase).collect()
}

fn group_of_json(line: &str) -> std::result::Result<Group, String> {
    let line: Line =
        serde_json::from_str(line).map_err(|e| format!("expected {{\"text\": …, \"synonyms\": […]}}: {e}"))?;
    Ok(std::iter::once(line.text).chain(line.synonyms).collect())
}

fn group_of_tsv(line: &str) -> std::result::Result<Group, String> {
    let mut columns = line.split('\t');
    match (columns.next(), columns.next()) {
        (Some(a), Some(b)) => Ok(vec![a.to_owned(), b.to_owned()]),
        _ => Err("expected two sentences with a tab between them".to_owned()),
    }
}

/// Calls `each` with every line that is not blank, and its number from 1.
fn for_each_line(path: &Path, mut each: impl FnMut(u64, &str) -> Result<()>) -> Result<()> {
    let file = std::fs::File::open(path).map_err(|e| Error::io("open the training data", path, e))?;
    for (number, line) in (1..).zip(std::io::BufReader::new(file).lines()) {
        let line = line.map_err(|e| Error::BadLine { path: path.to_owned(), line: number, reason: e.to_string() })?;
        let line = line.trim_start_matches('\u{feff}');
        if !line.trim().is_empty() {
            each(number, line)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn write(name: &str, text: &str) -> (tempfile::TempDir, PathBuf) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(name);
        std::fs::write(&path, text).unwrap();
        (folder, path)
    }

    #[test]
    fn groups_come_from_both_formats_and_skip_what_is_kept_apart() {
        let (_a, json) = write("a.jsonl", "{\"text\":\"甲\",\"synonyms\":[\"乙\",\"丙\"]}\n\n");
        let (_b, tsv) = write("b.tsv", "怎么退款\t如何退款\tsource\n怎么登录\t如何登录\n同\t同\n");
        let (_c, dev) = write("dev.tsv", "怎么登录？\t别的\t1\n");
        let pairs = Pairs::read(&[json, tsv], &[dev]).unwrap();
        assert_eq!(pairs.groups, [vec!["甲", "乙", "丙"], vec!["怎么退款", "如何退款"]]);
        assert_eq!(pairs.excluded, 1);
    }

    #[test]
    fn a_bad_line_is_named() {
        let (_a, tsv) = write("b.tsv", "怎么退款\t如何退款\n只有一句\n");
        let error = Pairs::read(&[tsv], &[]).unwrap_err().to_string();
        assert!(error.contains("b.tsv:2: expected two sentences"), "{error}");
    }

    #[test]
    fn overlap_is_of_folded_characters() {
        assert_eq!(overlap("怎么退款？", "怎么退款"), 1.0);
        assert_eq!(overlap("怎么退款", "如何退款"), 1.0 / 3.0);
        assert_eq!(overlap("退钱", "登录"), 0.0);
        assert_eq!(overlap("？", ""), 1.0);
    }

    #[test]
    fn every_group_comes_once_an_epoch() {
        let first = shuffled(100, 7, 0);
        let mut sorted = first.clone();
        sorted.sort_unstable();
        assert_eq!(sorted, (0..100).collect::<Vec<_>>());
        assert_eq!(first, shuffled(100, 7, 0));
        assert_ne!(first, shuffled(100, 7, 1));
    }
}
