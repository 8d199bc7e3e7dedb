//! Scores on labelled files as training goes on.

use super::DevSettings;
use super::encode::encode;
use crate::model::Bert;
use crate::text::{Tokenizer, read_pairs, read_queries, read_standard};
use crate::{Error, Result, metrics};

/// A labelled file, read once.
#[derive(Debug)]
pub struct Dev {
    name: String,
    every: u64,
    /// Sentences to encode: both of each pair, or all standard questions and then all queries.
    sentences: Vec<String>,
    task: Task,
}

#[derive(Debug)]
enum Task {
    /// Labels of the pairs.
    Pairs(Vec<f32>),
    /// Ids of the standard questions, and of the queries.
    Faq(Vec<String>, Vec<String>),
}

impl Dev {
    /// Reads what the settings name.
    ///
    /// # Errors
    /// A file is missing, empty or has a bad line.
    pub fn read(settings: &DevSettings) -> Result<Self> {
        let (sentences, task) = match &settings.standard {
            None => {
                let pairs: Vec<_> = read_pairs(&settings.path)?.into_iter().take(settings.limit).collect();
                let labels = pairs.iter().map(|pair| pair.label).collect();
                (pairs.into_iter().flat_map(|pair| [pair.a, pair.b]).collect::<Vec<_>>(), Task::Pairs(labels))
            }
            Some(standard) => {
                let standard = read_standard(standard)?;
                let queries: Vec<_> = read_queries(&settings.path)?.into_iter().take(settings.limit).collect();
                let ids = |questions: &[crate::text::FaqQuestion]| questions.iter().map(|q| q.id.clone()).collect();
                let task = Task::Faq(ids(&standard), ids(&queries));
                (standard.into_iter().chain(queries).map(|question| question.text).collect(), task)
            }
        };
        if sentences.is_empty() {
            return Err(Error::invalid(settings.path.display().to_string(), "at least one labelled line", "none"));
        }
        Ok(Self { name: settings.name.clone(), every: settings.every, sentences, task })
    }

    /// What it is called in the log.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Steps between scores.
    pub fn every(&self) -> u64 {
        self.every
    }

    /// Spearman × 100 of the cosines against the labels, or the share × 100 of the queries whose nearest standard
    /// question is theirs.
    ///
    /// # Errors
    /// The tokenizer refuses a sentence, or the device fails.
    pub fn score(&self, network: &Bert, tokenizer: &Tokenizer) -> Result<f64> {
        let vectors = encode(network, tokenizer, &self.sentences)?;
        let cosine = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(x, y)| f64::from(x * y)).sum::<f64>();
        Ok(match &self.task {
            Task::Pairs(labels) => {
                let cosines: Vec<f64> = vectors.chunks(2).map(|pair| cosine(&pair[0], &pair[1])).collect();
                100.0 * metrics::spearman(&cosines, labels).unwrap_or(0.0)
            }
            Task::Faq(standard, queries) => {
                let (bank, asked) = vectors.split_at(standard.len());
                let right = asked.iter().zip(queries).filter(|(query, id)| {
                    let nearest = bank.iter().map(|question| cosine(question, query)).enumerate();
                    nearest.max_by(|a, b| a.1.total_cmp(&b.1)).is_some_and(|(row, _)| standard[row] == **id)
                });
                100.0 * right.count() as f64 / queries.len().max(1) as f64
            }
        })
    }
}
