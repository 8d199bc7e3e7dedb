//! Points settle beside their neighbours.
//!
//! This is t-SNE (van der Maaten and Hinton, “Visualizing data using t-SNE”, 2008) with equal weights on the nearest
//! neighbours instead of a perplexity, which changes little (Böhm, Berens and Kobak, “Attraction-repulsion spectrum in
//! neighbor embeddings”, 2022), and with the start and the rate of Kobak and Berens, “The art of using t-SNE for
//! single-cell transcriptomics”, 2019.

use std::collections::BTreeMap;

use super::check;
use super::quadtree::Quadtree;
use crate::Result;

/// Steps in all; 400 keep no more neighbours.
const STEPS: usize = 300;
/// In the first so many steps, neighbours draw so much more strongly.
const EARLY: (usize, f64) = (75, 12.0);
/// The largest deviation of the points at the start: near 0, so that all can pass each other.
const START: f64 = 1e-4;
/// The share of a step that goes on in the next; it grows after the early ones.
const MOMENTUM: (f64, f64) = (0.5, 0.8);
/// The lowest of the factors by which a coordinate's step grows while it keeps its direction.
const LEAST_GAIN: f64 = 0.01;

/// Moves points, which start at their principal components, to where they are beside their neighbours.
///
/// # Errors
/// `go_on` said no.
pub(super) fn settle(points: &mut [[f64; 2]], neighbours: &[Vec<u32>], go_on: &dyn Fn() -> bool) -> Result<()> {
    let bonds = bonds(neighbours);
    let n = points.len() as f64;
    let deviation = [0, 1].map(|axis| (points.iter().map(|point| point[axis].powi(2)).sum::<f64>() / n).sqrt());
    let deviation = deviation[0].max(deviation[1]);
    if deviation == 0.0 {
        return Ok(()); // all are equal
    }
    points.iter_mut().flatten().for_each(|x| *x *= START / deviation);
    let rate = 4.0 * (n / EARLY.1).max(50.0);
    let mut speeds = vec![[0.0; 2]; points.len()];
    let mut gains = vec![[1f64; 2]; points.len()];
    let mut stack = Vec::new();
    for step in 0..STEPS {
        check(go_on)?;
        let (draw, momentum) = if step < EARLY.0 { (EARLY.1, MOMENTUM.0) } else { (1.0, MOMENTUM.1) };
        let tree = Quadtree::new(points);
        let pushes: Vec<_> = points.iter().map(|&point| tree.push(point, &mut stack)).collect();
        let total: f64 = pushes.iter().map(|(total, _)| total - 1.0).sum(); // each has counted itself
        for (i, (bonds, (_, push))) in bonds.iter().zip(&pushes).enumerate() {
            let mut slope = push.map(|push| -push / total.max(f64::MIN_POSITIVE));
            for &(other, weight) in bonds {
                let way = [0, 1].map(|axis| points[i][axis] - points[other as usize][axis]);
                let force = draw * weight / (1.0 + way[0] * way[0] + way[1] * way[1]);
                slope = [slope[0] + force * way[0], slope[1] + force * way[1]];
            }
            for axis in [0, 1] {
                let (speed, gain) = (&mut speeds[i][axis], &mut gains[i][axis]);
                let turns = (slope[axis] > 0.0) == (*speed > 0.0); // a step goes against the slope
                *gain = if turns { f64::max(*gain * 0.8, LEAST_GAIN) } else { *gain + 0.2 };
                *speed = momentum * *speed - rate * *gain * slope[axis];
            }
        }
        for (point, speed) in points.iter_mut().zip(&speeds) {
            *point = [point[0] + speed[0], point[1] + speed[1]];
        }
        centre(points);
    }
    Ok(())
}

/// How strongly each point is drawn to which others: both of a pair alike, and 1 in all.
fn bonds(neighbours: &[Vec<u32>]) -> Vec<Vec<(u32, f64)>> {
    let mut bonds = vec![BTreeMap::new(); neighbours.len()];
    for (i, near) in neighbours.iter().enumerate() {
        let weight = 0.5 / (near.len() * neighbours.len()) as f64;
        for &j in near {
            *bonds[i].entry(j).or_insert(0.0) += weight;
            *bonds[j as usize].entry(i as u32).or_insert(0.0) += weight;
        }
    }
    bonds.into_iter().map(|bonds| bonds.into_iter().collect()).collect()
}

/// Moves the mean to 0, around which the tree's first cell lies.
fn centre(points: &mut [[f64; 2]]) {
    let n = points.len() as f64;
    let mean = [0, 1].map(|axis| points.iter().map(|point| point[axis]).sum::<f64>() / n);
    points.iter_mut().for_each(|point| *point = [point[0] - mean[0], point[1] - mean[1]]);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bonds_are_mutual_and_one_in_all() {
        let bonds = bonds(&[vec![1, 2], vec![0, 2], vec![1, 0], vec![0, 1]]);
        let all: f64 = bonds.iter().flatten().map(|(_, weight)| weight).sum();
        assert!((all - 1.0).abs() < 1e-12);
        for (i, near) in bonds.iter().enumerate() {
            for &(j, weight) in near {
                assert!(bonds[j as usize].contains(&(i as u32, weight)));
            }
        }
    }
}
