//! The tokenizer of a model directory, with its special ids found rather than assumed.

use std::path::Path;

use crate::{Error, Result};

/// The ids that frame a sentence.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SpecialIds {
    pub cls: u32,
    pub sep: u32,
    pub pad: u32,
    pub unk: u32,
    pub mask: Option<u32>,
}

/// A pair of sentences as one sequence.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pair {
    /// `[CLS] a [SEP] b [SEP]`.
    pub ids: Vec<u32>,
    /// 0 up to and with the first `[SEP]`, 1 after it.
    pub segments: Vec<u8>,
}

/// Cuts text into the ids of one vocabulary. WordPiece and unigram files alike.
pub struct Tokenizer {
    inner: tokenizers::Tokenizer,
    special: SpecialIds,
    /// Whether pieces are joined by spaces that were not in the text, as WordPiece does.
    spaces_pieces: bool,
}

impl std::fmt::Debug for Tokenizer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Tokenizer").field("special", &self.special).field("vocabulary", &self.vocabulary()).finish()
    }
}

/// Bytes of a text that are looked at; what follows is cut off before tokenizing, so that one enormous text
/// costs no more than a long one. Far above what any model's window holds.
const MAX_BYTES: usize = 1 << 15;

impl Tokenizer {
    /// Reads a `tokenizer.json`; the special ids are found by their usual names
    /// (`[CLS]` or `<s>`, `[SEP]` or `</s>`, …).
    ///
    /// # Errors
    /// The file cannot be read, or lacks a special piece.
    pub fn from_file(path: impl AsRef<Path>) -> Result<Self> {
        let path = path.as_ref();
        let mut inner = tokenizers::Tokenizer::from_file(path)
            .map_err(|e| Error::corrupt(path, format!("expected a tokenizers JSON file: {e}")))?;
        inner.with_padding(None);
        inner.with_truncation(None).map_err(|e| Error::corrupt(path, e.to_string()))?;
        let spaces_pieces = matches!(inner.get_model(), tokenizers::ModelWrapper::WordPiece(_));
        if spaces_pieces && inner.get_decoder().is_none() {
            inner.with_decoder(Some(tokenizers::decoders::wordpiece::WordPiece::default()));
        }
        let find = |names: &[&str]| names.iter().find_map(|name| inner.token_to_id(name));
        let need = |names: &[&str]| {
            find(names).ok_or_else(|| Error::corrupt(path, format!("expected one of the pieces {}", names.join(", "))))
        };
        let special = SpecialIds {
            cls: need(&["[CLS]", "<s>"])?,
            sep: need(&["[SEP]", "</s>"])?,
            pad: need(&["[PAD]", "<pad>"])?,
            unk: need(&["[UNK]", "<unk>"])?,
            mask: find(&["[MASK]", "<mask>"]),
        };
        Ok(Self { inner, special, spaces_pieces })
    }

    /// The ids that frame a sentence.
    pub fn special(&self) -> SpecialIds {
        self.special
    }

    /// Number of pieces, added ones counted.
    pub fn vocabulary(&self) -> usize {
        self.inner.get_vocab_size(true)
    }

    /// Whether a piece goes on with the word of the piece before it, as WordPiece marks it.
    pub fn continues_word(&self, piece: u32) -> bool {
        self.spaces_pieces && self.inner.id_to_token(piece).is_some_and(|piece| piece.starts_with("##"))
    }

    /// The pieces of `text` without any frame. Special pieces written out in the text are not special.
    ///
    /// # Errors
    /// The tokenizer refuses the text.
    pub fn pieces(&self, text: &str) -> Result<Vec<u32>> {
        let mut end = text.len().min(MAX_BYTES);
        while !text.is_char_boundary(end) {
            end -= 1;
        }
        let encoding = self
            .inner
            .encode_fast(&text[..end], false)
            .map_err(|e| Error::invalid("text", "something the tokenizer can cut", e))?;
        let s = self.special;
        let frame = |id: u32| id == s.cls || id == s.sep || id == s.pad || Some(id) == s.mask;
        Ok(encoding.get_ids().iter().map(|&id| if frame(id) { s.unk } else { id }).collect())
    }

    /// `[CLS] pieces… [SEP]`, at most `max_tokens` ids: pieces past the limit are dropped from the end.
    /// A text without any piece (blank, control characters) gives `[CLS] [SEP]`.
    ///
    /// # Errors
    /// `max_tokens` is below 2, or the tokenizer refuses the text.
    pub fn sentence(&self, text: &str, max_tokens: usize) -> Result<Vec<u32>> {
        if max_tokens < 2 {
            return Err(Error::invalid("max_tokens", "at least 2 ([CLS] and [SEP])", max_tokens));
        }
        let mut pieces = self.pieces(text)?;
        pieces.truncate(max_tokens - 2);
        Ok([&[self.special.cls][..], &pieces, &[self.special.sep]].concat())
    }

    /// `[CLS] a [SEP] b [SEP]`, at most `max_tokens` ids: while it is too long the longer side loses its last
    /// piece, at a tie the second side (bert4keras' rule, which pops index −2 with the `[SEP]` at −1).
    ///
    /// # Errors
    /// `max_tokens` is below 3, or the tokenizer refuses a text.
    pub fn pair(&self, a: &str, b: &str, max_tokens: usize) -> Result<Pair> {
        if max_tokens < 3 {
            return Err(Error::invalid("max_tokens", "at least 3 ([CLS] and two [SEP])", max_tokens));
        }
        Ok(self.pair_of_pieces(self.pieces(a)?, self.pieces(b)?, max_tokens))
    }

    /// [`Tokenizer::pair`] of texts that are cut already; below 3, `max_tokens` counts as 3.
    pub fn pair_of_pieces(&self, mut a: Vec<u32>, mut b: Vec<u32>, max_tokens: usize) -> Pair {
        while a.len() + b.len() > max_tokens.saturating_sub(3) {
            // The first side carries [CLS] as well, so it is the longer one at equal numbers of pieces.
            if a.len() + 2 > b.len() + 1 {
                a.pop()
            } else {
                b.pop()
            };
        }
        let (cls, sep) = (self.special.cls, self.special.sep);
        let segments = [vec![0; a.len() + 2], vec![1; b.len() + 1]].concat();
        Pair { ids: [&[cls][..], &a, &[sep], &b, &[sep]].concat(), segments }
    }

    /// Text of `ids`, special pieces left out, ends trimmed. Ids that are not of this vocabulary are passed over.
    ///
    /// WordPiece does not keep the spaces of the text: one is set between words, none beside Chinese characters.
    ///
    /// # Errors
    /// The tokenizer refuses the ids.
    pub fn decode(&self, ids: &[u32]) -> Result<String> {
        // Not every file marks its special pieces as special, so we leave them out ourselves.
        let s = self.special;
        let special = |id: u32| [s.cls, s.sep, s.pad, s.unk].contains(&id) || Some(id) == s.mask;
        let ids: Vec<u32> = ids.iter().copied().filter(|&id| !special(id)).collect();
        let text =
            self.inner.decode(&ids, true).map_err(|e| Error::invalid("token ids", "ids of this vocabulary", e))?;
        let text = text.trim();
        Ok(if self.spaces_pieces { join_cjk(text) } else { text.to_owned() })
    }
}

/// Drops every space that has a character of an unspaced script on either side.
fn join_cjk(text: &str) -> String {
    let mut joined = String::with_capacity(text.len());
    let mut characters = text.chars().peekable();
    while let Some(character) = characters.next() {
        let beside_cjk = joined.ends_with(is_cjk) || characters.peek().is_some_and(|&next| is_cjk(next));
        if character != ' ' || !beside_cjk {
            joined.push(character);
        }
    }
    joined
}

/// Ideographs, kana and the punctuation that goes with them: CJK and full-width blocks of Unicode.
fn is_cjk(character: char) -> bool {
    matches!(character, '\u{2e80}'..='\u{30ff}' | '\u{3400}'..='\u{4dbf}' | '\u{4e00}'..='\u{9fff}'
        | '\u{f900}'..='\u{faff}' | '\u{ff00}'..='\u{ffef}' | '\u{20000}'..='\u{3ffff}')
}
