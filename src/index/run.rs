//! Exact vectors, sorted by their ids.

use std::sync::{Arc, Once};

use roaring::RoaringBitmap;

use super::codes::{Codes, Quantisation};
use super::scratch::Scratch;
use super::top::Top;
use super::{Neighbour, StoredRows};
use crate::Result;

/// Rows scored at once: their numbers and scores stay in the nearest cache.
const AT_ONCE: usize = 256;

/// Vectors that never change, in the order of their ids; what is exact about a search is read from here.
#[derive(Debug)]
pub(super) struct Run {
    /// Ascending.
    ids: Vec<u32>,
    members: RoaringBitmap,
    /// f32, in the order of the ids unless `places` says otherwise.
    rows: Codes,
    /// Where the vector of each id is among the rows.
    places: Option<Vec<u32>>,
    /// Done once the log has told that a vector is damaged.
    told: Once,
}

impl Run {
    /// `ids` ascend; `vectors` are theirs.
    pub(super) fn new<'a>(ids: Vec<u32>, dimension: usize, vectors: impl Iterator<Item = &'a [f32]>) -> Self {
        let mut rows = Codes::zeroed(Quantisation::Off, dimension, ids.len());
        vectors.zip(0..).for_each(|(vector, row)| rows.set(row, vector));
        Self::over(ids, rows, None)
    }

    /// `ids` ascend; their rows lie in a file.
    ///
    /// # Errors
    /// See [`Codes::stored`].
    pub(super) fn stored(ids: Vec<u32>, dimension: usize, rows: Arc<dyn StoredRows>) -> Result<Self> {
        let rows = Codes::stored(dimension, ids.len(), rows)?;
        Ok(Self::over(ids, rows, None))
    }

    /// `ids` ascend; each has a row, at its place if there are places.
    pub(super) fn over(ids: Vec<u32>, rows: Codes, places: Option<Vec<u32>>) -> Self {
        debug_assert!(ids.is_sorted_by(|a, b| a < b));
        let members = ids.iter().copied().collect();
        Self { ids, members, rows, places, told: Once::new() }
    }

    pub(super) fn len(&self) -> usize {
        self.ids.len()
    }

    /// The id of a vector, by its number in the order of the ids.
    pub(super) fn id(&self, number: u32) -> u32 {
        self.ids[number as usize]
    }

    pub(super) fn ids(&self) -> &[u32] {
        &self.ids
    }

    pub(super) fn members(&self) -> &RoaringBitmap {
        &self.members
    }

    /// Whether the vectors lie in a file, so that they must be checked before they are used.
    pub(super) fn in_a_file(&self) -> bool {
        self.rows.in_a_file()
    }

    pub(super) fn rows(&self) -> &Codes {
        &self.rows
    }

    /// Refuses rows that lie damaged in a file; looks at all.
    ///
    /// # Errors
    /// Names the first.
    pub(super) fn check_all(&self) -> Result<()> {
        (0..self.ids.len() as u32).try_for_each(|number| self.rows.check(self.place(number)))
    }

    /// Whether a vector of `live` lies damaged in a file, which the log is told of once. Such a run stays as it is: in
    /// another segment the vector would get a checksum that fits.
    pub(super) fn is_damaged(&self, live: &RoaringBitmap) -> bool {
        if !self.in_a_file() {
            return false;
        }
        let mut numbers = (0..self.ids.len() as u32).filter(|&number| live.contains(self.id(number)));
        let damage = numbers.find_map(|number| self.rows.check(self.place(number)).err());
        let Some(error) = damage else { return false };
        self.told.call_once(|| {
            tracing::error!(%error, vectors = self.len(), "what lies beside a damaged vector is not merged with others");
        });
        true
    }

    /// Ids and vectors, `dimension` components wide.
    pub(super) fn items(&self, dimension: usize) -> impl Iterator<Item = (u32, &[f32])> {
        self.ids.iter().zip(0..).map(move |(&id, number)| (id, self.vector(number, dimension)))
    }

    /// A vector, by its number in the order of the ids.
    pub(super) fn vector(&self, number: u32, dimension: usize) -> &[f32] {
        &bytemuck::cast_slice(self.rows.row(self.place(number)))[..dimension]
    }

    fn place(&self, number: u32) -> u32 {
        self.places.as_ref().map_or(number, |places| places[number as usize])
    }

    /// Bytes in memory beside the exact rows.
    pub(super) fn bytes(&self) -> usize {
        let places = self.places.as_deref().unwrap_or_default();
        size_of_val(self.ids.as_slice()) + size_of_val(places) + self.members.serialized_size()
    }

    /// Shows `top` all vectors, or those of `allowed`.
    pub(super) fn scan(&self, vector: &[f32], allowed: Option<&RoaringBitmap>, scratch: &mut Scratch, top: &mut Top) {
        let mut numbers = std::mem::take(&mut scratch.numbers);
        numbers.clear();
        match allowed {
            None => {
                let all = self.ids.len() as u32;
                for start in (0..all).step_by(AT_ONCE) {
                    numbers.clear();
                    numbers.extend(start..(start + AT_ONCE as u32).min(all));
                    self.score(vector, &numbers, scratch, top);
                }
            }
            Some(allowed) => {
                let mut at = 0;
                for id in allowed & &self.members {
                    // Members are all there, so each is found; as both ascend, the next is not before the last.
                    at += match self.ids.get(at) {
                        Some(&here) if here == id => 0,
                        _ => self.ids[at..].partition_point(|&other| other < id),
                    };
                    numbers.push(at as u32);
                    at += 1;
                    if numbers.len() == AT_ONCE {
                        self.score(vector, &numbers, scratch, top);
                        numbers.clear();
                    }
                }
                self.score(vector, &numbers, scratch, top);
            }
        }
        scratch.numbers = numbers;
    }

    /// Shows `top` the vectors of these numbers, in the order of the ids.
    pub(super) fn score(&self, vector: &[f32], numbers: &[u32], scratch: &mut Scratch, top: &mut Top) {
        let Scratch { exact, ids, scores, damage, .. } = scratch;
        self.rows.prepare(vector, exact);
        ids.clear();
        ids.extend(numbers.iter().map(|&number| self.place(number)));
        ids.iter().for_each(|&row| self.rows.prefetch(row));
        scores.resize(ids.len(), 0.0);
        assert!(ids.iter().all(|&row| (row as usize) < self.rows.len()), "a place of a run is not among its rows");
        // SAFETY: just checked; the query was prepared by these rows.
        unsafe { self.rows.score(exact, ids, scores) };
        for ((&number, &row), &score) in numbers.iter().zip(&*ids).zip(&*scores) {
            match self.rows.check(row) {
                Ok(()) => top.push(Neighbour { id: self.id(number), score }),
                Err(error) => *damage = Some(error),
            }
        }
        ids.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::super::dot;
    use super::super::tests::clustered;
    use super::*;

    #[test]
    fn a_scan_finds_what_is_allowed() {
        let vectors = clustered(700, 20, 1);
        let ids: Vec<u32> = (0..700).map(|i| 3 * i + i / 100).collect();
        let run = Run::new(ids.clone(), 20, vectors.iter().map(Vec::as_slice));
        let allowed: RoaringBitmap = (0..3000).filter(|i| i % 5 == 0).collect();
        for filter in [None, Some(&allowed)] {
            let mut expected: Vec<_> = ids.iter().zip(&vectors).map(|(&id, v)| (id, dot(v, &vectors[9]))).collect();
            expected.retain(|(id, _)| filter.is_none_or(|filter| filter.contains(*id)));
            expected.sort_by(|a, b| b.1.total_cmp(&a.1));
            let mut top = Top::new(40);
            run.scan(&vectors[9], filter, &mut Scratch::default(), &mut top);
            let found = top.into_best_first();
            assert_eq!(found.len(), 40);
            for (found, expected) in found.iter().zip(expected) {
                assert!(found.id == expected.0 && (found.score - expected.1).abs() < 1e-5, "{found:?}, {expected:?}");
            }
        }
        assert!(run.items(20).eq(ids.iter().copied().zip(vectors.iter().map(Vec::as_slice))));
    }
}
