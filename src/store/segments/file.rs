//! One file of vectors that never change.

use std::fs::File;
use std::io::Write;
use std::ops::Range;
use std::path::{Path, PathBuf};

use memmap2::Mmap;

use super::super::whole_file::WholeFile;
use crate::{Error, Result};

/// The first and the last bytes of a file. As in PNG, a copy that took it for text breaks it at once.
const MAGIC: [u8; 12] = *b"\x89simseg\r\n\x1a\n\0";

/// Version of the format; raised when an older program could not read what is written.
const VERSION: u32 = 1;

/// Sections start at multiples of this: pages, and so cache lines.
const PAGE: usize = 4096;

/// Bytes of a section under one checksum.
const CHUNK: usize = 1 << 18;

/// Bytes of a row are a multiple of this, a cache line.
const LINE: usize = 64;

/// Bytes in front of the first section, and behind the table.
const HEAD: usize = 16;
const FOOT: usize = 36;

/// Sections of the store's own; those of its callers have other tags.
const IDS: u32 = 0;
const VECTORS: u32 = 1;
const SUMS: u32 = 2;
const OWN: u32 = 16;

const _: () = assert!(cfg!(target_endian = "little"), "files are written as numbers lie in memory");

/// What a segment's file is made of.
pub struct SegmentParts<'a> {
    /// Ascending.
    pub ids: &'a [u32],
    /// One for each id, in their order, each as wide as the bank's vectors.
    pub vectors: Box<dyn Iterator<Item = &'a [f32]> + 'a>,
    /// What else belongs to them, under tags of the caller's: bytes that this room knows nothing of. They can be made
    /// again of the vectors.
    pub derived: &'a [(u32, &'a [u8])],
}

/// Vectors under ids, and what was derived of them, in a file that never changes and is mapped into memory.
///
/// | bytes | what |
/// |---|---|
/// | 16 | `MAGIC`, version (u32) |
/// | … | sections, each from a page on: ids; vectors, padded to cache lines; a CRC-32 for each vector; derived ones |
/// | … | the table: tag, offset, length and checksums of each section |
/// | 36 | number, width, vectors, length of the table, CRC-32 of table and these, length of the file (u32 each), `MAGIC` |
///
/// A section has a CRC-32 for each 256 KiB; the vectors have one each, over id and components, so that a damaged one can
/// be named, and is found without a look at the others. Numbers are in little endian.
#[derive(Debug)]
pub struct SegmentFile {
    number: u32,
    path: PathBuf,
    map: Mmap,
    dimension: usize,
    sections: Vec<Section>,
    ids: Range<usize>,
    vectors: Range<usize>,
    sums: Range<usize>,
    /// CRC-32 of the table, by which the manifest knows the file.
    fingerprint: u32,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Section {
    tag: u32,
    range: Range<usize>,
    /// Of each chunk; none for the vectors.
    sums: Vec<u32>,
}

fn vector_sum(id: u32, components: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(&id.to_le_bytes());
    hasher.update(components);
    hasher.finalize()
}

/// Writes sections one after the other.
struct Writer {
    file: std::io::BufWriter<WholeFile>,
    at: usize,
    table: Vec<Section>,
    path: PathBuf,
}

impl Writer {
    fn write(&mut self, bytes: &[u8]) -> Result<()> {
        self.at += bytes.len();
        self.file.write_all(bytes).map_err(|e| Error::io("write a segment", &self.path, e))
    }

    fn pad(&mut self, to: usize) -> Result<()> {
        let zeros = self.at.next_multiple_of(to) - self.at;
        self.write(&[0; PAGE][..zeros])
    }

    fn section(&mut self, tag: u32, bytes: &[u8]) -> Result<()> {
        self.pad(PAGE)?;
        let range = self.at..self.at + bytes.len();
        self.table.push(Section { tag, range, sums: bytes.chunks(CHUNK).map(crc32fast::hash).collect() });
        self.write(bytes)
    }
}

impl SegmentFile {
    /// Writes segment `number` to `path`; whole and on the disk when this returns, and not there before.
    ///
    /// # Errors
    /// A vector has another width, there are more or fewer than ids, or the disk fails. Nothing is left then.
    pub(super) fn write(path: &Path, number: u32, dimension: usize, parts: SegmentParts<'_>) -> Result<Self> {
        let file = std::io::BufWriter::with_capacity(1 << 20, WholeFile::create(path, true)?);
        let mut writer = Writer { file, at: 0, table: Vec::new(), path: path.to_owned() };
        writer.write(&MAGIC)?;
        writer.write(&VERSION.to_le_bytes())?;
        writer.section(IDS, bytemuck::cast_slice(parts.ids))?;
        writer.pad(PAGE)?;
        let (start, mut sums) = (writer.at, Vec::with_capacity(parts.ids.len()));
        for vector in parts.vectors {
            let id = parts.ids.get(sums.len()).filter(|_| vector.len() == dimension);
            let wrong = || Error::Internal(format!("vector {} of a segment is too many or too wide", sums.len()));
            let id = *id.ok_or_else(wrong)?;
            let components = bytemuck::cast_slice(vector);
            sums.push(vector_sum(id, components));
            writer.write(components)?;
            writer.pad(LINE)?;
        }
        if sums.len() != parts.ids.len() {
            return Err(Error::Internal(format!("{} vectors for {} ids", sums.len(), parts.ids.len())));
        }
        writer.table.push(Section { tag: VECTORS, range: start..writer.at, sums: Vec::new() });
        writer.section(SUMS, bytemuck::cast_slice(&sums))?;
        for &(tag, bytes) in parts.derived {
            debug_assert!(tag >= OWN);
            writer.section(tag, bytes)?;
        }
        let mut table = Vec::new();
        for Section { tag, range, sums } in &writer.table {
            table.extend(tag.to_le_bytes());
            table.extend((range.start as u64).to_le_bytes());
            table.extend((range.len() as u64).to_le_bytes());
            table.extend((sums.len() as u32).to_le_bytes());
            table.extend(bytemuck::cast_slice::<u32, u8>(sums));
        }
        let length = writer.at + table.len() + FOOT;
        let mut foot: Vec<u8> = [number, dimension as u32, sums.len() as u32, table.len() as u32]
            .into_iter()
            .flat_map(u32::to_le_bytes)
            .collect();
        let mut hasher = crc32fast::Hasher::new();
        hasher.update(&table);
        hasher.update(&foot);
        foot.extend(hasher.finalize().to_le_bytes());
        foot.extend((length as u32).to_le_bytes()); // its lower half is enough to notice a torn end
        foot.extend(MAGIC);
        writer.write(&table)?;
        writer.write(&foot)?;
        let file = writer.file.into_inner().map_err(|e| Error::io("write a segment", path, e.into_error()))?;
        file.finish()?;
        Self::open(path, number, dimension)
    }

    /// Opens segment `number`; all that is small is checked: the table, the ids, and the vectors' checksums.
    ///
    /// # Errors
    /// The file is missing, cut, damaged, another's, or written by a newer program.
    pub(crate) fn open(path: &Path, number: u32, dimension: usize) -> Result<Self> {
        let damaged = |what: String| Error::corrupt(path, what);
        let file = File::open(path).map_err(|e| match e.kind() {
            std::io::ErrorKind::NotFound => damaged("it is missing".to_owned()),
            _ => Error::io("open a segment", path, e),
        })?;
        // SAFETY: nobody changes the file while it is mapped: it is in a folder that this process has locked, is never
        // written again once it has its name, and stays mapped when it is removed.
        let map = unsafe { Mmap::map(&file) }.map_err(|e| Error::io("map a segment", path, e))?;
        let torn = || damaged("it is cut short, or no segment".to_owned());
        let head = map.get(..HEAD).ok_or_else(torn)?;
        let (body, foot) = map.split_at_checked(map.len().wrapping_sub(FOOT)).ok_or_else(torn)?;
        if head[..12] != MAGIC || foot[24..] != MAGIC {
            return Err(torn());
        }
        let numbers = |bytes: &[u8]| -> Vec<u32> {
            bytes.as_chunks::<4>().0.iter().map(|bytes| u32::from_le_bytes(*bytes)).collect()
        };
        let version = numbers(&head[12..])[0];
        if version != VERSION {
            let expected = format!("{VERSION}, the one that this version of simbert reads");
            // Callers from elsewhere read this, whom the folder does not concern.
            let name = path.file_name().unwrap_or_default().display();
            return Err(Error::invalid(format!("format of segment {name}"), expected, version));
        }
        let foot_numbers = numbers(&foot[..24]);
        let [found, width, vectors, table, sum, length] = foot_numbers[..] else { return Err(torn()) };
        let table = body.len().checked_sub(table as usize).map(|start| &body[start..]).ok_or_else(torn)?;
        let mut hasher = crc32fast::Hasher::new();
        hasher.update(table);
        hasher.update(&foot[..16]);
        if !super::super::sums_agree(hasher.finalize(), sum) || length != map.len() as u32 {
            return Err(damaged("the checksum of its table is wrong".to_owned()));
        }
        if (found, width as usize) != (number, dimension) {
            let what = format!("expected segment {number}, {dimension} wide, found segment {found}, {width} wide");
            return Err(damaged(what));
        }
        let sections = sections(table, body.len()).ok_or_else(|| damaged("its table is malformed".to_owned()))?;
        let range = |tag| sections.iter().find(|section| section.tag == tag).map(|section| section.range.clone());
        let own = [IDS, VECTORS, SUMS].map(range);
        let [Some(ids), Some(rows), Some(sums)] = own else { return Err(damaged("it lacks a section".to_owned())) };
        let n = vectors as usize;
        if [ids.len(), sums.len(), rows.len()] != [4 * n, 4 * n, n * stride(dimension)] {
            return Err(damaged("its sections are of other sizes than its vectors".to_owned()));
        }
        let path = path.to_owned();
        let this = Self { number, path, dimension, sections, ids, vectors: rows, sums, fingerprint: sum, map };
        this.section(IDS)?;
        this.section(SUMS)?;
        if !this.ids().is_sorted_by(|a, b| a < b) {
            return Err(Error::corrupt(&this.path, "its ids are in no order"));
        }
        Ok(this)
    }

    /// Its number in its bank, which is given to no other.
    pub fn number(&self) -> u32 {
        self.number
    }

    /// Where it lies.
    pub fn path(&self) -> &Path {
        &self.path
    }

    pub(super) fn fingerprint(&self) -> u32 {
        self.fingerprint
    }

    /// Bytes of the file.
    pub fn bytes(&self) -> u64 {
        self.map.len() as u64
    }

    /// Ids of its vectors, ascending; some may be of questions that are gone.
    pub fn ids(&self) -> &[u32] {
        bytemuck::cast_slice(&self.map[self.ids.clone()])
    }

    /// All vectors in the order of the ids, unchecked, each padded with zeros to whole cache lines.
    pub fn rows(&self) -> &[u8] {
        &self.map[self.vectors.clone()]
    }

    /// What was derived of the vectors under a tag of the caller's, if there is such.
    ///
    /// # Errors
    /// A checksum is wrong.
    pub fn derived(&self, tag: u32) -> Result<Option<&[u8]>> {
        self.sections.iter().any(|section| section.tag == tag).then(|| self.section(tag)).transpose()
    }

    fn section(&self, tag: u32) -> Result<&[u8]> {
        let section = self.sections.iter().find(|section| section.tag == tag);
        let section = section.ok_or_else(|| Error::Internal(format!("a segment without section {tag}")))?;
        let bytes = &self.map[section.range.clone()];
        let found = bytes.chunks(CHUNK).map(crc32fast::hash);
        if found.zip(&section.sums).any(|(found, sum)| !super::super::sums_agree(found, *sum)) {
            return Err(Error::corrupt(&self.path, format!("a checksum of its section {tag} is wrong")));
        }
        Ok(bytes)
    }

    /// Refuses what was derived where it is not as it was written.
    ///
    /// # Errors
    /// Names the first section that is damaged.
    pub(in super::super) fn check_derived(&self) -> Result<()> {
        self.sections
            .iter()
            .filter(|section| section.tag >= OWN)
            .try_for_each(|section| self.section(section.tag).map(drop))
    }

    /// The vector in a row, by its number in the order of the ids, and none where there is no such row.
    ///
    /// # Errors
    /// Its checksum is wrong.
    pub fn vector(&self, row: usize) -> Result<Option<&[f32]>> {
        let Some(&id) = self.ids().get(row) else { return Ok(None) };
        let components = &self.rows()[row * stride(self.dimension)..][..4 * self.dimension];
        let sums: &[u32] = bytemuck::cast_slice(&self.map[self.sums.clone()]);
        if !super::super::sums_agree(vector_sum(id, components), sums[row]) {
            let name = self.path.file_name().unwrap_or_default().display().to_string();
            return Err(Error::corrupt(&self.path, format!("the checksum of vector {id} in {name} is wrong")));
        }
        Ok(Some(bytemuck::cast_slice(components)))
    }
}

/// Bytes from one vector to the next.
fn stride(dimension: usize) -> usize {
    (4 * dimension).next_multiple_of(LINE)
}

/// The sections that a table names, all of them within the first `length` bytes of the file.
fn sections(mut table: &[u8], length: usize) -> Option<Vec<Section>> {
    let mut take = |n: usize| {
        let (taken, rest) = table.split_at_checked(n)?;
        table = rest;
        Some(taken)
    };
    let mut sections = Vec::new();
    while let Some(head) = take(24) {
        let long = |at: usize| Some(u64::from_le_bytes(head[at..at + 8].try_into().ok()?) as usize);
        let short = |at: usize| Some(u32::from_le_bytes(head[at..at + 4].try_into().ok()?));
        let (tag, start, bytes, sums) = (short(0)?, long(4)?, long(12)?, short(20)? as usize);
        let sums = take(sums.checked_mul(4)?)?;
        let sums: Vec<u32> = sums.as_chunks::<4>().0.iter().map(|bytes| u32::from_le_bytes(*bytes)).collect();
        let range = start..start.checked_add(bytes).filter(|end| *end <= length)?;
        if !start.is_multiple_of(PAGE) || (tag != VECTORS && sums.len() != bytes.div_ceil(CHUNK)) {
            return None;
        }
        sections.push(Section { tag, range, sums });
    }
    table.is_empty().then_some(sections)
}

#[cfg(test)]
mod tests {
    use super::*;

    const WIDTH: usize = 20;

    fn vectors(n: u32) -> (Vec<u32>, Vec<Vec<f32>>) {
        ((0..n).map(|i| 3 * i + 1).collect(), (0..n).map(|i| vec![i as f32; WIDTH]).collect())
    }

    fn written(path: &Path, n: u32) -> SegmentFile {
        let (ids, vectors) = vectors(n);
        let derived = [(16, &b"a graph"[..]), (17, &[7; CHUNK + 1][..])];
        let rows = Box::new(vectors.iter().map(Vec::as_slice));
        SegmentFile::write(path, 5, WIDTH, SegmentParts { ids: &ids, vectors: rows, derived: &derived }).unwrap()
    }

    #[test]
    fn what_was_written_is_read() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("5.seg");
        for n in [0, 1, 300] {
            let file = written(&path, n);
            let (ids, vectors) = vectors(n);
            assert_eq!((file.ids(), file.number()), (&ids[..], 5));
            for (row, vector) in vectors.iter().enumerate() {
                assert_eq!(file.vector(row).unwrap(), Some(&vector[..]));
            }
            assert_eq!(file.vector(n as usize).unwrap(), None);
            assert_eq!(file.derived(16).unwrap(), Some(&b"a graph"[..]));
            assert_eq!(file.derived(17).unwrap().unwrap().len(), CHUNK + 1);
            assert_eq!(file.derived(18).unwrap(), None);
            assert_eq!(file.bytes(), std::fs::metadata(&path).unwrap().len());
            file.check_derived().unwrap();
        }
    }

    #[test]
    fn wrong_vectors_leave_no_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("5.seg");
        for (ids, width) in [(&[1, 2][..], WIDTH), (&[1, 2, 3], WIDTH - 1), (&[1, 2, 3, 4], WIDTH)] {
            let vector = vec![0.5; width];
            let parts = SegmentParts { ids, vectors: Box::new([&vector[..]; 3].into_iter()), derived: &[] };
            assert!(SegmentFile::write(&path, 5, WIDTH, parts).is_err());
            assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
        }
    }

    #[test]
    fn every_flipped_byte_and_every_cut_is_noticed() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("5.seg");
        drop(written(&path, 30));
        let whole = std::fs::read(&path).unwrap();
        let noticed = |bytes: &[u8]| {
            std::fs::write(&path, bytes).unwrap();
            let Ok(file) = SegmentFile::open(&path, 5, WIDTH) else { return true };
            file.check_derived().is_err() || (0..30).any(|row| file.vector(row).is_err())
        };
        assert!(!noticed(&whole));
        let mut unnoticed = 0;
        for at in (0..whole.len()).filter(|at| at % 61 == 0 || *at > whole.len() - 200) {
            let mut bytes = whole.clone();
            bytes[at] ^= 4;
            if !noticed(&bytes) {
                assert_eq!(whole[at], 0, "byte {at}");
                unnoticed += 1;
            }
        }
        let padding = whole.len() - CHUNK - 30 * 4 * WIDTH;
        assert!(unnoticed <= padding / 61 + 1, "{unnoticed}: more than the padding");
        for length in [0, 1, 15, 40, 4096, whole.len() / 2, whole.len() - 1] {
            assert!(noticed(&whole[..length]), "{length} bytes");
        }
        std::fs::write(&path, &whole).unwrap();
        assert!(SegmentFile::open(&path, 6, WIDTH).is_err(), "another number");
        assert!(SegmentFile::open(&path, 5, WIDTH + 1).is_err(), "another width");
        std::fs::remove_file(&path).unwrap();
        let missing = SegmentFile::open(&path, 5, WIDTH).unwrap_err();
        assert!(matches!(missing, Error::DataCorruption { .. }), "{missing}");
    }
}
