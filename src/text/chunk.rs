//! Long texts cut at a separator.

/// Where a text may be cut, the best places first.
const SEPARATORS: [char; 11] = ['\n', '。', '！', '？', '!', '?', '；', ';', '，', ',', ' '];

/// The first part of `text` that has at most `most` characters and ends at a separator, by the best kind of separator
/// that gives one; a text without separators comes back whole. This is how SimBERT's training script cuts (bert4keras'
/// `text_segmentate`).
pub fn first_chunk(text: &str, most: usize) -> &str {
    let mut text = text.trim();
    for separator in SEPARATORS {
        if text.chars().count() <= most {
            break;
        }
        let mut end = 0;
        for (at, found) in text.match_indices(separator) {
            if end > 0 && text[..at].chars().count() > most {
                break;
            }
            end = at + found.len();
        }
        let part = text[..end].trim_end_matches(separator).trim();
        if !part.is_empty() {
            text = part;
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cuts_at_the_best_separator_and_only_where_the_text_is_long() {
        assert_eq!(first_chunk("怎么退款？急", 30), "怎么退款？急");
        assert_eq!(first_chunk("一二三。四五六。七八九", 7), "一二三。四五六");
        assert_eq!(first_chunk("一二三，四五六。七八九", 5), "一二三");
        assert_eq!(first_chunk("一二三四五六", 3), "一二三四五六");
        assert_eq!(first_chunk("", 3), "");
        assert_eq!(first_chunk("！！！一二三，四五六", 5), "！！！一二三");
        assert_eq!(first_chunk("？？？？", 3), "？？？？");
    }
}
