//! The rows of a segment, in the form that a walk compares.

use half::f16;
use half::slice::HalfFloatSliceExt;

use super::aligned::Aligned;
use super::distance::{Gather, LINE, kernels};
use super::stored::CheckedRows;
use crate::{Error, Result};

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

impl std::str::FromStr for Quantisation {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self> {
        let known = || Self::ALL.into_iter().find(|quantisation| quantisation.name() == name);
        known().ok_or_else(|| Error::invalid("quantisation", Self::ALL.map(Self::name).join(", "), name))
    }
}

impl Quantisation {
    /// All of them, in an order that never changes.
    pub const ALL: [Self; 3] = [Self::Off, Self::F16, Self::Int8];

    /// Its name: `off`, `f16` or `int8`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Off => "off",
            Self::F16 => "f16",
            Self::Int8 => "int8",
        }
    }

    /// Bytes from one row to the next: whole cache lines.
    fn stride(self, dimension: usize) -> usize {
        (dimension * self.size()).next_multiple_of(LINE)
    }

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
    rows: Rows,
    /// By which the bytes of a row are multiplied; empty unless the rows are bytes.
    scales: Vec<f32>,
    len: usize,
    gather: Gather,
}

/// Where rows lie.
#[derive(Debug)]
enum Rows {
    Memory(Aligned),
    /// Never written.
    File(CheckedRows),
}

impl Rows {
    #[inline(always)]
    fn as_ptr(&self) -> *const u8 {
        match self {
            Self::Memory(rows) => rows.as_ptr(),
            Self::File(rows) => rows.bytes().as_ptr(),
        }
    }

    fn bytes(&self) -> &[u8] {
        match self {
            Self::Memory(rows) => rows.as_ref(),
            Self::File(rows) => rows.bytes(),
        }
    }
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
        let scales = if quantisation == Quantisation::Int8 { vec![0.0; n] } else { Vec::new() };
        Self::over(
            quantisation,
            dimension,
            n,
            Rows::Memory(Aligned::zeroed(n * quantisation.stride(dimension))),
            scales,
        )
    }

    fn over(quantisation: Quantisation, dimension: usize, len: usize, rows: Rows, scales: Vec<f32>) -> Self {
        debug_assert!(dimension <= MOST_COMPONENTS);
        let gather = match quantisation {
            Quantisation::Off => kernels().f32,
            Quantisation::F16 => kernels().f16,
            Quantisation::Int8 => kernels().int8,
        };
        Self { quantisation, stride: quantisation.stride(dimension), rows, scales, len, gather }
    }

    /// Codes as [`Codes::parts`] gave them.
    ///
    /// # Errors
    /// There are more or fewer rows or scales than `n`, or a scale is none.
    pub(super) fn from_parts(
        quantisation: Quantisation,
        dimension: usize,
        n: usize,
        (rows, scales): (&[u8], &[f32]),
    ) -> Result<Self> {
        let scaled = if quantisation == Quantisation::Int8 { n } else { 0 };
        if rows.len() != n * quantisation.stride(dimension) || scales.len() != scaled {
            let expected = format!("{n} rows of {} bytes", quantisation.stride(dimension));
            let received = format!("{} bytes and {} scales", rows.len(), scales.len());
            return Err(Error::invalid("codes of a segment", expected, received));
        }
        if let Some(bad) = scales.iter().find(|scale| !(scale.is_finite() && **scale >= 0.0)) {
            return Err(Error::invalid("scale of a row", "a number, 0 or more", bad));
        }
        let rows = Rows::Memory(Aligned::copy_of(rows));
        Ok(Self::over(quantisation, dimension, n, rows, scales.to_vec()))
    }

    /// Rows and scales, to be written down.
    pub(super) fn parts(&self) -> (&[u8], &[f32]) {
        (&self.rows.bytes()[..self.len * self.stride], &self.scales)
    }

    /// `n` exact rows that lie in a file.
    ///
    /// # Errors
    /// See [`CheckedRows::new`].
    pub(super) fn stored(dimension: usize, n: usize, rows: std::sync::Arc<dyn super::StoredRows>) -> Result<Self> {
        let rows = Rows::File(CheckedRows::new(rows, n, Quantisation::Off.stride(dimension))?);
        Ok(Self::over(Quantisation::Off, dimension, n, rows, Vec::new()))
    }

    /// Whether the rows lie in a file.
    pub(super) fn in_a_file(&self) -> bool {
        matches!(self.rows, Rows::File(_))
    }

    /// Refuses a row that lies damaged in a file.
    ///
    /// # Errors
    /// See [`StoredRows::check`](super::StoredRows::check).
    #[inline]
    pub(super) fn check(&self, id: u32) -> Result<()> {
        match &self.rows {
            Rows::Memory(_) => Ok(()),
            Rows::File(rows) => rows.check(id),
        }
    }

    fn written(&mut self) -> &mut Aligned {
        match &mut self.rows {
            Rows::Memory(rows) => rows,
            Rows::File(_) => unreachable!("only rows made by `zeroed` are written"),
        }
    }

    pub(super) fn len(&self) -> usize {
        self.len
    }

    pub(super) fn quantisation(&self) -> Quantisation {
        self.quantisation
    }

    /// Forgets all rows but the first `n`, and frees their room.
    pub(super) fn truncate(&mut self, n: usize) {
        if n >= self.len {
            return;
        }
        self.len = n;
        self.scales.truncate(self.len);
        self.scales.shrink_to_fit();
        let bytes = self.len * self.stride;
        self.written().truncate(bytes);
    }

    /// Bytes in memory.
    pub(super) fn bytes(&self) -> usize {
        let rows = match &self.rows {
            Rows::Memory(rows) => rows.len(),
            Rows::File(_) => 0,
        };
        rows + size_of_val(self.scales.as_slice())
    }

    /// Whether two rows are equal.
    pub(super) fn same(&self, a: u32, b: u32) -> bool {
        let scale = |id: u32| self.scales.get(id as usize).map(|scale| scale.to_bits());
        self.row(a) == self.row(b) && scale(a) == scale(b)
    }

    /// Bytes of row `id`.
    pub(super) fn row(&self, id: u32) -> &[u8] {
        &self.rows.bytes()[id as usize * self.stride..][..self.stride]
    }

    /// Writes row `id`, which is within the room; `vector` is of the rows' width.
    pub(super) fn set(&mut self, id: u32, vector: &[f32]) {
        let (quantisation, stride) = (self.quantisation, self.stride);
        let row = &mut self.written().as_mut::<u8>()[id as usize * stride..][..stride];
        match quantisation {
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
