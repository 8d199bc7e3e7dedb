//! Plain slices out of candle tensors in host memory, and how work over their rows is cut.

use std::ops::{Deref, Range};

use candle_core::{CpuStorage, DType, Layout, Storage, Tensor};
use parking_lot::RwLockReadGuard;

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

/// Sums partial results in their order, which keeps the result independent of the threads.
pub(super) fn add_up(partials: Vec<Vec<f32>>, width: usize) -> Vec<f32> {
    let mut total = vec![0f32; width];
    for partial in partials {
        super::simd::accumulate(&mut total, &partial);
    }
    total
}
