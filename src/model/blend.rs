//! The weighted mean of models that come from one base.

use candle_core::Device;

use super::{ModelDirectory, Precision, Weights};
use crate::{Error, Result};

/// Writes the weighted mean of the weights of `models` as a model directory `to`. Models that were trained from one base
/// lie in one basin, and their mean is often better than each, above all on what none was trained for (model soups and
/// WiSE-FT, Wortsman et al. 2022). The shares are brought to a sum of 1.
///
/// # Errors
/// There are fewer than two models, they differ in shape or tokenizer, a share is negative or all are 0, or a file
/// cannot be read or written.
pub fn blend(models: &[(ModelDirectory, f64)], to: &ModelDirectory, precision: Precision) -> Result<()> {
    let [(first, _), _, ..] = models else {
        return Err(Error::invalid("models to blend", "two or more", models.len()));
    };
    let sum: f64 = models.iter().map(|(_, share)| share).sum();
    if !sum.is_finite() || sum <= 0.0 || models.iter().any(|&(_, share)| share < 0.0) {
        let shares: Vec<f64> = models.iter().map(|&(_, share)| share).collect();
        return Err(Error::invalid("shares of the blend", "numbers of 0 or more, not all 0", format!("{shares:?}")));
    }
    let config = first.config()?;
    let read = |path: &std::path::Path| std::fs::read(path).map_err(|e| Error::io("read the model file", path, e));
    let tokenizer = read(&first.tokenizer_path())?;
    for (model, _) in models {
        if model.config()? != config || read(&model.tokenizer_path())? != tokenizer {
            return Err(Error::invalid(
                format!("model to blend `{}`", model.root().display()),
                format!("the config.json and tokenizer.json of `{}`", first.root().display()),
                "others",
            ));
        }
    }
    let mut parts = Vec::with_capacity(models.len());
    for (model, share) in models {
        parts.push((Weights::load(&model.weights_path(), &config, &Device::Cpu)?.0, share / sum));
    }
    let blended = Weights::mean(&parts)?;
    std::fs::create_dir_all(to.root()).map_err(|e| Error::io("make the model's folder", to.root(), e))?;
    for (from, to) in [(first.config_path(), to.config_path()), (first.tokenizer_path(), to.tokenizer_path())] {
        std::fs::write(&to, read(&from)?).map_err(|e| Error::io("write the model file", &to, e))?;
    }
    blended.save(&to.weights_path(), precision)
}
