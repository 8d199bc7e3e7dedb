//! A disk that can be filled. Needs root, to mount a file system; tests that want one are passed over otherwise.

use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use tempfile::TempDir;

/// A file system in memory, for one test.
pub struct SmallDisk(TempDir);

impl SmallDisk {
    /// Of so many MiB, where this process may mount one.
    pub fn new(mib: u32) -> Option<Self> {
        let folder = tempfile::tempdir().unwrap();
        let options = format!("size={mib}m");
        let mounted = Command::new("mount").args(["-t", "tmpfs", "-o", &options, "tmpfs"]).arg(folder.path()).output();
        if mounted.is_ok_and(|output| output.status.success()) {
            return Some(Self(folder));
        }
        eprintln!("passed over: this process may not mount a file system");
        None
    }

    pub fn path(&self) -> &Path {
        self.0.path()
    }

    /// Mounts it anew. It is busy for a moment where another test starts a process, which has our files open until it runs.
    pub fn remount(&self, how: &str) {
        let options = format!("remount,{how}");
        let busy_until = Instant::now() + Duration::from_secs(5);
        loop {
            let output = Command::new("mount").args(["-o", &options]).arg(self.path()).output().unwrap();
            if output.status.success() {
                return;
            }
            assert!(Instant::now() < busy_until, "{}", String::from_utf8_lossy(&output.stderr));
            std::thread::sleep(Duration::from_millis(50));
        }
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("--lazy").arg(self.path()).status();
    }
}
