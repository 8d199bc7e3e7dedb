//! When two sentences are the same to a reader.

use unicode_normalization::UnicodeNormalization;

/// What closes a sentence; NFKC has made ASCII of the full-width forms.
const CLOSING: &[char] = &['.', '。', '!', '?', '~', ',', '、', ';', ':', '…'];

/// A form that sentences share when they differ only in width (`？` and `?`), case, spaces, or closing punctuation.
/// Punctuation inside a sentence counts: it may change the sense.
pub fn folded(text: &str) -> String {
    let plain: String = text.nfkc().flat_map(char::to_lowercase).filter(|c| !c.is_whitespace()).collect();
    plain.trim_end_matches(CLOSING).to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn looks_through_width_case_spaces_and_closing_punctuation() {
        let same = ["怎么开通 WIFI？", "怎么开通wifi?", "怎么开通ＷｉＦｉ", "怎么 开通wifi。", "怎么开通wifi？！……"];
        for text in same {
            assert_eq!(folded(text), "怎么开通wifi", "{text}");
        }
    }

    #[test]
    fn sees_other_words_and_inner_punctuation() {
        assert_ne!(folded("能开通吗"), folded("不能开通吗"));
        assert_ne!(folded("不,能开通"), folded("不能开通"));
    }

    #[test]
    fn nothing_but_punctuation_is_blank() {
        assert_eq!(folded(" ？！ "), "");
    }
}
