//! UniLM self-attention over packed sequences: every token of a batch is one row, and nothing is padded.

mod kernel;

use std::sync::Arc;

use candle_core::{CpuStorage, CustomOp1, D, Device, Layout, Shape, Tensor};
use parking_lot::Mutex;

use super::host::{self, Values};
use super::mixed::wide;
use super::rows::{NONE, rearrange};
use crate::{Error, Result};
use kernel::{Sequence, Workspace};

/// Where the sequences of a packed batch begin and end, and how far their sources reach. Cheap to clone.
///
/// Token i of a sequence sees token j of the same sequence if j is in the source, or if i is past the source and
/// j ≤ i (UniLM's sequence-to-sequence mask, Dong et al. 2019). So i sees a prefix: the first max(source, i + 1)
/// tokens. A source of the whole sequence gives plain BERT.
#[derive(Debug, Clone)]
pub struct AttentionLayout {
    offsets: Arc<[usize]>,
    source_lengths: Arc<[usize]>,
    heads: usize,
    /// Made once for all layers, where the sequences have to be padded.
    padding: Arc<Mutex<Option<Arc<Padding>>>>,
}

impl AttentionLayout {
    /// `offsets` holds where each sequence begins and, last, the number of tokens; `source_lengths` one number of
    /// tokens for each sequence.
    ///
    /// # Errors
    /// The offsets do not rise from 0, a source is longer than its sequence, or there are no heads.
    pub fn new(offsets: Vec<usize>, source_lengths: Vec<usize>, heads: usize) -> Result<Self> {
        if heads == 0 {
            return Err(Error::invalid("attention heads", "at least 1", heads));
        }
        if offsets.first() != Some(&0) || !offsets.is_sorted() || offsets.len() != source_lengths.len() + 1 {
            return Err(Error::invalid(
                "attention offsets",
                format!("{} numbers that rise from 0", source_lengths.len() + 1),
                format!("{offsets:?}"),
            ));
        }
        for (span, source) in offsets.windows(2).zip(&source_lengths) {
            let length = span[1] - span[0];
            if *source > length {
                return Err(Error::invalid(
                    "attention source length",
                    format!("at most its sequence's {length}"),
                    source,
                ));
            }
        }
        Ok(Self { offsets: offsets.into(), source_lengths: source_lengths.into(), heads, padding: Arc::default() })
    }

    /// Tokens of the batch.
    pub fn tokens(&self) -> usize {
        self.offsets.last().copied().unwrap_or(0)
    }

    /// Tokens and source tokens of each sequence.
    fn lengths(&self) -> impl Iterator<Item = (usize, usize)> + '_ {
        self.offsets.windows(2).map(|span| span[1] - span[0]).zip(self.source_lengths.iter().copied())
    }

    /// How the sequences are padded; `None` if there is no token.
    fn padding(&self, device: &Device) -> candle_core::Result<Option<Arc<Padding>>> {
        let longest = self.lengths().map(|(length, _)| length).max().unwrap_or(0);
        if longest == 0 {
            return Ok(None);
        }
        let mut kept = self.padding.lock();
        if let Some(padding) = kept.as_ref().filter(|padding| padding.mask.device().same_device(device)) {
            return Ok(Some(padding.clone()));
        }
        let padding = Arc::new(Padding::new(self, longest, device)?);
        *kept = Some(padding.clone());
        Ok(Some(padding))
    }

    /// Cuts rows of `width` numbers into the sequences.
    fn cut<'a>(&self, mut rows: &'a [f32], width: usize) -> Vec<&'a [f32]> {
        let mut parts = Vec::with_capacity(self.source_lengths.len());
        for (length, _) in self.lengths() {
            let (part, rest) = rows.split_at(length * width);
            parts.push(part);
            rows = rest;
        }
        parts
    }

    /// Numbers of each sequence in rows of `width`.
    fn sizes(&self, width: usize) -> Vec<usize> {
        self.lengths().map(|(length, _)| length * width).collect()
    }

    fn sequences<'a>(&self, qkv: &'a [f32], hidden: usize) -> Vec<Sequence<'a>> {
        let head = hidden / self.heads;
        let parts = self.cut(qkv, 3 * hidden);
        let sequences = parts.into_iter().zip(self.lengths());
        sequences.map(|(qkv, (length, source))| Sequence { qkv, length, source, heads: self.heads, head }).collect()
    }
}

/// The output [tokens, hidden] for queries, keys and values [tokens, 3 · hidden].
pub(super) fn forward(qkv: &[f32], layout: &AttentionLayout, hidden: usize) -> Vec<f32> {
    let sequences = layout.sequences(qkv, hidden);
    host::parts(&layout.sizes(hidden), |workspace: &mut Workspace, i, out| sequences[i].forward(workspace, out))
}

/// The gradient of queries, keys and values from that of the output.
pub(super) fn backward(qkv: &[f32], gradient: &[f32], layout: &AttentionLayout, hidden: usize) -> Vec<f32> {
    let (sequences, gradients) = (layout.sequences(qkv, hidden), layout.cut(gradient, hidden));
    host::parts(&layout.sizes(3 * hidden), |workspace: &mut Workspace, i, out| {
        sequences[i].backward(workspace, gradients[i], out);
    })
}

struct Attention(AttentionLayout);

impl CustomOp1 for Attention {
    fn name(&self) -> &'static str {
        "attention"
    }

    fn cpu_fwd(&self, qkv: &CpuStorage, layout: &Layout) -> candle_core::Result<(CpuStorage, Shape)> {
        let (tokens, width) = layout.shape().dims2()?;
        let out = forward(host::slice(qkv, layout)?, &self.0, width / 3);
        Ok((CpuStorage::F32(out), Shape::from((tokens, width / 3))))
    }

    fn bwd(&self, qkv: &Tensor, _: &Tensor, gradient: &Tensor) -> candle_core::Result<Option<Tensor>> {
        let gradient = gradient.contiguous()?;
        let out = backward(&Values::of(qkv)?, &Values::of(&gradient)?, &self.0, qkv.dim(1)? / 3);
        host::tensor(out, qkv).map(Some)
    }
}

/// How packed sequences become ones that are padded to the longest, on a device.
#[derive(Debug)]
struct Padding {
    longest: usize,
    /// For each place of the padded sequences its token, and for each token its place.
    tokens: Tensor,
    places: Tensor,
    /// 0 where a token sees another, −∞ elsewhere: [sequences, 1, longest, longest], f32.
    mask: Tensor,
}

impl Padding {
    fn new(layout: &AttentionLayout, longest: usize, device: &Device) -> candle_core::Result<Self> {
        let sequences = layout.source_lengths.len();
        let (mut tokens, mut places) = (vec![NONE; sequences * longest], Vec::with_capacity(layout.tokens()));
        let mut mask = vec![f32::NEG_INFINITY; sequences * longest * longest];
        for (s, (length, source)) in layout.lengths().enumerate() {
            for i in 0..longest {
                let place = s * longest + i;
                if i < length {
                    tokens[place] = places.len() as u32;
                    places.push(place as u32);
                }
                // A place without a token sees something too, for its softmax to be finite; nothing sees it.
                let visible = source.max(i + 1).min(length.max(1));
                mask[place * longest..place * longest + visible].fill(0.0);
            }
        }
        Ok(Self {
            longest,
            tokens: Tensor::new(tokens, device)?,
            places: Tensor::new(places, device)?,
            mask: Tensor::from_vec(mask, (sequences, 1, longest, longest), device)?,
        })
    }
}

/// The same in candle's own operators, over padded sequences, for devices and types without our kernels.
pub(super) fn composed(qkv: &Tensor, layout: &AttentionLayout) -> Result<Tensor> {
    let hidden = qkv.dim(1)? / 3;
    let (heads, head) = (layout.heads, hidden / layout.heads);
    let sequences = layout.source_lengths.len();
    let Some(padding) = layout.padding(qkv.device())? else { return Ok(qkv.narrow(1, 0, hidden)?) };
    let longest = padding.longest;
    let rows = rearrange(qkv, &padding.tokens, &padding.places)?.reshape((sequences, longest, 3, heads, head))?;
    let part = |i: usize| rows.narrow(2, i, 1)?.squeeze(2)?.transpose(1, 2)?.contiguous();
    let (queries, keys, values) = (part(0)?, part(1)?, part(2)?);
    let scores = (wide(&queries.matmul(&keys.t()?)?)? / (head as f64).sqrt())?;
    let scores = scores.broadcast_add(&padding.mask.to_dtype(scores.dtype())?)?;
    let powers = scores.broadcast_sub(&scores.max_keepdim(D::Minus1)?.detach())?.exp()?;
    let weights = powers.broadcast_div(&powers.sum_keepdim(D::Minus1)?)?.to_dtype(qkv.dtype())?;
    let out = weights.matmul(&values)?.transpose(1, 2)?.reshape((sequences * longest, hidden))?;
    Ok(rearrange(&out, &padding.places, &padding.tokens)?)
}

/// Whether a tensor of these rows and this width holds the queries, keys and values of the layout.
pub(super) fn check(rows: &[usize], width: usize, layout: &AttentionLayout) -> Result<()> {
    if rows == [layout.tokens()] && width > 0 && width.is_multiple_of(3 * layout.heads) {
        return Ok(());
    }
    Err(Error::invalid(
        "attention input",
        format!("[{}, 3 · hidden] with hidden a multiple of the {} heads", layout.tokens(), layout.heads),
        format!("rows {rows:?} of width {width}"),
    ))
}

/// Multi-head self-attention over packed sequences with UniLM's mask: `qkv` [tokens, 3 · hidden] holds queries, keys
/// and values side by side; returns [tokens, hidden]. Scores are scaled by 1 / √(hidden / heads).
///
/// # Errors
/// The shape of `qkv` does not fit the layout, or candle refuses.
pub fn attention(qkv: &Tensor, layout: &AttentionLayout) -> Result<Tensor> {
    match qkv.dims() {
        [rows @ .., width] => check(rows, *width, layout)?,
        [] => check(&[], 0, layout)?,
    }
    if host::serves(qkv) {
        return Ok(qkv.contiguous()?.apply_op1(Attention(layout.clone()))?);
    }
    composed(qkv, layout)
}

#[cfg(test)]
mod tests {
    use candle_core::{DType, Device, Var};

    use super::*;
    use crate::model::ops::check::{assert_same, random};

    fn layout(lengths: &[(usize, usize)], heads: usize) -> AttentionLayout {
        let mut offsets = vec![0];
        for (length, _) in lengths {
            offsets.push(offsets[offsets.len() - 1] + length);
        }
        AttentionLayout::new(offsets, lengths.iter().map(|(_, source)| *source).collect(), heads).unwrap()
    }

    fn assert_agrees(lengths: &[(usize, usize)], heads: usize, head: usize, scale: f64) {
        let layout = layout(lengths, heads);
        assert_same(
            &[random(&[layout.tokens(), 3 * heads * head], 1, scale)],
            |t| attention(&t[0], &layout),
            |t| composed(&t[0], &layout),
        );
    }

    #[test]
    fn agrees_with_candle_on_odd_shapes() {
        assert_agrees(&[(1, 1)], 1, 1, 1.0);
        assert_agrees(&[(1, 0)], 2, 3, 1.0);
        assert_agrees(&[(5, 3), (4, 4), (3, 0)], 2, 3, 2.0);
        assert_agrees(&[(2, 1), (0, 0), (6, 2)], 3, 2, 2.0);
        assert_agrees(&[(17, 9), (33, 33), (1, 1), (64, 20)], 3, 33, 1.0);
        assert_agrees(&[(40, 20), (70, 31)], 4, 32, 1.0);
    }

    #[test]
    fn large_scores_stay_finite() {
        assert_agrees(&[(5, 3), (4, 4)], 2, 7, 40.0);
    }

    #[test]
    fn no_token_sees_past_its_prefix_or_into_another_sequence() {
        let layout = layout(&[(6, 3), (4, 2)], 2);
        let x = Var::from_tensor(&random(&[10, 24], 1, 1.0).to_dtype(DType::F32).unwrap()).unwrap();
        for (token, visible) in [(0, 0..3), (2, 0..3), (3, 0..4), (5, 0..6), (6, 6..8), (8, 6..9)] {
            let out = attention(&x, &layout).unwrap().narrow(0, token, 1).unwrap();
            let gradients = out.sum_all().unwrap().backward().unwrap();
            let rows = gradients.get(&x).unwrap().abs().unwrap().sum(1).unwrap().to_vec1::<f32>().unwrap();
            for (j, gradient) in rows.iter().enumerate() {
                assert_eq!(*gradient > 0.0, visible.contains(&j) || j == token, "token {token} and {j}: {gradient}");
            }
        }
    }

    #[test]
    fn an_empty_batch_gives_an_empty_output() {
        let empty = Tensor::zeros((0, 24), DType::F32, &Device::Cpu).unwrap();
        assert_eq!(attention(&empty, &layout(&[], 2)).unwrap().dims(), [0, 8]);
        assert_eq!(composed(&empty, &layout(&[], 2)).unwrap().dims(), [0, 8]);
    }

    #[test]
    fn refuses_layouts_and_inputs_that_do_not_fit() {
        for (offsets, sources, heads) in [
            (vec![0, 3], vec![4], 1),
            (vec![1, 3], vec![1], 1),
            (vec![0, 3, 2], vec![1, 1], 1),
            (vec![0, 3], vec![1], 0),
        ] {
            assert!(AttentionLayout::new(offsets, sources, heads).is_err());
        }
        let x = Tensor::zeros((3, 24), DType::F32, &Device::Cpu).unwrap();
        assert!(attention(&x, &layout(&[(2, 1)], 2)).unwrap_err().to_string().contains("attention input"));
        assert!(attention(&x, &layout(&[(3, 1)], 3)).unwrap_err().to_string().contains("attention input"));
    }
}
