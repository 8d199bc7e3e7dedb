//! Batches of near neighbours: sentences that are close to one another make harder negatives than random ones.

use rand::Rng;
use rand::seq::SliceRandom;
use rand_chacha::ChaCha8Rng;

/// Cuts the rows of `vectors` into leaves of about `leaf` neighbouring rows each, in random order, by splitting again
/// and again at the median along the line between two random rows of the part (a balanced random tree, as in Annoy).
/// Every row is in exactly one leaf; leaves differ in size by at most one. Same random numbers, same leaves.
pub fn leaves(vectors: &[Vec<f32>], leaf: usize, random: &mut ChaCha8Rng) -> Vec<Vec<usize>> {
    let count = vectors.len().div_ceil(leaf.max(1)).max(1);
    let mut out = Vec::with_capacity(count);
    let mut open = vec![((0..vectors.len()).collect::<Vec<usize>>(), count)];
    while let Some((mut rows, count)) = open.pop() {
        if count == 1 {
            out.push(rows);
            continue;
        }
        let (a, b) = (rows[random.random_range(0..rows.len())], rows[random.random_range(0..rows.len())]);
        let line: Vec<f32> = vectors[a].iter().zip(&vectors[b]).map(|(a, b)| a - b).collect();
        let along = |row: usize| vectors[row].iter().zip(&line).map(|(x, l)| x * l).sum::<f32>();
        let mut keyed: Vec<(f32, usize)> = rows.iter().map(|&row| (along(row), row)).collect();
        keyed.sort_by(|x, y| x.0.total_cmp(&y.0));
        let left = count / 2;
        let at = rows.len() * left / count;
        rows.clear();
        rows.extend(keyed.iter().map(|&(_, row)| row));
        let right = rows.split_off(at);
        open.push((rows, left));
        open.push((right, count - left));
    }
    out.shuffle(random);
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::SeedableRng;

    /// Four clumps of points: a leaf the size of a clump is one clump.
    #[test]
    fn leaves_hold_neighbours_and_every_row_once() {
        let centres = [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0], [-1.0, -1.0, -1.0]];
        let mut random = ChaCha8Rng::seed_from_u64(5);
        let vectors: Vec<Vec<f32>> = (0..64)
            .map(|row| centres[row % 4].iter().map(|c| c + random.random_range(-0.01..0.01)).collect())
            .collect();
        let leaves = leaves(&vectors, 8, &mut random);
        assert_eq!(leaves.len(), 8);
        let mut all: Vec<usize> = leaves.concat();
        all.sort_unstable();
        assert_eq!(all, (0..64).collect::<Vec<_>>());
        let pure = leaves.iter().filter(|leaf| leaf.iter().all(|row| row % 4 == leaf[0] % 4)).count();
        assert!(pure >= 6, "only {pure} of 8 leaves are of one clump");
    }
}
