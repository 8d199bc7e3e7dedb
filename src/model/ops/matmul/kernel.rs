//! Products of packed panels in bf16, with AVX-512.
//!
//! The scheme is that of Goto and van de Geijn, 2008 (*Anatomy of high-performance matrix multiplication*): a tile of the
//! output stays in registers while a strip of the right-hand side stays in the first-level cache and a block of the left-hand
//! side in the second. Depth is cut at fixed places, so results do not depend on the number of threads.

use std::arch::x86_64::*;

use rayon::prelude::*;

use super::Start;
use super::panels::{Line, PANEL, Panels};
use crate::model::Compute;
use crate::model::ops::simd;

/// Rows of a tile, half a panel; with three vectors of columns that makes 24 sums in 32 registers.
const TILE_ROWS: usize = 8;

/// Most panels of columns in a tile.
const TILE_PANELS: usize = 3;

/// Words of depth between two visits to the output: 48 columns of them are 36 KB, of a first-level cache of 48.
const DEPTH: usize = 192;

/// Rows of a task.
const TASK_ROWS: usize = 64;

/// Panels of columns of a task.
const TASK_PANELS: usize = 12;

/// Whether the processor has the instructions of this kernel. In f32 the same scheme was no faster than the `gemm` crate.
pub(super) fn serves(compute: Compute) -> bool {
    compute == Compute::Bf16 && simd::has_avx512() && is_x86_feature_detected!("avx512bf16")
}

/// The output, which tasks write side by side.
#[derive(Clone, Copy)]
struct Output {
    values: *mut f32,
    rows: usize,
    columns: usize,
}

// SAFETY: each task writes rows and columns of its own.
unsafe impl Send for Output {}
// SAFETY: as above.
unsafe impl Sync for Output {}

/// Writes start + a · bᵀ, row by row, where `a` and `b` are packed by rows.
///
/// # Safety
/// `out` has room for the product; with [`Start::Output`] its numbers were written before.
pub(super) unsafe fn multiply(a: &Panels, b: &Panels, start: Start<'_>, out: *mut f32) {
    // These guard the unsafe code below.
    assert_eq!(a.depth(), b.depth(), "inner sizes of a matrix product");
    if let Start::Row(row) = start {
        assert_eq!(row.len(), b.lanes(), "row under a matrix product");
    }
    let out = Output { values: out, rows: a.lanes(), columns: b.lanes() };
    let across = out.columns.div_ceil(TASK_PANELS * PANEL);
    let tasks = out.rows.div_ceil(TASK_ROWS) * across;
    (0..tasks).into_par_iter().for_each(|task| {
        let (row, panel) = (task / across * TASK_ROWS, task % across * TASK_PANELS);
        // SAFETY: the panels can only have been packed on a processor with these instructions; row and panel are within the
        // output, for which the caller answers.
        unsafe { block(a, b, start, out, row, panel) };
    });
}

/// One task: up to [`TASK_ROWS`] rows and [`TASK_PANELS`] panels of columns.
///
/// # Safety
/// As for [`multiply`]; the first row and panel are within the output.
#[target_feature(enable = "avx512f,avx512bw,avx512bf16")]
unsafe fn block(a: &Panels, b: &Panels, start: Start<'_>, out: Output, first_row: usize, first_panel: usize) {
    let last_row = (first_row + TASK_ROWS).min(out.rows);
    let last_panel = (first_panel + TASK_PANELS).min(out.columns.div_ceil(PANEL));
    let mut depth = 0;
    // Once even without any depth, for the start.
    while depth == 0 || depth < a.words() {
        let words = depth..(depth + DEPTH).min(a.words());
        let start = if depth == 0 { start } else { Start::Output };
        let mut panel = first_panel;
        while panel < last_panel {
            let panels = (last_panel - panel).min(TILE_PANELS);
            for row in (first_row..last_row).step_by(TILE_ROWS) {
                let a = &a.panel(row / PANEL)[words.clone()];
                let b = |i: usize| &b.panel(panel + i)[words.clone()];
                // SAFETY: row and columns are within the output; the rest is this function's own contract.
                unsafe {
                    match panels {
                        1 => tile(a, [b(0)], start, out, row, panel),
                        2 => tile(a, [b(0), b(1)], start, out, row, panel),
                        _ => tile(a, [b(0), b(1), b(2)], start, out, row, panel),
                    }
                }
            }
            panel += panels;
        }
        depth += DEPTH;
    }
}

/// Eight rows of the output, from `row` on, times `N` panels of columns, from `panel` on.
///
/// # Safety
/// As for [`block`]; `row` is a multiple of 8, and `a` and all of `b` have one length.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512bf16")]
unsafe fn tile<const N: usize>(a: &[Line], b: [&[Line]; N], start: Start<'_>, out: Output, row: usize, panel: usize) {
    let mut sums = [[_mm512_setzero_ps(); N]; TILE_ROWS];
    let half = row % PANEL;
    for (word, line) in a.iter().enumerate() {
        // SAFETY: `b` is as long as `a`, and a line is as large and as aligned as a register.
        let right = b.map(|b| unsafe { _mm512_load_si512(b.as_ptr().add(word).cast()) });
        for (i, sums) in sums.iter_mut().enumerate() {
            // SAFETY: `half` is 0 or 8, so the word is one of the line's 16.
            let left = _mm512_set1_epi32(unsafe { *line.0.get_unchecked(half + i) } as i32);
            for (sum, right) in sums.iter_mut().zip(right) {
                // SAFETY: the types differ in the meaning of their bits only.
                let pairs = |words| unsafe { std::mem::transmute::<__m512i, __m512bh>(words) };
                *sum = _mm512_dpbf16_ps(*sum, pairs(left), pairs(right));
            }
        }
    }
    for (i, sums) in sums.iter().enumerate().take(out.rows - row) {
        for (n, sum) in sums.iter().enumerate() {
            let column = (panel + n) * PANEL;
            let left = out.columns - column;
            let mask: __mmask16 = if left >= PANEL { !0 } else { (1 << left) - 1 };
            // SAFETY: row and column are within the output and the row under it; past the last column, the mask reads and
            // writes nothing.
            unsafe {
                let at = out.values.add((row + i) * out.columns + column);
                let before = match start {
                    Start::Zero => _mm512_setzero_ps(),
                    Start::Output => _mm512_maskz_loadu_ps(mask, at),
                    Start::Row(values) => _mm512_maskz_loadu_ps(mask, values.as_ptr().add(column)),
                };
                _mm512_mask_storeu_ps(at, mask, _mm512_add_ps(before, *sum));
            }
        }
    }
}
