//! Vectors as points in a plane, which lie beside each other where the vectors do.
//!
//! A linear projection shows little of a bank: of the bundled one, the two principal components keep 12 % of the
//! variance, and 16 % of each question's 10 nearest neighbours. So they only say where the points begin. From there each
//! is drawn to its nearest neighbours and pushed off all others, as in t-SNE, which keeps 54 % of the neighbours; with
//! the bank's 912 test queries beside it, 56 % instead of 6 %. [`Plane::neighbours_kept`] says it of each map.
//!
//! | file | what is there |
//! |---|---|
//! | `principal` | the two principal components |
//! | `settle` | how points settle beside their neighbours |
//! | `quadtree` | how each is pushed off all others, in n·log n |

mod principal;
mod quadtree;
mod settle;

use super::{Exact, VectorIndex, VectorQuery};
use crate::{Error, Result};

/// Neighbours that draw a point, and those that are counted to judge a map. More of them draw the islands together:
/// with 20, a map of the bundled bank keeps 47 %, with 30, 41 %.
const NEIGHBOURS: usize = 10;

/// Up to so many vectors have no neighbourhoods to speak of; their principal components are shown.
const FEWEST: usize = 2 * NEIGHBOURS;

/// Where vectors lie in a plane.
#[derive(Debug, Clone, PartialEq)]
pub struct Plane {
    /// A point for each vector, in their order. Both coordinates are −1 to 1, by one scale, and the middle is 0.
    pub points: Vec<[f32; 2]>,
    /// The share of the variance that the two principal components have, 0 to 1: how flat the vectors lie.
    pub variance: f64,
    /// The share of each vector's 10 nearest neighbours that are among the 10 nearest of its point, 0 to 1; of all other
    /// vectors, where there are fewer.
    pub neighbours_kept: f64,
}

impl Plane {
    /// Lays out unit vectors of one width, on this thread. Neighbours are found by comparing all with all, so the time
    /// grows with the square of their number. The same vectors and the same seed give the same points. `go_on` is asked
    /// again and again.
    ///
    /// # Errors
    /// A vector is not of length 1, they are of several widths, or `go_on` said no.
    pub fn lay_out(vectors: &[Vec<f32>], seed: u64, go_on: &dyn Fn() -> bool) -> Result<Self> {
        let principal = principal::components(vectors, seed, go_on)?;
        let neighbours = nearest(vectors, go_on)?;
        let mut points = principal.points;
        if points.len() > FEWEST {
            settle::settle(&mut points, &neighbours, go_on)?;
        }
        fit(&mut points);
        let neighbours_kept = kept(&neighbours, &points);
        let points = points.into_iter().map(|point| point.map(|x| x as f32)).collect();
        Ok(Self { points, variance: principal.variance, neighbours_kept })
    }
}

/// Refuses to go on when nobody waits for the map.
fn check(go_on: &dyn Fn() -> bool) -> Result<()> {
    if go_on() { Ok(()) } else { Err(Error::Cancelled { what: "the map".to_owned() }) }
}

/// The numbers of each vector's nearest neighbours, nearest first.
fn nearest(vectors: &[Vec<f32>], go_on: &dyn Fn() -> bool) -> Result<Vec<Vec<u32>>> {
    let Some(first) = vectors.first() else { return Ok(Vec::new()) };
    let index = Exact::new(first.len());
    let items: Vec<(u32, &[f32])> = (0..).zip(vectors.iter().map(Vec::as_slice)).collect();
    index.insert(&items)?;
    let of = |&(number, vector): &(u32, &[f32])| {
        check(go_on)?;
        let query = VectorQuery { vector, k: NEIGHBOURS + 1, allowed: None, exact: true };
        let mut found: Vec<u32> = index.search(query)?.iter().map(|found| found.id).collect();
        found.retain(|&other| other != number); // of many that are equal, it need not be among the found
        found.truncate(NEIGHBOURS);
        Ok(found)
    };
    items.iter().map(of).collect()
}

/// Moves the middle to 0, and the farthest coordinate to ±1.
fn fit(points: &mut [[f64; 2]]) {
    let bounds = [0, 1].map(|axis| {
        let coordinates = points.iter().map(|point| point[axis]);
        coordinates.fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), x| (low.min(x), high.max(x)))
    });
    let reach = bounds.iter().map(|(low, high)| (high - low) / 2.0).fold(0.0, f64::max);
    let scale = if reach > 0.0 { 1.0 / reach } else { 0.0 };
    for point in points {
        *point = [0, 1].map(|axis| ((point[axis] - (bounds[axis].0 + bounds[axis].1) / 2.0) * scale).clamp(-1.0, 1.0));
    }
}

fn square_distance(a: [f64; 2], b: [f64; 2]) -> f64 {
    (a[0] - b[0]).powi(2) + (a[1] - b[1]).powi(2)
}

/// See [`Plane::neighbours_kept`]; 1 where there are no neighbours.
fn kept(neighbours: &[Vec<u32>], points: &[[f64; 2]]) -> f64 {
    let (mut kept, mut all) = (0, 0);
    let mut near = Vec::new();
    for ((number, &point), neighbours) in (0..).zip(points).zip(neighbours).filter(|(_, n)| !n.is_empty()) {
        near.clear();
        near.extend((0..).zip(points).map(|(other, &at)| (square_distance(point, at), other)));
        near.swap_remove(number as usize);
        near.select_nth_unstable_by(neighbours.len() - 1, |a, b| a.0.total_cmp(&b.0));
        let nearest = &near[..neighbours.len()];
        kept += neighbours.iter().filter(|&&other| nearest.iter().any(|&(_, near): &(f64, u32)| near == other)).count();
        all += neighbours.len();
    }
    if all == 0 { 1.0 } else { kept as f64 / all as f64 }
}

#[cfg(test)]
mod tests {
    use super::super::tests::clustered;
    use super::*;

    fn lay_out(vectors: &[Vec<f32>]) -> Plane {
        Plane::lay_out(vectors, 7, &|| true).unwrap()
    }

    #[test]
    fn neighbours_stay_neighbours_better_than_by_projection() {
        let vectors = clustered(600, 24, 3);
        let plane = lay_out(&vectors);
        let principal = principal::components(&vectors, 7, &|| true).unwrap();
        let projected = kept(&nearest(&vectors, &|| true).unwrap(), &principal.points);
        assert!(plane.neighbours_kept > 0.4, "{}", plane.neighbours_kept);
        assert!(plane.neighbours_kept > 2.0 * projected, "{} beside {projected}", plane.neighbours_kept);
        assert!((0.0..=1.0).contains(&plane.variance));
        let reach = plane.points.iter().flatten().fold(0f32, |most, x| most.max(x.abs()));
        assert_eq!(reach, 1.0);
    }

    #[test]
    fn the_same_vectors_and_seed_give_the_same_map() {
        let vectors = clustered(100, 8, 5);
        assert_eq!(lay_out(&vectors), lay_out(&vectors));
    }

    #[test]
    fn few_and_equal_vectors_have_places_too() {
        assert_eq!(lay_out(&[]).points, [[0.0; 2]; 0]);
        assert_eq!(lay_out(&[vec![1.0, 0.0]]).points, [[0.0; 2]]);
        assert_eq!(lay_out(&vec![vec![0.6, 0.8]; 50]).points, [[0.0; 2]; 50]);
        let two = lay_out(&[vec![1.0, 0.0], vec![0.0, 1.0]]);
        assert_eq!(two.points.iter().map(|point| point[0].abs()).collect::<Vec<_>>(), [1.0, 1.0]);
        assert_eq!((two.points[0][0], two.neighbours_kept), (-two.points[1][0], 1.0));
        let mut twins = clustered(40, 8, 2);
        twins.extend(twins.clone());
        let twins = lay_out(&twins);
        assert!(twins.points.iter().flatten().all(|x| x.is_finite()));
    }

    #[test]
    fn it_stops_when_nobody_waits() {
        let vectors = clustered(100, 8, 5);
        let asked = std::cell::Cell::new(0);
        let finished = Plane::lay_out(&vectors, 1, &|| {
            asked.set(asked.get() + 1);
            true
        });
        finished.unwrap();
        let all = asked.get();
        for patience in [0, 5, all / 2, all - 1] {
            asked.set(0);
            let stopped = Plane::lay_out(&vectors, 1, &|| {
                asked.set(asked.get() + 1);
                asked.get() <= patience
            });
            assert!(matches!(stopped, Err(Error::Cancelled { .. })));
            assert_eq!(asked.get(), patience + 1);
        }
    }

    #[test]
    fn vectors_of_several_widths_are_refused() {
        assert!(Plane::lay_out(&[vec![1.0, 0.0], vec![1.0]], 1, &|| true).is_err());
    }
}
