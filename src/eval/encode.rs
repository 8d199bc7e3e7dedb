//! Distinct texts to unit vectors, with progress.

use std::collections::HashMap;

use crate::{Error, Result};

/// What is judged: sentence vectors of texts, `[texts][dimension]`, in the order of the texts.
pub type Encode<'a> = dyn Fn(&[String]) -> Result<Vec<Vec<f32>>> + 'a;

/// How far the work has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Step {
    /// What is being done, in one word.
    pub stage: &'static str,
    pub done: u64,
    pub total: u64,
}

/// Is told of every step.
pub type Progress<'a> = dyn FnMut(Step) + 'a;

/// Texts given to the encoder in one call: enough to sort by length, few enough for the progress to move.
const CHUNK: usize = 256;

/// Texts, each kept once.
#[derive(Debug, Default)]
pub(super) struct DistinctTexts {
    texts: Vec<String>,
    positions: HashMap<String, usize>,
}

impl DistinctTexts {
    /// Where `text` stands among the distinct texts, added if it is new.
    pub fn position(&mut self, text: &str) -> usize {
        if let Some(&position) = self.positions.get(text) {
            return position;
        }
        self.positions.insert(text.to_owned(), self.texts.len());
        self.texts.push(text.to_owned());
        self.texts.len() - 1
    }

    /// The distinct texts, in the order in which they were first seen.
    pub fn texts(&self) -> &[String] {
        &self.texts
    }

    /// Vectors of the distinct texts, at their positions.
    pub fn encode(&self, encode: &Encode, progress: &mut Progress) -> Result<Vec<Vec<f32>>> {
        let total = self.texts.len() as u64;
        let mut vectors = Vec::with_capacity(self.texts.len());
        for chunk in self.texts.chunks(CHUNK) {
            progress(Step { stage: "encode", done: vectors.len() as u64, total });
            vectors.extend(unit_vectors(chunk, encode)?);
        }
        progress(Step { stage: "encode", done: total, total });
        let width = vectors.first().map_or(0, Vec::len);
        match vectors.iter().find(|vector| vector.len() != width) {
            Some(odd) => Err(Error::invalid("sentence vector", format!("{width} numbers"), odd.len())),
            None => Ok(vectors),
        }
    }
}

/// Encodes, checks and normalises; a vector of zeros stays as it is.
pub(super) fn unit_vectors(texts: &[String], encode: &Encode) -> Result<Vec<Vec<f32>>> {
    let mut vectors = encode(texts)?;
    if vectors.len() != texts.len() {
        return Err(Error::invalid("the encoder's answer", format!("{} vectors", texts.len()), vectors.len()));
    }
    for (vector, text) in vectors.iter_mut().zip(texts) {
        let norm = vector.iter().map(|&x| f64::from(x).powi(2)).sum::<f64>().sqrt();
        if !norm.is_finite() {
            let text: String = text.chars().take(40).collect();
            return Err(Error::invalid(format!("sentence vector of `{text}`"), "finite numbers", norm));
        }
        if norm > 0.0 {
            vector.iter_mut().for_each(|x| *x = (f64::from(*x) / norm) as f32);
        }
    }
    Ok(vectors)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::Cell;

    #[test]
    fn every_text_is_encoded_once_and_every_step_is_told() {
        let mut texts = DistinctTexts::default();
        let positions: Vec<usize> = (0..1000).map(|i| texts.position(&(i % 600).to_string())).collect();
        assert_eq!((positions[0], positions[599], positions[600], positions[999]), (0, 599, 0, 399));
        let (seen, mut steps) = (Cell::new(0), Vec::new());
        let encode = |texts: &[String]| {
            seen.set(seen.get() + texts.len());
            Ok(texts.iter().map(|text| vec![text.parse().unwrap(), 1.0]).collect())
        };
        let vectors = texts.encode(&encode, &mut |step| steps.push((step.done, step.total))).unwrap();
        assert_eq!((vectors.len(), seen.get()), (600, 600));
        assert_eq!(steps, [(0, 600), (256, 600), (512, 600), (600, 600)]);
        assert!((vectors[2][0] - 2.0 / 5.0_f32.sqrt()).abs() < 1e-6, "vectors come out with length 1");
    }

    #[test]
    fn an_encoder_that_answers_wrongly_is_refused() {
        let mut texts = DistinctTexts::default();
        ["甲", "乙"].iter().for_each(|text| _ = texts.position(text));
        let fail = |answer: Vec<Vec<f32>>| texts.encode(&|_| Ok(answer.clone()), &mut |_| {}).unwrap_err().to_string();
        assert_eq!(fail(vec![vec![1.0]]), "the encoder's answer: expected 2 vectors, received 1");
        assert_eq!(fail(vec![vec![1.0], vec![0.0, 1.0]]), "sentence vector: expected 1 numbers, received 2");
        assert_eq!(
            fail(vec![vec![1.0], vec![f32::NAN]]),
            "sentence vector of `乙`: expected finite numbers, received NaN"
        );
    }
}
