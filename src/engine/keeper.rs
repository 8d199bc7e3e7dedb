//! Keeps a bank's segments in its store, and takes them in again.

use std::sync::Arc;

use roaring::RoaringBitmap;

use crate::index::{Frozen, FrozenParts, Keeper, Quantisation, Segments, StoredRows};
use crate::store::{SegmentFile, SegmentParts, Store};
use crate::{Error, Result};

/// What a segment's file has beside its vectors. The tags are for good.
const SHAPE: u32 = 16;
const NUMBERS: u32 = 17;
const TWINS: u32 = 18;
const CODES: u32 = 19;
const SCALES: u32 = 20;
/// The lowest layer; the others follow.
const LAYERS: u32 = 32;

/// Keeps segments as files of a store.
pub(super) struct StoreKeeper(pub(super) Arc<Store>);

#[derive(Debug)]
struct Rows(Arc<SegmentFile>);

impl StoredRows for Rows {
    fn bytes(&self) -> &[u8] {
        self.0.rows()
    }
    fn check(&self, number: u32) -> Result<()> {
        self.0.vector(number as usize).map(drop)
    }
}

impl Keeper for StoreKeeper {
    fn keep(&self, made: &Frozen, dead: &RoaringBitmap) -> Result<Arc<dyn StoredRows>> {
        let FrozenParts { ids, numbers, twins, links, layers, codes, scales } = made.parts();
        let quantisation = Quantisation::ALL.iter().position(|known| *known == made.quantisation());
        let shape = [links as u32, quantisation.unwrap_or_default() as u32]; // all are in `ALL`
        let mut derived: Vec<(u32, &[u8])> = vec![
            (SHAPE, bytemuck::cast_slice(&shape)),
            (NUMBERS, bytemuck::cast_slice(numbers)),
            (TWINS, bytemuck::cast_slice(twins)),
            (CODES, codes),
            (SCALES, bytemuck::cast_slice(scales)),
        ];
        derived.extend((LAYERS..).zip(layers.iter().map(|layer| bytemuck::cast_slice(layer))));
        let vectors = Box::new(made.vectors());
        let file = self.0.keep(SegmentParts { ids, vectors, derived: &derived }, dead)?;
        Ok(Arc::new(Rows(file)))
    }

    fn forget(&self, dead: &RoaringBitmap) -> Result<()> {
        self.0.forget(dead)
    }
}

/// A segment as its file has it, and nothing where the file is one of vectors only.
///
/// # Errors
/// What belongs to the vectors is damaged.
pub(super) fn read(file: &Arc<SegmentFile>, dimension: usize) -> Result<Option<Frozen>> {
    let Some(shape) = file.derived(SHAPE)? else { return Ok(None) };
    let malformed = || Error::corrupt(file.path(), "its shape is malformed");
    let Ok(&[links, quantisation]) = bytemuck::try_cast_slice::<u8, u32>(shape) else { return Err(malformed()) };
    let quantisation = *Quantisation::ALL.get(quantisation as usize).ok_or_else(malformed)?;
    let section =
        |tag| file.derived(tag)?.ok_or_else(|| Error::corrupt(file.path(), format!("it lacks section {tag}")));
    let mut layers = Vec::new();
    for tag in LAYERS.. {
        let Some(layer) = file.derived(tag)? else { break };
        layers.push(words(file, layer)?);
    }
    let parts = FrozenParts {
        ids: file.ids(),
        numbers: words(file, section(NUMBERS)?)?,
        twins: words(file, section(TWINS)?)?,
        links: links as usize,
        layers,
        codes: section(CODES)?,
        scales: words(file, section(SCALES)?)?,
    };
    Frozen::from_parts(dimension, quantisation, &parts, Arc::new(Rows(Arc::clone(file)))).map(Some)
}

fn words<'a, T: bytemuck::Pod>(file: &SegmentFile, bytes: &'a [u8]) -> Result<&'a [T]> {
    bytemuck::try_cast_slice(bytes).map_err(|_| Error::corrupt(file.path(), "a section is no list of numbers"))
}

/// Takes a file's vectors into an index; with their graph where it was [`read`], and to be given one otherwise. Says
/// whether the graph was damaged.
///
/// # Errors
/// One of its ids was taken in before.
pub(super) fn adopt(
    index: &Segments,
    file: &Arc<SegmentFile>,
    read: Result<Option<Frozen>>,
    live: &RoaringBitmap,
) -> Result<bool> {
    let damaged = match read {
        Ok(Some(frozen)) => return index.adopt(frozen, live).map(|()| false),
        Ok(None) => false,
        Err(error) => {
            tracing::warn!(segment = file.number(), %error, "a graph is damaged; it is made again of its vectors");
            true
        }
    };
    index.adopt_rows(file.ids(), Arc::new(Rows(Arc::clone(file))), live)?;
    Ok(damaged)
}
