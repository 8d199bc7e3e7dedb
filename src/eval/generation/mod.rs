//! Generation: are the sentences that a decoder writes varied, similar, and of the right kind?

mod examples;
mod words;

use std::collections::HashSet;
use std::time::Instant;

use serde::Serialize;

pub use examples::{Example, read_examples, read_written};
pub(super) use words::QUESTION_MARKS;
pub use words::{SentenceRules, WordList};

use super::{Progress, Step};
use crate::generate::{Paraphrase, folded};
use crate::{Error, Result, metrics};

/// What is judged: similar sentences to a text, best first, each with its cosine to the text.
pub type Rewrite<'a> = dyn Fn(&str) -> Result<Vec<Paraphrase>> + 'a;

/// Longest n-grams, of characters, that self-BLEU counts.
const SELF_BLEU_ORDER: usize = 4;

/// How well a decoder writes. Sentences are compared after [`folded`]; shares are over all returned sentences of all
/// inputs unless a field says otherwise, and `None` where there is nothing to take a share of.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Generation {
    pub inputs: usize,
    /// Inputs that are questions by the rules; the others are statements.
    pub questions: usize,
    /// Returned sentences for each input, on average.
    pub returned: f64,
    /// Share that is left when sentences for one input that fold alike count once.
    pub distinct: Option<f64>,
    /// Mean over inputs with two or more returned sentences of their self-BLEU: n-grams of 1 to 4 characters of the
    /// folded sentences, equal weights, no smoothing ([`metrics::self_bleu`]). Lower is more varied.
    pub self_bleu: Option<f64>,
    /// Mean cosine with the input.
    pub similarity: Option<f64>,
    /// Share that differs from the input by punctuation or particles alone.
    pub copy_rate: Option<f64>,
    /// Labelled paraphrases that do not fold to their input.
    pub labelled: usize,
    /// Share of the labelled paraphrases to which a returned sentence folds.
    pub coverage: Option<f64>,
    /// Mean over the labelled paraphrases of the character-bigram F1 ([`metrics::bigram_f1`]) of the returned sentence
    /// nearest to each, folded; 0 where nothing is returned.
    pub soft_coverage: Option<f64>,
    /// What the soft coverage would be if each input came back as its only paraphrase: what copying is worth.
    pub soft_coverage_of_inputs: Option<f64>,
    /// Share of the sentences returned for statements that are statements.
    pub statements_kept: Option<f64>,
    /// Share of the sentences returned for questions that are questions.
    pub questions_kept: Option<f64>,
    /// Time that writing took for an input, on average.
    pub seconds_per_input: f64,
}

/// Lets a decoder write for every example and judges what it returns.
///
/// # Errors
/// There is no example, or writing fails.
pub fn generation(
    examples: &[Example],
    rewrite: &Rewrite,
    rules: &SentenceRules,
    progress: &mut Progress,
) -> Result<Generation> {
    if examples.is_empty() {
        return Err(Error::invalid("examples to write from", "at least one", "none"));
    }
    let (mut tally, mut seconds) = (Tally::default(), 0.0);
    let total = examples.len() as u64;
    for (done, example) in (0..).zip(examples) {
        progress(Step { stage: "write", done, total });
        let started = Instant::now();
        let returned = rewrite(&example.text)?;
        seconds += started.elapsed().as_secs_f64();
        tally.add(example, &returned, rules);
    }
    progress(Step { stage: "write", done: total, total });
    Ok(tally.result(examples.len(), seconds))
}

/// A sum and what it is out of.
#[derive(Debug, Default, Clone, Copy)]
struct Mean {
    sum: f64,
    of: usize,
}

impl Mean {
    fn add(&mut self, value: f64) {
        self.sum += value;
        self.of += 1;
    }

    fn value(self) -> Option<f64> {
        (self.of > 0).then(|| self.sum / self.of as f64)
    }
}

#[derive(Debug, Default)]
struct Tally {
    questions: usize,
    distinct: Mean,
    self_bleu: Mean,
    similarity: Mean,
    copies: Mean,
    coverage: Mean,
    soft_coverage: Mean,
    soft_coverage_of_inputs: Mean,
    statements_kept: Mean,
    questions_kept: Mean,
}

impl Tally {
    fn add(&mut self, example: &Example, returned: &[Paraphrase], rules: &SentenceRules) {
        let is_question = rules.is_question(&example.text);
        self.questions += usize::from(is_question);
        let kept = if is_question { &mut self.questions_kept } else { &mut self.statements_kept };
        let wordings: Vec<String> = returned.iter().map(|paraphrase| folded(&paraphrase.text)).collect();
        let mut seen = HashSet::new();
        for (paraphrase, wording) in returned.iter().zip(&wordings) {
            kept.add(share(rules.is_question(&paraphrase.text) == is_question));
            self.distinct.add(share(seen.insert(wording)));
            self.similarity.add(f64::from(paraphrase.score));
            self.copies.add(share(rules.is_copy(&example.text, &paraphrase.text)));
        }
        if wordings.len() >= 2 {
            let characters: Vec<Vec<char>> = wordings.iter().map(|wording| wording.chars().collect()).collect();
            self.self_bleu.add(metrics::self_bleu(&characters, SELF_BLEU_ORDER));
        }
        let input = folded(&example.text);
        for label in example.paraphrases.iter().map(|label| folded(label)).filter(|label| *label != input) {
            let f1 = wordings.iter().map(|wording| metrics::bigram_f1(wording, &label)).fold(0.0, f64::max);
            self.coverage.add(share(wordings.contains(&label)));
            self.soft_coverage.add(f1);
            self.soft_coverage_of_inputs.add(metrics::bigram_f1(&input, &label));
        }
    }

    fn result(self, inputs: usize, seconds: f64) -> Generation {
        Generation {
            inputs,
            questions: self.questions,
            returned: self.distinct.of as f64 / inputs as f64,
            distinct: self.distinct.value(),
            self_bleu: self.self_bleu.value(),
            similarity: self.similarity.value(),
            copy_rate: self.copies.value(),
            labelled: self.coverage.of,
            coverage: self.coverage.value(),
            soft_coverage: self.soft_coverage.value(),
            soft_coverage_of_inputs: self.soft_coverage_of_inputs.value(),
            statements_kept: self.statements_kept.value(),
            questions_kept: self.questions_kept.value(),
            seconds_per_input: seconds / inputs as f64,
        }
    }
}

fn share(counts: bool) -> f64 {
    f64::from(u8::from(counts))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn example(text: &str, paraphrases: &[&str]) -> Example {
        Example { text: text.to_owned(), paraphrases: paraphrases.iter().map(|&text| text.to_owned()).collect() }
    }

    /// Judges a writer that returns these sentences for these inputs, with a cosine of one half.
    fn judge(cases: &[(Example, &[&str])]) -> Generation {
        let rewrite = |text: &str| {
            let (_, returned) = cases.iter().find(|(example, _)| example.text == text).unwrap();
            Ok(returned.iter().map(|&text| Paraphrase { text: text.to_owned(), score: 0.5 }).collect())
        };
        let examples: Vec<Example> = cases.iter().map(|(example, _)| example.clone()).collect();
        generation(&examples, &rewrite, &words::tests::rules(), &mut |_| {}).unwrap()
    }

    #[test]
    fn what_folds_alike_counts_once() {
        let result = judge(&[(example("还款", &[]), &["怎么还款", "怎么，还 款？", "还钱", "还款日"])]);
        assert_eq!((result.distinct, result.returned), (Some(0.75), 4.0));
    }

    #[test]
    fn copies_are_what_punctuation_or_particles_make() {
        let result = judge(&[(example("怎么还款", &[]), &["怎么还款？", "请问怎么还款呢", "如何还款", "还款"])]);
        assert_eq!(result.copy_rate, Some(0.5));
    }

    #[test]
    fn coverage_is_of_labelled_paraphrases_that_are_not_the_input() {
        let returned: &[&str] = &["如何还款。", "还款在哪"];
        let result = judge(&[(example("怎么还款", &["如何还款", "去哪还款", "怎么还款？"]), returned)]);
        assert_eq!((result.labelled, result.coverage), (2, Some(0.5)));
        // 去哪还款 has 还款 in common with both: 2 · 1 / 6. The input has it in common with both labels.
        assert_eq!(result.soft_coverage, Some((1.0 + 2.0 / 6.0) / 2.0));
        assert_eq!(result.soft_coverage_of_inputs, Some(2.0 / 6.0));
    }

    #[test]
    fn each_kind_is_judged_by_its_own_inputs() {
        let result = judge(&[
            (example("我要还款", &[]), &["我还款", "怎么还款", "还款？", "还款"]),
            (example("怎么还款", &[]), &["哪里还款", "还款"]),
        ]);
        assert_eq!((result.questions, result.inputs), (1, 2));
        assert_eq!((result.statements_kept, result.questions_kept), (Some(0.5), Some(0.5)));
        assert_eq!(result.similarity, Some(0.5));
    }

    #[test]
    fn self_bleu_is_the_mean_over_inputs() {
        let alike: &[&str] = &["怎么还信用卡", "怎么还信用卡！"];
        let result = judge(&[(example("甲", &[]), alike), (example("乙", &[]), &["天地玄黄", "宇宙洪荒"])]);
        assert!((result.self_bleu.unwrap() - 0.5).abs() < 1e-12, "{result:?}");
    }

    #[test]
    fn a_decoder_that_returns_nothing_has_no_shares() {
        let result = judge(&[(example("还款", &["还钱"]), &[])]);
        assert_eq!((result.distinct, result.similarity, result.statements_kept), (None, None, None));
        assert_eq!((result.returned, result.coverage, result.soft_coverage), (0.0, Some(0.0), Some(0.0)));
    }

    #[test]
    fn without_examples_there_is_nothing_to_judge() {
        let error = generation(&[], &|_| Ok(Vec::new()), &words::tests::rules(), &mut |_| {}).unwrap_err();
        assert_eq!(error.to_string(), "examples to write from: expected at least one, received none");
    }
}
