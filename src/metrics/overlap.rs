//! How much of their surface two sentences share.

use std::collections::HashMap;

/// F1 of the character bigrams of two sentences: twice the bigrams in common, each as often as both have it, over the
/// bigrams of both. 0 (none in common) to 1. A sentence of one character has that character as its only bigram; two
/// empty sentences give 1. This is Dice's coefficient over multisets (Dice, “Measures of the Amount of Ecologic
/// Association Between Species”, 1945).
pub fn bigram_f1(a: &str, b: &str) -> f64 {
    let (a, b) = (bigrams(a), bigrams(b));
    let all: usize = a.values().sum::<usize>() + b.values().sum::<usize>();
    if all == 0 {
        return 1.0;
    }
    let common: usize = a.iter().map(|(bigram, &count)| count.min(*b.get(bigram).unwrap_or(&0))).sum();
    2.0 * common as f64 / all as f64
}

/// Each bigram and how often it comes; a single character stands beside `None`.
fn bigrams(text: &str) -> HashMap<(char, Option<char>), usize> {
    let mut counts = HashMap::new();
    let mut characters = text.chars().peekable();
    let Some(mut last) = characters.next() else { return counts };
    if characters.peek().is_none() {
        counts.insert((last, None), 1);
    }
    for next in characters {
        *counts.entry((last, Some(next))).or_default() += 1;
        last = next;
    }
    counts
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn bigrams_in_common_count_as_often_as_both_have_them() {
        assert_eq!(bigram_f1("abcd", "bcde"), 2.0 * 2.0 / 6.0); // bc cd
        assert_eq!(bigram_f1("aaaa", "aa"), 2.0 * 1.0 / 4.0);
        assert_eq!(bigram_f1("怎么还款", "如何还款"), 2.0 / 6.0);
        assert_eq!(bigram_f1("ab", "cd"), 0.0);
    }

    #[test]
    fn short_sentences_have_a_score() {
        assert_eq!(bigram_f1("", ""), 1.0);
        assert_eq!(bigram_f1("a", "a"), 1.0);
        assert_eq!(bigram_f1("a", "b"), 0.0);
        assert_eq!(bigram_f1("a", "ab"), 0.0);
        assert_eq!(bigram_f1("", "ab"), 0.0);
    }

    proptest! {
        #[test]
        fn bounds_symmetry_and_identity(a in "[abc]{0,8}", b in "[abc]{0,8}") {
            prop_assert!((0.0..=1.0).contains(&bigram_f1(&a, &b)));
            prop_assert_eq!(bigram_f1(&a, &b), bigram_f1(&b, &a));
            prop_assert_eq!(bigram_f1(&a, &a), 1.0);
        }
    }
}
