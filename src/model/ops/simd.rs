//! Loops that the compiler vectorises for the processor at hand, and the scalar functions they share.
//!
//! The crate is built for baseline x86-64. A function declared through [`dispatched!`] is compiled three times (baseline,
//! AVX2 + FMA, AVX-512) and picks the widest at run time. Everything it calls must be `#[inline(always)]`, so that it
//! is compiled with the caller's instructions. `mul_add` is one instruction wherever FMA is; on an x86-64 without
//! it (before 2013) it is a slow library call, and still right.

/// Lanes of the reductions: one AVX-512 register, two of AVX2. Fixed, so that sums do not depend on the processor.
pub(super) const LANES: usize = 16;

/// Declares a function that is compiled for each vector extension and dispatched at run time.
macro_rules! dispatched {
    ($(#[$attribute:meta])* $visibility:vis fn $name:ident($($argument:ident: $kind:ty),* $(,)?) $(-> $result:ty)? $body:block) => {
        $(#[$attribute])*
        $visibility fn $name($($argument: $kind),*) $(-> $result)? {
            #[inline(always)]
            #[allow(clippy::too_many_arguments)]
            fn portable($($argument: $kind),*) $(-> $result)? $body

            #[cfg(target_arch = "x86_64")]
            {
                #[target_feature(enable = "avx2,fma,avx512f,avx512bw,avx512dq,avx512vl")]
                #[allow(clippy::too_many_arguments)]
                fn avx512($($argument: $kind),*) $(-> $result)? {
                    portable($($argument),*)
                }
                #[target_feature(enable = "avx2,fma")]
                #[allow(clippy::too_many_arguments)]
                fn avx2($($argument: $kind),*) $(-> $result)? {
                    portable($($argument),*)
                }
                if $crate::model::ops::simd::has_avx2() {
                    if $crate::model::ops::simd::has_avx512() {
                        // SAFETY: the processor has every feature that `avx512` is compiled with.
                        return unsafe { avx512($($argument),*) };
                    }
                    // SAFETY: the processor has every feature that `avx2` is compiled with.
                    return unsafe { avx2($($argument),*) };
                }
            }
            portable($($argument),*)
        }
    };
}
pub(super) use dispatched;

/// Whether the processor (and the operating system) offers AVX2 and FMA.
#[cfg(target_arch = "x86_64")]
#[inline]
pub(super) fn has_avx2() -> bool {
    is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma")
}

/// Whether the processor (and the operating system) offers the AVX-512 of a 2017 server.
#[cfg(target_arch = "x86_64")]
#[inline]
pub(super) fn has_avx512() -> bool {
    is_x86_feature_detected!("avx512f")
        && is_x86_feature_detected!("avx512bw")
        && is_x86_feature_detected!("avx512dq")
        && is_x86_feature_detected!("avx512vl")
}

/// Σ f(aᵢ, bᵢ) over two slices of one length.
#[inline(always)]
pub(super) fn sum_by(a: &[f32], b: &[f32], f: impl Fn(f32, f32) -> f32) -> f32 {
    let (a_chunks, a_tail) = a.as_chunks::<LANES>();
    let (b_chunks, b_tail) = b.as_chunks::<LANES>();
    let mut lanes = [0f32; LANES];
    for (a, b) in a_chunks.iter().zip(b_chunks) {
        for lane in 0..LANES {
            lanes[lane] += f(a[lane], b[lane]);
        }
    }
    let mut total = 0f32;
    for (a, b) in a_tail.iter().zip(b_tail) {
        total += f(*a, *b);
    }
    for lane in lanes {
        total += lane;
    }
    total
}

/// Σ aᵢ.
#[inline(always)]
pub(super) fn sum(a: &[f32]) -> f32 {
    sum_by(a, a, |a, _| a)
}

/// The largest value; −∞ of nothing. NaN is passed over.
#[inline(always)]
pub(super) fn max(a: &[f32]) -> f32 {
    let (chunks, tail) = a.as_chunks::<LANES>();
    let mut lanes = [f32::NEG_INFINITY; LANES];
    for chunk in chunks {
        for lane in 0..LANES {
            lanes[lane] = if chunk[lane] > lanes[lane] { chunk[lane] } else { lanes[lane] };
        }
    }
    let mut largest = f32::NEG_INFINITY;
    for value in lanes.iter().chain(tail) {
        largest = if *value > largest { *value } else { largest };
    }
    largest
}

/// targetᵢ += valueᵢ.
#[inline(always)]
pub(super) fn accumulate(target: &mut [f32], values: &[f32]) {
    for (target, value) in target.iter_mut().zip(values) {
        *target += value;
    }
}

/// eˣ with a relative error below 2⁻²², by 2ᵏ · e^r with |r| ≤ ln 2 / 2 (coefficients from Cephes' `expf`).
///
/// Clamped to ±87: 1e-38 at the low end instead of 0, finite at the high end.
#[inline(always)]
pub(super) fn exp(x: f32) -> f32 {
    /// 1.5 · 2²³: adding it rounds to an integer, which then lies in the low bits of the sum.
    const ROUND: f32 = 12_582_912.0;
    const LN_2_HIGH: f32 = 0.693_359_4;
    const LN_2_LOW: f32 = -2.121_944_4e-4;
    let x = if x > 87.0 { 87.0 } else { x };
    let x = if x < -87.0 { -87.0 } else { x };
    let shifted = x.mul_add(std::f32::consts::LOG2_E, ROUND);
    let k = shifted - ROUND;
    let r = k.mul_add(-LN_2_LOW, k.mul_add(-LN_2_HIGH, x));
    let p = 1.987_569_1e-4f32;
    let p = p.mul_add(r, 1.398_199_9e-3);
    let p = p.mul_add(r, 8.333_452e-3);
    let p = p.mul_add(r, 4.166_579_6e-2);
    let p = p.mul_add(r, 1.666_666_5e-1);
    let p = p.mul_add(r, 0.5);
    let e_r = p.mul_add(r * r, r + 1.0);
    let two_k = f32::from_bits((shifted.to_bits() << 23).wrapping_add(0x3f80_0000));
    e_r * two_k
}

/// erf(x) with an absolute error below 5e-7 and exactly ±1 from ±4 on, by x · P(x²) / Q(x²) (the rational approximation of
/// Eigen and XLA).
#[inline(always)]
pub(super) fn erf(x: f32) -> f32 {
    const END: f32 = 4.0;
    let full = x;
    let x = if x > END { END } else { x };
    let x = if x < -END { -END } else { x };
    let s = x * x;
    let p = -2.726_142_3e-10f32;
    let p = p.mul_add(s, 2.770_681_4e-8);
    let p = p.mul_add(s, -2.101_024e-6);
    let p = p.mul_add(s, -5.692_506_4e-5);
    let p = p.mul_add(s, -7.349_906_3e-4);
    let p = p.mul_add(s, -2.954_6e-3);
    let p = p.mul_add(s, -1.609_603_3e-2);
    let q = -1.456_607_2e-5f32;
    let q = q.mul_add(s, -2.133_740_6e-4);
    let q = q.mul_add(s, -1.682_827e-3);
    let q = q.mul_add(s, -7.373_329e-3);
    let q = q.mul_add(s, -1.426_473_9e-2);
    let inside = x * p / q;
    if full.abs() < END { inside } else { 1f32.copysign(full) }
}

#[cfg(test)]
mod tests {
    use super::*;

    dispatched! {
        fn apply_exp(x: &[f32], out: &mut [f32]) {
            for (out, x) in out.iter_mut().zip(x) {
                *out = exp(*x);
            }
        }
    }

    #[test]
    fn exp_is_within_a_millionth_of_the_true_value() {
        let x: Vec<f32> = (-8_700..=8_700).map(|i| i as f32 / 100.0).collect();
        let mut out = vec![0.0; x.len()];
        apply_exp(&x, &mut out);
        for (x, out) in x.iter().zip(out) {
            let truth = f64::from(*x).exp();
            assert!((f64::from(out) / truth - 1.0).abs() < 5e-7, "exp({x}) = {out}, expected {truth}");
        }
    }

    #[test]
    fn exp_stays_finite_and_positive_at_the_ends() {
        assert!(exp(1e30).is_finite());
        assert!(exp(-1e30) >= 0.0 && exp(f32::NEG_INFINITY) < 1e-37);
        assert_eq!(exp(0.0), 1.0);
    }

    #[test]
    fn erf_is_within_a_millionth_of_the_true_value() {
        for i in -6_000..=6_000 {
            let x = i as f32 / 1_000.0;
            let truth = candle_core::cpu::erf::erf_f64(f64::from(x));
            assert!((f64::from(erf(x)) - truth).abs() < 5e-7, "erf({x}) = {}, expected {truth}", erf(x));
        }
        assert_eq!((erf(4.0), erf(f32::MAX), erf(f32::MIN)), (1.0, 1.0, -1.0));
    }

    #[test]
    fn reductions_count_every_value_at_any_length() {
        for length in 0..70usize {
            let values: Vec<f32> = (0..length).map(|i| i as f32 - 7.0).collect();
            assert_eq!(sum(&values), values.iter().sum::<f32>());
            assert_eq!(max(&values), values.iter().copied().fold(f32::NEG_INFINITY, f32::max));
        }
    }
}
