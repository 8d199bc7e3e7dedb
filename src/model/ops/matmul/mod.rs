//! Matrix products over slices, with transposition by strides.

#[cfg(target_arch = "x86_64")]
mod kernel;
#[cfg(target_arch = "x86_64")]
mod panels;
mod strided;

#[cfg(target_arch = "x86_64")]
use panels::Panels;
use strided::Strided;

use crate::model::Compute;

/// A view of a row-major matrix, or of its transpose.
#[derive(Debug, Clone, Copy)]
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
        // Guards the unsafe code of the products; every caller cuts its slices by these two numbers.
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

/// What a product is added to.
#[derive(Clone, Copy)]
pub(super) enum Start<'a> {
    /// Nothing: the product replaces what is there, written or not.
    Zero,
    /// The numbers that are there.
    Output,
    /// This row, under every row of the product.
    Row(&'a [f32]),
}

/// A right-hand side made ready, which pays where several products share it.
pub(super) enum Right<'a> {
    Strided(Strided<'a>),
    #[cfg(target_arch = "x86_64")]
    Panels(Panels),
}

impl<'a> Right<'a> {
    pub(super) fn new(b: Matrix<'a>, compute: Compute) -> Self {
        #[cfg(target_arch = "x86_64")]
        if kernel::serves(compute) {
            return Self::Panels(Panels::pack(b.t()));
        }
        Self::Strided(Strided::new(b, compute))
    }

    fn rows(&self) -> usize {
        match self {
            Self::Strided(strided) => strided.rows(),
            #[cfg(target_arch = "x86_64")]
            Self::Panels(panels) => panels.depth(),
        }
    }

    fn columns(&self) -> usize {
        match self {
            Self::Strided(strided) => strided.columns(),
            #[cfg(target_arch = "x86_64")]
            Self::Panels(panels) => panels.lanes(),
        }
    }

    /// start + a · self, row by row.
    pub(super) fn product(&self, a: Matrix<'_>, start: Start<'_>, compute: Compute) -> Vec<f32> {
        let mut out = Vec::new();
        self.product_into(a, start, compute, &mut out);
        out
    }

    /// Replaces `out` by start + a · self, row by row; with [`Start::Output`], adds to it.
    pub(super) fn product_into(&self, a: Matrix<'_>, start: Start<'_>, compute: Compute, out: &mut Vec<f32>) {
        let total = a.rows * self.columns();
        // These guard the unsafe call below.
        assert_eq!(a.columns, self.rows(), "inner sizes of a matrix product");
        match start {
            Start::Zero => out.clear(),
            Start::Output => assert_eq!(out.len(), total, "size of a matrix product"),
            Start::Row(row) => {
                assert_eq!(row.len(), self.columns(), "row under a matrix product");
                out.clear();
            }
        }
        out.reserve(total - out.len());
        // SAFETY: the vector has room for the product, and where it is to be added to, its numbers were written before.
        // Both ways write all of it, so `total` numbers are there after.
        unsafe {
            match self {
                Self::Strided(b) => strided::multiply(&Strided::new(a, compute), b, start, out.as_mut_ptr()),
                #[cfg(target_arch = "x86_64")]
                Self::Panels(b) => kernel::multiply(&Panels::pack(a), b, start, out.as_mut_ptr()),
            }
            out.set_len(total);
        }
    }
}

/// a · b, row by row.
pub(super) fn product(a: Matrix<'_>, b: Matrix<'_>, compute: Compute) -> Vec<f32> {
    Right::new(b, compute).product(a, Start::Zero, compute)
}

#[cfg(test)]
mod tests {
    use half::bf16;
    use proptest::prelude::*;

    use super::*;

    /// Numbers that bf16 holds exactly and whose products add up exactly in f32.
    fn small(count: usize, modulus: usize) -> Vec<f32> {
        (0..count).map(|i| (i % modulus) as f32 - (modulus / 2) as f32).collect()
    }

    #[test]
    fn products_of_every_orientation_agree_with_the_definition() {
        for compute in [Compute::F32, Compute::Bf16] {
            for (rows, inner, columns) in
                [(1, 1, 1), (2, 3, 5), (33, 7, 18), (3, 0, 2), (0, 4, 3), (70, 900, 241), (17, 16, 48), (9, 33, 65)]
            {
                let (a, b) = (small(rows * inner, 7), small(inner * columns, 5));
                let mut expected = vec![0f32; rows * columns];
                for (i, expected) in expected.iter_mut().enumerate() {
                    let (row, column) = (i / columns, i % columns);
                    *expected = (0..inner).map(|k| a[row * inner + k] * b[k * columns + column]).sum();
                }
                let (left, right) = (Matrix::new(&a, rows, inner), Matrix::new(&b, inner, columns));
                assert_eq!(product(left, right, compute), expected);

                let mut transposed = vec![1f32; expected.len()];
                let right_side = Right::new(left.t(), compute);
                right_side.product_into(right.t(), Start::Output, compute, &mut transposed);
                for (i, value) in transposed.iter().enumerate() {
                    assert_eq!(*value, 1.0 + expected[i % rows * columns + i / rows]);
                }
                let bias = small(columns, 11);
                let biased = Right::new(right, compute).product(left, Start::Row(&bias), compute);
                for (i, value) in biased.iter().enumerate() {
                    assert_eq!(*value, bias[i % columns] + expected[i]);
                }
            }
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(60))]

        /// The bf16 products are the f32 products of rounded numbers, for all shapes and orientations.
        #[test]
        fn bf16_rounds_its_inputs_and_nothing_else(
            (rows, inner, columns) in (1usize..90, 1usize..900, 1usize..120),
            seed in any::<u64>(),
            (a_transposed, b_transposed) in (any::<bool>(), any::<bool>()),
        ) {
            let numbers = |count: usize, seed: u64| -> Vec<f32> {
                let mut state = seed | 1;
                (0..count)
                    .map(|_| {
                        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                        ((state >> 40) as f32 / (1 << 23) as f32 - 1.0) * 3.0
                    })
                    .collect()
            };
            let (a, b) = (numbers(rows * inner, seed), numbers(inner * columns, seed ^ 99));
            let rounded = |values: &[f32]| -> Vec<f32> { values.iter().map(|v| bf16::from_f32(*v).to_f32()).collect() };
            let view = |values, rows, columns, transposed: bool| match transposed {
                true => Matrix::new(values, columns, rows).t(),
                false => Matrix::new(values, rows, columns),
            };
            let (a_rounded, b_rounded) = (rounded(&a), rounded(&b));
            let received =
                product(view(&a, rows, inner, a_transposed), view(&b, inner, columns, b_transposed), Compute::Bf16);
            let (a, b) = (view(&a_rounded, rows, inner, a_transposed), view(&b_rounded, inner, columns, b_transposed));
            let expected = product(a, b, Compute::F32);
            // Both add up `inner` products of at most 9 in f32, in orders of their own.
            let tolerance = 9.0 * inner as f32 * f32::EPSILON;
            for (received, expected) in received.iter().zip(&expected) {
                prop_assert!((received - expected).abs() <= tolerance, "{received}, expected {expected}");
            }
            let mut strided = Vec::with_capacity(expected.len());
            // SAFETY: the vector has room for the product, all of which is written.
            unsafe {
                let (a, b) = (Strided::new(a, Compute::Bf16), Strided::new(b, Compute::Bf16));
                strided::multiply(&a, &b, Start::Zero, strided.as_mut_ptr());
                strided.set_len(expected.len());
            }
            for (received, expected) in strided.iter().zip(&expected) {
                prop_assert!((received - expected).abs() <= tolerance, "without the instruction: {received}, {expected}");
            }
        }
    }

    #[test]
    fn products_do_not_depend_on_the_number_of_threads() {
        let (a, b) = (small(300 * 700, 1_009), small(700 * 500, 997));
        let run = |threads: usize, compute: Compute| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            pool.install(|| product(Matrix::new(&a, 300, 700), Matrix::new(&b, 700, 500), compute))
        };
        for compute in [Compute::F32, Compute::Bf16] {
            assert!(run(1, compute) == run(5, compute), "{compute:?}");
        }
    }

    #[test]
    fn bf16_keeps_infinities_and_nan() {
        let a = [1.0, f32::INFINITY, f32::NAN, 1.0];
        let out = product(Matrix::new(&a, 4, 1), Matrix::new(&[2.0], 1, 1), Compute::Bf16);
        assert_eq!((out[0], out[1], out[3]), (2.0, f32::INFINITY, 2.0));
        assert!(out[2].is_nan());
    }
}
