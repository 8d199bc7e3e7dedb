//! Sentence pairs: do the cosines order them as people did?

use std::path::Path;

use serde::Serialize;

use super::encode::DistinctTexts;
use super::{Encode, Progress, read_pairs};
use crate::{Error, Result, metrics};

/// How well the cosines agree with the labels.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Sts {
    pub pairs: usize,
    /// Spearman's ρ of cosines and labels, × 100: −100 to 100.
    pub spearman: f64,
}

/// Judges an encoder by a file of labelled pairs; see [`read_pairs`] for its format.
///
/// # Errors
/// The file is bad, encoding fails, or ρ is undefined: fewer than two pairs, all labels or all cosines equal.
pub fn sts(file: impl AsRef<Path>, encode: &Encode, progress: &mut Progress) -> Result<Sts> {
    let file = file.as_ref();
    let pairs = read_pairs(file)?;
    let mut texts = DistinctTexts::default();
    let positions: Vec<_> = pairs.iter().map(|pair| (texts.position(&pair.a), texts.position(&pair.b))).collect();
    let vectors = texts.encode(encode, progress)?;
    let cosines: Vec<f64> = positions.iter().map(|&(a, b)| cosine(&vectors[a], &vectors[b])).collect();
    let labels: Vec<f32> = pairs.iter().map(|pair| pair.label).collect();
    let spearman = metrics::spearman(&cosines, &labels).ok_or_else(|| {
        let expected = "at least two pairs whose labels differ and whose cosines differ";
        Error::invalid(file.display().to_string(), expected, format!("none among {}", pairs.len()))
    })?;
    Ok(Sts { pairs: pairs.len(), spearman: spearman * 100.0 })
}

/// The cosine, computed so that two equal vectors give exactly 1 and tie with other such pairs.
pub(super) fn cosine(a: &[f32], b: &[f32]) -> f64 {
    let dot = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(&x, &y)| f64::from(x) * f64::from(y)).sum::<f64>();
    let norms = (dot(a, a) * dot(b, b)).sqrt();
    if norms > 0.0 { dot(a, b) / norms } else { 0.0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Counts of the letters a, b and c.
    fn letters(texts: &[String]) -> Result<Vec<Vec<f32>>> {
        let count = |text: &String, letter| text.chars().filter(|&c| c == letter).count() as f32;
        Ok(texts.iter().map(|text| ['a', 'b', 'c'].map(|letter| count(text, letter)).to_vec()).collect())
    }

    fn judge(content: &str) -> Result<Sts> {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), content).unwrap();
        sts(file.path(), &letters, &mut |_| {})
    }

    #[test]
    fn cosines_in_the_order_of_the_labels_give_100() {
        let sts = judge("ab\tba\t5\nab\tac\t2.5\na\tb\t0\nabc\tcba\t5\n").unwrap();
        assert_eq!(sts.pairs, 4);
        assert!((sts.spearman - 100.0).abs() < 1e-9, "equal vectors must tie exactly: {}", sts.spearman);
        assert!((judge("a\ta\t0\na\tb\t1").unwrap().spearman + 100.0).abs() < 1e-9);
    }

    #[test]
    fn a_file_that_orders_nothing_is_refused() {
        for content in ["", "a\tb\t1\n", "a\tb\t1\na\ta\t1\n", "a\tb\t1\nb\tc\t0\n"] {
            let error = judge(content).unwrap_err().to_string();
            assert!(error.contains("at least two pairs"), "{error}");
        }
    }

    #[test]
    fn the_json_has_the_two_fields_of_the_contract() {
        let json = serde_json::to_string(&Sts { pairs: 3, spearman: 12.5 }).unwrap();
        assert_eq!(json, r#"{"pairs":3,"spearman":12.5}"#);
    }
}
