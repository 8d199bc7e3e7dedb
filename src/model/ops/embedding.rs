//! Rows of a table by id.

use candle_core::{DType, Tensor};

use crate::{Error, Result};

/// The rows of `table` `[v, h]` that `ids` `[n]` u32 name; returns `[n, h]`.
///
/// candle's own selection: its gradient is added straight into the table's, which no operator of ours could.
///
/// # Errors
/// An id is not in the table, the shapes do not fit, or candle refuses.
pub fn embedding(table: &Tensor, ids: &Tensor) -> Result<Tensor> {
    if table.rank() != 2 || ids.rank() != 1 || ids.dtype() != DType::U32 {
        return Err(Error::invalid(
            "embedding shapes",
            "a table [v, h] and u32 ids [n]",
            format!("{:?} and {:?} {:?}", table.dims(), ids.dtype(), ids.dims()),
        ));
    }
    Ok(table.index_select(ids, 0)?)
}

#[cfg(test)]
mod tests {
    use candle_core::{Device, Var};

    use super::*;

    #[test]
    fn repeated_ids_add_up_in_the_gradient() {
        let table =
            Var::from_tensor(&Tensor::arange(0f32, 6.0, &Device::Cpu).unwrap().reshape((3, 2)).unwrap()).unwrap();
        let out = embedding(&table, &Tensor::new(&[2u32, 0, 2], &Device::Cpu).unwrap()).unwrap();
        assert_eq!(out.to_vec2::<f32>().unwrap(), [[4.0, 5.0], [0.0, 1.0], [4.0, 5.0]]);
        let gradients = out.sum_all().unwrap().backward().unwrap();
        let expected = [[1.0, 1.0], [0.0, 0.0], [2.0, 2.0]];
        assert_eq!(gradients.get(&table).unwrap().to_vec2::<f32>().unwrap(), expected);
    }

    #[test]
    fn refuses_an_id_outside_the_table() {
        let table = Tensor::zeros((3, 2), DType::F32, &Device::Cpu).unwrap();
        assert!(embedding(&table, &Tensor::new(&[3u32], &Device::Cpu).unwrap()).is_err());
        assert!(embedding(&table, &Tensor::new(&[0f32], &Device::Cpu).unwrap()).is_err());
    }
}
