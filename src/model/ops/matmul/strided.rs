//! Products by the `gemm` crate: f32, on any processor.

use std::borrow::Cow;

use gemm::{Parallelism, gemm};
use half::bf16;
use rayon::prelude::*;

use super::{Matrix, Start};
use crate::model::Compute;
use crate::model::ops::host;

/// One side of a product, its numbers rounded already where they are to be.
pub(in crate::model::ops) struct Strided<'a> {
    values: Cow<'a, [f32]>,
    rows: usize,
    columns: usize,
    row_stride: usize,
    column_stride: usize,
}

impl<'a> Strided<'a> {
    pub(super) fn new(matrix: Matrix<'a>, compute: Compute) -> Self {
        let Matrix { values, rows, columns, row_stride, column_stride } = matrix;
        let values = match compute {
            Compute::F32 => Cow::Borrowed(values),
            Compute::Bf16 => Cow::Owned(rounded(values)),
        };
        Self { values, rows, columns, row_stride, column_stride }
    }

    pub(super) fn rows(&self) -> usize {
        self.rows
    }

    pub(super) fn columns(&self) -> usize {
        self.columns
    }
}

fn rounded(values: &[f32]) -> Vec<f32> {
    let round = |values: &mut [f32]| values.iter_mut().for_each(|v| *v = bf16::from_f32(*v).to_f32());
    host::map(values, host::rows_per_task(1), |_, values| round(values)).0
}

/// Writes start + a · b, row by row, on all threads of the current rayon pool.
///
/// # Safety
/// `out` has room for the product and overlaps neither input; with [`Start::Output`] its numbers were written before.
pub(super) unsafe fn multiply(a: &Strided<'_>, b: &Strided<'_>, start: Start<'_>, out: *mut f32) {
    // Guards the unsafe call below.
    assert_eq!(a.columns, b.rows, "inner sizes of a matrix product");
    let total = a.rows * b.columns;
    if total == 0 {
        return;
    }
    // SAFETY: the caller answers for the room, and a `MaybeUninit` may be read whatever is there.
    let rows = unsafe { std::slice::from_raw_parts_mut(out.cast::<std::mem::MaybeUninit<f32>>(), total) };
    let add = match start {
        Start::Zero if a.columns == 0 => {
            rows.fill(std::mem::MaybeUninit::new(0.0));
            return;
        }
        Start::Zero => false,
        Start::Output => true,
        Start::Row(row) => {
            rows.par_chunks_mut(host::rows_per_task(row.len()) * row.len()).for_each(|rows| {
                for out in rows.chunks_exact_mut(row.len()) {
                    out.write_copy_of_slice(row);
                }
            });
            true
        }
    };
    let threads = rayon::current_num_threads();
    let parallelism = if threads > 1 { Parallelism::Rayon(threads) } else { Parallelism::None };
    // SAFETY: the strides span exactly the slices of the inputs, whose lengths `Matrix` checked; the caller answers for
    // `out`, and where it is added to, its numbers were written before.
    unsafe {
        gemm(
            a.rows,
            b.columns,
            a.columns,
            out,
            1,
            b.columns as isize,
            add,
            a.values.as_ptr(),
            a.column_stride as isize,
            a.row_stride as isize,
            b.values.as_ptr(),
            b.column_stride as isize,
            b.row_stride as isize,
            1.0,
            1.0,
            false,
            false,
            false,
            parallelism,
        );
    }
}
