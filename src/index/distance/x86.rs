//! Kernels for x86-64: AVX2 with FMA, AVX-512.

#![cfg_attr(not(target_arch = "x86_64"), allow(unused_imports))]

use super::Kernels;

/// The sets that this processor can run, slowest first.
pub(super) fn supported() -> Vec<Kernels> {
    #[allow(unused_mut)] // stays empty elsewhere
    let mut all = Vec::new();
    #[cfg(target_arch = "x86_64")]
    {
        let avx2 =
            is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma") && is_x86_feature_detected!("f16c");
        if avx2 {
            all.push(avx2::KERNELS);
        }
        if avx2 && is_x86_feature_detected!("avx512f") && is_x86_feature_detected!("avx512bw") {
            all.push(avx512::KERNELS);
            if is_x86_feature_detected!("avx512vnni") {
                all.push(avx512::VNNI);
            }
        }
    }
    all
}

#[cfg(target_arch = "x86_64")]
mod avx2 {
    use std::arch::x86_64::*;

    use super::super::{Kernels, LINE, gather, prefetch, same_length};

    /// Offered only where the processor has AVX2, FMA and F16C.
    pub(super) const KERNELS: Kernels =
        Kernels { name: "avx2", dot: dot_checked, f32: gather_f32, f16: gather_f16, int8: gather_int8 };

    fn dot_checked(a: &[f32], b: &[f32]) -> f32 {
        // SAFETY: `supported` offers this function only where the processor has AVX2 and FMA.
        unsafe { dot(a, b) }
    }

    /// Four running sums of eight lanes hide the latency of the multiply-add.
    #[target_feature(enable = "avx2,fma")]
    fn dot(a: &[f32], b: &[f32]) -> f32 {
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
        let sum = add(_mm256_add_ps(sums[0], sums[1]), _mm256_add_ps(sums[2], sums[3]));
        sum + a_rest.iter().zip(b_rest).map(|(x, y)| x * y).sum::<f32>()
    }

    /// The sum of all lanes of both.
    #[inline]
    #[target_feature(enable = "avx2,fma")]
    fn add(a: __m256, b: __m256) -> f32 {
        let sum = _mm256_add_ps(a, b);
        let sum = _mm_add_ps(_mm256_castps256_ps128(sum), _mm256_extractf128_ps::<1>(sum));
        let sum = _mm_add_ps(sum, _mm_movehl_ps(sum, sum));
        _mm_cvtss_f32(_mm_add_ss(sum, _mm_movehdup_ps(sum)))
    }

    /// # Safety
    /// `query` and all of `rows` have `bytes` bytes of f32, a multiple of a line.
    #[inline]
    #[target_feature(enable = "avx2,fma")]
    unsafe fn rows_f32<const N: usize>(
        query: *const u8,
        rows: [*const u8; N],
        next: [*const u8; N],
        bytes: usize,
    ) -> [f32; N] {
        let (mut low, mut high) = ([_mm256_setzero_ps(); N], [_mm256_setzero_ps(); N]);
        for at in (0..bytes).step_by(LINE) {
            // SAFETY: `at` and the 64 bytes from it are below `bytes`; the loads need no alignment.
            unsafe {
                let first = _mm256_loadu_ps(query.add(at).cast());
                let second = _mm256_loadu_ps(query.add(at + 32).cast());
                for i in 0..N {
                    prefetch(next[i].wrapping_add(at));
                    low[i] = _mm256_fmadd_ps(first, _mm256_loadu_ps(rows[i].add(at).cast()), low[i]);
                    high[i] = _mm256_fmadd_ps(second, _mm256_loadu_ps(rows[i].add(at + 32).cast()), high[i]);
                }
            }
        }
        std::array::from_fn(|i| add(low[i], high[i]))
    }

    /// # Safety
    /// All of `rows` have `bytes` bytes of f16, a multiple of a line; `query` has as many f32.
    #[inline]
    #[target_feature(enable = "avx2,fma,f16c")]
    unsafe fn rows_f16<const N: usize>(
        query: *const u8,
        rows: [*const u8; N],
        next: [*const u8; N],
        bytes: usize,
    ) -> [f32; N] {
        let (mut low, mut high) = ([_mm256_setzero_ps(); N], [_mm256_setzero_ps(); N]);
        for at in (0..bytes).step_by(LINE / 2) {
            // SAFETY: the 32 bytes from `at` are within the rows, twice as many from 2 × `at` within the query; the
            // loads need no alignment.
            unsafe {
                let first = _mm256_loadu_ps(query.add(2 * at).cast());
                let second = _mm256_loadu_ps(query.add(2 * at + 32).cast());
                for i in 0..N {
                    prefetch(next[i].wrapping_add(at));
                    let x = _mm256_cvtph_ps(_mm_loadu_si128(rows[i].add(at).cast()));
                    let y = _mm256_cvtph_ps(_mm_loadu_si128(rows[i].add(at + 16).cast()));
                    low[i] = _mm256_fmadd_ps(first, x, low[i]);
                    high[i] = _mm256_fmadd_ps(second, y, high[i]);
                }
            }
        }
        std::array::from_fn(|i| add(low[i], high[i]))
    }

    /// Bytes are widened to 16 bits, whose products are added in pairs to 32 bits: nothing can overflow.
    ///
    /// # Safety
    /// All of `rows` have `bytes` bytes, a multiple of a line; `query` has as many i16.
    #[inline]
    #[target_feature(enable = "avx2,fma")]
    unsafe fn rows_int8<const N: usize>(
        query: *const u8,
        rows: [*const u8; N],
        next: [*const u8; N],
        bytes: usize,
    ) -> [f32; N] {
        let mut sums = [_mm256_setzero_si256(); N];
        for line in (0..bytes).step_by(LINE) {
            for row in next {
                prefetch(row.wrapping_add(line));
            }
            for at in (line..line + LINE).step_by(16) {
                // SAFETY: the 16 bytes from `at` are within the rows, 32 bytes from 2 × `at` within the query; the
                // loads need no alignment.
                unsafe {
                    let q = _mm256_loadu_si256(query.add(2 * at).cast());
                    for i in 0..N {
                        let x = _mm256_cvtepi8_epi16(_mm_loadu_si128(rows[i].add(at).cast()));
                        sums[i] = _mm256_add_epi32(sums[i], _mm256_madd_epi16(x, q));
                    }
                }
            }
        }
        sums.map(|sum| {
            let sum = _mm_add_epi32(_mm256_castsi256_si128(sum), _mm256_extracti128_si256::<1>(sum));
            let sum = _mm_add_epi32(sum, _mm_shuffle_epi32::<0b01_00_11_10>(sum));
            _mm_cvtsi128_si32(_mm_add_epi32(sum, _mm_shuffle_epi32::<0b10_11_00_01>(sum))) as f32
        })
    }

    gather!(
        #[target_feature(enable = "avx2,fma")]
        gather_f32,
        rows_f32
    );
    gather!(
        #[target_feature(enable = "avx2,fma,f16c")]
        gather_f16,
        rows_f16
    );
    gather!(
        #[target_feature(enable = "avx2,fma")]
        gather_int8,
        rows_int8
    );
}

#[cfg(target_arch = "x86_64")]
mod avx512 {
    use std::arch::x86_64::*;

    use super::super::{Kernels, LINE, gather, prefetch, same_length};

    /// Offered only where the processor has AVX-512 F and BW, and what AVX2's set needs.
    pub(super) const KERNELS: Kernels =
        Kernels { name: "avx512", dot: dot_checked, f32: gather_f32, f16: gather_f16, int8: gather_int8 };

    /// The same with the fused multiply-add of integers; offered only where the processor has VNNI too.
    pub(super) const VNNI: Kernels = Kernels { name: "avx512-vnni", int8: gather_int8_vnni, ..KERNELS };

    fn dot_checked(a: &[f32], b: &[f32]) -> f32 {
        // SAFETY: `supported` offers this function only where the processor has AVX-512F.
        unsafe { dot(a, b) }
    }

    /// Four running sums of sixteen lanes; the last, shorter chunks are read under a mask.
    #[target_feature(enable = "avx512f")]
    fn dot(a: &[f32], b: &[f32]) -> f32 {
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

    /// # Safety
    /// `query` and all of `rows` have `bytes` bytes of f32, a multiple of a line.
    #[inline]
    #[target_feature(enable = "avx512f")]
    unsafe fn rows_f32<const N: usize>(
        query: *const u8,
        rows: [*const u8; N],
        next: [*const u8; N],
        bytes: usize,
    ) -> [f32; N] {
        let mut sums = [_mm512_setzero_ps(); N];
        for at in (0..bytes).step_by(LINE) {
            // SAFETY: the 64 bytes from `at` are within the query and the rows; the loads need no alignment.
            unsafe {
                let q = _mm512_loadu_ps(query.add(at).cast());
                for i in 0..N {
                    prefetch(next[i].wrapping_add(at));
                    sums[i] = _mm512_fmadd_ps(q, _mm512_loadu_ps(rows[i].add(at).cast()), sums[i]);
                }
            }
        }
        sums.map(|sum| _mm512_reduce_add_ps(sum))
    }

    /// # Safety
    /// All of `rows` have `bytes` bytes of f16, a multiple of a line; `query` has as many f32.
    #[inline]
    #[target_feature(enable = "avx512f")]
    unsafe fn rows_f16<const N: usize>(
        query: *const u8,
        rows: [*const u8; N],
        next: [*const u8; N],
        bytes: usize,
    ) -> [f32; N] {
        let mut sums = [_mm512_setzero_ps(); N];
        for at in (0..bytes).step_by(LINE / 2) {
            // SAFETY: the 32 bytes from `at` are within the rows, twice as many from 2 × `at` within the query; the
            // loads need no alignment.
            unsafe {
                let q = _mm512_loadu_ps(query.add(2 * at).cast());
                for i in 0..N {
                    prefetch(next[i].wrapping_add(at));
                    let x = _mm512_cvtph_ps(_mm256_loadu_si256(rows[i].add(at).cast()));
                    sums[i] = _mm512_fmadd_ps(q, x, sums[i]);
                }
            }
        }
        sums.map(|sum| _mm512_reduce_add_ps(sum))
    }

    /// # Safety
    /// All of `rows` have `bytes` bytes, a multiple of a line; `query` has as many i16.
    #[inline]
    #[target_feature(enable = "avx512f,avx512bw")]
    unsafe fn rows_int8<const N: usize>(
        query: *const u8,
        rows: [*const u8; N],
        next: [*const u8; N],
        bytes: usize,
    ) -> [f32; N] {
        let mut sums = [_mm512_setzero_si512(); N];
        for at in (0..bytes).step_by(LINE / 2) {
            // SAFETY: the 32 bytes from `at` are within the rows, 64 bytes from 2 × `at` within the query; the loads
            // need no alignment.
            unsafe {
                let q = _mm512_loadu_si512(query.add(2 * at).cast());
                for i in 0..N {
                    prefetch(next[i].wrapping_add(at));
                    let x = _mm512_cvtepi8_epi16(_mm256_loadu_si256(rows[i].add(at).cast()));
                    sums[i] = _mm512_add_epi32(sums[i], _mm512_madd_epi16(x, q));
                }
            }
        }
        sums.map(|sum| _mm512_reduce_add_epi32(sum) as f32)
    }

    /// # Safety
    /// All of `rows` have `bytes` bytes, a multiple of a line; `query` has as many i16.
    #[inline]
    #[target_feature(enable = "avx512f,avx512bw,avx512vnni")]
    unsafe fn rows_int8_vnni<const N: usize>(
        query: *const u8,
        rows: [*const u8; N],
        next: [*const u8; N],
        bytes: usize,
    ) -> [f32; N] {
        let mut sums = [_mm512_setzero_si512(); N];
        for at in (0..bytes).step_by(LINE / 2) {
            // SAFETY: as in `rows_int8`.
            unsafe {
                let q = _mm512_loadu_si512(query.add(2 * at).cast());
                for i in 0..N {
                    prefetch(next[i].wrapping_add(at));
                    let x = _mm512_cvtepi8_epi16(_mm256_loadu_si256(rows[i].add(at).cast()));
                    sums[i] = _mm512_dpwssd_epi32(sums[i], x, q);
                }
            }
        }
        sums.map(|sum| _mm512_reduce_add_epi32(sum) as f32)
    }

    gather!(
        #[target_feature(enable = "avx512f")]
        gather_f32,
        rows_f32
    );
    gather!(
        #[target_feature(enable = "avx512f")]
        gather_f16,
        rows_f16
    );
    gather!(
        #[target_feature(enable = "avx512f,avx512bw")]
        gather_int8,
        rows_int8
    );
    gather!(
        #[target_feature(enable = "avx512f,avx512bw,avx512vnni")]
        gather_int8_vnni,
        rows_int8_vnni
    );
}
