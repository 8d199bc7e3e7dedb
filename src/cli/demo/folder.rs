//! Where the demo keeps its bank.

use std::path::{Path, PathBuf};

use anyhow::Context as _;

/// The caller's folder, or a temporary one that goes away when this is dropped.
pub struct Folder {
    path: PathBuf,
    temporary: bool,
}

impl Folder {
    pub fn new(given: Option<PathBuf>) -> anyhow::Result<Self> {
        let temporary = given.is_none();
        let path = given.unwrap_or_else(|| std::env::temp_dir().join(format!("simbert-demo-{}", std::process::id())));
        std::fs::create_dir_all(&path).with_context(|| format!("cannot make the folder {}", path.display()))?;
        Ok(Self { path, temporary })
    }

    pub fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        if self.temporary {
            // The system clears its temporary folder anyway.
            let _ = std::fs::remove_dir_all(&self.path);
        }
    }
}
