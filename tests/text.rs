//! Whatever people type, the tokenizer cuts it: WordPiece and unigram files, hostile text, truncation, and back.

use std::collections::BTreeMap;

use proptest::prelude::*;
use serde_json::{Value, json};
use simbert::text::{Batch, Tokenizer};

const WORDS: &str = "怎么还款借微信支付宝哪个好用在里开证明的了吗?？!,。[]";

fn open(file: &Value) -> simbert::Result<Tokenizer> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("tokenizer.json");
    std::fs::write(&path, serde_json::to_vec(file).unwrap()).unwrap();
    Tokenizer::from_file(path)
}

fn added(pieces: &[(&str, usize)]) -> Value {
    pieces.iter().map(|(content, id)| {
        json!({ "id": id, "content": content, "single_word": false, "lstrip": false, "rstrip": false, "normalized": false, "special": true })
    }).collect()
}

/// A WordPiece file such as BERT's: lower-cased, accents dropped, Chinese characters cut apart.
fn wordpiece_file() -> Value {
    let special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"];
    let mut vocabulary: BTreeMap<String, usize> = BTreeMap::new();
    let words = ["pay", "##pal", "##s", "how", "to", "cafe", "sep", "\u{2028}"].map(str::to_owned);
    for piece in special.map(str::to_owned).into_iter().chain(words).chain(WORDS.chars().map(String::from)) {
        let next = vocabulary.len();
        vocabulary.entry(piece).or_insert(next);
    }
    json!({
        "version": "1.0", "truncation": null, "padding": null,
        "added_tokens": added(&special.map(|piece| (piece, vocabulary[piece]))),
        "normalizer": { "type": "BertNormalizer", "clean_text": true, "handle_chinese_chars": true, "strip_accents": null, "lowercase": true },
        "pre_tokenizer": { "type": "BertPreTokenizer" },
        "post_processor": null,
        "decoder": { "type": "WordPiece", "prefix": "##", "cleanup": true },
        "model": { "type": "WordPiece", "unk_token": "[UNK]", "continuing_subword_prefix": "##", "max_input_chars_per_word": 100, "vocab": vocabulary },
    })
}

/// A unigram file such as SentencePiece writes: spaces become `▁`, no piece is a frame but the special ones.
fn unigram_file() -> Value {
    let special = ["<s>", "<pad>", "</s>", "<unk>"];
    let words = [("▁", -3.0), ("怎么", -4.0), ("还款", -4.0), ("pay", -5.0), ("▁pay", -4.5)];
    let mut vocabulary: Vec<(String, f64)> = special.iter().map(|piece| ((*piece).to_owned(), 0.0)).collect();
    vocabulary.extend(words.iter().map(|&(piece, score)| (piece.to_owned(), score)));
    vocabulary.extend(WORDS.chars().chain('a'..='z').map(|character| (character.to_string(), -8.0)));
    vocabulary.push(("<mask>".to_owned(), 0.0));
    let mask = vocabulary.len() - 1;
    let metaspace = json!({ "type": "Metaspace", "replacement": "▁", "prepend_scheme": "always", "split": true });
    json!({
        "version": "1.0", "truncation": null, "padding": null,
        "added_tokens": added(&[("<s>", 0), ("<pad>", 1), ("</s>", 2), ("<unk>", 3), ("<mask>", mask)]),
        "normalizer": { "type": "NFKC" },
        "pre_tokenizer": metaspace, "post_processor": null, "decoder": metaspace,
        "model": { "type": "Unigram", "unk_id": 3, "vocab": vocabulary },
    })
}

fn both() -> [Tokenizer; 2] {
    [open(&wordpiece_file()).unwrap(), open(&unigram_file()).unwrap()]
}

/// The frame stands where it should and nowhere else.
fn assert_framed(tokenizer: &Tokenizer, ids: &[u32], max_tokens: usize) {
    let s = tokenizer.special();
    assert!((2..=max_tokens).contains(&ids.len()), "{} of {max_tokens} tokens", ids.len());
    assert_eq!((ids[0], ids[ids.len() - 1]), (s.cls, s.sep));
    for &id in &ids[1..ids.len() - 1] {
        assert!(![s.cls, s.sep, s.pad].contains(&id) && Some(id) != s.mask, "a frame inside: {ids:?}");
        assert!((id as usize) < tokenizer.vocabulary());
    }
}

#[test]
fn both_kinds_of_file_are_read() {
    for tokenizer in both() {
        let s = tokenizer.special();
        assert!(s.mask.is_some());
        let ids = tokenizer.sentence("怎么还款？", 32).unwrap();
        assert_framed(&tokenizer, &ids, 32);
        assert!(ids.len() > 3 && !ids.contains(&s.unk), "{ids:?}");
    }
    let special = open(&wordpiece_file()).unwrap().special();
    assert_eq!((special.pad, special.unk, special.cls, special.sep, special.mask), (0, 1, 2, 3, Some(4)));
}

#[test]
fn a_file_that_is_no_tokenizer_is_refused() {
    let error = open(&json!({ "hello": 1 })).unwrap_err().to_string();
    assert!(error.contains("expected a tokenizers JSON file"), "{error}");
    let mut without_sep = wordpiece_file();
    without_sep["added_tokens"] = json!([]);
    without_sep["model"]["vocab"].as_object_mut().unwrap().remove("[SEP]");
    let error = open(&without_sep).unwrap_err().to_string();
    assert!(error.contains("[SEP], </s>"), "{error}");
    assert!(Tokenizer::from_file("no/such/tokenizer.json").is_err());
}

#[test]
fn nothing_to_read_gives_the_bare_frame() {
    for tokenizer in both() {
        let frame = [tokenizer.special().cls, tokenizer.special().sep];
        assert_eq!(tokenizer.sentence("", 32).unwrap(), frame);
        for max_tokens in [0, 1] {
            let error = tokenizer.sentence("怎么", max_tokens).unwrap_err().to_string();
            assert!(error.contains("at least 2"), "{error}");
        }
        assert_eq!(tokenizer.sentence("怎么", 2).unwrap(), frame);
    }
    // BERT's cleaning leaves nothing of these; a unigram file may keep a `▁` or an unknown piece.
    let bert = open(&wordpiece_file()).unwrap();
    for blank in [" ", "\t\n\r", "\u{3000}\u{a0}", "\0\0", "\u{1}\u{7f}\u{fffd}", "\u{300}\u{301}", "\u{2028}\u{2029}"]
    {
        assert!(bert.pieces(blank).unwrap().is_empty(), "{blank:?}");
    }
}

#[test]
fn hostile_text_is_cut_without_a_frame_inside() {
    let texts = [
        "\0",
        "怎\0么",
        "\u{7f}\u{80}\u{9f}",
        "😀👨‍👩‍👧‍👦🇨🇳",
        "е́ع́ก็",
        "\u{301}怎\u{301}么",
        "怎\u{2028}么\u{2029}",
        "\u{feff}怎么",
        "\u{202e}么怎",
        "How to 支付 in ภาษาไทย и по-русски العربية 한국어 カタカナ",
        "ﷺ㌀①Ⅷ㈱",
        "\u{10ffff}\u{e000}𠀀",
        "[CLS][SEP][PAD][MASK][UNK]",
        "<s></s><pad><mask><unk>",
        "怎么[SEP]还款</s>",
        "▁▁▁",
        "##pal ##s",
    ];
    for tokenizer in both() {
        for text in texts {
            assert_framed(&tokenizer, &tokenizer.sentence(text, 64).unwrap(), 64);
            let pair = tokenizer.pair(text, text, 64).unwrap();
            assert_eq!(pair.ids.iter().filter(|&&id| id == tokenizer.special().sep).count(), 2, "{text:?}");
        }
    }
}

#[test]
fn an_enormous_text_costs_no_more_than_a_long_one() {
    for tokenizer in both() {
        for unit in ["怎么还款", "a", " ", "\0", "pay ", "😀", "[SEP]", "\u{301}"] {
            let enormous = unit.repeat(10_000_000 / unit.len());
            let start = std::time::Instant::now();
            let ids = tokenizer.sentence(&enormous, 64).unwrap();
            assert!(start.elapsed().as_secs() < 5, "{unit:?} took {:?}", start.elapsed());
            assert_framed(&tokenizer, &ids, 64);
        }
    }
    // What is looked at is the beginning, cut between two characters wherever the limit falls.
    let bert = open(&wordpiece_file()).unwrap();
    for shift in 0..4 {
        let text = format!("{}{}", ",".repeat(shift), "怎".repeat(100_000));
        assert_eq!(bert.pieces(&text).unwrap().len(), shift + ((1 << 15) - shift) / "怎".len());
    }
}

#[test]
fn text_comes_back() {
    let [bert, unigram] = both();
    for text in ["怎么还款。", "微信支付宝哪个好用?", "怎么pay微信"] {
        for tokenizer in [&bert, &unigram] {
            assert_eq!(tokenizer.decode(&tokenizer.sentence(text, 64).unwrap()).unwrap(), text);
        }
    }
    for (text, back) in [("How to PayPals", "how to paypals"), ("  café  ", "cafe"), ("pay 怎么 pay", "pay怎么pay")]
    {
        assert_eq!(bert.decode(&bert.sentence(text, 64).unwrap()).unwrap(), back);
    }
    assert_eq!(unigram.decode(&unigram.sentence("怎么 pay pay", 64).unwrap()).unwrap(), "怎么 pay pay");
    for tokenizer in [&bert, &unigram] {
        assert_eq!(tokenizer.decode(&[]).unwrap(), "");
        assert_eq!(tokenizer.decode(&[u32::MAX, tokenizer.special().sep]).unwrap(), "");
    }
}

#[test]
fn special_pieces_are_left_out_even_where_the_file_does_not_mark_them() {
    let mut file = wordpiece_file();
    file["added_tokens"] = json!([]);
    file["decoder"] = Value::Null;
    let tokenizer = open(&file).unwrap();
    let pair = tokenizer.pair("怎么", "paypals", 64).unwrap();
    assert_eq!(tokenizer.decode(&pair.ids).unwrap(), "怎么paypals");
}

/// bert4keras to the letter: while both sides together are too long, the longer loses the piece before its last; at
/// a tie the second. The first side is `[CLS] a [SEP]`, the second `b [SEP]`.
fn truncated_by_reference(tokenizer: &Tokenizer, a: &str, b: &str, max_tokens: usize) -> Vec<u32> {
    let s = tokenizer.special();
    let mut first = [vec![s.cls], tokenizer.pieces(a).unwrap(), vec![s.sep]].concat();
    let mut second = [tokenizer.pieces(b).unwrap(), vec![s.sep]].concat();
    while first.len() + second.len() > max_tokens {
        let longer = if first.len() > second.len() { &mut first } else { &mut second };
        longer.remove(longer.len() - 2);
    }
    [first, second].concat()
}

#[test]
fn a_limit_that_holds_no_pair_is_refused() {
    for tokenizer in both() {
        for max_tokens in 0..3 {
            assert!(tokenizer.pair("怎么", "还款", max_tokens).unwrap_err().to_string().contains("at least 3"));
            assert_eq!(tokenizer.pair_of_pieces(vec![7; 5], vec![8; 5], max_tokens).ids.len(), 3);
        }
    }
}

/// Text that the little vocabularies know in part, or any text at all.
fn any_text() -> impl Strategy<Value = String> {
    prop_oneof!["[怎么还款借微信支付宝 a-z？]{0,40}", any::<String>(), "\\PC{0,40}"]
}

proptest! {
    // Failing cases are not written beside this file: what a failure prints is enough to repeat it.
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_sentence_is_its_pieces_cut_from_the_end(text in any_text(), max_tokens in 2usize..40) {
        for tokenizer in both() {
            let ids = tokenizer.sentence(&text, max_tokens).unwrap();
            assert_framed(&tokenizer, &ids, max_tokens);
            let pieces = tokenizer.pieces(&text).unwrap();
            prop_assert_eq!(ids.len(), (pieces.len() + 2).min(max_tokens));
            prop_assert_eq!(&ids[1..ids.len() - 1], &pieces[..ids.len() - 2]);
            tokenizer.decode(&ids).unwrap();
        }
    }

    #[test]
    fn a_pair_is_cut_as_the_reference_cuts_it(a in any_text(), b in any_text(), max_tokens in 3usize..40) {
        for tokenizer in both() {
            let pair = tokenizer.pair(&a, &b, max_tokens).unwrap();
            prop_assert_eq!(&pair.ids, &truncated_by_reference(&tokenizer, &a, &b, max_tokens));
            let source = pair.ids.iter().position(|&id| id == tokenizer.special().sep).unwrap() + 1;
            let segments: Vec<u8> = (0..pair.ids.len()).map(|at| u8::from(at >= source)).collect();
            prop_assert_eq!(pair.segments, segments);
        }
    }

    #[test]
    fn a_batch_gives_back_its_sequences(rows in prop::collection::vec(prop::collection::vec(any::<u32>(), 0..9), 0..9)) {
        let mut batch = Batch::new();
        let segments = |row: &[u32]| row.iter().map(|id| (id % 2) as u8).collect::<Vec<_>>();
        rows.iter().for_each(|row| batch.push(row, &segments(row)));
        prop_assert_eq!((batch.len(), batch.is_empty()), (rows.len(), rows.is_empty()));
        prop_assert_eq!(batch.tokens(), rows.iter().map(Vec::len).sum::<usize>());
        prop_assert_eq!(batch.width(), rows.iter().map(Vec::len).max().unwrap_or(0));
        for (at, row) in rows.iter().enumerate() {
            prop_assert_eq!(batch.ids_of(at), row.as_slice());
            prop_assert_eq!(batch.segments_of(at), segments(row));
        }
    }
}
