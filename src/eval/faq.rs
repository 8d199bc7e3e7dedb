//! FAQ retrieval: is the right standard question among the nearest?

use std::collections::{HashMap, HashSet};
use std::path::Path;

use rayon::prelude::*;
use serde::Serialize;

use super::encode::{DistinctTexts, unit_vectors};
use super::{Encode, FaqQuestion, Progress, Step, read_queries, read_standard};
use crate::engine::{DEEPER, Fusion, fuse};
use crate::index::{Neighbour, dot};
use crate::{Error, Result, metrics};

/// How well users' queries find their standard questions.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Faq {
    pub queries: usize,
    /// Share of queries whose FAQ is the first hit: 0 to 1.
    pub recall_at_1: f64,
    /// Share of queries whose FAQ is among the first ten hits: 0 to 1.
    pub recall_at_10: f64,
    /// Mean of 1 / rank within the first ten hits: 0 to 1.
    pub mrr_at_10: f64,
}

/// Similar questions to search with besides the query itself.
pub type Paraphrase<'a> = dyn Fn(&str) -> Result<Vec<String>> + 'a;

/// How far down a ranking counts.
const DEPTH: usize = 10;
/// How the rankings of phrases become one: Cormack et al. 2009.
const FUSION: Fusion = Fusion::ReciprocalRank { k: 60.0 };

/// Judges an encoder by standard questions and users' queries; see [`read_standard`] and [`read_queries`] for the
/// formats. Every query is compared with every standard question; equal cosines rank in the order of the file. With
/// `paraphrase`, the rankings of the query and of its paraphrases are fused by reciprocal rank.
///
/// # Errors
/// A file is bad or empty, a query names an id that no standard question has, or encoding or generating fails.
pub fn faq(
    standard: impl AsRef<Path>,
    queries: impl AsRef<Path>,
    encode: &Encode,
    paraphrase: Option<&Paraphrase>,
    progress: &mut Progress,
) -> Result<Faq> {
    let (standard, queries) = read_checked(standard.as_ref(), queries.as_ref())?;
    let mut texts = DistinctTexts::default();
    let standard_at: Vec<usize> = standard.iter().map(|question| texts.position(&question.text)).collect();
    let query_at: Vec<usize> = queries.iter().map(|query| texts.position(&query.text)).collect();
    let vectors = texts.encode(encode, progress)?;
    let bank: Vec<&[f32]> = standard_at.iter().map(|&at| vectors[at].as_slice()).collect();

    let asked: HashSet<usize> = query_at.iter().copied().collect();
    let nearest: HashMap<usize, Vec<Neighbour>> = match paraphrase {
        None => asked.into_par_iter().map(|at| (at, rank(&bank, &vectors[at], DEPTH))).collect(),
        Some(paraphrase) => {
            let total = asked.len() as u64;
            let mut nearest = HashMap::with_capacity(asked.len());
            for at in asked {
                progress(Step { stage: "expand", done: nearest.len() as u64, total });
                let mut phrases = unit_vectors(&paraphrase(&texts.texts()[at])?, encode)?;
                phrases.push(vectors[at].clone());
                nearest.insert(at, expanded(&bank, &phrases));
            }
            progress(Step { stage: "expand", done: total, total });
            nearest
        }
    };
    let rank_of = |(query, at): (&FaqQuestion, &usize)| {
        nearest[at].iter().position(|hit| standard[hit.id as usize].id == query.id).map(|position| position + 1)
    };
    let ranks: Vec<Option<usize>> = queries.iter().zip(&query_at).map(rank_of).collect();
    Ok(Faq {
        queries: queries.len(),
        recall_at_1: metrics::recall_at(&ranks, 1),
        recall_at_10: metrics::recall_at(&ranks, DEPTH),
        mrr_at_10: metrics::reciprocal_rank_at(&ranks, DEPTH),
    })
}

/// Reads both files and sees that they belong together.
pub(super) fn read_checked(standard_path: &Path, query_path: &Path) -> Result<(Vec<FaqQuestion>, Vec<FaqQuestion>)> {
    let (standard, queries) = (read_standard(standard_path)?, read_queries(query_path)?);
    for (path, questions) in [(standard_path, &standard), (query_path, &queries)] {
        if questions.is_empty() {
            return Err(Error::invalid(path.display().to_string(), "at least one question", "none"));
        }
    }
    let ids: HashSet<&str> = standard.iter().map(|question| question.id.as_str()).collect();
    match queries.iter().find(|query| !ids.contains(query.id.as_str())) {
        Some(query) => Err(Error::invalid(
            format!("id of the query `{}` in {}", query.text, query_path.display()),
            format!("an id of {}", standard_path.display()),
            format!("`{}`", query.id),
        )),
        None => Ok((standard, queries)),
    }
}

/// The `depth` nearest questions, nearest first; their ids are their positions.
pub(super) fn rank(bank: &[&[f32]], query: &[f32], depth: usize) -> Vec<Neighbour> {
    let score = |(id, vector): (usize, &&[f32])| Neighbour { id: id as u32, score: dot(query, vector) };
    let mut neighbours: Vec<Neighbour> = bank.iter().enumerate().map(score).collect();
    let order = |x: &Neighbour, y: &Neighbour| y.score.total_cmp(&x.score).then(x.id.cmp(&y.id));
    if depth < neighbours.len() {
        neighbours.select_nth_unstable_by(depth, order);
        neighbours.truncate(depth);
    }
    neighbours.sort_unstable_by(order);
    neighbours
}

/// The fused ranking of several phrases, as an expanded search makes it.
fn expanded(bank: &[&[f32]], phrases: &[Vec<f32>]) -> Vec<Neighbour> {
    let rankings: Vec<_> = phrases.par_iter().map(|phrase| rank(bank, phrase, DEPTH * DEEPER)).collect();
    fuse(&rankings, FUSION, |id| id).into_iter().take(DEPTH).map(|item| item.best).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const STANDARD: &str = "还款\tabc\n借款\tcde\n还款\taab\n额度\txyz\n";

    /// Counts of the letters a to z.
    fn letters(texts: &[String]) -> Result<Vec<Vec<f32>>> {
        let count = |text: &String, letter| text.chars().filter(|&c| c == letter).count() as f32;
        Ok(texts.iter().map(|text| ('a'..='z').map(|letter| count(text, letter)).collect()).collect())
    }

    fn judge(standard: &str, queries: &str, paraphrase: Option<&Paraphrase>) -> Result<Faq> {
        let folder = tempfile::tempdir().unwrap();
        let paths = ["standard.tsv", "query.tsv"].map(|name| folder.path().join(name));
        std::fs::write(&paths[0], standard).unwrap();
        std::fs::write(&paths[1], queries).unwrap();
        faq(&paths[0], &paths[1], &letters, paraphrase, &mut |_| {})
    }

    #[test]
    fn ranks_by_the_first_hit_of_the_right_faq() {
        // `ab` is nearest to the two phrasings of 还款; `bcd` to 借款 (2/3), then 还款 (2/3 as well, but earlier).
        let faq = judge(STANDARD, "ab\t还款\nbcd\t还款\nbcd\t借款\nxyz\t还款\n", None).unwrap();
        assert_eq!(faq.queries, 4);
        assert_eq!(faq.recall_at_1, 0.5);
        assert_eq!(faq.recall_at_10, 1.0);
        assert_eq!(faq.mrr_at_10, (1.0 + 1.0 + 0.5 + 0.5) / 4.0);
    }

    #[test]
    fn what_stands_past_the_tenth_place_is_not_found() {
        let standard: String = (0..12).map(|i| format!("{i}\ta\n")).collect();
        let faq = judge(&standard, "a\t0\na\t9\na\t10\na\t11\n", None).unwrap();
        assert_eq!((faq.recall_at_1, faq.recall_at_10, faq.mrr_at_10), (0.25, 0.5, (1.0 + 0.1) / 4.0));
    }

    #[test]
    fn paraphrases_outvote_a_query_that_misleads() {
        let queries = "xx\t借款\n";
        assert_eq!(judge(STANDARD, queries, None).unwrap().recall_at_1, 0.0);
        let asked = std::cell::RefCell::new(Vec::new());
        let paraphrase = |text: &str| {
            asked.borrow_mut().push(text.to_owned());
            Ok(vec!["cde".to_owned(), "de".to_owned()])
        };
        assert_eq!(judge(STANDARD, &queries.repeat(3), Some(&paraphrase)).unwrap().recall_at_1, 1.0);
        assert_eq!(*asked.borrow(), ["xx"], "a query is paraphrased once");
        assert_eq!(
            judge(STANDARD, queries, Some(&|_| Ok(Vec::new()))).unwrap(),
            judge(STANDARD, queries, None).unwrap()
        );
    }

    #[test]
    fn files_that_do_not_belong_together_are_refused() {
        let error = judge(STANDARD, "ab\t还款\nab\t利率\n", None).unwrap_err().to_string();
        assert!(error.contains("received `利率`"), "{error}");
        assert!(judge("", "ab\t还款\n", None).unwrap_err().to_string().contains("at least one question"));
        assert!(judge(STANDARD, "", None).unwrap_err().to_string().contains("at least one question"));
    }

    #[test]
    fn a_failing_encoder_fails_the_evaluation() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("standard.tsv");
        std::fs::write(&path, "a\ta\n").unwrap();
        let fail = |_: &[String]| Err(Error::Internal("no vectors today".to_owned()));
        assert!(faq(&path, &path, &fail, None, &mut |_| {}).unwrap_err().to_string().contains("no vectors today"));
    }

    #[test]
    fn the_json_has_the_four_fields_of_the_contract() {
        let json = serde_json::to_string(&judge("a\ta\n", "a\ta\n", None).unwrap()).unwrap();
        assert_eq!(json, r#"{"queries":1,"recall_at_1":1.0,"recall_at_10":1.0,"mrr_at_10":1.0}"#);
    }
}
