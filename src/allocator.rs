//! What the C library's allocator does with what is freed, for the whole process and for good. Each does nothing where
//! the allocator is not glibc's.

/// Keeps it.
///
/// The tensors of a training step are freed and asked for again at each step, hundreds of megabytes of them. glibc would
/// hand the large ones back to the kernel, which clears every page of them anew: tens of thousands of page faults a
/// step.
pub fn keep_freed() {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    // SAFETY: `mallopt` only stores settings, under the allocator's own lock.
    unsafe {
        libc::mallopt(libc::M_MMAP_MAX, 0);
        libc::mallopt(libc::M_TRIM_THRESHOLD, libc::c_int::MAX);
    }
}

/// Gives it back.
///
/// A server's threads, which are many, free what others have asked for, of all sizes. By itself glibc gives each of up to
/// eight threads for each core a heap of its own, and stops giving back whatever is not larger than all that was freed
/// so far: the heaps fill with holes. With a heap for each core and a bound that stays, a server under load holds a
/// fifth less (`make soak`).
pub fn return_freed() {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    {
        const LARGE: libc::c_int = 128 << 10; // where glibc begins
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        // SAFETY: `mallopt` only stores settings, under the allocator's own lock.
        unsafe {
            libc::mallopt(libc::M_ARENA_MAX, libc::c_int::try_from(cores).unwrap_or(libc::c_int::MAX));
            libc::mallopt(libc::M_MMAP_THRESHOLD, LARGE);
            libc::mallopt(libc::M_TRIM_THRESHOLD, LARGE);
        }
    }
}
