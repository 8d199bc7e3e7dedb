//! Matrix products over slices, with transposition by strides: nothing is copied.

use gemm::{Parallelism, gemm};

/// A view of a row-major matrix, or of its transpose.
#[derive(Clone, Copy)]
pub(super) struct Matrix<'a> {
    values: &'a [f32],
    rows: usize,
    columns: usize,
    row_stride: usize,
    column_stride: usize,
}

impl<'a> Matrix<'a> {
    /// `values` as `rows` × `columns`, row by row.
    pub(super) fn new(values: &'a [f32], rows: usize, columns: usize) -> Self {
        // Guards the unsafe call below; every caller cuts its slices by these two numbers.
        assert_eq!(values.len(), rows * columns, "a matrix of {rows} x {columns}");
        Self { values, rows, columns, row_stride: columns, column_stride: 1 }
    }

    /// The transpose, by swapping strides.
    pub(super) fn t(self) -> Self {
        Self {
            rows: self.columns,
            columns: self.rows,
            row_stride: self.column_stride,
            column_stride: self.row_stride,
            ..self
        }
    }
}

/// a · b, row by row.
pub(super) fn product(a: Matrix<'_>, b: Matrix<'_>) -> Vec<f32> {
    let mut out = Vec::new();
    product_into(a, b, &mut out);
    out
}

/// Replaces `out` by a · b, row by row.
pub(super) fn product_into(a: Matrix<'_>, b: Matrix<'_>, out: &mut Vec<f32>) {
    let total = a.rows * b.columns;
    out.clear();
    if a.columns == 0 {
        out.resize(total, 0.0);
        return;
    }
    out.reserve(total);
    // SAFETY: the vector has room for the product, which is written and not read; so `total` numbers are there after.
    unsafe {
        multiply(a, b, out.as_mut_ptr(), false);
        out.set_len(total);
    }
}

/// out += a · b, row by row.
pub(super) fn add_product(a: Matrix<'_>, b: Matrix<'_>, out: &mut [f32]) {
    // Guards the unsafe call below.
    assert_eq!(out.len(), a.rows * b.columns, "size of a matrix product");
    // SAFETY: the slice has the size of the product.
    unsafe { multiply(a, b, out.as_mut_ptr(), true) };
}

/// Writes a · b, or adds it, on all threads of the current rayon pool.
///
/// # Safety
/// `out` has room for the product and overlaps neither input; if `add`, its numbers were written before.
unsafe fn multiply(a: Matrix<'_>, b: Matrix<'_>, out: *mut f32, add: bool) {
    // Guards the unsafe call below.
    assert_eq!(a.columns, b.rows, "inner sizes of a matrix product");
    let threads = rayon::current_num_threads();
    let parallelism = if threads > 1 { Parallelism::Rayon(threads) } else { Parallelism::None };
    // SAFETY: the strides span exactly the slices of the inputs, whose lengths were checked; the caller answers for `out`.
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn products_of_every_orientation_agree_with_the_definition() {
        for (rows, inner, columns) in [(1, 1, 1), (2, 3, 5), (33, 7, 18), (3, 0, 2), (0, 4, 3), (70, 300, 41)] {
            let a: Vec<f32> = (0..rows * inner).map(|i| (i % 7) as f32 - 3.0).collect();
            let b: Vec<f32> = (0..inner * columns).map(|i| (i % 5) as f32 - 2.0).collect();
            let mut expected = vec![0f32; rows * columns];
            for (i, expected) in expected.iter_mut().enumerate() {
                let (row, column) = (i / columns, i % columns);
                *expected = (0..inner).map(|k| a[row * inner + k] * b[k * columns + column]).sum();
            }
            let (left, right) = (Matrix::new(&a, rows, inner), Matrix::new(&b, inner, columns));
            assert_eq!(product(left, right), expected);
            let mut transposed = vec![1f32; expected.len()];
            add_product(right.t(), left.t(), &mut transposed);
            for (i, value) in transposed.iter().enumerate() {
                assert_eq!(*value, 1.0 + expected[i % rows * columns + i / rows]);
            }
        }
    }
}
