//! Kernels for 64-bit ARM, where NEON is always there.

use super::Kernels;

/// The sets that this processor can run.
pub(super) fn supported() -> Option<Kernels> {
    #[cfg(target_arch = "aarch64")]
    return Some(neon::KERNELS);
    #[cfg(not(target_arch = "aarch64"))]
    None
}

#[cfg(target_arch = "aarch64")]
mod neon {
    use std::arch::aarch64::*;

    use super::super::{Kernels, LINE, gather, scalar};

    /// Halves are widened by the compiler's choice; f16 vectors are not in stable Rust.
    pub(super) const KERNELS: Kernels = Kernels { name: "neon", f32: gather_f32, int8: gather_int8, ..scalar::KERNELS };

    /// # Safety
    /// `query` and all of `rows` have `bytes` bytes of f32, a multiple of a line.
    #[inline]
    #[target_feature(enable = "neon")]
    unsafe fn rows_f32<const N: usize>(
        query: *const u8,
        rows: [*const u8; N],
        _next: [*const u8; N],
        bytes: usize,
    ) -> [f32; N] {
        let mut sums = [[vdupq_n_f32(0.0); 4]; N];
        for line in (0..bytes).step_by(LINE) {
            for lane in 0..4 {
                let at = line + 16 * lane;
                // SAFETY: the 16 bytes from `at` are within the query and the rows, and aligned for f32.
                unsafe {
                    let q = vld1q_f32(query.add(at).cast());
                    for i in 0..N {
                        sums[i][lane] = vfmaq_f32(sums[i][lane], q, vld1q_f32(rows[i].add(at).cast()));
                    }
                }
            }
        }
        sums.map(|[a, b, c, d]| vaddvq_f32(vaddq_f32(vaddq_f32(a, b), vaddq_f32(c, d))))
    }

    /// # Safety
    /// All of `rows` have `bytes` bytes, a multiple of a line; `query` has as many i16.
    #[inline]
    #[target_feature(enable = "neon")]
    unsafe fn rows_int8<const N: usize>(
        query: *const u8,
        rows: [*const u8; N],
        _next: [*const u8; N],
        bytes: usize,
    ) -> [f32; N] {
        let (mut low, mut high) = ([vdupq_n_s32(0); N], [vdupq_n_s32(0); N]);
        for at in (0..bytes).step_by(8) {
            // SAFETY: the 8 bytes from `at` are within the rows, 16 bytes from 2 × `at` within the query.
            unsafe {
                let q = vld1q_s16(query.add(2 * at).cast());
                for i in 0..N {
                    let x = vmovl_s8(vld1_s8(rows[i].add(at).cast()));
                    low[i] = vmlal_s16(low[i], vget_low_s16(x), vget_low_s16(q));
                    high[i] = vmlal_high_s16(high[i], x, q);
                }
            }
        }
        std::array::from_fn(|i| vaddvq_s32(vaddq_s32(low[i], high[i])) as f32)
    }

    gather!(
        #[target_feature(enable = "neon")]
        gather_f32,
        rows_f32
    );
    gather!(
        #[target_feature(enable = "neon")]
        gather_int8,
        rows_int8
    );
}
