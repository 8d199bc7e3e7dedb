//! What the scores of one model mean: `calibration.json`.

use std::fs;
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::json;
use crate::metrics::Curve;
use crate::{Error, Result};

/// Goes up when an older program could not read the file, or would take it for something else.
const FORMAT: u32 = 1;

/// The way from a cosine to the probability that two questions mean the same, for one model.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Calibration {
    format: u32,
    /// The model, see [`super::ModelDirectory::fingerprint`].
    pub fingerprint: String,
    pub curve: Curve,
    pub fitted: Fitted,
}

/// What a calibration was fitted to.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Fitted {
    /// How many pairs of questions.
    pub pairs: usize,
    /// The share of them that mean the same, above 0 and below 1.
    pub base_rate: f64,
    /// The share that the curve is for, where it is another one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prior: Option<f64>,
    /// Where the pairs are queries with their first hits: how many hits of each. Absent where they were given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hits: Option<usize>,
    /// Names of the files that they come from, without their folders.
    pub files: Vec<String>,
}

impl Calibration {
    /// A calibration of the model `fingerprint`.
    pub fn new(fingerprint: String, curve: Curve, fitted: Fitted) -> Self {
        Self { format: FORMAT, fingerprint, curve, fitted }
    }

    /// The probability at a cosine: 0 to 1, never falling.
    pub fn probability(&self, cosine: f64) -> f64 {
        self.curve.probability(cosine)
    }

    /// Reads and checks a file.
    ///
    /// # Errors
    /// The file cannot be read, or holds anything but a calibration with a curve that never falls.
    pub fn read(path: &Path) -> Result<Self> {
        let bytes = fs::read(path).map_err(|e| Error::io("read the calibration", path, e))?;
        let flaw = |comment: String| {
            Error::corrupt(path, format!("{comment}; run `simbert eval calibrate` again, or remove the file"))
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
        let share = |share: f64| share > 0.0 && share < 1.0;
        for (name, value) in [("base_rate", Some(self.fitted.base_rate)), ("prior", self.fitted.prior)] {
            if let Some(value) = value.filter(|&value| !share(value)) {
                return Some(format!("expected a `{name}` above 0 and below 1, found {value}"));
            }
        }
        self.curve.flaw()
    }

    /// Refuses another model's calibration.
    ///
    /// # Errors
    /// `fingerprint` is not that of the model it was fitted to.
    pub fn check_model(&self, fingerprint: &str) -> Result<()> {
        if self.fingerprint == fingerprint {
            return Ok(());
        }
        Err(Error::Unavailable {
            what: "the model's `calibration.json`".to_owned(),
            reason: format!(
                "it was fitted to model {}, and this is model {fingerprint}; run `simbert eval calibrate` with this \
                 model, or remove the file",
                self.fingerprint
            ),
        })
    }

    /// Writes the file beside its place, and moves it there when it is whole and on the disk.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn write(&self, path: &Path) -> Result<()> {
        json::write(self, path).map_err(|e| Error::io("write the calibration", path, e))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn calibration(curve: Curve) -> Calibration {
        let files = vec!["pairs.tsv".to_owned()];
        let fitted = Fitted { pairs: 100, base_rate: 0.25, prior: Some(0.1), hits: None, files };
        Calibration::new("0123456789abcdef".to_owned(), curve, fitted)
    }

    #[test]
    fn is_the_same_after_a_way_through_a_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("calibration.json");
        let knots = vec![(-0.1, 0.0), (0.123456, 1.0 / 3.0), (0.7, 0.1 + 0.7)];
        for curve in [Curve::Platt { slope: 12.3, intercept: -9.87 }, Curve::Isotonic { knots }] {
            let written = calibration(curve);
            written.write(&path).unwrap();
            let read = Calibration::read(&path).unwrap();
            assert!((read.probability(0.5) - written.probability(0.5)).abs() < 1e-12);
            assert_eq!((read.fitted, read.fingerprint), (written.fitted, written.fingerprint));
        }
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1, "nothing is left beside it");
    }

    #[test]
    fn a_damaged_file_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("calibration.json");
        let good =
            serde_json::to_string(&calibration(Curve::Isotonic { knots: vec![(0.2, 0.4), (0.6, 0.8)] })).unwrap();
        let refused = |content: &str| {
            fs::write(&path, content).unwrap();
            let message = Calibration::read(&path).unwrap_err().to_string();
            assert!(message.contains("calibration.json is damaged") && message.contains("eval calibrate"), "{message}");
            message
        };
        fs::write(&path, &good).unwrap();
        Calibration::read(&path).unwrap();
        for content in ["", "{}", "null", &good[..good.len() - 3], &format!("{good}{good}")] {
            refused(content);
        }
        assert!(refused(&good.replace("[0.2,0.4]", "[0.2,0.9]")).contains("never fall"));
        assert!(refused(&good.replace("[0.2,0.4]", "[0.2,-0.4]")).contains("probability"));
        assert!(refused(&good.replace("isotonic", "spline")).contains("spline"));
        assert!(refused(&good.replace("\"format\":1", "\"format\":2")).contains("expected format 1, found 2"));
        assert!(refused(&good.replace("0.25", "1.5")).contains("`base_rate`"));
        assert!(refused(&good.replace("0.1", "0")).contains("`prior`"));
        assert!(refused(&good.replace("\"pairs\"", "\"pears\"")).contains("pears"));
    }

    #[test]
    fn another_model_is_refused() {
        let calibration = calibration(Curve::Platt { slope: 1.0, intercept: 0.0 });
        calibration.check_model("0123456789abcdef").unwrap();
        let message = calibration.check_model("fedcba9876543210").unwrap_err().to_string();
        assert!(message.contains("fitted to model 0123456789abcdef, and this is model fedcba9876543210"), "{message}");
    }
}
