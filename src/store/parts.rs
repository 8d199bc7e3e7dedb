//! Values in sealed parts.
//!
//! sled keeps a page of more than 128 KiB in a file of its own, which it never fsyncs; a page holds some 17 values.
//! So a value is cut into parts of 4 KiB, which keeps every page inside the log, and the log is fsynced.
//!
//! A part is `crc32(key, payload)` in little endian, then the payload; the key is inside the checksum, so a part that
//! turns up under another key is noticed too. Part 0 starts with the number of parts.

use std::ops::{Deref, RangeInclusive};
use std::path::Path;

use roaring::RoaringBitmap;
use sled::{Batch, IVec, Iter, Tree};

use super::attempt::attempt;
use crate::{Error, Result};

const PART: usize = 4096;
const CHECKSUM: usize = 4;

/// Bytes of the largest value: 255 parts, the first of which spends a byte on their number.
pub(super) const LARGEST: usize = 255 * PART - 1;

/// What a value is; the first byte of its key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum Kind {
    Header = b'h',
    Record = b'r',
    /// An entry of the manifest.
    Segment = b's',
    Vector = b'v',
}

/// A part's key: kind, id in big endian so that keys sort by it, part number.
fn key(kind: Kind, id: u32, part: u8) -> [u8; 6] {
    let [a, b, c, d] = id.to_be_bytes();
    [kind as u8, a, b, c, d, part]
}

fn checksum(key: &[u8], payload: &[u8]) -> [u8; CHECKSUM] {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(key);
    hasher.update(payload);
    hasher.finalize().to_le_bytes()
}

fn seal(key: &[u8], payload: &[u8]) -> Vec<u8> {
    [&checksum(key, payload)[..], payload].concat()
}

/// The payload of a sealed part.
fn unseal<'a>(path: &Path, key: &[u8], sealed: &'a [u8]) -> Result<&'a [u8]> {
    match sealed.split_at_checked(CHECKSUM) {
        Some((sum, payload)) if sum == checksum(key, payload) => Ok(payload),
        _ => Err(Error::corrupt(path, format!("the checksum of {} is wrong", describe(key)))),
    }
}

fn describe(key: &[u8]) -> String {
    match *key {
        [kind, a, b, c, d, part] => {
            let what = match kind {
                b'h' => "the header",
                b'r' => "record",
                b's' => "entry",
                b'v' => "vector",
                _ => "an unknown value",
            };
            format!("{what} {}, part {part},", u32::from_be_bytes([a, b, c, d]))
        }
        _ => format!("key {key:?}"),
    }
}

/// Adds a value to `batch`; `value` is at most [`LARGEST`] bytes.
pub(super) fn put(batch: &mut Batch, kind: Kind, id: u32, value: &[u8]) {
    let numbered = [&[part_count(value.len())], value].concat();
    for (part, payload) in (0u8..).zip(numbered.chunks(PART)) {
        let key = key(kind, id, part);
        batch.insert(&key, seal(&key, payload));
    }
}

/// How many parts a value of `length` bytes has.
fn part_count(length: usize) -> u8 {
    debug_assert!(length <= LARGEST);
    (length + 1).div_ceil(PART) as u8
}

/// Removes a value in `batch`, whatever its state: a damaged one can be removed too.
pub(super) fn remove(tree: &Tree, path: &Path, batch: &mut Batch, kind: Kind, id: u32) -> Result<()> {
    let mut keys = tree.scan_prefix(&key(kind, id, 0)[..5]).keys();
    while let Some(key) = attempt(path, "find a question's parts", || keys.next().transpose())? {
        batch.remove(key);
    }
    Ok(())
}

/// Reads a value.
pub(super) fn get(tree: &Tree, path: &Path, kind: Kind, id: u32) -> Result<Option<Vec<u8>>> {
    let part = |n: u8| attempt(path, "read a question", || tree.get(key(kind, id, n)));
    let Some(first) = part(0)? else { return Ok(None) };
    join(path, kind, id, &first, part).map(Some)
}

/// Puts a value together from its first part and, where there are more, those that `part` gives.
fn join(
    path: &Path,
    kind: Kind,
    id: u32,
    first: &IVec,
    mut part: impl FnMut(u8) -> Result<Option<IVec>>,
) -> Result<Vec<u8>> {
    let payload = unseal(path, &key(kind, id, 0), first)?;
    let Some((&count, start)) = payload.split_first() else {
        return Err(Error::corrupt(path, format!("{} is empty", describe(&key(kind, id, 0)))));
    };
    let mut value = start.to_vec();
    for n in 1..count {
        let key = key(kind, id, n);
        let sealed = part(n)?.ok_or_else(|| Error::corrupt(path, format!("{} is missing", describe(&key))))?;
        value.extend_from_slice(unseal(path, &key, &sealed)?);
    }
    Ok(value)
}

/// A value as a scan finds it. Most have one part, which is as sled has it and not copied.
pub(super) enum Value {
    OnePart(IVec),
    Joined(Vec<u8>),
}

impl Deref for Value {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        match self {
            Self::OnePart(sealed) => &sealed[CHECKSUM + 1..], // behind the number of parts
            Self::Joined(value) => value,
        }
    }
}

/// Ids of all values of a kind.
///
/// # Errors
/// sled cannot read its pages.
pub(super) fn ids(tree: &Tree, path: &Path, kind: Kind) -> Result<RoaringBitmap> {
    let (mut keys, mut ids) = (tree.scan_prefix([kind as u8]).keys(), RoaringBitmap::new());
    while let Some(key) = attempt(path, "read the questions", || keys.next().transpose())? {
        if let [_, a, b, c, d, _] = *key {
            ids.insert(u32::from_be_bytes([a, b, c, d]));
        }
    }
    Ok(ids)
}

/// The greatest id of a kind.
///
/// # Errors
/// sled cannot read its pages.
pub(super) fn last(tree: &Tree, path: &Path, kind: Kind) -> Result<Option<u32>> {
    let key = attempt(path, "read the questions", || tree.scan_prefix([kind as u8]).keys().next_back().transpose())?;
    Ok(key.map(|key| match *key {
        [_, a, b, c, d, _] => u32::from_be_bytes([a, b, c, d]),
        _ => u32::MAX, // not a key of ours; a scan says so
    }))
}

/// Ids that a scan looks at one by one where sled cannot read on, before it gives up: some dozen pages of them.
const MOST_LOST: u32 = 1024;

/// Values of a kind with ids in `range`, by id. A damaged one is an error in its place, and the scan goes on behind it.
pub(super) fn scan<'a>(tree: &'a Tree, path: &'a Path, kind: Kind, range: RangeInclusive<u32>) -> Scan<'a> {
    let (first, last) = range.into_inner();
    Scan { tree, path, kind, entries: entries(tree, kind, first, last), ahead: None, next: Some(first), last, lost: 0 }
}

fn entries(tree: &Tree, kind: Kind, first: u32, last: u32) -> Iter {
    tree.range(key(kind, first, 0)..=key(kind, last, u8::MAX))
}

/// See [`scan`].
pub(super) struct Scan<'a> {
    tree: &'a Tree,
    path: &'a Path,
    kind: Kind,
    entries: Iter,
    /// The entry behind the last value.
    ahead: Option<(IVec, IVec)>,
    /// The least id that the next value can have; none at the end.
    next: Option<u32>,
    last: u32,
    /// How many ids sled could not read, one after the other.
    lost: u32,
}

impl Scan<'_> {
    fn entry(&mut self) -> Result<Option<(IVec, IVec)>> {
        match self.ahead.take() {
            Some(entry) => Ok(Some(entry)),
            None => attempt(self.path, "read the questions", || self.entries.next().transpose()),
        }
    }

    /// The next value, or what is wrong with it.
    ///
    /// # Errors
    /// sled cannot read on from here.
    fn read_on(&mut self) -> Result<Option<(u32, Result<Value>)>> {
        let Some((found, first)) = self.entry()? else { return Ok(None) };
        let [_, a, b, c, d, number] = *found else {
            let comment = format!("{} is not one of a question", describe(&found));
            return Ok(Some((self.next.unwrap_or_default(), Err(Error::corrupt(self.path, comment)))));
        };
        let id = u32::from_be_bytes([a, b, c, d]);
        if number == 0
            && let Ok([1, ..]) = unseal(self.path, &found, &first)
        {
            // Most values have one part, and nothing behind it.
            self.ahead = self.entry()?;
            if self.ahead.as_ref().is_none_or(|(key, _)| key.get(1..5) != found.get(1..5)) {
                return Ok(Some((id, Ok(Value::OnePart(first)))));
            }
        }
        let mut parts = vec![(number, first)];
        while let Some((key, sealed)) = self.entry()? {
            match *key {
                [_, a, b, c, d, number] if u32::from_be_bytes([a, b, c, d]) == id => parts.push((number, sealed)),
                _ => {
                    self.ahead = Some((key, sealed));
                    break;
                }
            }
        }
        Ok(Some((id, self.assemble(id, &parts).map(Value::Joined))))
    }

    /// A value from all that lies under its id.
    fn assemble(&self, id: u32, parts: &[(u8, IVec)]) -> Result<Vec<u8>> {
        let [(0, first), ..] = parts else {
            let comment = format!("{} is missing", describe(&key(self.kind, id, 0)));
            return Err(Error::corrupt(self.path, comment));
        };
        let mut used = 1;
        let value = join(self.path, self.kind, id, first, |n| {
            used += 1;
            Ok(parts.get(usize::from(n)).filter(|(number, _)| *number == n).map(|(_, sealed)| sealed.clone()))
        })?;
        match parts.get(used) {
            Some((extra, _)) => {
                let comment = format!("{} is behind its last", describe(&key(self.kind, id, *extra)));
                Err(Error::corrupt(self.path, comment))
            }
            None => Ok(value),
        }
    }

    /// Where to go on behind `id`.
    fn pass(&mut self, id: u32) {
        self.next = id.checked_add(1).filter(|next| *next <= self.last);
    }
}

impl Iterator for Scan<'_> {
    type Item = (u32, Result<Value>);

    fn next(&mut self) -> Option<Self::Item> {
        while let Some(from) = self.next {
            match self.read_on() {
                Ok(Some((id, value))) => {
                    self.lost = 0;
                    self.pass(id);
                    return Some((id, value));
                }
                Ok(None) => self.next = None,
                Err(error) => {
                    // sled stands still where it cannot read a page. A look at each id finds the end of that page.
                    self.pass(from);
                    self.lost += 1;
                    if self.lost > MOST_LOST {
                        self.next = None;
                        return Some((from, Err(error)));
                    }
                    let found = get(self.tree, self.path, self.kind, from);
                    if let Some(next) = self.next {
                        (self.entries, self.ahead) = (entries(self.tree, self.kind, next, self.last), None);
                    }
                    match found {
                        Ok(None) => {}
                        Ok(Some(value)) => return Some((from, Ok(Value::Joined(value)))),
                        Err(error) => return Some((from, Err(error))),
                    }
                }
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn tree() -> sled::Db {
        sled::Config::new().temporary(true).open().unwrap()
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(16))]
        #[test]
        fn values_of_any_length_come_back(lengths in prop::collection::vec(0usize..20_000, 1..8)) {
            let (tree, path) = (tree(), Path::new("db"));
            let mut batch = Batch::default();
            let values: Vec<_> = (0u32..).zip(&lengths).map(|(id, &n)| (id, vec![id as u8 ^ n as u8; n])).collect();
            values.iter().for_each(|(id, value)| put(&mut batch, Kind::Record, *id, value));
            tree.apply_batch(batch).unwrap();
            let found = |range| scan(&tree, path, Kind::Record, range).map(|(id, v)| (id, v.unwrap().to_vec())).collect::<Vec<_>>();
            prop_assert_eq!(found(0..=u32::MAX), values.clone());
            prop_assert_eq!(found(1..=3), values.iter().filter(|(id, _)| (1..=3).contains(id)).cloned().collect::<Vec<_>>());
            prop_assert_eq!(ids(&tree, path, Kind::Record).unwrap().len(), values.len() as u64);
            let mut batch = Batch::default();
            for (id, value) in &values {
                prop_assert_eq!(get(&tree, path, Kind::Record, *id).unwrap(), Some(value.clone()));
                remove(&tree, path, &mut batch, Kind::Record, *id).unwrap();
            }
            tree.apply_batch(batch).unwrap();
            prop_assert!(tree.is_empty());
        }
    }

    #[test]
    fn the_largest_value_fits() {
        assert_eq!(part_count(LARGEST), 255);
        assert_eq!((part_count(0), part_count(PART - 1), part_count(PART)), (1, 1, 2));
    }

    #[test]
    fn every_flipped_byte_missing_part_and_wrong_place_is_noticed() {
        let (tree, path) = (tree(), Path::new("db"));
        let mut batch = Batch::default();
        put(&mut batch, Kind::Vector, 7, &vec![9; 5000]);
        tree.apply_batch(batch).unwrap();
        let key = |part| super::key(Kind::Vector, 7, part);
        let whole = tree.get(key(1)).unwrap().unwrap();
        for at in [0, 3, 4, whole.len() - 1] {
            let mut bytes = whole.to_vec();
            bytes[at] ^= 1;
            tree.insert(key(1), bytes).unwrap();
            assert!(matches!(get(&tree, path, Kind::Vector, 7), Err(Error::DataCorruption { .. })));
        }
        tree.remove(key(1)).unwrap();
        assert!(get(&tree, path, Kind::Vector, 7).unwrap_err().to_string().contains("missing"));
        let scanned = |id| scan(&tree, path, Kind::Vector, 0..=u32::MAX).find(|(found, _)| *found == id).unwrap().1;
        assert!(scanned(7).err().unwrap().to_string().contains("missing"));
        let first = tree.get(key(0)).unwrap().unwrap();
        tree.insert(super::key(Kind::Vector, 8, 0), first).unwrap();
        assert!(matches!(get(&tree, path, Kind::Vector, 8), Err(Error::DataCorruption { .. })));
    }

    #[test]
    fn a_scan_goes_on_behind_what_is_damaged() {
        let (tree, path) = (tree(), Path::new("db"));
        let mut batch = Batch::default();
        (0..6).for_each(|id| put(&mut batch, Kind::Record, id, &vec![id as u8; 5000]));
        tree.apply_batch(batch).unwrap();
        let key = |id, part| super::key(Kind::Record, id, part);
        tree.remove(key(1, 0)).unwrap();
        tree.remove(key(2, 1)).unwrap();
        tree.insert(key(3, 0), b"nonsense").unwrap();
        tree.insert(key(4, 2), tree.get(key(4, 1)).unwrap().unwrap()).unwrap();
        let found: Vec<_> = scan(&tree, path, Kind::Record, 0..=u32::MAX).collect();
        assert_eq!(found.iter().map(|(id, _)| *id).collect::<Vec<_>>(), [0, 1, 2, 3, 4, 5]);
        let faults = ["", "part 0, is missing", "part 1, is missing", "checksum", "part 2, is behind its last", ""];
        for ((id, value), fault) in found.iter().zip(faults) {
            match value {
                Ok(value) => assert!(fault.is_empty() && **value == [*id as u8; 5000]),
                Err(error) => assert!(!fault.is_empty() && error.to_string().contains(fault), "{id}: {error}"),
            }
        }
    }
}
