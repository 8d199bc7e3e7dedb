//! A batch of token sequences as a struct of arrays.

/// Sequences of unequal lengths, one after the other in `ids`. No padding is stored; who needs it, adds it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Batch {
    /// Token ids of all sequences, concatenated: `[tokens]`.
    pub ids: Vec<u32>,
    /// Segment of each token (0 source, 1 target): `[tokens]`.
    pub segments: Vec<u8>,
    /// Where each sequence starts in `ids`, and the end of the last: `[sequences + 1]`.
    pub offsets: Vec<usize>,
}

impl Batch {
    /// An empty batch.
    pub fn new() -> Self {
        Self { offsets: vec![0], ..Self::default() }
    }

    /// Appends a sequence; `segments` has one entry for each id.
    pub fn push(&mut self, ids: &[u32], segments: &[u8]) {
        debug_assert_eq!(ids.len(), segments.len());
        if self.offsets.is_empty() {
            self.offsets.push(0);
        }
        self.ids.extend_from_slice(ids);
        self.segments.extend_from_slice(segments);
        self.offsets.push(self.ids.len());
    }

    /// Number of sequences.
    pub fn len(&self) -> usize {
        self.offsets.len().saturating_sub(1)
    }

    /// Whether there is no sequence.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Number of tokens of all sequences.
    pub fn tokens(&self) -> usize {
        self.ids.len()
    }

    /// Tokens of sequence `row`.
    pub fn ids_of(&self, row: usize) -> &[u32] {
        &self.ids[self.offsets[row]..self.offsets[row + 1]]
    }

    /// Segments of sequence `row`.
    pub fn segments_of(&self, row: usize) -> &[u8] {
        &self.segments[self.offsets[row]..self.offsets[row + 1]]
    }

    /// Tokens of sequence `row` that are source: those of segment 0 at its start.
    pub fn source_length(&self, row: usize) -> usize {
        self.segments_of(row).iter().take_while(|&&segment| segment == 0).count()
    }

    /// Length of the longest sequence, in tokens.
    pub fn width(&self) -> usize {
        self.offsets.windows(2).map(|w| w[1] - w[0]).max().unwrap_or(0)
    }
}
