//! Fits probabilities to a model's scores, and says how good they are on scores that they were not fitted to.
//!
//! Samples are cut into [`FOLDS`] folds. Each fold is judged by a curve that was fitted to the others, and whose kind,
//! where it is free, was chosen by the same means within the others. So no figure comes from what a curve has seen.
//! The curve that is returned is fitted to all samples.

mod plot;
mod samples;

use serde::Serialize;

use crate::metrics::{self, Curve, Cut, Outcome};
use crate::{Error, Result};

pub use plot::draw as draw_calibration;
pub use samples::{Sample, hit_samples, pair_samples};

/// Parts of the samples, each of which is held out once.
const FOLDS: usize = 5;
/// Fewer samples of a label than this say nothing about probabilities.
const LEAST: usize = 10;
/// Bins of the calibration error and of the plot.
const BINS: usize = 10;

/// How a curve is fitted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Method {
    Isotonic,
    Platt,
}

impl Method {
    const ALL: [Self; 2] = [Self::Isotonic, Self::Platt];

    fn fit(self, outcomes: &[Outcome]) -> Result<Curve> {
        let curve = match self {
            Self::Isotonic => metrics::isotonic(outcomes),
            Self::Platt => metrics::platt(outcomes),
        };
        curve.ok_or_else(|| Error::Internal("a part of the samples had none, or one without a score".to_owned()))
    }
}

/// A curve, and how good it is.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Calibrated {
    pub pairs: usize,
    /// Share of pairs that mean the same.
    pub base_rate: f64,
    /// The share that all other figures are for, where it was asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub prior: Option<f64>,
    pub method: Method,
    /// Held-out log loss of each method, where they were compared.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub compared: Vec<(Method, f64)>,
    /// The score itself, cut off at 0, taken as a probability.
    pub before: Goodness,
    /// What an earlier curve gives; it may have been fitted to some of these pairs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub earlier: Option<Goodness>,
    /// The fitted probability, held out.
    pub after: Goodness,
    pub precisions: Vec<WantedPrecision>,
    #[serde(skip)]
    pub curve: Curve,
    /// Pairs of every fold with their scores, and with the probability that the other folds give them.
    #[serde(skip)]
    scored: Vec<Outcome>,
    #[serde(skip)]
    held_out: Vec<Outcome>,
}

/// How good probabilities are; see [`metrics`] for each.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Goodness {
    pub log_loss: f64,
    pub brier: f64,
    pub calibration_error: f64,
}

impl Goodness {
    fn of(outcomes: &[Outcome]) -> Self {
        Self {
            log_loss: metrics::log_loss(outcomes),
            brier: metrics::brier_score(outcomes),
            calibration_error: metrics::calibration_error(outcomes, BINS),
        }
    }
}

/// Where to cut for a precision.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct WantedPrecision {
    pub precision: f64,
    /// `None` where no cut reaches it.
    #[serde(flatten)]
    pub cut: Option<HeldOutCut>,
}

/// A cut, and what it is worth: each fold is cut where the others say, and all are counted together.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct HeldOutCut {
    /// The least score; chosen from all samples.
    pub score: f64,
    /// The probability there.
    pub probability: f64,
    pub held_out_precision: f64,
    pub held_out_recall: f64,
}

/// Fits a curve to samples: by `method`, or by the one with the lower held-out log loss. `prior` is the share of pairs
/// that mean the same where the probabilities are to be used, if it differs from the samples' own: each label is
/// weighed so that it has that share. That is right as long as the scores of each label alone are alike here and there.
/// Source: Elkan, “The foundations of cost-sensitive learning”, 2001.
///
/// # Errors
/// `prior` or a precision is out of its range, there are too few samples, or the scores do not grow with the labels.
pub fn calibrate(
    samples: &[Sample],
    method: Option<Method>,
    precisions: &[f64],
    prior: Option<f64>,
    earlier: Option<&Curve>,
) -> Result<Calibrated> {
    for &precision in precisions {
        if !(precision > 0.0 && precision <= 1.0) {
            return Err(Error::invalid("precision", "a share above 0, up to 1", precision));
        }
    }
    let (samples, base_rate) = weighed(samples, prior)?;
    let (method, compared) = match method {
        Some(method) => (method, Vec::new()),
        None => choose(&samples)?,
    };
    let scored: Vec<Outcome> = samples.iter().map(|sample| sample.outcome).collect();
    let curve = method.fit(&scored)?;
    let (lowest, highest) = (curve.probability(-1.0), curve.probability(1.0));
    if lowest >= highest {
        let expected = "scores that are higher where the meaning is the same";
        return Err(Error::invalid("the model's scores of these pairs", expected, "scores that tell nothing"));
    }
    let held_out = held_out(&samples, &|part| if compared.is_empty() { Ok(method) } else { Ok(choose(part)?.0) })?;
    let judge = |probability: &dyn Fn(f64) -> f64| {
        let given = |o: &Outcome| Outcome { score: probability(o.score), ..*o };
        Goodness::of(&scored.iter().map(given).collect::<Vec<_>>())
    };
    let precisions = precisions.iter().map(|&precision| WantedPrecision {
        precision,
        cut: metrics::cut_at_precision(&scored, precision).map(|cut| held_out_cut(&samples, precision, cut, &curve)),
    });
    Ok(Calibrated {
        pairs: samples.len(),
        base_rate,
        prior,
        method,
        before: judge(&|score| score.clamp(0.0, 1.0)),
        earlier: earlier.map(|curve| judge(&|score| curve.probability(score))),
        after: Goodness::of(&held_out),
        precisions: precisions.collect(),
        compared,
        curve,
        scored,
        held_out,
    })
}

/// The samples, weighed to the prior, and their own base rate.
fn weighed(samples: &[Sample], prior: Option<f64>) -> Result<(Vec<Sample>, f64)> {
    let positives = samples.iter().filter(|sample| sample.outcome.positive).count();
    let negatives = samples.len() - positives;
    if positives.min(negatives) < LEAST {
        let expected = format!("at least {LEAST} pairs that mean the same and {LEAST} that do not");
        return Err(Error::invalid("labelled pairs", expected, format!("{positives} and {negatives}")));
    }
    let groups = samples.iter().map(|sample| sample.group).max().map_or(0, |last| last + 1);
    if groups < FOLDS {
        let expected = format!("at least {FOLDS} different first sentences or queries");
        return Err(Error::invalid("labelled pairs", expected, groups));
    }
    let base_rate = positives as f64 / samples.len() as f64;
    let share = prior.unwrap_or(base_rate);
    if !(share > 0.0 && share < 1.0) {
        return Err(Error::invalid("prior", "a share above 0 and below 1", share));
    }
    let [negative, positive] = [(1.0 - share) / (1.0 - base_rate), share / base_rate];
    let weigh = |sample: &Sample| {
        let weight = if sample.outcome.positive { positive } else { negative };
        Sample { outcome: Outcome { weight, ..sample.outcome }, ..*sample }
    };
    Ok((samples.iter().map(weigh).collect(), base_rate))
}

/// The method with the lowest held-out log loss, and that of each.
fn choose(samples: &[Sample]) -> Result<(Method, Vec<(Method, f64)>)> {
    let loss = |method| Ok((method, metrics::log_loss(&held_out(samples, &|_| Ok(method))?)));
    let compared = Method::ALL.into_iter().map(loss).collect::<Result<Vec<_>>>()?;
    let best = compared.iter().min_by(|a, b| a.1.total_cmp(&b.1)).map_or(Method::Platt, |&(method, _)| method);
    Ok((best, compared))
}

/// Each sample with the probability by a curve that was fitted to the other folds, by the method that `method` takes
/// for them.
fn held_out(samples: &[Sample], method: &dyn Fn(&[Sample]) -> Result<Method>) -> Result<Vec<Outcome>> {
    let mut judged = Vec::with_capacity(samples.len());
    for fold in 0..FOLDS {
        let (out, others): (Vec<Sample>, Vec<Sample>) =
            samples.iter().copied().partition(|sample| sample.group % FOLDS == fold);
        if out.is_empty() {
            continue; // held out already, further up
        }
        let outcomes: Vec<Outcome> = others.iter().map(|sample| sample.outcome).collect();
        let curve = method(&others)?.fit(&outcomes)?;
        judged.extend(out.iter().map(|s| Outcome { score: curve.probability(s.outcome.score), ..s.outcome }));
    }
    Ok(judged)
}

fn held_out_cut(samples: &[Sample], precision: f64, cut: Cut, curve: &Curve) -> HeldOutCut {
    let (mut right, mut taken, mut all) = (0.0, 0.0, 0.0);
    for fold in 0..FOLDS {
        let (out, others): (Vec<Sample>, Vec<Sample>) =
            samples.iter().copied().partition(|sample| sample.group % FOLDS == fold);
        let others: Vec<Outcome> = others.iter().map(|sample| sample.outcome).collect();
        let least = metrics::cut_at_precision(&others, precision).map_or(f64::INFINITY, |cut| cut.score);
        for Outcome { score, positive, weight } in out.iter().map(|sample| sample.outcome) {
            all += if positive { weight } else { 0.0 };
            taken += if score >= least { weight } else { 0.0 };
            right += if score >= least && positive { weight } else { 0.0 };
        }
    }
    HeldOutCut {
        score: cut.score,
        probability: curve.probability(cut.score),
        held_out_precision: if taken > 0.0 { right / taken } else { 0.0 },
        held_out_recall: if all > 0.0 { right / all } else { 0.0 },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::{Rng, SeedableRng};
    use rand_chacha::ChaCha8Rng;

    /// Samples whose true probability is `truth(score)`.
    fn drawn(count: usize, seed: u64, truth: impl Fn(f64) -> f64) -> Vec<Sample> {
        let mut random = ChaCha8Rng::seed_from_u64(seed);
        let sample = |group| {
            let score = random.random_range(-0.2..1.0);
            let positive = random.random_bool(truth(score));
            Sample { outcome: Outcome { score, positive, weight: 1.0 }, group }
        };
        (0..count).map(sample).collect()
    }

    fn logistic(score: f64) -> f64 {
        1.0 / (1.0 + (-(10.0 * score - 6.0)).exp())
    }

    fn stairs(score: f64) -> f64 {
        if score < 0.3 {
            0.02
        } else if score < 0.6 {
            0.5
        } else {
            0.6
        }
    }

    #[test]
    fn the_truth_is_found_and_the_right_method_chosen() {
        for (truth, method) in [(logistic as fn(f64) -> f64, Method::Platt), (stairs, Method::Isotonic)] {
            let found = calibrate(&drawn(4000, 1, truth), None, &[], None, None).unwrap();
            assert_eq!(found.method, method, "{:?}", found.compared);
            assert!(found.after.log_loss < found.before.log_loss && found.after.brier < found.before.brier);
            assert!(found.after.calibration_error < 0.03 && found.before.calibration_error > 0.1, "{found:?}");
            for score in [0.0, 0.2, 0.45, 0.7, 0.9] {
                let off = found.curve.probability(score) - truth(score);
                assert!(off.abs() < 0.06, "{method:?} is off by {off} at {score}");
            }
        }
    }

    #[test]
    fn an_earlier_curve_is_judged_beside() {
        let flat = Curve::Platt { slope: 0.0, intercept: 0.0 };
        let found = calibrate(&drawn(1000, 1, logistic), None, &[], None, Some(&flat)).unwrap();
        assert!((found.earlier.unwrap().log_loss - 2f64.ln()).abs() < 1e-9);
        assert_eq!(calibrate(&drawn(1000, 1, logistic), None, &[], None, None).unwrap().earlier, None);
    }

    #[test]
    fn figures_are_held_out() {
        // Labels without any order: in-sample isotonic regression would find a good fit, held out there is none.
        let random = drawn(400, 2, |_| 0.5);
        let found = calibrate(&random, Some(Method::Isotonic), &[0.9], None, None).unwrap();
        assert!(found.after.log_loss > 2f64.ln() * 0.99, "{found:?}");
        let worth = found.precisions[0].cut.map_or(0.5, |cut| cut.held_out_precision);
        assert!(worth < 0.9, "a cut that is good by chance is found out: {worth}");
    }

    #[test]
    fn pairs_of_one_first_sentence_are_held_out_together() {
        // Each group has a score and a label of its own, ten times: only a fold that splits groups could know it.
        let mut samples = drawn(100, 3, |_| 0.5);
        samples = samples.iter().flat_map(|&sample| [sample; 10]).collect();
        let found = calibrate(&samples, Some(Method::Isotonic), &[], None, None).unwrap();
        assert!(found.after.log_loss > 2f64.ln() * 0.99, "{}", found.after.log_loss);
    }

    #[test]
    fn a_prior_moves_the_odds_as_bayes_says() {
        let samples = drawn(20_000, 4, logistic);
        let plain = calibrate(&samples, Some(Method::Platt), &[], None, None).unwrap();
        let rare = calibrate(&samples, Some(Method::Platt), &[], Some(0.05), None).unwrap();
        let odds = |p: f64| p / (1.0 - p);
        let factor = odds(0.05) / odds(plain.base_rate);
        for score in [0.3, 0.5, 0.7, 0.9] {
            let (p, q) = (plain.curve.probability(score), rare.curve.probability(score));
            assert!((odds(q) / odds(p) / factor - 1.0).abs() < 0.1, "{p} became {q} at {score}");
        }
        assert!(rare.after.calibration_error < 0.02, "{:?}", rare.after);
    }

    #[test]
    fn a_precision_has_a_cut_or_is_out_of_reach() {
        let samples = drawn(4000, 5, |score| 0.9 * logistic(score));
        let found = calibrate(&samples, None, &[0.8, 0.99], None, None).unwrap();
        let cut = found.precisions[0].cut.unwrap();
        assert!((cut.held_out_precision - 0.8).abs() < 0.04 && cut.held_out_recall > 0.4, "{cut:?}");
        assert!(cut.probability < 0.8, "the least of what is taken is less likely than the mean of it: {cut:?}");
        // By luck a few at the top may all be right; then few are taken.
        assert!(found.precisions[1].cut.is_none_or(|cut| cut.held_out_recall < 0.05), "{:?}", found.precisions);
    }

    #[test]
    fn too_little_to_go_by_is_refused() {
        let refused =
            |samples: &[Sample], prior| calibrate(samples, None, &[0.9], prior, None).unwrap_err().to_string();
        let good = drawn(200, 6, logistic);
        assert!(refused(&[], None).contains("at least 10 pairs that mean the same and 10 that do not"));
        assert!(refused(&drawn(200, 6, |_| 1.0), None).contains("received 200 and 0"));
        let few: Vec<Sample> = good.iter().map(|sample| Sample { group: sample.group % 4, ..*sample }).collect();
        assert!(refused(&few, None).contains("at least 5 different first sentences"));
        for prior in [0.0, 1.0, f64::NAN, -0.1] {
            assert!(refused(&good, Some(prior)).starts_with("prior: expected a share above 0 and below 1"));
        }
        assert!(refused(&drawn(400, 7, |score| 1.0 - logistic(score)), None).contains("scores that tell nothing"));
        assert!(calibrate(&good, None, &[0.0], None, None).unwrap_err().to_string().starts_with("precision"));
    }
}
