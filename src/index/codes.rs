//! The rows of a segment, in the form that a walk compares.

use half::f16;
use half::slice::HalfFloatSliceExt;

use super::aligned::Aligned;
use super::distance::{Gather, LINE, kernels};

/// How a segment keeps the rows that its walks compare. What they find is scored again by the exact vectors.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Quantisation {
    /// f32, as they came.
    Off,
    /// Half the size.
    F16,
    /// A quarter of the size: bytes from −127 to 127, with one scale for each row.
    #[default]
    Int8,
}

impl Quantisation {
    /// Bytes of a component.
    fn size(self) -> usize {
        match self {
            Self::Off => 4,
            Self::F16 => 2,
            Self::Int8 => 1,
        }
    }
}

/// The largest byte of a row, either way of 0.
const ROW_STEPS: f32 = 127.0;

/// A query is rounded more finely than a row: its components are 16 bits anyway. At most 2047 × 127 × 8,192
/// components add up in 32 bits.
const QUERY_STEPS: f32 = 2047.0;

/// The widest vectors whose sums are sure to fit.
pub(super) const MOST_COMPONENTS: usize = 8192;

/// Rows of one width, each padded with zeros to whole cache lines.
#[derive(Debug)]
pub(super) struct Codes {
    quantisation: Quantisation,
    /// Bytes from one row to the next.
    stride: usize,
    rows: Aligned,
    /// By which the bytes of a row are multiplied; empty unless the rows are bytes.
    scales: Vec<f32>,
    len: usize,
    gather: Gather,
}

/// A query in the form that rows are compared with; to be used again and again.
#[derive(Debug, Default)]
pub(super) struct Prepared {
    components: Aligned,
    scale: f32,
}

impl Codes {
    /// Room for `n` rows of `dimension` components, at most [`MOST_COMPONENTS`], all zero.
    pub(super) fn zeroed(quantisation: Quantisation, dimension: usize, n: usize) -> Self {
        debug_assert!(dimension <= MOST_COMPONENTS);
        let stride = (dimension * quantisation.size()).next_multiple_of(LINE);
        let scales = if quantisation == Quantisation::Int8 { vec![0.0; n] } else { Vec::new() };
        let gather = match quantisation {
            Quantisation::Off => kernels().f32,
            Quantisation::F16 => kernels().f16,
            Quantisation::Int8 => kernels().int8,
        };
        Self { quantisation, stride, rows: Aligned::zeroed(n * stride), scales, len: n, gather }
    }

    pub(super) fn len(&self) -> usize {
        self.len
    }

    /// Forgets all rows but the first `n`, and frees their room.
    pub(super) fn truncate(&mut self, n: usize) {
        if n >= self.len {
            return;
        }
        self.len = n;
        self.scales.truncate(self.len);
        self.scales.shrink_to_fit();
        self.rows.truncate(self.len * self.stride);
    }

    /// Bytes in memory.
    pub(super) fn bytes(&self) -> usize {
        self.rows.len() + size_of_val(self.scales.as_slice())
    }

    /// Whether two rows are equal.
    pub(super) fn same(&self, a: u32, b: u32) -> bool {
        let scale = |id: u32| self.scales.get(id as usize).map(|scale| scale.to_bits());
        self.row(a) == self.row(b) && scale(a) == scale(b)
    }

    /// Bytes of row `id`.
    pub(super) fn row(&self, id: u32) -> &[u8] {
        &self.rows.as_ref()[id as usize * self.stride..][..self.stride]
    }

    /// Writes row `id`, which is within the room; `vector` is of the rows' width.
    pub(super) fn set(&mut self, id: u32, vector: &[f32]) {
        let row = &mut self.rows.as_mut::<u8>()[id as usize * self.stride..][..self.stride];
        match self.quantisation {
            Quantisation::Off => bytemuck::cast_slice_mut(row)[..vector.len()].copy_from_slice(vector),
            Quantisation::F16 => {
                let halves: &mut [u16] = bytemuck::cast_slice_mut(row);
                let halves: &mut [f16] = half::slice::HalfBitsSliceExt::reinterpret_cast_mut(halves);
                halves[..vector.len()].convert_from_f32_slice(vector);
            }
            Quantisation::Int8 => {
                let scale = largest(vector) / ROW_STEPS;
                let steps = if scale > 0.0 { scale.recip() } else { 0.0 };
                for (code, x) in row.iter_mut().zip(vector) {
                    *code = (x * steps).round() as i8 as u8;
                }
                self.scales[id as usize] = scale;
            }
        }
    }

    /// Makes a query of a vector of the rows' width.
    pub(super) fn prepare(&self, vector: &[f32], prepared: &mut Prepared) {
        self.make_room(prepared);
        prepared.scale = 1.0;
        match self.quantisation {
            Quantisation::Off | Quantisation::F16 => {
                prepared.components.as_mut()[..vector.len()].copy_from_slice(vector);
            }
            Quantisation::Int8 => {
                prepared.scale = largest(vector) / QUERY_STEPS;
                let steps = if prepared.scale > 0.0 { prepared.scale.recip() } else { 0.0 };
                for (code, x) in prepared.components.as_mut::<i16>().iter_mut().zip(vector) {
                    *code = (x * steps).round() as i16;
                }
            }
        }
    }

    /// Makes a query of row `id`.
    pub(super) fn prepare_row(&self, id: u32, prepared: &mut Prepared) {
        self.make_room(prepared);
        prepared.scale = 1.0;
        let row = self.row(id);
        match self.quantisation {
            Quantisation::Off => prepared.components.as_mut::<u8>()[..row.len()].copy_from_slice(row),
            Quantisation::F16 => {
                let halves: &[u16] = bytemuck::cast_slice(row);
                let halves: &[f16] = half::slice::HalfBitsSliceExt::reinterpret_cast(halves);
                halves.convert_to_f32_slice(&mut prepared.components.as_mut()[..halves.len()]);
            }
            Quantisation::Int8 => {
                prepared.scale = self.scales[id as usize];
                let wide = prepared.components.as_mut::<i16>().iter_mut();
                wide.zip(bytemuck::cast_slice::<u8, i8>(row)).for_each(|(wide, &byte)| *wide = i16::from(byte));
            }
        }
    }

    fn make_room(&self, prepared: &mut Prepared) {
        let bytes = match self.quantisation {
            Quantisation::Off => self.stride,
            Quantisation::F16 | Quantisation::Int8 => 2 * self.stride,
        };
        if prepared.components.len() != bytes {
            prepared.components = Aligned::zeroed(bytes);
        }
    }

    /// Writes the score of each of `ids` to `scores`, which is as long.
    ///
    /// # Safety
    /// Each of `ids` is below [`Codes::len`], and `query` was prepared by these codes.
    #[inline]
    pub(super) unsafe fn score(&self, query: &Prepared, ids: &[u32], scores: &mut [f32]) {
        debug_assert!(ids.iter().all(|&id| (id as usize) < self.len) && ids.len() == scores.len());
        // SAFETY: a row of `stride` bytes, whole lines, is there for each id; the query is as wide; the kernel was
        // chosen for the rows' components and this processor.
        unsafe { (self.gather)(query.components.as_ptr(), self.rows.as_ptr(), self.stride, ids, scores) };
        if self.quantisation == Quantisation::Int8 {
            for (score, &id) in scores.iter_mut().zip(ids) {
                // SAFETY: rows of bytes have a scale for each id.
                *score *= query.scale * unsafe { self.scales.get_unchecked(id as usize) };
            }
        }
    }

    /// Has the start of row `id` fetched; the kernels fetch the rest.
    #[inline(always)]
    pub(super) fn prefetch(&self, id: u32) {
        super::distance::prefetch(self.rows.as_ptr().wrapping_add(id as usize * self.stride));
    }
}

fn largest(vector: &[f32]) -> f32 {
    vector.iter().fold(0.0, |most, x| x.abs().max(most))
}

#[cfg(test)]
mod tests {
    use super::super::dot;
    use super::super::tests::clustered;
    use super::*;

    #[test]
    fn coded_scores_are_near_the_exact_ones() {
        for dimension in [3, 64, 100, 384] {
            let vectors = clustered(40, dimension, 1);
            for (quantisation, bound) in
                [(Quantisation::Off, 1e-6), (Quantisation::F16, 1e-3), (Quantisation::Int8, 8e-3)]
            {
                let mut codes = Codes::zeroed(quantisation, dimension, vectors.len());
                vectors.iter().enumerate().for_each(|(i, vector)| codes.set(i as u32, vector));
                let ids: Vec<u32> = (0..vectors.len() as u32).rev().collect();
                let (mut query, mut scores, mut again) = (Prepared::default(), vec![0.0; 40], vec![0.0; 40]);
                for (i, vector) in vectors.iter().enumerate() {
                    codes.prepare(vector, &mut query);
                    // SAFETY: the ids are those of the rows.
                    unsafe { codes.score(&query, &ids, &mut scores) };
                    codes.prepare_row(i as u32, &mut query);
                    // SAFETY: as above.
                    unsafe { codes.score(&query, &ids, &mut again) };
                    for ((&id, &score), &again) in ids.iter().zip(&scores).zip(&again) {
                        let exact = dot(vector, &vectors[id as usize]);
                        assert!((score - exact).abs() < bound, "{quantisation:?}, {dimension}: {score} for {exact}");
                        assert!((again - exact).abs() < 2.0 * bound, "{quantisation:?}: {again} for {exact}");
                    }
                }
            }
        }
    }
}
