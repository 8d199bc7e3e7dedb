//! Inner products, by the widest instructions that this processor has.
//!
//! Two forms: [`dot`] of two vectors, and [`Kernels`], which score many rows of a table against one query. The rows
//! are padded with zeros to whole cache lines, so those kernels know no remainders.

mod neon;
mod scalar;
mod x86;

use std::sync::LazyLock;

/// Rows, and queries beside them, are padded to so many bytes: one cache line.
pub(super) const LINE: usize = 64;

/// Inner product of two vectors.
type Dot = fn(&[f32], &[f32]) -> f32;

/// Scores rows: `gather(query, rows, stride, ids, scores)` writes the inner product of the query and the row of
/// `ids[i]` to `scores[i]`, unscaled.
///
/// # Safety
/// `stride` is a multiple of [`LINE`]; `rows` has `stride` readable bytes at `stride × id` for every id, of the
/// kernel's component; `query` has as many components of the query's type (see [`Kernels`]); `scores` is as long as
/// `ids`; and the processor has the kernel's instructions.
pub(super) type Gather = unsafe fn(*const u8, *const u8, usize, &[u32], &mut [f32]);

/// One set of kernels for one kind of processor.
#[derive(Debug, Clone, Copy)]
pub(super) struct Kernels {
    /// Which instructions they use.
    pub(super) name: &'static str,
    dot: Dot,
    /// Rows of f32, a query of f32.
    pub(super) f32: Gather,
    /// Rows of f16, a query of f32.
    pub(super) f16: Gather,
    /// Rows of i8, a query of i16 (bytes made wide once, not for each row); sums in i32.
    pub(super) int8: Gather,
}

/// Chosen once: the processor does not change under us.
static KERNELS: LazyLock<Kernels> = LazyLock::new(|| supported().pop().unwrap_or(scalar::KERNELS));

/// The fastest kernels that this processor can run.
pub(super) fn kernels() -> Kernels {
    *KERNELS
}

/// The instructions that distances are computed by.
pub fn instructions() -> &'static str {
    KERNELS.name
}

/// The kernels that this processor can run, slowest first.
fn supported() -> Vec<Kernels> {
    let mut all = vec![scalar::KERNELS];
    all.extend(x86::supported());
    all.extend(neon::supported());
    all
}

/// Inner product of two vectors of one length; of unequal ones, over the shorter length.
#[inline]
pub fn dot(a: &[f32], b: &[f32]) -> f32 {
    (KERNELS.dot)(a, b)
}

fn same_length<'a>(a: &'a [f32], b: &'a [f32]) -> (&'a [f32], &'a [f32]) {
    let n = a.len().min(b.len());
    (&a[..n], &b[..n])
}

/// Hints that the line at `address` is wanted soon. Never faults, whatever the address.
#[inline(always)]
pub(super) fn prefetch<T>(address: *const T) {
    #[cfg(target_arch = "x86_64")]
    // SAFETY: a prefetch is a hint; it reads nothing and does not fault. SSE is part of x86-64.
    unsafe {
        use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
        _mm_prefetch::<_MM_HINT_T0>(address.cast());
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = address;
}

/// The loop of a [`Gather`] kernel around `$rows::<N>(query, rows: [_; N], next: [_; N], bytes) -> [f32; N]`: four
/// rows at once while four are left, so that a part of the query is loaded once for all; meanwhile the next four rows
/// are fetched.
macro_rules! gather {
    ($(#[$attribute:meta])* $name:ident, $rows:ident) => {
        $(#[$attribute])*
        unsafe fn $name(query: *const u8, rows: *const u8, stride: usize, ids: &[u32], scores: &mut [f32]) {
            // SAFETY: the caller's ids have rows; see `Gather`.
            let row = |id: u32| unsafe { rows.add(id as usize * stride) };
            let (fours, rest) = ids.as_chunks::<4>();
            let (scores4, scores_rest) = scores.as_chunks_mut::<4>();
            for (i, (four, out)) in fours.iter().zip(scores4).enumerate() {
                let now = four.map(row);
                let next = match fours.get(i + 1) {
                    Some(next) => next.map(row),
                    None => std::array::from_fn(|j| rest.get(j).map_or(now[j], |&id| row(id))),
                };
                // SAFETY: as the caller promised, all rows and the query have `stride` bytes' worth of components.
                *out = unsafe { $rows::<4>(query, now, next, stride) };
            }
            let (twos, one) = rest.as_chunks::<2>();
            let (scores2, score1) = scores_rest.as_chunks_mut::<2>();
            for (two, out) in twos.iter().zip(scores2) {
                let now = two.map(row);
                // SAFETY: as above.
                *out = unsafe { $rows::<2>(query, now, now, stride) };
            }
            for (&id, out) in one.iter().zip(score1) {
                // SAFETY: as above.
                *out = unsafe { $rows::<1>(query, [row(id)], [row(id)], stride) }[0];
            }
        }
    };
}
use gather;

#[cfg(test)]
mod tests;
