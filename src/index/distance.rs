//! The inner product, by the widest instructions that this processor has.

use std::sync::LazyLock;

use hnsw_rs::anndists::dist::distances::Distance;

type Kernel = fn(&[f32], &[f32]) -> f32;

/// Chosen once: the processor does not change under us.
static KERNEL: LazyLock<Kernel> =
    LazyLock::new(|| kernels().last().map_or(dot_scalar as Kernel, |&(_, kernel)| kernel));

/// Inner product of two vectors of one length; of unequal ones, over the shorter length.
#[inline]
pub fn dot(a: &[f32], b: &[f32]) -> f32 {
    KERNEL(a, b)
}

/// The kernels that this processor can run, slowest first.
fn kernels() -> Vec<(&'static str, Kernel)> {
    let mut kernels: Vec<(&'static str, Kernel)> = vec![("scalar", dot_scalar)];
    #[cfg(target_arch = "x86_64")]
    {
        if is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma") {
            kernels.push(("avx2", dot_avx2));
        }
        if is_x86_feature_detected!("avx512f") {
            kernels.push(("avx512", dot_avx512));
        }
    }
    kernels
}

/// Eight running sums, which a compiler turns into vector instructions on any processor.
fn dot_scalar(a: &[f32], b: &[f32]) -> f32 {
    let (a, b) = same_length(a, b);
    let mut sums = [0f32; 8];
    let (a8, a_rest) = a.as_chunks::<8>();
    let (b8, b_rest) = b.as_chunks::<8>();
    for (x, y) in a8.iter().zip(b8) {
        for lane in 0..8 {
            sums[lane] += x[lane] * y[lane];
        }
    }
    sums.iter().sum::<f32>() + a_rest.iter().zip(b_rest).map(|(x, y)| x * y).sum::<f32>()
}

fn same_length<'a>(a: &'a [f32], b: &'a [f32]) -> (&'a [f32], &'a [f32]) {
    let n = a.len().min(b.len());
    (&a[..n], &b[..n])
}

#[cfg(target_arch = "x86_64")]
fn dot_avx2(a: &[f32], b: &[f32]) -> f32 {
    // SAFETY: `kernels` offers this function only where the processor has AVX2 and FMA.
    unsafe { x86::dot_avx2(a, b) }
}

#[cfg(target_arch = "x86_64")]
fn dot_avx512(a: &[f32], b: &[f32]) -> f32 {
    // SAFETY: `kernels` offers this function only where the processor has AVX-512F.
    unsafe { x86::dot_avx512(a, b) }
}

#[cfg(target_arch = "x86_64")]
mod x86 {
    use std::arch::x86_64::*;

    use super::same_length;

    /// Four running sums of eight lanes hide the latency of the multiply-add.
    #[target_feature(enable = "avx2,fma")]
    pub(super) fn dot_avx2(a: &[f32], b: &[f32]) -> f32 {
        let (a, b) = same_length(a, b);
        let mut sums = [_mm256_setzero_ps(); 4];
        let (a32, a_rest) = a.as_chunks::<32>();
        let (b32, b_rest) = b.as_chunks::<32>();
        for (x, y) in a32.iter().zip(b32) {
            for (lane, sum) in sums.iter_mut().enumerate() {
                // SAFETY: lane is below 4, so the 8 floats from 8 × lane are within the 32 of the chunk;
                // the load needs no alignment.
                let (x, y) =
                    unsafe { (_mm256_loadu_ps(x.as_ptr().add(8 * lane)), _mm256_loadu_ps(y.as_ptr().add(8 * lane))) };
                *sum = _mm256_fmadd_ps(x, y, *sum);
            }
        }
        let (a8, a_rest) = a_rest.as_chunks::<8>();
        let (b8, b_rest) = b_rest.as_chunks::<8>();
        for (x, y) in a8.iter().zip(b8) {
            // SAFETY: each chunk holds the 8 floats that are read; the load needs no alignment.
            let (x, y) = unsafe { (_mm256_loadu_ps(x.as_ptr()), _mm256_loadu_ps(y.as_ptr())) };
            sums[0] = _mm256_fmadd_ps(x, y, sums[0]);
        }
        let sum = _mm256_add_ps(_mm256_add_ps(sums[0], sums[1]), _mm256_add_ps(sums[2], sums[3]));
        let mut lanes = [0f32; 8];
        // SAFETY: `lanes` has room for the 8 floats; the store needs no alignment.
        unsafe { _mm256_storeu_ps(lanes.as_mut_ptr(), sum) };
        lanes.iter().sum::<f32>() + a_rest.iter().zip(b_rest).map(|(x, y)| x * y).sum::<f32>()
    }

    /// Four running sums of sixteen lanes; the last, shorter chunks are read under a mask.
    #[target_feature(enable = "avx512f")]
    pub(super) fn dot_avx512(a: &[f32], b: &[f32]) -> f32 {
        let (a, b) = same_length(a, b);
        let mut sums = [_mm512_setzero_ps(); 4];
        let (a64, a_rest) = a.as_chunks::<64>();
        let (b64, b_rest) = b.as_chunks::<64>();
        for (x, y) in a64.iter().zip(b64) {
            for (lane, sum) in sums.iter_mut().enumerate() {
                // SAFETY: lane is below 4, so the 16 floats from 16 × lane are within the 64 of the chunk;
                // the load needs no alignment.
                let (x, y) =
                    unsafe { (_mm512_loadu_ps(x.as_ptr().add(16 * lane)), _mm512_loadu_ps(y.as_ptr().add(16 * lane))) };
                *sum = _mm512_fmadd_ps(x, y, *sum);
            }
        }
        for (x, y) in a_rest.chunks(16).zip(b_rest.chunks(16)) {
            let mask = (u32::MAX >> (32 - x.len())) as __mmask16; // chunks are not empty, so the shift is below 32
            // SAFETY: the mask has one bit for each float of the chunk, and masked-out lanes are not read.
            let (x, y) = unsafe { (_mm512_maskz_loadu_ps(mask, x.as_ptr()), _mm512_maskz_loadu_ps(mask, y.as_ptr())) };
            sums[0] = _mm512_fmadd_ps(x, y, sums[0]);
        }
        _mm512_reduce_add_ps(_mm512_add_ps(_mm512_add_ps(sums[0], sums[1]), _mm512_add_ps(sums[2], sums[3])))
    }
}

/// 1 − inner product, never below 0: hnsw_rs panics on a negative distance, which rounding gives for equal vectors.
#[derive(Debug, Clone, Copy)]
pub(super) struct InnerProduct;

impl Distance<f32> for InnerProduct {
    fn eval(&self, a: &[f32], b: &[f32]) -> f32 {
        (1.0 - dot(a, b)).max(0.0)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn every_kernel_agrees_with_plain_sums(
            pairs in prop::collection::vec((-1f32..1.0, -1f32..1.0), 0..900),
            cut in 0usize..3,
        ) {
            let (a, b): (Vec<f32>, Vec<f32>) = pairs.into_iter().unzip();
            let (a, b) = (&a[cut.min(a.len())..], &b[cut.min(b.len())..]); // unaligned starts too
            let expected: f64 = a.iter().zip(b).map(|(&x, &y)| f64::from(x) * f64::from(y)).sum();
            let size: f64 = a.iter().zip(b).map(|(&x, &y)| f64::from(x * y).abs()).sum();
            for (name, kernel) in kernels() {
                let received = f64::from(kernel(a, b));
                prop_assert!((received - expected).abs() <= 1e-6 * size + 1e-9, "{name}: {received} against {expected}");
            }
        }
    }

    #[test]
    fn unequal_lengths_read_no_further_than_the_shorter() {
        for (name, kernel) in kernels() {
            assert_eq!(kernel(&[1.0; 100], &[2.0; 37]), 74.0, "{name}");
            assert_eq!(kernel(&[], &[2.0; 37]), 0.0, "{name}");
        }
    }

    #[test]
    fn a_distance_is_never_negative() {
        for n in [3, 7, 312, 768] {
            let v = vec![1.0000001 / (n as f32).sqrt(); n];
            assert!(InnerProduct.eval(&v, &v) >= 0.0);
        }
    }
}
