//! Keys and values of the tokens that a decoder has read, and the rows of its next step.

/// Slots of a fresh cache.
const FIRST_SLOTS: usize = 256;
/// Segments of the pair `[CLS] source [SEP] target [SEP]`.
const SOURCE_SEGMENT: i64 = 0;
const TARGET_SEGMENT: i64 = 1;
/// Marks a slot that no row of the step fills.
const ELSEWHERE: u32 = u32::MAX;

/// The place of one token in a [`Cache`].
pub type Slot = u32;

/// Keys and values of every layer, one slot for each token. A slot lives as long as somebody holds it; those that are
/// let go are filled again. Grows by doubling, and never copies what it holds from step to step.
#[derive(Debug)]
pub struct Cache {
    /// Keys and values of each layer, each `[slots, hidden]`.
    pub(super) layers: Vec<[Vec<f32>; 2]>,
    hidden: usize,
    /// How many hold each slot.
    holders: Vec<u32>,
    free: Vec<Slot>,
    /// The row of the coming step that fills each slot, or [`ELSEWHERE`].
    row_of: Vec<u32>,
}

/// The rows of one step of a decoder, which may be of any samples of any sources.
#[derive(Debug, Default)]
pub struct Rows {
    pub(super) ids: Vec<i64>,
    pub(super) positions: Vec<i64>,
    pub(super) segments: Vec<i64>,
    /// Where each row's keys and values go.
    pub(super) slots: Vec<Slot>,
    /// What the rows see, one row after the other.
    reads: Vec<Slot>,
    pub(super) ends: Vec<i64>,
    pub(super) asked: Vec<i64>,
}

impl Cache {
    pub(super) fn new(layers: usize, hidden: usize) -> Self {
        let layers = (0..layers).map(|_| [Vec::new(), Vec::new()]).collect();
        let mut cache = Self { layers, hidden, holders: Vec::new(), free: Vec::new(), row_of: Vec::new() };
        cache.grow(FIRST_SLOTS);
        cache
    }

    fn grow(&mut self, slots: usize) {
        for part in self.layers.iter_mut().flatten() {
            part.resize(slots * self.hidden, 0.0);
        }
        self.free.extend((self.slots() as Slot..slots as Slot).rev());
        self.holders.resize(slots, 0);
        self.row_of.resize(slots, ELSEWHERE);
    }

    /// Number of slots, free ones counted.
    pub fn slots(&self) -> usize {
        self.holders.len()
    }

    /// Slots that somebody holds.
    pub fn held(&self) -> usize {
        self.slots() - self.free.len()
    }

    /// A free slot, now held once.
    pub fn take(&mut self) -> Slot {
        loop {
            if let Some(slot) = self.free.pop() {
                self.holders[slot as usize] = 1;
                return slot;
            }
            self.grow(self.slots() * 2);
        }
    }

    /// Holds each of `slots` `times` more.
    pub fn hold(&mut self, slots: &[Slot], times: usize) {
        for &slot in slots {
            self.holders[slot as usize] += times as u32;
        }
    }

    /// Lets each of `slots` go once; those that nobody holds are free.
    pub fn release(&mut self, slots: &[Slot]) {
        for &slot in slots {
            let holders = &mut self.holders[slot as usize];
            *holders = holders.saturating_sub(1);
            if *holders == 0 {
                self.free.push(slot);
            }
        }
    }

    /// The places that `rows` see, as the graph counts them: what this step fills comes after the slots.
    pub(super) fn places(&mut self, rows: &Rows) -> Vec<i64> {
        for (row, &slot) in (0..).zip(&rows.slots) {
            self.row_of[slot as usize] = row;
        }
        let place = |&slot: &Slot| match self.row_of[slot as usize] {
            ELSEWHERE => i64::from(slot),
            row => self.holders.len() as i64 + i64::from(row),
        };
        let places = rows.reads.iter().map(place).collect();
        rows.slots.iter().for_each(|&slot| self.row_of[slot as usize] = ELSEWHERE);
        places
    }

    /// Puts what a step gave for one part of one layer, `[rows, hidden]`, into the slots.
    pub(super) fn store(&mut self, layer: usize, part: usize, slots: &[Slot], rows: &[f32]) {
        for (&slot, row) in slots.iter().zip(rows.chunks_exact(self.hidden)) {
            self.layers[layer][part][slot as usize * self.hidden..][..self.hidden].copy_from_slice(row);
        }
    }
}

impl Rows {
    /// Adds a source, `[CLS] pieces… [SEP]`, whose tokens go to `slots`; its last row is asked for the first target
    /// token.
    pub fn push_source(&mut self, ids: &[u32], slots: &[Slot]) {
        for (position, (&id, &slot)) in ids.iter().zip(slots).enumerate() {
            self.push(id, position, SOURCE_SEGMENT, slot, [slots, &[]]);
        }
        self.ask();
    }

    /// Adds the last token of a target, at `position` of the pair, whose slot is the last of `target`; it sees `source` and
    /// `target` and is asked for the next token.
    pub fn push_target(&mut self, id: u32, position: usize, source: &[Slot], target: &[Slot]) {
        if let Some(&slot) = target.last() {
            self.push(id, position, TARGET_SEGMENT, slot, [source, target]);
            self.ask();
        }
    }

    fn push(&mut self, id: u32, position: usize, segment: i64, slot: Slot, reads: [&[Slot]; 2]) {
        self.ids.push(i64::from(id));
        self.positions.push(position as i64);
        self.segments.push(segment);
        self.slots.push(slot);
        reads.iter().for_each(|slots| self.reads.extend_from_slice(slots));
        self.ends.push(self.reads.len() as i64);
    }

    fn ask(&mut self) {
        self.asked.push(self.ids.len() as i64 - 1);
    }

    /// Number of rows.
    pub fn len(&self) -> usize {
        self.ids.len()
    }

    /// Whether there is no row.
    pub fn is_empty(&self) -> bool {
        self.ids.is_empty()
    }
}
