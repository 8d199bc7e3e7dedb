//! Rows of a matrix in another order, with gaps: how packed sequences become padded ones, and back.
//!
//! candle's own selection would serve, but its gradient adds row after row in one thread for each column, because a row
//! could be taken twice. Here none is, so the gradient is a selection too.

use candle_core::backend::BackendStorage;
use candle_core::{CpuStorage, CudaStorage, CustomOp1, Layout, Shape, Storage, Tensor};

/// The number of no row: candle's selection gives zeros for it.
pub(super) const NONE: u32 = u32::MAX;

struct Rearrange {
    /// For each row of the output the row of the input, or [`NONE`].
    there: Tensor,
    /// For each row of the input the row of the output, or [`NONE`].
    back: Tensor,
}

impl Rearrange {
    fn select<S: BackendStorage>(&self, x: &S, layout: &Layout, ids: Option<&S>) -> candle_core::Result<(S, Shape)> {
        let Some(ids) = ids else { candle_core::bail!("expected the rows and their numbers on one device") };
        let out = x.index_select(ids, layout, self.there.layout(), 0)?;
        Ok((out, Shape::from((self.there.elem_count(), layout.shape().dims2()?.1))))
    }
}

impl CustomOp1 for Rearrange {
    fn name(&self) -> &'static str {
        "rearrange"
    }

    fn cpu_fwd(&self, x: &CpuStorage, layout: &Layout) -> candle_core::Result<(CpuStorage, Shape)> {
        let (ids, _) = self.there.storage_and_layout();
        let ids = if let Storage::Cpu(ids) = &*ids { Some(ids) } else { None };
        self.select(x, layout, ids)
    }

    fn cuda_fwd(&self, x: &CudaStorage, layout: &Layout) -> candle_core::Result<(CudaStorage, Shape)> {
        let (ids, _) = self.there.storage_and_layout();
        let ids = if let Storage::Cuda(ids) = &*ids { Some(ids) } else { None };
        self.select(x, layout, ids)
    }

    fn bwd(&self, _: &Tensor, _: &Tensor, gradient: &Tensor) -> candle_core::Result<Option<Tensor>> {
        gradient.contiguous()?.index_select(&self.back, 0).map(Some)
    }
}

/// Row `there[i]` of `x` as row i, or zeros where that is [`NONE`]. `back` is the inverse: row `back[j]` of the output is
/// row j of `x`, or [`NONE`]. Both are u32 on the device of `x`.
pub(super) fn rearrange(x: &Tensor, there: &Tensor, back: &Tensor) -> candle_core::Result<Tensor> {
    x.contiguous()?.apply_op1(Rearrange { there: there.contiguous()?, back: back.contiguous()? })
}

#[cfg(test)]
mod tests {
    use candle_core::{DType, Device, Var};

    use super::*;

    #[test]
    fn moves_rows_and_takes_their_gradients_back() {
        let ids = |ids: &[u32]| Tensor::new(ids, &Device::Cpu).unwrap();
        let (there, back) = (ids(&[2, NONE, 0]), ids(&[2, NONE, 0]));
        for dtype in [DType::F32, DType::BF16] {
            let x = Tensor::new(&[[1f32, 2.0], [3.0, 4.0], [5.0, 6.0]], &Device::Cpu).unwrap();
            let x = Var::from_tensor(&x.to_dtype(dtype).unwrap()).unwrap();
            let numbers = |x: &Tensor| x.to_dtype(DType::F32).unwrap().to_vec2::<f32>().unwrap();
            let out = rearrange(&x, &there, &back).unwrap();
            assert_eq!(numbers(&out), [[5.0, 6.0], [0.0, 0.0], [1.0, 2.0]]);
            let weights = Tensor::new(&[[10f32], [20.0], [30.0]], &Device::Cpu).unwrap().to_dtype(dtype).unwrap();
            let gradients = out.broadcast_mul(&weights).unwrap().sum_all().unwrap().backward().unwrap();
            assert_eq!(numbers(gradients.get(&x).unwrap()), [[30.0, 30.0], [0.0, 0.0], [10.0, 10.0]]);
        }
    }
}
