//! Kernels for any processor, and what the others are tested against.

use half::f16;

use super::{Kernels, same_length};

pub(super) const KERNELS: Kernels =
    Kernels { name: "scalar", dot, f32: gather_f32, f16: gather_f16, int8: gather_int8 };

/// Eight running sums, which a compiler turns into vector instructions on any processor.
pub(super) fn dot(a: &[f32], b: &[f32]) -> f32 {
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

/// # Safety
/// See [`super::Gather`].
unsafe fn gather_f32(query: *const u8, rows: *const u8, stride: usize, ids: &[u32], scores: &mut [f32]) {
    let width = stride / size_of::<f32>();
    // SAFETY: the caller promises `width` floats at the query and at each row; both are aligned to a line.
    let slice = |address: *const u8| unsafe { std::slice::from_raw_parts(address.cast::<f32>(), width) };
    let query = slice(query);
    for (&id, score) in ids.iter().zip(scores) {
        // SAFETY: the caller promises a row for each id.
        *score = dot(query, slice(unsafe { rows.add(id as usize * stride) }));
    }
}

/// # Safety
/// See [`super::Gather`].
unsafe fn gather_f16(query: *const u8, rows: *const u8, stride: usize, ids: &[u32], scores: &mut [f32]) {
    let width = stride / size_of::<f16>();
    // SAFETY: the caller promises `width` floats at the query, aligned to a line.
    let query = unsafe { std::slice::from_raw_parts(query.cast::<f32>(), width) };
    for (&id, score) in ids.iter().zip(scores) {
        // SAFETY: the caller promises a row of `width` halves for each id, aligned to a line.
        let row = unsafe { std::slice::from_raw_parts(rows.add(id as usize * stride).cast::<f16>(), width) };
        let mut sums = [0f32; 8]; // rows are whole lines, so no rest stays
        for (x, y) in query.as_chunks::<8>().0.iter().zip(row.as_chunks::<8>().0) {
            for lane in 0..8 {
                sums[lane] += x[lane] * y[lane].to_f32();
            }
        }
        *score = sums.iter().sum();
    }
}

/// # Safety
/// See [`super::Gather`].
unsafe fn gather_int8(query: *const u8, rows: *const u8, stride: usize, ids: &[u32], scores: &mut [f32]) {
    // SAFETY: the caller promises `stride` 16-bit integers at the query, aligned to a line.
    let query = unsafe { std::slice::from_raw_parts(query.cast::<i16>(), stride) };
    for (&id, score) in ids.iter().zip(scores) {
        // SAFETY: the caller promises a row of `stride` bytes for each id.
        let row = unsafe { std::slice::from_raw_parts(rows.add(id as usize * stride).cast::<i8>(), stride) };
        *score = query.iter().zip(row).map(|(&x, &y)| i32::from(x) * i32::from(y)).sum::<i32>() as f32;
    }
}
