//! A finished graph as a few flat arrays.

use super::aligned::Aligned;
use super::distance::prefetch;
use crate::{Error, Result};

/// Whose neighbours a walk asks for.
pub(super) trait Links {
    /// Calls `found` with each neighbour of `node` in `layer`, and perhaps with `node` itself.
    ///
    /// # Safety
    /// `node` is in `layer`.
    unsafe fn each(&self, layer: usize, node: u32, found: impl FnMut(u32));

    /// Has the neighbours of `node` in the lowest layer fetched.
    fn prefetch(&self, node: u32);

    /// The number of the highest layer.
    fn top(&self) -> usize;
}

/// A hierarchical graph (Malkov & Yashunin 2018) whose nodes are numbered by their levels, the highest first.
///
/// So the nodes of each layer are the first ones, a walk enters at node 0, and a layer is one array of `u32`:
/// neighbours at a fixed stride, a shorter list filled up with the node's own number. All of a walk's trust in the
/// arrays rests on [`FlatGraph::from_parts`], the only way to make one.
#[derive(Debug)]
pub(super) struct FlatGraph {
    /// Neighbours of a node in the upper layers at most; twice that in the lowest.
    links: usize,
    /// The lowest first; one at least.
    layers: Vec<Layer>,
}

#[derive(Debug)]
struct Layer {
    nodes: usize,
    stride: usize,
    /// `[nodes × stride]`, rounded up to a line.
    neighbours: Aligned,
}

/// Neighbours that a node has room for in a layer.
pub(super) fn stride(links: usize, layer: usize) -> usize {
    if layer == 0 { 2 * links } else { links }
}

impl FlatGraph {
    /// A graph of the lowest layer first, each `[nodes × stride]`.
    ///
    /// # Errors
    /// A layer is not whole, one is larger than that below it, or a neighbour is not in its layer.
    pub(super) fn from_parts<'a>(links: usize, parts: impl IntoIterator<Item = &'a [u32]>) -> Result<Self> {
        let mut layers: Vec<Layer> = Vec::new();
        for neighbours in parts {
            let stride = stride(links, layers.len());
            let most = layers.last().map_or(u32::MAX as usize, |below| below.nodes);
            let nodes = neighbours.len().checked_div(stride).unwrap_or(0);
            if !neighbours.len().is_multiple_of(stride.max(1)) || nodes == 0 || nodes > most {
                let what = format!("layer {} of a graph", layers.len());
                let expected = format!("lists of {stride} neighbours, for 1 to {most} nodes");
                return Err(Error::invalid(what, expected, format!("{} numbers", neighbours.len())));
            }
            if let Some(bad) = neighbours.iter().find(|&&id| id as usize >= nodes) {
                let what = format!("neighbour in layer {} of a graph", layers.len());
                return Err(Error::invalid(what, format!("a node below {nodes}"), bad));
            }
            let neighbours = Aligned::copy_of(bytemuck::cast_slice(neighbours));
            layers.push(Layer { nodes, stride, neighbours });
        }
        if layers.is_empty() {
            return Err(Error::invalid("graph", "one layer or more", "none"));
        }
        Ok(Self { links, layers })
    }

    /// Number of nodes, 1 or more.
    pub(super) fn len(&self) -> usize {
        self.layers[0].nodes // `from_parts` refuses a graph without layers
    }

    /// Neighbours of a node in the upper layers at most.
    pub(super) fn links(&self) -> usize {
        self.links
    }

    /// The layers, lowest first, as [`FlatGraph::from_parts`] takes them.
    pub(super) fn parts(&self) -> impl Iterator<Item = &[u32]> {
        self.layers.iter().map(|layer| &layer.neighbours.as_ref()[..layer.nodes * layer.stride])
    }

    /// Bytes in memory.
    pub(super) fn bytes(&self) -> usize {
        self.layers.iter().map(|layer| layer.neighbours.len()).sum()
    }
}

impl Links for FlatGraph {
    #[inline(always)]
    unsafe fn each(&self, layer: usize, node: u32, found: impl FnMut(u32)) {
        // SAFETY: the caller names a node of a layer that is there; each has `stride` neighbours.
        let neighbours = unsafe {
            let layer = self.layers.get_unchecked(layer);
            let start = node as usize * layer.stride;
            layer.neighbours.as_ref::<u32>().get_unchecked(start..start + layer.stride)
        };
        neighbours.iter().copied().for_each(found);
    }

    #[inline(always)]
    fn prefetch(&self, node: u32) {
        let Layer { stride, neighbours, .. } = &self.layers[0];
        let start = neighbours.as_ptr().wrapping_add(node as usize * stride * size_of::<u32>());
        for line in 0..(stride * size_of::<u32>()).div_ceil(64).min(4) {
            prefetch(start.wrapping_add(64 * line));
        }
    }

    fn top(&self) -> usize {
        self.layers.len() - 1
    }
}
