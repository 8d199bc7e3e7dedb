//! Plain slices out of candle tensors in host memory, and how work over their rows is cut.

use std::ops::{Deref, Range};

use candle_core::{CpuStorage, DType, Layout, Storage, Tensor};
use parking_lot::RwLockReadGuard;
use rayon::prelude::*;

/// Numbers a task of parallel work handles at least: some ten microseconds, far above the cost of handing it over.
/// A constant, so that partial sums, and with them every result, do not depend on the number of threads.
const TASK_SIZE: usize = 32 * 1024;

/// Whether our own kernels serve this tensor: f32 in host memory.
pub(super) fn serves(tensor: &Tensor) -> bool {
    tensor.device().is_cpu() && tensor.dtype() == DType::F32
}

/// Rows of `width` numbers per task of parallel work, at least one.
pub(super) fn rows_per_task(width: usize) -> usize {
    (TASK_SIZE / width.max(1)).max(1)
}

/// The numbers of a contiguous argument of a forward pass.
pub(super) fn slice<'a>(storage: &'a CpuStorage, layout: &Layout) -> candle_core::Result<&'a [f32]> {
    let Some((start, end)) = layout.contiguous_offsets() else {
        candle_core::bail!("expected a contiguous tensor, received {layout:?}")
    };
    Ok(&storage.as_slice::<f32>()?[start..end])
}

/// The numbers of a tensor, for as long as this is held.
pub(super) struct Values<'a> {
    storage: RwLockReadGuard<'a, Storage>,
    range: Range<usize>,
}

impl<'a> Values<'a> {
    /// # Errors
    /// The tensor is not contiguous f32 in host memory.
    pub(super) fn of(tensor: &'a Tensor) -> candle_core::Result<Self> {
        let (storage, layout) = tensor.storage_and_layout();
        let Storage::Cpu(values) = &*storage else {
            candle_core::bail!("expected a tensor in host memory, received one on {:?}", tensor.device().location())
        };
        let range = match layout.contiguous_offsets() {
            Some((start, end)) => start..end,
            None => candle_core::bail!("expected a contiguous tensor, received {layout:?}"),
        };
        // Checked here, so that `deref` can rely on it.
        values.as_slice::<f32>()?;
        Ok(Self { storage, range })
    }
}

impl Deref for Values<'_> {
    type Target = [f32];

    fn deref(&self) -> &[f32] {
        match &*self.storage {
            Storage::Cpu(CpuStorage::F32(values)) => &values[self.range.clone()],
            // `of` let only this one variant in.
            _ => &[],
        }
    }
}

/// A new tensor in host memory, of the shape of `like`.
pub(super) fn tensor(values: Vec<f32>, like: &Tensor) -> candle_core::Result<Tensor> {
    Tensor::from_vec(values, like.shape(), like.device())
}

/// A copy of `from`, in parallel tasks of `task` numbers, each of which `f` then changes in place. `f` receives the position
/// of its first number; its results come back in order.
///
/// The memory is not zeroed first: a copy into the cache costs less than a pass over memory on one thread.
pub(super) fn map<R: Send>(from: &[f32], task: usize, f: impl Fn(usize, &mut [f32]) -> R + Sync) -> (Vec<f32>, Vec<R>) {
    let mut out = Vec::with_capacity(from.len());
    let results = out.spare_capacity_mut()[..from.len()]
        .par_chunks_mut(task)
        .zip(from.par_chunks(task))
        .enumerate()
        .map(|(i, (out, from))| f(i * task, out.write_copy_of_slice(from)))
        .collect();
    // SAFETY: the chunks cover the first `from.len()` numbers, and each was written by a copy.
    unsafe { out.set_len(from.len()) };
    (out, results)
}

/// Parts of the given lengths, one after the other; `f` receives each part's index and writes it, in parallel, over zeros. A
/// thread's parts share a `W`.
pub(super) fn parts<W: Default>(lengths: &[usize], f: impl Fn(&mut W, usize, &mut [f32]) + Sync) -> Vec<f32> {
    let total = lengths.iter().sum();
    let mut out = Vec::with_capacity(total);
    let mut rest = &mut out.spare_capacity_mut()[..total];
    let mut parts = Vec::with_capacity(lengths.len());
    for length in lengths {
        let (part, after) = rest.split_at_mut(*length);
        parts.push(part);
        rest = after;
    }
    parts.into_par_iter().enumerate().for_each_init(W::default, |shared, (i, part)| {
        for number in part.iter_mut() {
            number.write(0.0);
        }
        // SAFETY: the loop wrote every number of the part.
        f(shared, i, unsafe { part.assume_init_mut() });
    });
    // SAFETY: the parts cover the first `total` numbers, and each was written.
    unsafe { out.set_len(total) };
    out
}

/// Sums partial results in their order, which keeps the result independent of the threads.
pub(super) fn add_up(partials: Vec<Vec<f32>>, width: usize) -> Vec<f32> {
    let mut total = vec![0f32; width];
    for partial in partials {
        super::simd::accumulate(&mut total, &partial);
    }
    total
}
