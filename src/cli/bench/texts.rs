//! The texts that a bench is run on, and the middle of what it measured.

use std::io::{BufRead, BufReader};
use std::path::Path;

use anyhow::{Context, bail};

/// Up to `limit` lines of a UTF-8 file, past the first `skip`.
pub fn texts(file: &Path, skip: usize, limit: u32) -> anyhow::Result<Vec<String>> {
    let opened = std::fs::File::open(file).with_context(|| format!("cannot open `{}`", file.display()))?;
    let lines = BufReader::new(opened).lines().skip(skip).take(limit as usize);
    let texts = lines.collect::<Result<Vec<_>, _>>().context("expected UTF-8 text")?;
    if texts.is_empty() {
        bail!("`{}`: expected lines of text past line {skip}, found none", file.display());
    }
    Ok(texts)
}

/// The value that `share` of all are below, 0 to 1. Sorts them; there is at least one.
pub fn quantile(values: &mut [f64], share: f64) -> f64 {
    values.sort_by(f64::total_cmp);
    values[((values.len() as f64 * share) as usize).min(values.len() - 1)]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quantile_is_one_of_the_values() {
        let mut values = [5.0, 1.0, 3.0];
        assert_eq!([0.0, 0.5, 0.99, 1.0].map(|share| quantile(&mut values, share)), [1.0, 3.0, 5.0, 5.0]);
    }

    #[test]
    fn lines_that_are_not_there_are_an_error_that_names_the_file() {
        let error = texts(Path::new("Cargo.toml"), 1_000_000, 1).unwrap_err().to_string();
        assert_eq!(error, "`Cargo.toml`: expected lines of text past line 1000000, found none");
        assert!(texts(Path::new("no such file"), 0, 1).unwrap_err().to_string().contains("`no such file`"));
    }
}
