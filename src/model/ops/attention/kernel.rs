//! Attention of one sequence, head by head, in buffers that stay in the cache.

use crate::model::ops::simd::{LANES, dispatched, exp, max, sum, sum_by};

/// Rows of a product that are computed together: each load of a right-hand row serves so many multiplications.
const ROWS: usize = 4;

/// One sequence of a packed batch.
pub(super) struct Sequence<'a> {
    /// Rows of 3 · heads · head numbers: queries, keys, values.
    pub(super) qkv: &'a [f32],
    pub(super) length: usize,
    pub(super) source: usize,
    pub(super) heads: usize,
    /// Width of a head.
    pub(super) head: usize,
}

/// Buffers of one thread. Rows are padded with zeros to whole vectors.
#[derive(Default)]
pub(super) struct Workspace {
    /// Queries, keys, values, output or its gradient: length × padded head.
    queries: Vec<f32>,
    keys: Vec<f32>,
    values: Vec<f32>,
    out: Vec<f32>,
    /// Keys and values the other way round: head × padded length.
    keys_t: Vec<f32>,
    values_t: Vec<f32>,
    /// length × padded length.
    weights: Vec<f32>,
    scores: Vec<f32>,
}

/// Rows, columns and stride of a strided matrix within a slice.
#[derive(Clone, Copy)]
struct Left<'a> {
    values: &'a [f32],
    row_stride: usize,
    column_stride: usize,
}

#[inline(always)]
fn block<const R: usize>(a: Left<'_>, b: &[f32], width: usize, out: &mut [f32], inner: usize, column: usize) {
    let mut lanes = [[0f32; LANES]; R];
    for (i, b) in b.chunks_exact(width).take(inner).enumerate() {
        let Some(b) = b[column..].first_chunk::<LANES>() else { return };
        for (r, lanes) in lanes.iter_mut().enumerate() {
            let a = a.values[r * a.row_stride + i * a.column_stride];
            for lane in 0..LANES {
                lanes[lane] = a.mul_add(b[lane], lanes[lane]);
            }
        }
    }
    for (out, lanes) in out.chunks_exact_mut(width).zip(&lanes) {
        out[column..column + LANES].copy_from_slice(lanes);
    }
}

dispatched! {
    /// out = a · b, where `b` has `inner` rows and, like `out`, rows of `width` numbers, a multiple of the lanes.
    fn multiply(a: Left<'_>, b: &[f32], width: usize, inner: usize, out: &mut [f32]) {
        let rows = out.len() / width;
        let mut row = 0;
        while row < rows {
            let a = Left { values: &a.values[row * a.row_stride..], ..a };
            let out = &mut out[row * width..];
            let mut column = 0;
            while column < width {
                if row + ROWS <= rows {
                    block::<ROWS>(a, b, width, out, inner, column);
                } else {
                    block::<1>(a, b, width, out, inner, column);
                }
                column += LANES;
            }
            row += if row + ROWS <= rows { ROWS } else { 1 };
        }
    }
}

dispatched! {
    /// Softmax of scale · scores over the tokens each row sees, 0 over the others.
    fn softmax(scores: &mut [f32], width: usize, source: usize, scale: f32) {
        for (i, row) in scores.chunks_exact_mut(width).enumerate() {
            // Whole rows, whose width is a multiple of the lanes, so that no loop has a scalar rest.
            let seen = source.max(i + 1);
            row[seen..].fill(f32::NEG_INFINITY);
            let largest = max(row);
            for score in &mut *row {
                *score = exp((*score - largest) * scale);
            }
            row[seen..].fill(0.0);
            let share = 1.0 / sum(row);
            for score in &mut *row {
                *score *= share;
            }
        }
    }
}

dispatched! {
    /// d_scores = scale · weights · (d_weights − Σ weights · d_weights), in place of `d_weights`.
    fn softmax_backward(weights: &[f32], d_weights: &mut [f32], width: usize, scale: f32) {
        for (weights, d_weights) in weights.chunks_exact(width).zip(d_weights.chunks_exact_mut(width)) {
            let mean = sum_by(weights, d_weights, |w, d| w * d);
            for (w, d) in weights.iter().zip(d_weights) {
                *d = scale * w * (*d - mean);
            }
        }
    }
}

/// Copies columns of a strided matrix into rows of `width` numbers.
fn gather(from: &[f32], stride: usize, columns: usize, width: usize, to: &mut Vec<f32>) {
    to.clear();
    for row in from.chunks(stride) {
        to.extend_from_slice(&row[..columns]);
        to.resize(to.len() + width - columns, 0.0);
    }
}

/// Copies rows of `width` numbers into columns of a strided matrix.
fn scatter(from: &[f32], width: usize, columns: usize, stride: usize, to: &mut [f32]) {
    for (from, to) in from.chunks_exact(width).zip(to.chunks_mut(stride)) {
        to[..columns].copy_from_slice(&from[..columns]);
    }
}

/// The first `columns` columns as rows of `width` numbers.
fn transpose(from: &[f32], from_width: usize, columns: usize, width: usize, to: &mut Vec<f32>) {
    to.clear();
    to.resize(columns * width, 0.0);
    for (i, from) in from.chunks_exact(from_width).enumerate() {
        for (j, value) in from[..columns].iter().enumerate() {
            to[j * width + i] = *value;
        }
    }
}

impl Sequence<'_> {
    /// Numbers in a row of `qkv`.
    fn stride(&self) -> usize {
        3 * self.heads * self.head
    }

    fn padded_head(&self) -> usize {
        self.head.next_multiple_of(LANES)
    }

    fn padded_length(&self) -> usize {
        self.length.next_multiple_of(LANES)
    }

    fn scale(&self) -> f32 {
        1.0 / (self.head as f32).sqrt()
    }

    /// Loads a head and computes its attention weights.
    fn weigh(&self, w: &mut Workspace, head: usize) {
        let (hidden, width, padded) = (self.heads * self.head, self.padded_head(), self.padded_length());
        let column = head * self.head;
        gather(&self.qkv[column..], self.stride(), self.head, width, &mut w.queries);
        gather(&self.qkv[hidden + column..], self.stride(), self.head, width, &mut w.keys);
        gather(&self.qkv[2 * hidden + column..], self.stride(), self.head, width, &mut w.values);
        transpose(&w.keys, width, self.head, padded, &mut w.keys_t);
        w.weights.resize(self.length * padded, 0.0);
        let queries = Left { values: &w.queries, row_stride: width, column_stride: 1 };
        multiply(queries, &w.keys_t, padded, self.head, &mut w.weights);
        softmax(&mut w.weights, padded, self.source, self.scale());
    }

    /// Writes the output, rows of heads · head numbers.
    pub(super) fn forward(&self, w: &mut Workspace, out: &mut [f32]) {
        if self.length == 0 {
            return;
        }
        let (hidden, width, padded) = (self.heads * self.head, self.padded_head(), self.padded_length());
        for head in 0..self.heads {
            self.weigh(w, head);
            w.out.resize(self.length * width, 0.0);
            let weights = Left { values: &w.weights, row_stride: padded, column_stride: 1 };
            multiply(weights, &w.values, width, self.length, &mut w.out);
            scatter(&w.out, width, self.head, hidden, &mut out[head * self.head..]);
        }
    }

    /// Writes the gradient of `qkv`, from the gradient of the output.
    pub(super) fn backward(&self, w: &mut Workspace, gradient: &[f32], d_qkv: &mut [f32]) {
        if self.length == 0 {
            return;
        }
        let (hidden, width, padded) = (self.heads * self.head, self.padded_head(), self.padded_length());
        let (length, stride) = (self.length, self.stride());
        for head in 0..self.heads {
            let column = head * self.head;
            self.weigh(w, head);
            gather(&gradient[column..], hidden, self.head, width, &mut w.out);
            transpose(&w.values, width, self.head, padded, &mut w.values_t);

            // d_values = weightsᵀ · d_out, in the place of the values, of which only the transpose is needed now.
            let transposed = Left { values: &w.weights, row_stride: 1, column_stride: padded };
            multiply(transposed, &w.out, width, length, &mut w.values);
            scatter(&w.values, width, self.head, stride, &mut d_qkv[2 * hidden + column..]);

            w.scores.resize(length * padded, 0.0);
            let d_out = Left { values: &w.out, row_stride: width, column_stride: 1 };
            multiply(d_out, &w.values_t, padded, self.head, &mut w.scores);
            softmax_backward(&w.weights, &mut w.scores, padded, self.scale());

            // d_queries = d_scores · keys and d_keys = d_scoresᵀ · queries, both through the output's buffer.
            let d_scores = Left { values: &w.scores, row_stride: padded, column_stride: 1 };
            multiply(d_scores, &w.keys, width, length, &mut w.out);
            scatter(&w.out, width, self.head, stride, &mut d_qkv[column..]);
            let d_scores_t = Left { values: &w.scores, row_stride: 1, column_stride: padded };
            multiply(d_scores_t, &w.queries, width, length, &mut w.out);
            scatter(&w.out, width, self.head, stride, &mut d_qkv[hidden + column..]);
        }
    }
}
