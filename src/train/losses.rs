//! What training minimises: SimBERT's two losses, the ranking of labelled pairs, and the relation to a teacher.

use candle_core::{D, DType, Tensor};

use super::Ranking;
use crate::model::{Bert, ops};
use crate::text::Batch;
use crate::{Error, Result};

/// A finite stand-in for −∞: e^(−1e4) is 0 in f32, and 0 · ∞ can't arise in the backward pass.
const LEFT_OUT: f32 = -1e4;

/// Which rows of a batch are no negatives of each other: `[rows][rows]`, true for a row with itself.
#[derive(Debug, Clone)]
pub struct Alike {
    rows: usize,
    alike: Vec<bool>,
}

impl Alike {
    /// Rows of equal `meanings` are alike.
    pub fn of_meanings(meanings: &[usize]) -> Self {
        let alike = meanings.iter().flat_map(|a| meanings.iter().map(move |b| a == b)).collect();
        Self { rows: meanings.len(), alike }
    }

    /// Rows whose cosine by `vectors` (unit vectors, `[rows][any width]`) is above `above` are alike too, unless
    /// `negatives` names them.
    ///
    /// # Errors
    /// The device fails.
    pub fn or_near(mut self, vectors: &Tensor, above: f64, negatives: &[[usize; 2]]) -> Result<Self> {
        let cosines = vectors.matmul(&vectors.t()?)?.flatten_all()?.to_vec1::<f32>()?;
        let mut near: Vec<bool> = cosines.into_iter().map(|cosine| f64::from(cosine) > above).collect();
        for &[a, b] in negatives {
            near[a * self.rows + b] = false;
            near[b * self.rows + a] = false;
        }
        self.alike.iter_mut().zip(near).for_each(|(alike, near)| *alike |= near);
        Ok(self)
    }

    fn row(&self, row: usize) -> &[bool] {
        &self.alike[row * self.rows..][..self.rows]
    }
}

/// Similarity: in-batch softmax over cosines. Each pair of `positives` is an anchor and the row that it should be
/// nearest to; all other rows are negatives, but for those that are `alike`.
///
/// `vectors` are unit vectors `[rows, hidden]`. Returns the mean over the pairs (i, j) of
/// `CE(softmax(scale · V vᵢ), j)`, the softmax over j and the rows not alike i; at chance that is the logarithm of
/// their number.
///
/// # Errors
/// There is no pair, or the device fails.
pub fn similarity(vectors: &Tensor, scale: f64, positives: &[[usize; 2]], alike: &Alike) -> Result<Tensor> {
    if positives.is_empty() {
        return Err(Error::invalid("batch of the similarity loss", "at least one pair", "none"));
    }
    let (rows, device) = (vectors.dim(0)?, vectors.device());
    let mut mask = Vec::with_capacity(positives.len() * rows);
    for &[anchor, positive] in positives {
        let out = |(row, &alike): (usize, &bool)| if alike && row != positive { LEFT_OUT } else { 0.0 };
        mask.extend(alike.row(anchor).iter().enumerate().map(out));
    }
    let mask = Tensor::from_vec(mask, (positives.len(), rows), device)?;
    let anchors = vectors.index_select(&side(positives, 0, device)?, 0)?;
    let logits = ((anchors.matmul(&vectors.t()?)? * scale)? + mask)?;
    ops::cross_entropy(&logits, &side(positives, 1, device)?)
}

/// Rows on one side of some pairs.
fn side(pairs: &[[usize; 2]], side: usize, device: &candle_core::Device) -> Result<Tensor> {
    let rows: Vec<u32> = pairs.iter().map(|pair| pair[side] as u32).collect();
    Ok(Tensor::new(rows, device)?)
}

/// Ranking of labelled pairs: every positive pair should have a higher cosine than every negative one.
///
/// `vectors` are unit vectors `[rows, hidden]`. With the gaps g = scale · (cos n − cos p) over all positives p and negatives
/// n, [`Ranking::Cosent`] is `ln(1 + Σ e^g)` (CoSENT, Su 2022), whose gradient follows the worst pair, and
/// [`Ranking::Logistic`] the mean of `ln(1 + e^g)` (RankNet, Burges et al. 2005), in which one wrong label is one of many.
///
/// # Errors
/// One side has no pair, or the device fails.
pub fn ranking(
    vectors: &Tensor,
    form: Ranking,
    scale: f64,
    positives: &[[usize; 2]],
    negatives: &[[usize; 2]],
) -> Result<Tensor> {
    if positives.is_empty() || negatives.is_empty() {
        let received = format!("{} and {}", positives.len(), negatives.len());
        return Err(Error::invalid("batch of the ranking loss", "positive and negative pairs", received));
    }
    let device = vectors.device();
    let cosines = |pairs: &[[usize; 2]]| -> Result<Tensor> {
        let of = |i: usize| -> Result<Tensor> { Ok(vectors.index_select(&side(pairs, i, device)?, 0)?) };
        Ok((of(0)? * of(1)?)?.sum(D::Minus1)?)
    };
    let (good, bad) = (cosines(positives)?, cosines(negatives)?);
    let gaps = (bad.unsqueeze(0)?.broadcast_sub(&good.unsqueeze(1)?)? * scale)?.flatten_all()?;
    match form {
        Ranking::Cosent => {
            let all = Tensor::cat(&[&gaps.zeros_like()?.narrow(0, 0, 1)?, &gaps], 0)?;
            let highest = all.max(0)?.detach();
            Ok((all.broadcast_sub(&highest)?.exp()?.sum_all()?.log()? + highest)?)
        }
        Ranking::Logistic => Ok((gaps.relu()? + (gaps.abs()?.neg()?.exp()? + 1.0)?.log()?)?.mean_all()?),
    }
}

/// Generation: cross-entropy of each target token and the closing `[SEP]`, given the source and the target tokens
/// before it; one mean over all of them. At chance that is `ln(vocabulary)`.
///
/// `states` are the last layer's, `[tokens, hidden]`.
///
/// # Errors
/// No sequence has a target, or the device fails.
pub fn generation(network: &Bert, states: &Tensor, batch: &Batch) -> Result<Tensor> {
    let (rows, targets) = predictions(batch);
    if rows.is_empty() {
        return Err(Error::invalid("batch of the generation loss", "at least one target token", "none"));
    }
    let device = states.device();
    let head = network.head(&states.index_select(&Tensor::new(rows, device)?, 0)?)?;
    let weights = network.weights();
    ops::tied_cross_entropy(
        &head,
        &network.tied_table()?,
        weights.get("cls.predictions.bias")?,
        &Tensor::new(targets, device)?,
        network.compute(),
    )
}

/// Which row of states predicts which token: the token before each target token predicts it, the source's `[SEP]`
/// the first.
pub fn predictions(batch: &Batch) -> (Vec<u32>, Vec<u32>) {
    let (mut rows, mut targets) = (Vec::new(), Vec::new());
    for row in 0..batch.len() {
        for token in batch.offsets[row] + 1..batch.offsets[row + 1] {
            if batch.segments[token] == 1 {
                rows.push(token as u32 - 1);
                targets.push(batch.ids[token]);
            }
        }
    }
    (rows, targets)
}

/// Relation: how far the student's cosines are from a linear function of the teacher's, sentence by sentence.
///
/// Both are unit vectors, `[sequences, any width]`. Returns the mean over rows i of 1 − Pearson correlation of the two
/// cosines of i with every other row: 0 when the teacher's order and spacing are kept, whatever their offset and
/// range (Huang et al. 2022, *Knowledge distillation from a stronger teacher*, over sentences instead of classes).
///
/// # Errors
/// There are fewer than 3 rows, or the device fails.
pub fn relation(student: &Tensor, teacher: &Tensor) -> Result<Tensor> {
    let (rows, device) = (student.dim(0)?, student.device());
    if rows < 3 {
        return Err(Error::invalid("batch of the relation loss", "three or more sequences", rows));
    }
    let others = (1.0 - Tensor::eye(rows, DType::F32, device)?)?;
    let centred = |vectors: &Tensor| -> Result<Tensor> {
        let cosines = (vectors.matmul(&vectors.t()?)? * &others)?;
        let mean = (cosines.sum_keepdim(D::Minus1)? / (rows - 1) as f64)?;
        Ok((cosines.broadcast_sub(&mean)? * &others)?)
    };
    let (student, teacher) = (centred(student)?, centred(&teacher.detach())?);
    let lengths = (student.sqr()?.sum(D::Minus1)? * teacher.sqr()?.sum(D::Minus1)?)?;
    let correlation = ((student * teacher)?.sum(D::Minus1)? / (lengths + 1e-12)?.sqrt()?)?;
    Ok((1.0 - correlation.mean_all()?)?)
}

/// How often the nearest row of an anchor, of those that could be its negatives and its own positive, is the positive.
///
/// # Errors
/// The device fails.
pub fn in_batch_accuracy(vectors: &Tensor, positives: &[[usize; 2]], alike: &Alike) -> Result<f64> {
    let cosines = vectors.matmul(&vectors.t()?)?.to_vec2::<f32>()?;
    let right = positives.iter().filter(|&&[anchor, positive]| {
        let own = cosines[anchor][positive];
        let mut others = cosines[anchor].iter().zip(alike.row(anchor));
        others.all(|(&cosine, &alike)| alike || cosine < own)
    });
    Ok(right.count() as f64 / positives.len().max(1) as f64)
}

#[cfg(test)]
mod tests {
    use candle_core::Device;

    use super::*;

    fn unit(angles: &[f32]) -> Tensor {
        let rows: Vec<f32> = angles.iter().flat_map(|angle| [angle.cos(), angle.sin()]).collect();
        Tensor::from_vec(rows, (angles.len(), 2), &Device::Cpu).unwrap()
    }

    fn value(loss: &Tensor) -> f32 {
        loss.to_scalar().unwrap()
    }

    #[test]
    fn similarity_leaves_out_what_is_alike_but_the_positive() {
        let vectors = unit(&[0.0, 0.1, 0.2, 2.0]);
        let cos = |a: f32, b: f32| (5.0 * (a - b).cos()).exp();
        let alike = Alike::of_meanings(&[0, 0, 0, 1]);
        let loss = similarity(&vectors, 5.0, &[[0, 1]], &alike).unwrap();
        let expected = -(cos(0.0, 0.1) / (cos(0.0, 0.1) + cos(0.0, 2.0))).ln();
        assert!((value(&loss) - expected).abs() < 1e-5);
        let all = Alike::of_meanings(&[0, 0, 1, 2]);
        assert!(value(&similarity(&vectors, 5.0, &[[0, 1]], &all).unwrap()) > expected);
    }

    #[test]
    fn near_rows_are_alike_unless_labelled_otherwise() {
        let vectors = unit(&[0.0, 0.01, 0.02, 2.0]);
        let alike = Alike::of_meanings(&[0, 1, 2, 3]).or_near(&vectors, 0.99, &[[2, 0]]).unwrap();
        assert_eq!(alike.row(0), [true, true, false, false]);
        assert_eq!(alike.row(1), [true, true, true, false]);
    }

    #[test]
    fn ranking_is_the_formula_and_falls_as_negatives_move_away() {
        let vectors = unit(&[0.0, 0.3, 1.0, 1.5]);
        let (good, bad) = (0.3f32.cos(), 0.5f32.cos());
        for form in [Ranking::Cosent, Ranking::Logistic] {
            let loss = value(&ranking(&vectors, form, 20.0, &[[0, 1]], &[[2, 3]]).unwrap());
            assert!((loss - (1.0 + (20.0 * (bad - good)).exp()).ln()).abs() < 1e-5, "{form:?}: {loss}");
            let wider = unit(&[0.0, 0.3, 1.0, 3.0]);
            assert!(value(&ranking(&wider, form, 20.0, &[[0, 1]], &[[2, 3]]).unwrap()) < loss, "{form:?}");
            assert!(ranking(&wider, form, 20.0, &[], &[[2, 3]]).is_err(), "{form:?}");
        }
    }

    #[test]
    fn the_logistic_ranking_is_a_mean_over_the_pairs_of_pairs_and_bears_any_gap() {
        let vectors = unit(&[0.0, 0.0, 3.0, 1.5, 1.5]);
        // Gaps of −1 − cos 3 (nearly −2), 0 and so on, times a scale at which a bare exponential overflows.
        let (positives, negatives) = ([[0, 1], [0, 2]], [[3, 4]]);
        let gaps = [1.0 - 1.0f32, 1.0 - 3.0f32.cos()].map(|gap| 1000.0 * gap);
        let expected = (2.0f32.ln() + gaps[1]) / 2.0;
        let loss = value(&ranking(&vectors, Ranking::Logistic, 1000.0, &positives, &negatives).unwrap());
        assert!((loss / expected - 1.0).abs() < 1e-4, "{loss}, expected {expected}");
    }

    #[test]
    fn accuracy_counts_anchors_whose_positive_is_nearest() {
        let vectors = unit(&[0.0, 0.3, 0.1, 1.0]);
        let alike = Alike::of_meanings(&[0, 0, 1, 1]);
        let accuracy = in_batch_accuracy(&vectors, &[[0, 1], [1, 0], [2, 3], [3, 2]], &alike).unwrap();
        assert_eq!(accuracy, 0.0);
        let alike = Alike::of_meanings(&[0, 0, 0, 1]);
        assert_eq!(in_batch_accuracy(&vectors, &[[0, 1]], &alike).unwrap(), 1.0);
    }
}
