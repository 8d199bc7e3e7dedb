//! How points push each other off, without looking at each pair.
//!
//! Source: Barnes and Hut, “A hierarchical O(N log N) force-calculation algorithm”, 1986; for t-SNE: van der Maaten,
//! “Accelerating t-SNE using tree-based algorithms”, 2014.

/// A cell that looks narrower than this (its width over its distance) counts as one point. 0.8 and 1 give maps that keep
/// as many neighbours as comparing all pairs does, 1 in two thirds of the time.
const OPENING: f64 = 1.0;
/// A cell of this share of the whole is not cut further: what is in it lies on one point.
const FINEST: f64 = 1e-9;

/// A square, and the points in it.
struct Cell {
    middle: [f64; 2],
    half: f64,
    /// Number of points, and the sum of their coordinates.
    mass: f64,
    sum: [f64; 2],
    /// The quarters with points in them; 0 for one without, as cell 0 is nobody's quarter.
    quarters: [u32; 4],
}

impl Cell {
    fn empty(middle: [f64; 2], half: f64) -> Self {
        Self { middle, half, mass: 0.0, sum: [0.0; 2], quarters: [0; 4] }
    }

    fn quarter_of(&self, point: [f64; 2]) -> usize {
        usize::from(point[0] > self.middle[0]) | usize::from(point[1] > self.middle[1]) << 1
    }
}

/// Cells that hold few points each where there are many.
pub(super) struct Quadtree {
    cells: Vec<Cell>,
    finest: f64,
}

impl Quadtree {
    /// The tree of finite points.
    pub(super) fn new(points: &[[f64; 2]]) -> Self {
        let reach = points.iter().flatten().fold(f64::MIN_POSITIVE, |most, x| most.max(x.abs()));
        let mut tree = Self { cells: vec![Cell::empty([0.0; 2], reach)], finest: FINEST * reach };
        points.iter().for_each(|&point| tree.insert(point));
        tree
    }

    fn insert(&mut self, point: [f64; 2]) {
        let mut at = 0;
        loop {
            let cell = &mut self.cells[at];
            let (mass, sum) = (cell.mass, cell.sum);
            cell.mass += 1.0;
            cell.sum = [sum[0] + point[0], sum[1] + point[1]];
            if mass == 0.0 || cell.half < self.finest {
                return;
            }
            if mass == 1.0 {
                // The one that had the cell to itself moves into a quarter.
                let quarter = self.quarter(at, sum);
                self.cells[quarter].mass = 1.0;
                self.cells[quarter].sum = sum;
            }
            at = self.quarter(at, point);
        }
    }

    /// The quarter of a cell that a point belongs to; made when it is the first there.
    fn quarter(&mut self, at: usize, point: [f64; 2]) -> usize {
        let cell = &self.cells[at];
        let which = cell.quarter_of(point);
        if cell.quarters[which] == 0 {
            let half = cell.half / 2.0;
            let side = |bit: usize| if which & bit == 0 { -half } else { half };
            let made = Cell::empty([cell.middle[0] + side(1), cell.middle[1] + side(2)], half);
            self.cells[at].quarters[which] = self.cells.len() as u32;
            self.cells.push(made);
        }
        self.cells[at].quarters[which] as usize
    }

    /// What pushes `point`: the sum over all points of q and of q² times the way from there, where
    /// q = 1 / (1 + distance²). The point itself adds 1 to the first. `stack` is memory to use again.
    pub(super) fn push(&self, point: [f64; 2], stack: &mut Vec<u32>) -> (f64, [f64; 2]) {
        let (mut total, mut push) = (0.0, [0.0; 2]);
        stack.clear();
        stack.push(0);
        while let Some(at) = stack.pop() {
            let cell = &self.cells[at as usize];
            let way = [point[0] - cell.sum[0] / cell.mass, point[1] - cell.sum[1] / cell.mass];
            let square = way[0] * way[0] + way[1] * way[1];
            let whole = cell.quarters == [0; 4];
            if whole || 4.0 * cell.half * cell.half < OPENING * OPENING * square {
                let q = 1.0 / (1.0 + square);
                total += cell.mass * q;
                push = [push[0] + cell.mass * q * q * way[0], push[1] + cell.mass * q * q * way[1]];
            } else {
                stack.extend(cell.quarters.iter().filter(|&&quarter| quarter != 0));
            }
        }
        (total, push)
    }
}

#[cfg(test)]
mod tests {
    use rand::{Rng, SeedableRng};
    use rand_chacha::ChaCha8Rng;

    use super::*;

    #[test]
    fn the_push_is_nearly_that_of_all_pairs() {
        let mut sums = (0.0, 0.0);
        let mut random = ChaCha8Rng::seed_from_u64(1);
        let mut points: Vec<[f64; 2]> =
            (0..800).map(|_| [random.random_range(-30.0..30.0), random.random_range(-9.0..30.0)]).collect();
        points.extend([[1.0, 2.0]; 20]); // on one point
        let tree = Quadtree::new(&points);
        assert_eq!(tree.cells[0].mass, 820.0);
        let mut stack = Vec::new();
        for &point in points.iter().step_by(40) {
            let (mut total, mut push) = (0.0, [0.0; 2]);
            for &other in &points {
                let way = [point[0] - other[0], point[1] - other[1]];
                let q = 1.0 / (1.0 + way[0] * way[0] + way[1] * way[1]);
                total += q;
                push = [push[0] + q * q * way[0], push[1] + q * q * way[1]];
            }
            let (found, pushed) = tree.push(point, &mut stack);
            assert!((found - total).abs() < 0.1 * total, "{found} of {total}");
            sums = (sums.0 + found, sums.1 + total);
            let off = (pushed[0] - push[0]).hypot(pushed[1] - push[1]);
            assert!(off < 0.05 * total, "{pushed:?} for {push:?}");
        }
        assert!((sums.0 - sums.1).abs() < 0.05 * sums.1, "{sums:?}");
    }
}
