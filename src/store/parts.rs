//! Values in sealed parts.
//!
//! sled keeps a page of more than 128 KiB in a file of its own, which it never fsyncs; a page holds some 17 values.
//! So a value is cut into parts of 4 KiB, which keeps every page inside the log, and the log is fsynced.
//!
//! A part is `crc32(key, payload)` in little endian, then the payload; the key is inside the checksum, so a part that
//! turns up under another key is noticed too. Part 0 starts with the number of parts.

use std::path::Path;

use sled::{Batch, IVec, Tree};

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
pub(super) fn remove(tree: &Tree, batch: &mut Batch, kind: Kind, id: u32) -> Result<()> {
    for part in tree.scan_prefix(&key(kind, id, 0)[..5]).keys() {
        batch.remove(part.map_err(|e| Error::store("find a question's parts", e))?);
    }
    Ok(())
}

/// Reads a value.
pub(super) fn get(tree: &Tree, path: &Path, kind: Kind, id: u32) -> Result<Option<Vec<u8>>> {
    let part = |n: u8| tree.get(key(kind, id, n)).map_err(|e| Error::store("read a question", e));
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

/// All values of a kind, by id.
pub(super) fn scan<'a>(tree: &Tree, path: &'a Path, kind: Kind) -> impl Iterator<Item = Result<(u32, Vec<u8>)>> + 'a {
    let mut entries = tree.scan_prefix([kind as u8]);
    std::iter::from_fn(move || {
        let (found, first) = match entries.next()? {
            Ok(entry) => entry,
            Err(e) => return Some(Err(Error::store("read the questions", e))),
        };
        let [_, a, b, c, d, 0] = *found else {
            return Some(Err(Error::corrupt(path, format!("{} has no first part", describe(&found)))));
        };
        let id = u32::from_be_bytes([a, b, c, d]);
        let next = |n| match entries.next() {
            Some(Ok((found, sealed))) => Ok((*found == key(kind, id, n)).then_some(sealed)),
            Some(Err(e)) => Err(Error::store("read the questions", e)),
            None => Ok(None),
        };
        Some(join(path, kind, id, &first, next).map(|value| (id, value)))
    })
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
            prop_assert_eq!(scan(&tree, path, Kind::Record).collect::<Result<Vec<_>>>().unwrap(), values.clone());
            let mut batch = Batch::default();
            for (id, value) in &values {
                prop_assert_eq!(get(&tree, path, Kind::Record, *id).unwrap(), Some(value.clone()));
                remove(&tree, &mut batch, Kind::Record, *id).unwrap();
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
        assert!(scan(&tree, path, Kind::Vector).any(|value| value.is_err()));
        let first = tree.get(key(0)).unwrap().unwrap();
        tree.insert(super::key(Kind::Vector, 8, 0), first).unwrap();
        assert!(matches!(get(&tree, path, Kind::Vector, 8), Err(Error::DataCorruption { .. })));
    }
}
