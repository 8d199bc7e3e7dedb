//! Maps of banks.

use std::time::Duration;

use super::search::timings;
use crate::engine::{BankMap, MapPoint, MapRequest};
use crate::server::limits::in_range;
use crate::server::proto;
use crate::server::refused::{At as _, Refused};

/// Most points of a map.
const POINTS: u32 = 10_000;

/// What is to be drawn.
///
/// # Errors
/// A number is out of its range.
pub fn map_request(message: proto::MapBankRequest) -> Result<MapRequest, Refused> {
    let default = MapRequest::default();
    let points = message.points.unwrap_or(default.points as u32);
    let near_duplicate = message.near_duplicate_score.unwrap_or(default.near_duplicate);
    Ok(MapRequest {
        points: in_range("points", points, 1..=POINTS).at("points")? as usize,
        near_duplicate: in_range("near_duplicate_score", near_duplicate, 0.5..=1.0).at("near_duplicate_score")?,
        label: (!message.label_key.is_empty()).then_some(message.label_key),
        seed: message.seed.unwrap_or(default.seed),
    })
}

/// The map, drawn after its call had `waited`.
pub fn bank_map(map: BankMap, waited: Duration) -> proto::MapBankResponse {
    let point = |point: MapPoint| {
        let MapPoint { id, text, faq_id, label, x, y, group } = point;
        proto::MapPoint { id: id.into(), text, faq_id, label, x, y, group }
    };
    // A map has at most 10,000 points.
    let near = |pair: &crate::engine::NearDuplicate| proto::NearDuplicate {
        first: pair.first as u32,
        second: pair.second as u32,
        score: pair.score,
        one_faq: pair.one_faq,
    };
    proto::MapBankResponse {
        near_duplicates: map.near_duplicates.iter().map(near).collect(),
        points: map.points.into_iter().map(point).collect(),
        questions: map.questions,
        looked_up: map.looked_up as u32,
        variance: map.variance,
        neighbours_kept: map.neighbours_kept,
        timings: Some(timings(map.timings, waited)),
    }
}
