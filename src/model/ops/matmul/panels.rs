//! One side of a product in the order in which the kernel reads it.

use std::arch::x86_64::*;
use std::mem::MaybeUninit;

use rayon::prelude::*;

use super::{Matrix, kernel};
use crate::model::Compute;

/// Rows of a panel: what a vector register holds of 32-bit words.
pub(super) const PANEL: usize = 16;

/// Panels that are packed together, so that reading across them takes whole cache lines.
const GROUP: usize = 4;

/// The words of a panel at one depth. Aligned, so that no load spans two cache lines.
#[derive(Clone, Copy)]
#[repr(C, align(64))]
pub(super) struct Line(pub(super) [u32; PANEL]);

/// A matrix cut into panels of 16 rows ("lanes"), each of which goes through the columns ("depth") word by word. A
/// word is two bf16 of neighbouring columns. Lanes and columns past the end are zeros.
pub(in crate::model::ops) struct Panels {
    lines: Vec<Line>,
    lanes: usize,
    depth: usize,
    /// Words of a lane.
    words: usize,
}

impl Panels {
    /// The processor must have what [`serves`](super::kernel::serves) asks for.
    pub(super) fn pack(from: Matrix<'_>) -> Self {
        // Guards the unsafe calls below.
        assert!(kernel::serves(Compute::Bf16), "a processor with AVX512-BF16");
        let (lanes, depth) = (from.rows, from.columns);
        let words = depth.div_ceil(2);
        let total = lanes.div_ceil(PANEL) * words;
        let mut lines = Vec::with_capacity(total);
        if total > 0 {
            let out = &mut lines.spare_capacity_mut()[..total];
            out.par_chunks_mut(GROUP * words).enumerate().for_each(|(group, out)| {
                let first = group * GROUP * PANEL;
                // SAFETY: the processor was asked for; the lanes from `first` on are within the matrix, as every chunk
                // has at least one panel, and every panel at least one lane.
                unsafe {
                    match from.column_stride {
                        1 => pack_rows(from, first, words, out),
                        _ => pack_columns(from, first, words, out),
                    }
                }
            });
        }
        // SAFETY: the chunks cover `total` lines, and the functions above write each line of theirs.
        unsafe { lines.set_len(total) };
        Self { lines, lanes, depth, words }
    }

    pub(super) fn lanes(&self) -> usize {
        self.lanes
    }

    pub(super) fn depth(&self) -> usize {
        self.depth
    }

    pub(super) fn words(&self) -> usize {
        self.words
    }

    /// Panel number `panel`, one line for each word.
    pub(super) fn panel(&self, panel: usize) -> &[Line] {
        &self.lines[panel * self.words..][..self.words]
    }
}

/// The lowest `count` lanes, at most 16.
fn first(count: usize) -> __mmask16 {
    if count >= PANEL { !0 } else { (1 << count) - 1 }
}

/// Packs whole panels, from lane `first_lane` on, of a matrix whose rows are contiguous.
///
/// # Safety
/// `first_lane` is a lane of the matrix, and `out` a multiple of `words` lines for panels that begin within it.
#[target_feature(enable = "avx512f,avx512bw,avx512bf16")]
unsafe fn pack_rows(from: Matrix<'_>, first_lane: usize, words: usize, out: &mut [MaybeUninit<Line>]) {
    for (panel, out) in out.chunks_exact_mut(words).enumerate() {
        let lane = first_lane + panel * PANEL;
        let lanes = (from.rows - lane).min(PANEL);
        for (block, out) in out.chunks_mut(PANEL).enumerate() {
            let column = 2 * block * PANEL;
            let left = from.columns - column;
            let mut rows = [_mm512_setzero_si512(); PANEL];
            for (row, words) in rows.iter_mut().enumerate().take(lanes) {
                // SAFETY: the lane and the column are within the matrix; lanes of the masks past the row's end are not read.
                unsafe {
                    let at = from.values.as_ptr().add((lane + row) * from.row_stride + column);
                    let low = _mm512_maskz_loadu_ps(first(left), at);
                    let high = _mm512_maskz_loadu_ps(first(left.saturating_sub(PANEL)), at.wrapping_add(PANEL));
                    *words = std::mem::transmute::<__m512bh, __m512i>(_mm512_cvtne2ps_pbh(high, low));
                }
            }
            for (out, line) in out.iter_mut().zip(transposed(rows)) {
                // SAFETY: a line is as large and as aligned as a register.
                unsafe { _mm512_store_si512(out.as_mut_ptr().cast(), line) };
            }
        }
    }
}

/// Packs whole panels, from lane `first_lane` on, of a matrix whose columns are contiguous.
///
/// # Safety
/// `first_lane` is a lane of the matrix, and `out` a multiple of `words` lines for panels that begin within it.
#[target_feature(enable = "avx512f,avx512bw,avx512bf16")]
unsafe fn pack_columns(from: Matrix<'_>, first_lane: usize, words: usize, out: &mut [MaybeUninit<Line>]) {
    let panels = out.len() / words;
    for word in 0..words {
        for panel in 0..panels {
            let lane = first_lane + panel * PANEL;
            let mask = first(from.rows - lane);
            // SAFETY: the lane and the first column are within the matrix; lanes of the mask past its end are not read,
            // nor is a second column past its end. A line is as large and as aligned as a register.
            unsafe {
                let load = |column: usize| {
                    _mm512_maskz_loadu_ps(mask, from.values.as_ptr().add(column * from.column_stride + lane))
                };
                let low = load(2 * word);
                let high = if 2 * word + 1 < from.columns { load(2 * word + 1) } else { _mm512_setzero_ps() };
                let widened = |values: __m512| {
                    _mm512_cvtepu16_epi32(std::mem::transmute::<__m256bh, __m256i>(_mm512_cvtneps_pbh(values)))
                };
                let line = _mm512_or_si512(widened(low), _mm512_slli_epi32::<16>(widened(high)));
                _mm512_store_si512(out[panel * words + word].as_mut_ptr().cast(), line);
            }
        }
    }
}

/// The transpose of 16 × 16 words.
#[inline]
#[target_feature(enable = "avx512f")]
fn transposed(rows: [__m512i; PANEL]) -> [__m512i; PANEL] {
    let mut pairs = rows;
    for i in (0..PANEL).step_by(2) {
        pairs[i] = _mm512_unpacklo_epi32(rows[i], rows[i + 1]);
        pairs[i + 1] = _mm512_unpackhi_epi32(rows[i], rows[i + 1]);
    }
    // Quarter q of fours[4 g + j] now holds column 4 q + j of rows 4 g to 4 g + 3.
    let mut fours = pairs;
    for i in (0..PANEL).step_by(4) {
        fours[i] = _mm512_unpacklo_epi64(pairs[i], pairs[i + 2]);
        fours[i + 1] = _mm512_unpackhi_epi64(pairs[i], pairs[i + 2]);
        fours[i + 2] = _mm512_unpacklo_epi64(pairs[i + 1], pairs[i + 3]);
        fours[i + 3] = _mm512_unpackhi_epi64(pairs[i + 1], pairs[i + 3]);
    }
    let mut columns = fours;
    for j in 0..4 {
        let (a, b, c, d) = (fours[j], fours[4 + j], fours[8 + j], fours[12 + j]);
        // Quarters 0 and 2 of each, then 1 and 3.
        let (top, bottom) = (_mm512_shuffle_i32x4::<0x88>(a, b), _mm512_shuffle_i32x4::<0x88>(c, d));
        columns[j] = _mm512_shuffle_i32x4::<0x88>(top, bottom);
        columns[8 + j] = _mm512_shuffle_i32x4::<0xdd>(top, bottom);
        let (top, bottom) = (_mm512_shuffle_i32x4::<0xdd>(a, b), _mm512_shuffle_i32x4::<0xdd>(c, d));
        columns[4 + j] = _mm512_shuffle_i32x4::<0x88>(top, bottom);
        columns[12 + j] = _mm512_shuffle_i32x4::<0xdd>(top, bottom);
    }
    columns
}
