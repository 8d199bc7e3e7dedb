//! Large arrays: aligned to cache lines, on huge pages where the system has them.

use bytemuck::{Pod, Zeroable};

/// One cache line.
#[repr(C, align(64))]
#[derive(Debug, Clone, Copy, Zeroable, Pod)]
struct Line([u8; 64]);

/// From so many bytes on, an array asks for huge pages: a walk jumps about, and with pages of 4 KiB nearly each jump
/// misses the table of pages too.
const HUGE_FROM: usize = 4 << 20;

/// Bytes that start at a cache line. Its length is rounded up to whole lines of zeros.
#[derive(Debug, Clone, Default)]
pub(super) struct Aligned(Vec<Line>);

impl Aligned {
    pub(super) fn zeroed(bytes: usize) -> Self {
        let lines = bytes.div_ceil(size_of::<Line>());
        let mut all = roomy(lines);
        all.resize(lines, Line::zeroed());
        Self(all)
    }

    pub(super) fn copy_of(bytes: &[u8]) -> Self {
        let mut all = Self::zeroed(bytes.len());
        all.as_mut::<u8>()[..bytes.len()].copy_from_slice(bytes);
        all
    }

    /// As components, of which a line holds a whole number.
    pub(super) fn as_ref<T: Pod>(&self) -> &[T] {
        bytemuck::cast_slice(&self.0)
    }

    /// As components, of which a line holds a whole number.
    pub(super) fn as_mut<T: Pod>(&mut self) -> &mut [T] {
        bytemuck::cast_slice_mut(&mut self.0)
    }

    pub(super) fn as_ptr(&self) -> *const u8 {
        self.0.as_ptr().cast()
    }

    /// Forgets all but the first bytes, and frees their room.
    pub(super) fn truncate(&mut self, bytes: usize) {
        self.0.truncate(bytes.div_ceil(size_of::<Line>()));
        self.0.shrink_to_fit();
    }

    /// Length in bytes.
    pub(super) fn len(&self) -> usize {
        size_of_val(self.0.as_slice())
    }
}

/// An empty vector with room for `n`, on huge pages if that is much.
pub(super) fn roomy<T>(n: usize) -> Vec<T> {
    let room = Vec::with_capacity(n);
    #[cfg(target_os = "linux")]
    if n * size_of::<T>() >= HUGE_FROM {
        const PAGE: usize = 4096;
        let start = (room.as_ptr() as usize).next_multiple_of(PAGE);
        let end = (room.as_ptr() as usize + n * size_of::<T>()) / PAGE * PAGE;
        // SAFETY: the whole pages within an allocation of our own; the advice changes no bytes, and failing is fine.
        unsafe { libc::madvise(start as *mut _, end - start, libc::MADV_HUGEPAGE) };
    }
    room
}
