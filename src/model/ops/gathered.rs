//! Attention of single tokens over keys and values that lie scattered in a cache. Forward only: the decoder's graph runs
//! on it.

use super::simd::{LANES, dispatched, exp, max, sum};

/// Keys and values of tokens, each `[tokens, hidden]`: those of a cache, then those of the step itself. A token is
/// named by its place in the two, one after the other.
#[derive(Clone, Copy)]
pub struct Tokens<'a> {
    /// Keys and values that were computed before.
    pub past: [&'a [f32]; 2],
    /// Keys and values of this step.
    pub new: [&'a [f32]; 2],
    /// Width of a row.
    pub hidden: usize,
    /// Heads that a row is cut into.
    pub heads: usize,
}

impl<'a> Tokens<'a> {
    /// How many tokens there are.
    pub fn len(&self) -> usize {
        (self.past[0].len() + self.new[0].len()) / self.hidden.max(1)
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Key (0) or value (1) of the token at `place`.
    #[inline(always)]
    fn row(&self, part: usize, place: i64) -> &'a [f32] {
        let start = place as usize * self.hidden;
        match start.checked_sub(self.past[part].len()) {
            None => &self.past[part][start..][..self.hidden],
            Some(start) => &self.new[part][start..][..self.hidden],
        }
    }
}

/// Σ aᵢ · bᵢ.
#[inline(always)]
fn dot(a: &[f32], b: &[f32]) -> f32 {
    let (a_chunks, a_tail) = a.as_chunks::<LANES>();
    let (b_chunks, b_tail) = b.as_chunks::<LANES>();
    let mut lanes = [0f32; LANES];
    for (a, b) in a_chunks.iter().zip(b_chunks) {
        for lane in 0..LANES {
            lanes[lane] = a[lane].mul_add(b[lane], lanes[lane]);
        }
    }
    // By halves, which are four instructions where one sum after the other is sixteen that wait for each other.
    let mut half = LANES / 2;
    while half > 0 {
        for lane in 0..half {
            lanes[lane] += lanes[lane + half];
        }
        half /= 2;
    }
    a_tail.iter().zip(b_tail).fold(lanes[0], |total, (a, b)| a.mul_add(*b, total))
}

dispatched! {
    /// What one token's `query`, `[hidden]`, gathers from the tokens at the places `reads`, into `out`, `[hidden]`: each
    /// head a softmax of its products with the keys, divided by the root of its width, over the values. `reads` are
    /// below [`Tokens::len`]; of none, `out` is 0. `scores` is a buffer.
    pub fn attend(query: &[f32], tokens: Tokens<'_>, reads: &[i64], scores: &mut Vec<f32>, out: &mut [f32]) {
        let head = tokens.hidden / tokens.heads;
        let scale = 1.0 / (head as f32).sqrt();
        // Whole vectors, so that no loop has a scalar rest; what is past the end weighs nothing.
        let width = reads.len().next_multiple_of(LANES);
        scores.clear();
        scores.resize(tokens.heads * width, f32::NEG_INFINITY);
        for (place, &read) in reads.iter().enumerate() {
            let key = tokens.row(0, read);
            for (h, (query, key)) in query.chunks_exact(head).zip(key.chunks_exact(head)).enumerate() {
                scores[h * width + place] = dot(query, key) * scale;
            }
        }
        for row in scores.chunks_exact_mut(width.max(1)) {
            let largest = max(row);
            for score in &mut *row {
                *score = exp(*score - largest);
            }
            row[reads.len()..].fill(0.0);
            let share = 1.0 / sum(row);
            for score in &mut *row {
                *score *= share;
            }
        }
        out.fill(0.0);
        for (place, &read) in reads.iter().enumerate() {
            let value = tokens.row(1, read);
            for (h, (out, value)) in out.chunks_exact_mut(head).zip(value.chunks_exact(head)).enumerate() {
                let weight = scores[h * width + place];
                for (out, value) in out.iter_mut().zip(value) {
                    *out = weight.mul_add(*value, *out);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use rand::{Rng, SeedableRng};
    use rand_chacha::ChaCha8Rng;

    /// The definition, in f64.
    fn plain(query: &[f32], tokens: Tokens<'_>, reads: &[i64]) -> Vec<f64> {
        let head = tokens.hidden / tokens.heads;
        let at = |part: usize, read: i64, i: usize| f64::from(tokens.row(part, read)[i]);
        let mut out = vec![0.0; tokens.hidden];
        for h in 0..tokens.heads {
            let columns = h * head..(h + 1) * head;
            let score = |read: i64| {
                columns.clone().map(|i| f64::from(query[i]) * at(0, read, i)).sum::<f64>() / (head as f64).sqrt()
            };
            let weights: Vec<f64> = reads.iter().map(|&read| score(read).exp()).collect();
            let total: f64 = weights.iter().sum();
            for i in columns {
                out[i] = reads.iter().zip(&weights).map(|(&read, w)| w / total * at(1, read, i)).sum();
            }
        }
        out
    }

    proptest! {
        #[test]
        fn gathers_what_the_definition_says(
            heads in 1_usize..4, head in 1_usize..40, past in 0_usize..6, new in 1_usize..4, count in 1_usize..40, seed: u64
        ) {
            let mut random = ChaCha8Rng::seed_from_u64(seed);
            let mut rows = |count: usize| -> Vec<f32> {
                (0..count * heads * head).map(|_| random.random_range(-2.0..2.0)).collect()
            };
            let (past_keys, past_values, new_keys, new_values) = (rows(past), rows(past), rows(new), rows(new));
            let query = rows(1);
            let past_rows = [&past_keys[..], &past_values[..]];
            let new_rows = [&new_keys[..], &new_values[..]];
            let tokens = Tokens { past: past_rows, new: new_rows, hidden: heads * head, heads };
            prop_assert_eq!(tokens.len(), past + new);
            let reads: Vec<i64> = (0..count).map(|_| random.random_range(0..tokens.len() as i64)).collect();
            let mut out = vec![f32::NAN; tokens.hidden];
            attend(&query, tokens, &reads, &mut Vec::new(), &mut out);
            for (found, expected) in out.iter().zip(plain(&query, tokens, &reads)) {
                prop_assert!((f64::from(*found) - expected).abs() < 1e-5, "{} {}", found, expected);
            }
        }
    }

    #[test]
    fn of_nothing_it_gathers_nothing() {
        let tokens = Tokens { past: [&[], &[]], new: [&[1.0; 8], &[1.0; 8]], hidden: 8, heads: 2 };
        let mut out = vec![f32::NAN; 8];
        attend(&[1.0; 8], tokens, &[], &mut Vec::new(), &mut out);
        assert_eq!(out, [0.0; 8]);
    }
}
