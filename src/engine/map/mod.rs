//! A map of a bank: its questions as points in a plane, and which of them are nearly the same.
//!
//! | file | what is there |
//! |---|---|
//! | `sample` | which questions are drawn, and what is read of them |
//! | `twins` | which pairs are nearly the same, and which of them are on the map |

mod sample;
mod twins;

use std::time::Instant;

use super::{Bank, QuestionId, Timings};
use crate::index::Plane;
use crate::runtime::waited_for;
use crate::{Error, Result};

use sample::Drawn;

/// Most points of a map.
const MOST_POINTS: usize = 10_000;

/// What is to be drawn of a bank.
#[derive(Debug, Clone, PartialEq)]
pub struct MapRequest {
    /// Most points, 1 to 10,000. A larger bank is sampled: one question of each of so many stretches of it, and in place
    /// of some of these the near-duplicates of others.
    pub points: usize,
    /// The cosine from which two questions are near-duplicates, 0.5 to 1.
    pub near_duplicate: f32,
    /// The metadata value that each point carries as its label.
    pub label: Option<String>,
    /// Which questions are sampled. The same seed gives the same map of the same bank.
    pub seed: u64,
}

impl Default for MapRequest {
    /// 2,000 points, near-duplicates from 0.95, no label.
    fn default() -> Self {
        Self { points: 2000, near_duplicate: 0.95, label: None, seed: 42 }
    }
}

impl MapRequest {
    /// Refuses what cannot be drawn.
    ///
    /// # Errors
    /// A number is out of its range.
    pub fn check(&self) -> Result<()> {
        if !(1..=MOST_POINTS).contains(&self.points) {
            return Err(Error::invalid("points", format!("1 to {MOST_POINTS}"), self.points));
        }
        if !(0.5..=1.0).contains(&self.near_duplicate) {
            return Err(Error::invalid("near_duplicate_score", "a cosine, 0.5 to 1", self.near_duplicate));
        }
        Ok(())
    }
}

/// A bank's questions in a plane.
#[derive(Debug, Clone, PartialEq)]
pub struct BankMap {
    /// In the order of their ids.
    pub points: Vec<MapPoint>,
    /// Pairs of points that are nearly the same, best first: of each question its 8 nearest at most.
    pub near_duplicates: Vec<NearDuplicate>,
    /// Questions of the bank; more than points where it was sampled.
    pub questions: u64,
    /// Of how many questions near-duplicates were looked up: all of the sample, or some while much of the bank waits for
    /// its graph.
    pub looked_up: usize,
    /// The share of the vectors' variance that two directions have, see [`Plane::variance`].
    pub variance: f64,
    /// How true the map is, see [`Plane::neighbours_kept`].
    pub neighbours_kept: f64,
    /// All of it is in `search`.
    pub timings: Timings,
}

/// A question on the map.
#[derive(Debug, Clone, PartialEq)]
pub struct MapPoint {
    pub id: QuestionId,
    /// The first 200 characters of its text, with “…” where there are more.
    pub text: String,
    pub faq_id: Option<String>,
    /// The metadata value that was asked for, as text.
    pub label: Option<String>,
    /// −1 to 1; the middle is 0.
    pub x: f32,
    pub y: f32,
    /// Points of one group are near-duplicates, directly or by way of others of the group. Groups count from 1.
    pub group: Option<u32>,
}

/// Two questions that are nearly the same.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct NearDuplicate {
    /// Places of both among the points; the first is lower.
    pub first: usize,
    pub second: usize,
    /// Their cosine.
    pub score: f32,
    /// Whether they phrase one FAQ or have the same answer, and so should be near. If not, one question has two answers.
    pub one_faq: bool,
}

impl Bank {
    /// Draws a map. Reads as many questions and searches the index as often as there are points, whatever the size of the
    /// bank, and keeps their vectors in memory; writes and other searches go on meanwhile. It ends early once nobody
    /// waits, see [`waited_for`](crate::runtime::waited_for).
    ///
    /// # Errors
    /// The request is out of range, a question is damaged, the bank was deleted, or nobody waits any more.
    pub fn map(&self, request: &MapRequest) -> Result<BankMap> {
        request.check()?;
        let started = Instant::now();
        let sampled = self.sample(request)?;
        let (questions, looked_up) = (sampled.questions, sampled.looked_up);
        let (mut drawn, pairs) = self.with_twins(sampled, request)?;
        let vectors: Vec<Vec<f32>> = drawn.iter_mut().map(|drawn| std::mem::take(&mut drawn.vector)).collect();
        let plane = Plane::lay_out(&vectors, request.seed, &waited_for)?;
        let near_duplicates = twins::near_duplicates(&drawn, &pairs);
        let groups = twins::groups(drawn.len(), &near_duplicates);
        let places = plane.points.iter().zip(groups);
        let point = |(drawn, (&[x, y], group)): (Drawn, (&[f32; 2], Option<u32>))| {
            let Drawn { id, text, faq_id, label, .. } = drawn;
            MapPoint { id, text, faq_id, label, x, y, group }
        };
        Ok(BankMap {
            points: drawn.into_iter().zip(places).map(point).collect(),
            near_duplicates,
            questions,
            looked_up,
            variance: plane.variance,
            neighbours_kept: plane.neighbours_kept,
            timings: Timings { search: started.elapsed(), ..Timings::default() },
        })
    }
}

/// Ends the work when nobody waits for it.
fn check_waited_for() -> Result<()> {
    if waited_for() { Ok(()) } else { Err(Error::Cancelled { what: "the map".to_owned() }) }
}
