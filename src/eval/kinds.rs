//! Fits a probe that tells questions from other sentences by their vectors, without a list of words: what a sentence
//! is, its closing mark says, which the encoder does not get to see.

use std::collections::HashSet;
use std::path::{Path, PathBuf};

use serde::Serialize;
use unicode_normalization::UnicodeNormalization;

use super::encode::{DistinctTexts, Encode, Progress};
use super::generation::{QUESTION_MARKS, read_examples};
use crate::generate::folded;
use crate::metrics::{self, Logistic, Outcome};
use crate::{Error, Result};

/// What ends another sentence, after NFKC, in the scripts that have a mark for it.
const OTHER_MARKS: &[char] = &['.', '!', '。', '۔', '।', '։', '።'];
/// One line in so many is held out.
const FOLDS: usize = 5;
/// Fewer lines of a kind than this say nothing.
const LEAST: usize = 50;
/// Half the square of the weights counts this often beside the mean log loss: little, as there are many more lines than weights.
const L2: f64 = 3e-5;
/// Digits to which the probe is rounded: its file stays small, and no probability moves by 0.001.
const DIGITS: usize = 5;

/// A sentence whose kind is known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KindLine {
    /// Without its closing marks.
    pub text: String,
    pub is_question: bool,
}

impl KindLine {
    /// The sentence of a line, where a mark at its end says what it is: a question mark of any script, or a full stop
    /// or an exclamation mark. Many a question is written without its mark, so a line without any says nothing.
    fn of(line: &str) -> Option<Self> {
        let mark = |character: char| character.nfkc().next().unwrap_or(character);
        let closes = |c: char| QUESTION_MARKS.contains(&mark(c)) || OTHER_MARKS.contains(&mark(c)) || c.is_whitespace();
        let line = line.trim_start_matches('\u{feff}').trim();
        let text = line.trim_end_matches(closes).trim_start();
        let marks = &line[line.trim_end_matches(closes).len()..];
        (!marks.is_empty() && !folded(text).is_empty()).then(|| Self {
            text: text.to_owned(),
            is_question: marks.chars().any(|c| QUESTION_MARKS.contains(&mark(c))),
        })
    }
}

/// Reads a file of a sentence a line and takes `count` of them, half of them questions, each kind spread evenly over the
/// file. What reads alike (but for width, case, spaces and punctuation) is taken once; sentences that stand in one of
/// the files `except` ([`read_examples`]), as text or paraphrase, not at all.
///
/// # Errors
/// A file cannot be read, or holds too few sentences of a kind.
pub fn read_kind_lines(path: &Path, count: usize, except: &[PathBuf]) -> Result<Vec<KindLine>> {
    let mut seen = HashSet::new();
    for file in except {
        for example in read_examples(file)? {
            seen.insert(folded(&example.text));
            seen.extend(example.paraphrases.iter().map(|text| folded(text)));
        }
    }
    let text = std::fs::read_to_string(path).map_err(|e| Error::io("read the sentences", path, e))?;
    let (questions, others): (Vec<KindLine>, Vec<KindLine>) = text
        .lines()
        .filter_map(KindLine::of)
        .filter(|line| seen.insert(folded(&line.text)))
        .partition(|line| line.is_question);
    let each = (count / 2).min(questions.len()).min(others.len());
    if each < LEAST {
        let expected = format!("at least {LEAST} lines that end in a question mark and {LEAST} in another mark");
        let received = format!("{} and {}, of which {each} were to be taken", questions.len(), others.len());
        return Err(Error::invalid(format!("lines of {}", path.display()), expected, received));
    }
    let spread = |lines: Vec<KindLine>| (0..each).map(move |i| lines[i * lines.len() / each].clone());
    Ok(spread(questions).zip(spread(others)).flat_map(|(question, other)| [question, other]).collect())
}

/// A probe, and how good it is.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct KindsFound {
    pub lines: usize,
    pub held_out: usize,
    /// Share of the held-out lines that are told right.
    pub accuracy: f64,
    /// Over the held-out lines, in nats; ln 2 is a coin's.
    pub log_loss: f64,
    /// Fitted to all lines.
    #[serde(skip)]
    pub probe: Logistic,
}

/// Fits a probe to lines. Each fifth of either kind is held out and judged by a fit to the rest; the probe that is
/// returned is fitted to all.
///
/// # Errors
/// Encoding fails, or there are not enough lines for both parts.
pub fn fit_kinds(lines: &[KindLine], encode: &Encode, progress: &mut Progress) -> Result<KindsFound> {
    let mut texts = DistinctTexts::default();
    let places: Vec<usize> = lines.iter().map(|line| texts.position(&line.text)).collect();
    let vectors = texts.encode(encode, progress)?;
    let fit = |part: &[usize]| {
        let rows: Vec<&[f32]> = part.iter().map(|&i| vectors[places[i]].as_slice()).collect();
        let labels: Vec<bool> = part.iter().map(|&i| lines[i].is_question).collect();
        metrics::logistic(&rows, &labels, L2)
            .ok_or_else(|| Error::invalid("lines to fit to", "at least ten", part.len()))
    };
    let mut seen = [0usize; 2];
    let (held_out, rest): (Vec<usize>, Vec<usize>) = (0..lines.len()).partition(|&i| {
        let seen = &mut seen[usize::from(lines[i].is_question)];
        *seen += 1;
        (*seen).is_multiple_of(FOLDS)
    });
    let probe = fit(&rest)?;
    let judged = held_out.iter().map(|&i| {
        let score = probe.probability(&vectors[places[i]]);
        Outcome { score, positive: lines[i].is_question, weight: 1.0 }
    });
    let judged: Vec<Outcome> = judged.collect();
    let right = judged.iter().filter(|outcome| (outcome.score > 0.5) == outcome.positive).count();
    if judged.is_empty() {
        return Err(Error::invalid("lines to fit to", "at least ten", lines.len()));
    }
    let Logistic { weights, bias } = fit(&(0..lines.len()).collect::<Vec<_>>())?;
    Ok(KindsFound {
        lines: lines.len(),
        held_out: judged.len(),
        accuracy: right as f64 / judged.len() as f64,
        log_loss: metrics::log_loss(&judged),
        probe: Logistic { weights: weights.into_iter().map(rounded).collect(), bias: rounded(bias) },
    })
}

fn rounded(number: f64) -> f64 {
    format!("{number:.*e}", DIGITS - 1).parse().unwrap_or(number)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_closing_mark_says_what_a_line_is() {
        let line = |line| KindLine::of(line).map(|line| (line.text, line.is_question));
        for (given, text) in
            [("能退款吗？", "能退款吗"), ("Is it on ?!", "Is it on"), ("هل هذا؟", "هل هذا"), ("\u{feff}a?。 ", "a")]
        {
            assert_eq!(line(given), Some((text.to_owned(), true)), "{given}");
        }
        for (given, text) in [("我要退款。", "我要退款"), ("It is on!", "It is on"), ("why? no.", "why? no")] {
            assert_eq!(line(given), Some((text.to_owned(), false)), "{given}");
        }
        for given in ["怎么退款", "", "？", "…?", "a? b"] {
            assert_eq!(line(given), None, "{given}");
        }
    }

    fn written(folder: &Path, name: &str, content: &str) -> PathBuf {
        let path = folder.join(name);
        std::fs::write(&path, content).unwrap();
        path
    }

    #[test]
    fn lines_are_spread_and_taken_once() {
        let folder = tempfile::tempdir().unwrap();
        let lines: String = (0..400).map(|i| format!("q{i}?\nQ {i}？\ns{i}.\nunmarked {i}\n")).collect();
        let file = written(folder.path(), "lines.txt", &lines);
        let except = written(folder.path(), "except.tsv", "q0\tS 4\n");
        let found = read_kind_lines(&file, 200, &[except]).unwrap();
        let of = |is_question| -> Vec<&str> {
            found.iter().filter(|line| line.is_question == is_question).map(|line| line.text.as_str()).collect()
        };
        assert_eq!((of(true).len(), of(true)[0], of(true)[1], of(true)[99]), (100, "q1", "q4", "q396"));
        assert_eq!((of(false).len(), &of(false)[..3]), (100, &["s0", "s3", "s8"][..]));
        assert_eq!(read_kind_lines(&file, 9999, &[]).unwrap().len(), 800);
        let error = read_kind_lines(&file, 20, &[]).unwrap_err().to_string();
        assert!(error.contains("at least 50 lines that end in a question mark"), "{error}");
    }

    #[test]
    fn a_probe_is_judged_by_lines_that_it_has_not_seen() {
        // The first number says the kind, of all but every eleventh line; the second is the line's own.
        let lines: Vec<KindLine> =
            (0..400).map(|i| KindLine { text: i.to_string(), is_question: i % 2 == 0 }).collect();
        let encode = |texts: &[String]| {
            let number = |text: &String| text.parse::<usize>().unwrap();
            let vector =
                |i: usize| vec![if i.is_multiple_of(2) != (i % 22 > 19) { 0.9 } else { -0.9 }, (i % 7) as f32 / 20.0];
            Ok(texts.iter().map(|text| vector(number(text))).collect())
        };
        let found = fit_kinds(&lines, &encode, &mut |_| {}).unwrap();
        assert_eq!((found.lines, found.held_out), (400, 80));
        assert!((found.accuracy - 0.9).abs() < 0.06 && found.log_loss < 0.45, "{found:?}");
        assert!(found.probe.weights[0] > 1.0, "{found:?}");
        assert!(found.probe.weights.iter().all(|&weight| rounded(weight) == weight), "{found:?}");
        assert_eq!((rounded(-0.001_234_56), rounded(12.0)), (-0.001_234_6, 12.0));
        assert!(fit_kinds(&[], &encode, &mut |_| {}).is_err());
    }
}
