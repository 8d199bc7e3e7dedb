//! Where the scores come from: labelled pairs, or the hits of queries.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use rayon::prelude::*;

use crate::eval::encode::DistinctTexts;
use crate::eval::faq::{rank, read_checked};
use crate::eval::sts::cosine;
use crate::eval::{Encode, Progress, read_pairs};
use crate::metrics::Outcome;
use crate::{Error, Result};

/// A scored pair of questions.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Sample {
    /// Its cosine, and whether the two mean the same.
    pub outcome: Outcome,
    /// A number from 0 for each different first sentence or query: what it is alike in must not be split.
    pub group: usize,
}

/// The cosines of labelled pairs; see [`read_pairs`] for the format. A label of at least `positive_from` says that the
/// two mean the same; without it, labels must be 0 and 1.
///
/// # Errors
/// A file is bad, a label is neither 0 nor 1 while `positive_from` is absent, or encoding fails.
pub fn pair_samples(
    files: &[PathBuf],
    positive_from: Option<f32>,
    encode: &Encode,
    progress: &mut Progress,
) -> Result<Vec<Sample>> {
    let mut texts = DistinctTexts::default();
    let mut groups = HashMap::new();
    let mut pairs = Vec::new();
    for file in files {
        for pair in read_pairs(file)? {
            if positive_from.is_none() && pair.label != 0.0 && pair.label != 1.0 {
                let expected = "0 and 1; or, with `--positive-from X`, numbers of which those from X up mean the same";
                return Err(Error::invalid(format!("labels of {}", file.display()), expected, pair.label));
            }
            let (a, b) = (texts.position(&pair.a), texts.position(&pair.b));
            let next = groups.len();
            let group = *groups.entry(a).or_insert(next);
            pairs.push((a, b, pair.label >= positive_from.unwrap_or(1.0), group));
        }
    }
    let vectors = texts.encode(encode, progress)?;
    let sample = |(a, b, positive, group): (usize, usize, bool, usize)| {
        let score = cosine(&vectors[a], &vectors[b]).clamp(-1.0, 1.0);
        Sample { outcome: Outcome { score, positive, weight: 1.0 }, group }
    };
    Ok(pairs.into_iter().map(sample).collect())
}

/// The cosines of the first `hits` standard questions to each query, and whether their FAQ is the right one; see
/// [`super::super::read_standard`] and [`super::super::read_queries`] for the formats.
///
/// # Errors
/// A file is bad or empty, a query names an id that no standard question has, or encoding fails.
pub fn hit_samples(
    standard: &Path,
    queries: &Path,
    hits: usize,
    encode: &Encode,
    progress: &mut Progress,
) -> Result<Vec<Sample>> {
    let (standard, queries) = read_checked(standard, queries)?;
    let mut texts = DistinctTexts::default();
    let standard_at: Vec<usize> = standard.iter().map(|question| texts.position(&question.text)).collect();
    let query_at: Vec<usize> = queries.iter().map(|query| texts.position(&query.text)).collect();
    let vectors = texts.encode(encode, progress)?;
    let bank: Vec<&[f32]> = standard_at.iter().map(|&at| vectors[at].as_slice()).collect();
    let mut groups = HashMap::new();
    let grouped = query_at.iter().map(|&at| {
        let next = groups.len();
        *groups.entry(at).or_insert(next)
    });
    let grouped: Vec<usize> = grouped.collect();
    let found: Vec<Vec<Sample>> = (0..queries.len())
        .into_par_iter()
        .map(|i| {
            let sample = |hit: crate::index::Neighbour| {
                let positive = standard[hit.id as usize].id == queries[i].id;
                let score = f64::from(hit.score).clamp(-1.0, 1.0);
                Sample { outcome: Outcome { score, positive, weight: 1.0 }, group: grouped[i] }
            };
            rank(&bank, &vectors[query_at[i]], hits).into_iter().map(sample).collect()
        })
        .collect();
    Ok(found.into_iter().flatten().collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Counts of the letters a, b and c.
    fn letters(texts: &[String]) -> Result<Vec<Vec<f32>>> {
        let count = |text: &String, letter| text.chars().filter(|&c| c == letter).count() as f32;
        Ok(texts.iter().map(|text| ['a', 'b', 'c'].map(|letter| count(text, letter)).to_vec()).collect())
    }

    fn written(folder: &tempfile::TempDir, name: &str, content: &str) -> PathBuf {
        let path = folder.path().join(name);
        std::fs::write(&path, content).unwrap();
        path
    }

    fn known(samples: &[Sample]) -> Vec<(f64, bool, usize)> {
        let rounded = |score: f64| (score * 1e3).round() / 1e3;
        samples.iter().map(|s| (rounded(s.outcome.score), s.outcome.positive, s.group)).collect()
    }

    #[test]
    fn pairs_of_several_files_share_their_groups() {
        let folder = tempfile::tempdir().unwrap();
        let files = [written(&folder, "one", "a\ta\t1\nb\tc\t0\na\tab\t1\n"), written(&folder, "two", "b\tb\t1\n")];
        let samples = pair_samples(&files, None, &letters, &mut |_| {}).unwrap();
        assert_eq!(known(&samples), [(1.0, true, 0), (0.0, false, 1), (0.707, true, 0), (1.0, true, 1)]);
    }

    #[test]
    fn graded_labels_need_a_border() {
        let folder = tempfile::tempdir().unwrap();
        let files = [written(&folder, "graded", "a\ta\t5\na\tab\t3.5\na\tb\t3\n")];
        let samples = pair_samples(&files, Some(3.5), &letters, &mut |_| {}).unwrap();
        assert_eq!(samples.iter().map(|s| s.outcome.positive).collect::<Vec<_>>(), [true, true, false]);
        let message = pair_samples(&files, None, &letters, &mut |_| {}).unwrap_err().to_string();
        assert!(message.contains("`--positive-from X`") && message.ends_with("received 5"), "{message}");
    }

    #[test]
    fn hits_are_right_by_their_faq() {
        let folder = tempfile::tempdir().unwrap();
        let standard = written(&folder, "standard", "1\ta\n2\tab\n1\tc\n");
        let queries = written(&folder, "queries", "aab\t2\na\t1\naab\t1\n");
        let samples = hit_samples(&standard, &queries, 2, &letters, &mut |_| {}).unwrap();
        let expected = [
            (0.949, true, 0),
            (0.894, false, 0),
            (1.0, true, 1),
            (0.707, false, 1),
            (0.949, false, 0),
            (0.894, true, 0),
        ];
        assert_eq!(known(&samples), expected);
        assert_eq!(hit_samples(&standard, &queries, 1, &letters, &mut |_| {}).unwrap().len(), 3);
        assert_eq!(hit_samples(&standard, &queries, 9, &letters, &mut |_| {}).unwrap().len(), 9);
    }
}
