//! How a wording looks to a reader: when two are the same, and when one stutters.

use unicode_normalization::UnicodeNormalization;

/// A form that sentences share when they differ only in width (`？` and `?`), case, spaces, punctuation or symbols:
/// their letters and digits. Of two samples that punctuation alone tells apart, a reader needs one.
pub fn folded(text: &str) -> String {
    text.nfkc().flat_map(char::to_lowercase).filter(|character| character.is_alphanumeric()).collect()
}

/// Longest run of pieces that is looked at for being said twice.
const LONGEST_RUN: usize = 8;

/// Whether `target` says a piece of `source` more often than `source` does, or anywhere twice a run of two to eight
/// pieces that `source` says once at most, or any piece three times in a row: what a decoder falls into when it has lost
/// the thread. Another word for the same thing may come twice: a single piece often is in many languages.
pub fn stutters(target: &[u32], source: &[u32]) -> bool {
    let said = |pieces: &[u32], run: &[u32]| pieces.windows(run.len()).filter(|window| *window == run).count();
    let again = |run: &[u32]| said(target, run) > said(source, run).max(1);
    let thrice = |window: &[u32]| window[1..] == window[..2] && said(source, window) == 0;
    target.windows(1).any(|piece| source.contains(&piece[0]) && again(piece))
        || (2..=LONGEST_RUN).any(|run| target.windows(run).any(again))
        || target.windows(3).any(thrice)
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

    #[test]
    fn stuttering_is_a_run_or_a_word_of_the_source_said_again() {
        for stutter in [&[9, 9, 9][..], &[4, 8, 9, 8, 9, 5], &[7, 8, 9, 7, 8, 9], &[4, 8, 9, 6, 8, 9], &[1, 9, 1]] {
            assert!(stutters(stutter, &[1, 2, 3]), "{stutter:?}");
        }
        for fluent in [&[][..], &[1, 2, 3], &[8, 8], &[8, 9, 8], &[8, 8, 9, 9], &[3, 1, 2]] {
            assert!(!stutters(fluent, &[1, 2, 3]), "{fluent:?}");
        }
    }

    #[test]
    fn what_the_source_says_twice_may_be_said_twice() {
        assert!(!stutters(&[8, 1, 2, 1, 2], &[1, 2, 1, 2, 3]));
        assert!(!stutters(&[1, 1, 1], &[5, 1, 1, 1]));
        assert!(stutters(&[1, 1, 1, 1, 2, 1, 2], &[5, 1, 1, 1]));
    }

    proptest! {
        #[test]
        fn a_run_said_twice_is_found_wherever_it_stands(
            before in prop::collection::vec(0u32..9, 0..5),
            run in prop::collection::vec(10u32..99, 2..=LONGEST_RUN),
            after in prop::collection::vec(0u32..9, 0..5),
        ) {
            prop_assert!(stutters(&[&before[..], &run, &run, &after].concat(), &before));
        }

        #[test]
        fn marks_between_letters_change_nothing(words in prop::collection::vec("[a-z0-9一-龥]{0,4}", 0..5)) {
            prop_assert_eq!(folded(&words.join("，")), folded(&words.concat()));
            prop_assert_eq!(folded(&words.join(" … ")), words.concat());
        }
    }
}
