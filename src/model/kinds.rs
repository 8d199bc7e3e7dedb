//! How likely a sentence is a question, by its vector: `kinds.json`.

use std::fs;
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::json;
use crate::metrics::Logistic;
use crate::{Error, Result};

/// Goes up when an older program could not read the file, or would take it for something else.
const FORMAT: u32 = 1;

/// A probe on sentence vectors that tells questions from other sentences, for one model.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Kinds {
    format: u32,
    /// The model, see [`super::ModelDirectory::kinds_fingerprint`].
    pub fingerprint: String,
    pub fitted: KindsFitted,
    pub probe: Logistic,
}

/// What a probe was fitted to, and how good it is on lines that it was not fitted to.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KindsFitted {
    /// How many lines, half of them questions.
    pub lines: usize,
    /// Share of held-out lines that are told right: 0 to 1.
    pub accuracy: f64,
    /// Mean log loss over held-out lines, in nats; ln 2 is a coin's.
    pub log_loss: f64,
    /// Name of the file that they come from, without its folder.
    pub file: String,
}

impl Kinds {
    /// A probe for the model `fingerprint`.
    pub fn new(fingerprint: String, probe: Logistic, fitted: KindsFitted) -> Self {
        Self { format: FORMAT, fingerprint, fitted, probe }
    }

    /// Reads and checks a file.
    ///
    /// # Errors
    /// The file cannot be read, or holds anything but a probe.
    pub fn read(path: &Path) -> Result<Self> {
        let bytes = fs::read(path).map_err(|e| Error::io("read the probe for kinds of sentences", path, e))?;
        let flaw = |comment: String| {
            Error::corrupt(path, format!("{comment}; run `simbert eval kinds` again, or remove the file"))
        };
        let this: Self = serde_json::from_slice(&bytes).map_err(|e| flaw(e.to_string()))?;
        match this.flaw() {
            Some(comment) => Err(flaw(comment)),
            None => Ok(this),
        }
    }

    fn flaw(&self) -> Option<String> {
        if self.format != FORMAT {
            return Some(format!("expected format {FORMAT}, found {}", self.format));
        }
        // JSON has no numbers that are not finite.
        let KindsFitted { accuracy, log_loss, .. } = self.fitted;
        if !(0.0..=1.0).contains(&accuracy) {
            return Some(format!("expected an `accuracy` from 0 to 1, found {accuracy}"));
        }
        (log_loss < 0.0).then(|| format!("expected a `log_loss` of at least 0, found {log_loss}"))
    }

    /// Refuses another model's probe.
    ///
    /// # Errors
    /// `fingerprint` is not that of the model it was fitted to.
    pub fn check_model(&self, fingerprint: &str) -> Result<()> {
        if self.fingerprint == fingerprint {
            return Ok(());
        }
        Err(Error::Unavailable {
            what: "the model's `kinds.json`".to_owned(),
            reason: format!(
                "it was fitted to model {}, and this is model {fingerprint}; run `simbert eval kinds` with this model, \
                 or remove the file",
                self.fingerprint
            ),
        })
    }

    /// Writes the file beside its place, and moves it there when it is whole and on the disk.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn write(&self, path: &Path) -> Result<()> {
        json::write(self, path).map_err(|e| Error::io("write the probe for kinds of sentences", path, e))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kinds() -> Kinds {
        let fitted = KindsFitted { lines: 100, accuracy: 0.925, log_loss: 0.25, file: "lines.txt".to_owned() };
        let probe = Logistic { weights: vec![0.12345, -6.7], bias: 1.5 };
        Kinds::new("0123456789abcdef".to_owned(), probe, fitted)
    }

    #[test]
    fn is_the_same_after_a_way_through_a_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("kinds.json");
        kinds().write(&path).unwrap();
        assert_eq!(Kinds::read(&path).unwrap(), kinds());
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1, "nothing is left beside it");
    }

    #[test]
    fn a_damaged_file_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("kinds.json");
        let good = serde_json::to_string(&kinds()).unwrap();
        let refused = |content: &str| {
            fs::write(&path, content).unwrap();
            let message = Kinds::read(&path).unwrap_err().to_string();
            assert!(message.contains("kinds.json is damaged") && message.contains("eval kinds"), "{message}");
            message
        };
        for content in ["", "{}", "null", &good[..good.len() - 3], &format!("{good}{good}")] {
            refused(content);
        }
        assert!(refused(&good.replace("\"format\":1", "\"format\":2")).contains("expected format 1, found 2"));
        assert!(refused(&good.replace("0.925", "1.5")).contains("`accuracy`"));
        assert!(refused(&good.replace("0.25", "-0.25")).contains("`log_loss`"));
        assert!(refused(&good.replace("\"bias\"", "\"basis\"")).contains("basis"));
    }

    #[test]
    fn another_model_is_refused() {
        kinds().check_model("0123456789abcdef").unwrap();
        let message = kinds().check_model("fedcba9876543210").unwrap_err().to_string();
        assert!(message.contains("fitted to model 0123456789abcdef, and this is model fedcba9876543210"), "{message}");
    }
}
