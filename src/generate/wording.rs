//! How a wording looks to a reader: when two are the same, and what makes one stutter.

use unicode_normalization::UnicodeNormalization;

/// A form that sentences share when they differ only in width (`？` and `?`), case, spaces, punctuation or symbols:
/// their letters and digits. Of two samples that punctuation alone tells apart, a reader needs one.
pub fn folded(text: &str) -> String {
    text.nfkc().flat_map(char::to_lowercase).filter(|character| character.is_alphanumeric()).collect()
}

/// The pieces that may not come after `target`, lest it stutters, as a decoder does that has lost the thread: a piece of
/// `source` more often than there, a pair of pieces twice that `source` has once at most, or a piece three times in a
/// row. Another word for the same thing may come twice: a single piece often does in many languages.
pub fn stutters(target: &[u32], source: &[u32], refused: &mut Vec<u32>) {
    let said = |pieces: &[u32], run: &[u32]| pieces.windows(run.len()).filter(|window| *window == run).count();
    let enough = |run: &[u32]| said(target, run) >= said(source, run).max(1);
    refused.clear();
    refused.extend(source.iter().filter(|piece| enough(std::slice::from_ref(piece))));
    if let Some(last) = target.last() {
        refused.extend(target.windows(2).filter(|pair| pair[0] == *last && enough(pair)).map(|pair| pair[1]));
    }
    if let [.., a, b] = target
        && a == b
        && said(source, &[*a; 3]) == 0
    {
        refused.push(*a);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn looks_through_width_case_spaces_and_punctuation() {
        let same = [
            "怎么开通 WIFI？",
            "怎么开通wifi?",
            "怎么开通ＷｉＦｉ",
            "怎么 开通wifi。",
            "怎么开通wifi？！……",
            "怎么,开通“Wi-Fi”",
        ];
        for text in same {
            assert_eq!(folded(text), "怎么开通wifi", "{text}");
        }
    }

    #[test]
    fn sees_other_words_and_digits() {
        assert_ne!(folded("能开通吗"), folded("不能开通吗"));
        assert_ne!(folded("5G"), folded("4G"));
    }

    #[test]
    fn nothing_but_punctuation_is_blank() {
        assert_eq!(folded(" ？！ "), "");
    }

    fn refused(target: &[u32], source: &[u32]) -> Vec<u32> {
        let mut refused = vec![99];
        stutters(target, source, &mut refused);
        refused.sort_unstable();
        refused.dedup();
        refused
    }

    #[test]
    fn a_word_of_the_source_comes_as_often_as_there() {
        assert_eq!(refused(&[], &[1, 2, 3]), [0; 0]);
        assert_eq!(refused(&[2, 9], &[1, 2, 3]), [2]);
        assert_eq!(refused(&[2], &[2, 1, 2]), [0; 0]);
        assert_eq!(refused(&[2, 5, 2], &[2, 1, 2]), [2, 5], "and what followed it does not follow it again");
    }

    #[test]
    fn a_pair_comes_once_and_a_piece_not_thrice_in_a_row() {
        assert_eq!(refused(&[8, 9, 7, 8], &[1]), [9]);
        assert_eq!(refused(&[8, 8], &[1]), [8]);
        assert_eq!(refused(&[8, 9, 8], &[1]), [9]);
        assert_eq!(refused(&[1, 2, 4, 1], &[1, 2, 1, 2, 1]), [0; 0], "twice, as in the source");
        assert_eq!(refused(&[1, 1], &[1, 1, 1]), [0; 0], "thrice, as in the source");
    }

    proptest! {
        #[test]
        fn what_is_written_so_says_no_run_twice(choices in prop::collection::vec(0u32..6, 0..40), source in prop::collection::vec(0u32..4, 0..6)) {
            let (mut target, mut refused) = (Vec::new(), Vec::new());
            for piece in choices {
                stutters(&target, &source, &mut refused);
                if !refused.contains(&piece) {
                    target.push(piece);
                }
            }
            let said = |pieces: &[u32], run: &[u32]| pieces.windows(run.len()).filter(|window| *window == run).count();
            for pair in target.windows(2) {
                prop_assert!(said(&target, pair) <= said(&source, pair).max(1) + 1, "{:?} for {:?}", target, source);
            }
            for piece in &source {
                prop_assert!(said(&target, &[*piece]) <= said(&source, &[*piece]));
            }
        }

        #[test]
        fn marks_between_letters_change_nothing(words in prop::collection::vec("[a-z0-9一-龥]{0,4}", 0..5)) {
            prop_assert_eq!(folded(&words.join("，")), folded(&words.concat()));
            prop_assert_eq!(folded(&words.join(" … ")), words.concat());
        }
    }
}
