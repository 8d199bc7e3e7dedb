//! How much generated sentences differ from each other.
//!
//! Sentences come as tokens (characters, words, pieces: the caller's choice), so that no language is assumed.

use std::collections::{HashMap, HashSet};
use std::hash::Hash;

/// Distinct-n: the number of different n-grams over the number of n-grams, all sentences together. 0 (nothing but
/// repetition) to 1; 0 where there is no n-gram. Source: Li et al., “A Diversity-Promoting Objective Function for
/// Neural Conversation Models”, 2016, with n 1 and 2. It falls with the amount of text: compare like with like.
pub fn distinct_ngrams<T: Eq + Hash>(sentences: &[impl AsRef<[T]>], n: usize) -> f64 {
    let ngrams = || sentences.iter().flat_map(|sentence| windows(sentence.as_ref(), n));
    share(ngrams().collect::<HashSet<_>>().len(), ngrams().count())
}

/// The share of sentences left when each is counted once: 0 to 1; 0 without sentences.
pub fn distinct_share(sentences: &[impl AsRef<str>]) -> f64 {
    share(sentences.iter().map(AsRef::as_ref).collect::<HashSet<_>>().len(), sentences.len())
}

/// Self-BLEU: the mean BLEU of each sentence with all others as its references. 0 (nothing in common) to 1 (all the
/// same); 0 with fewer than two sentences. Source: Zhu et al., “Texygen”, 2018; BLEU is that of Papineni et al.,
/// 2002, up to `n`-grams with equal weights and without smoothing; a sentence shorter than `n` is judged by the
/// n-grams it has. Takes time in the square of the number of sentences.
pub fn self_bleu<T: Eq + Hash>(sentences: &[impl AsRef<[T]>], n: usize) -> f64 {
    if sentences.len() < 2 {
        return 0.0;
    }
    let bleu = |i: usize| {
        let others = sentences.iter().enumerate().filter(|&(j, _)| j != i).map(|(_, other)| other.as_ref());
        bleu(sentences[i].as_ref(), &others.collect::<Vec<_>>(), n)
    };
    (0..sentences.len()).map(bleu).sum::<f64>() / sentences.len() as f64
}

/// BLEU of one sentence; `references` is not empty.
fn bleu<T: Eq + Hash>(sentence: &[T], references: &[&[T]], n: usize) -> f64 {
    let orders = n.min(sentence.len());
    if orders == 0 {
        return 0.0;
    }
    let mut log_precision = 0.0;
    for order in 1..=orders {
        let mut most: HashMap<&[T], usize> = HashMap::new();
        for reference in references {
            for (ngram, count) in counts(reference, order) {
                let highest = most.entry(ngram).or_default();
                *highest = count.max(*highest);
            }
        }
        let own = counts(sentence, order);
        let clipped: usize = own.iter().map(|(ngram, &count)| count.min(*most.get(ngram).unwrap_or(&0))).sum();
        log_precision += share(clipped, sentence.len() + 1 - order).ln(); // ln 0 is −∞, whose exp is 0
    }
    let lengths = references.iter().map(|reference| reference.len());
    let closest = lengths.min_by_key(|&length| (length.abs_diff(sentence.len()), length)).unwrap_or(0);
    let brevity = (1.0 - closest as f64 / sentence.len() as f64).min(0.0);
    (brevity + log_precision / orders as f64).exp()
}

fn counts<T: Eq + Hash>(sentence: &[T], n: usize) -> HashMap<&[T], usize> {
    let mut counts = HashMap::new();
    windows(sentence, n).for_each(|ngram| *counts.entry(ngram).or_default() += 1);
    counts
}

/// The n-grams of a sentence; none for `n` 0.
fn windows<T>(sentence: &[T], n: usize) -> impl Iterator<Item = &[T]> {
    let sentence = if n == 0 { &[] } else { sentence };
    sentence.windows(n.max(1))
}

fn share(part: usize, whole: usize) -> f64 {
    if whole == 0 { 0.0 } else { part as f64 / whole as f64 }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn characters(sentences: &[&str]) -> Vec<Vec<char>> {
        sentences.iter().map(|sentence| sentence.chars().collect()).collect()
    }

    #[test]
    fn distinct_counts_ngrams_once() {
        let sentences = characters(&["abab", "ab"]);
        assert_eq!(distinct_ngrams(&sentences, 1), 2.0 / 6.0);
        assert_eq!(distinct_ngrams(&sentences, 2), 2.0 / 4.0); // ab ba ab | ab
        assert_eq!(distinct_ngrams(&sentences, 5), 0.0);
        assert_eq!(distinct_ngrams(&sentences, 0), 0.0);
        assert_eq!(distinct_share(&["怎么还款", "如何还款", "怎么还款"]), 2.0 / 3.0);
        assert_eq!(distinct_share(&[""; 0]), 0.0);
    }

    #[test]
    fn self_bleu_of_known_sentences() {
        assert!((self_bleu(&characters(&["abcde", "abcde"]), 4) - 1.0).abs() < 1e-12);
        assert_eq!(self_bleu(&characters(&["abcd", "efgh"]), 4), 0.0);
        assert_eq!(self_bleu(&characters(&["abcd"]), 4), 0.0);
        // Up to bigrams, “abcd” to “abce”: precisions 3/4 and 2/3, no brevity penalty; and the same back.
        let expected = (0.75_f64 * 2.0 / 3.0).sqrt();
        assert!((self_bleu(&characters(&["abcd", "abce"]), 2) - expected).abs() < 1e-12);
        // “ab” to “abcd” is perfect but short: exp(1 − 4/2); back it is 2/4 and 1/3.
        let expected = ((-1.0_f64).exp() + (0.5_f64 / 3.0).sqrt()) / 2.0;
        assert!((self_bleu(&characters(&["ab", "abcd"]), 2) - expected).abs() < 1e-12);
    }

    proptest! {
        #[test]
        fn bounds_and_permutation(mut sentences in prop::collection::vec("[abc]{0,6}", 0..8), n in 0usize..5) {
            let tokens = |sentences: &[String]| sentences.iter().map(|s| s.clone().into_bytes()).collect::<Vec<_>>();
            let before = tokens(&sentences);
            sentences.reverse();
            let after = tokens(&sentences);
            prop_assert!((0.0..=1.0).contains(&distinct_ngrams(&before, n)));
            prop_assert_eq!(distinct_ngrams(&before, n), distinct_ngrams(&after, n));
            prop_assert!((0.0..=1.0 + 1e-12).contains(&self_bleu(&before, n)));
            prop_assert!((self_bleu(&before, n) - self_bleu(&after, n)).abs() < 1e-9);
            prop_assert!((0.0..=1.0).contains(&distinct_share(&sentences)));
        }
    }
}
