//! The engine's parsers for fuzz targets.

use std::path::Path;
use std::sync::Arc;

use roaring::RoaringBitmap;

use super::catalogue::Catalogue;
use super::{Filter, Question, QuestionId, keeper};
use crate::index::{HnswSettings, Pool, Segments, VectorIndex, VectorQuery};
use crate::store::SegmentFile;

/// Width of the vectors of a segment that is fuzzed, and its number.
const DIMENSION: usize = 4;
const NUMBER: u32 = 1;

/// Reads a filter as people write it, and evaluates it.
pub fn filter(text: &str) {
    if let Ok(filter) = text.parse() {
        evaluate(&filter);
    }
}

/// Evaluates a filter over one question.
pub(crate) fn evaluate(filter: &Filter) {
    let mut catalogue = Catalogue::default();
    let id = QuestionId::new("q").expect("an id");
    let metadata = [("k".to_owned(), super::MetadataValue::Number(1.0))].into();
    catalogue.insert(0, &Question { id, text: "t".to_owned(), faq_id: Some("f".to_owned()), answer: None, metadata });
    if let Ok(found) = catalogue.matching(filter) {
        assert!(found.len() <= 1);
    }
}

/// Opens a segment's file, reads its graph, and searches it in every way.
pub fn segment(path: &Path) {
    let Ok(file) = SegmentFile::open(path, NUMBER, DIMENSION) else { return };
    for row in 0..=file.ids().len() {
        _ = file.vector(row);
    }
    let file = Arc::new(file);
    let read = keeper::read(&file, DIMENSION);
    let queries = [[1.0, 0.0, 0.0, 0.0], [0.5, -0.5, 0.5, -0.5]];
    if let Ok(Some(frozen)) = &read {
        for query in &queries {
            _ = frozen.search(query, 10, 50, &Pool::default());
        }
    }
    let Ok(index) = Segments::new(DIMENSION, HnswSettings::default()) else { return };
    let ids: RoaringBitmap = file.ids().iter().copied().collect();
    let live: RoaringBitmap = ids.iter().filter(|id| id % 3 != 0).collect();
    if keeper::adopt(&index, &file, read, &live).is_err() {
        return;
    }
    let few: RoaringBitmap = live.iter().take(3).collect();
    for vector in &queries {
        for allowed in [None, Some(&few), Some(&live)] {
            for exact in [false, true] {
                if let Ok(found) = index.search(VectorQuery { vector, k: 5, allowed, exact }) {
                    assert!(found.iter().all(|neighbour| live.contains(neighbour.id)));
                }
            }
        }
    }
}
