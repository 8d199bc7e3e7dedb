//! What the targets share: files in a folder of the process's own, and the reading of questions.

use std::io::Cursor;
use std::path::{Path, PathBuf};
use std::sync::LazyLock;

use simbert::engine::{QuestionFile, QuestionFormat};
use tempfile::TempDir;

/// A folder in memory where there is one.
pub fn folder() -> &'static Path {
    static FOLDER: LazyLock<TempDir> = LazyLock::new(|| {
        let memory = Path::new("/dev/shm");
        let parent = if memory.is_dir() { memory.to_owned() } else { std::env::temp_dir() };
        tempfile::Builder::new().prefix("simbert-fuzz").tempdir_in(parent).expect("a folder")
    });
    FOLDER.path()
}

/// A file that goes with this.
pub struct File(pub PathBuf);

impl File {
    /// Writes a file of this name.
    pub fn of(name: &str, bytes: &[u8]) -> Self {
        let path = folder().join(name);
        std::fs::write(&path, bytes).expect("a file");
        Self(path)
    }
}

impl Drop for File {
    fn drop(&mut self) {
        _ = std::fs::remove_file(&self.0);
    }
}

/// Reads questions; each that is taken is one that a bank holds.
pub fn read(bytes: &[u8], format: QuestionFormat) {
    let source = Box::new(Cursor::new(bytes.to_vec()));
    let Ok(questions) = QuestionFile::new(source, Path::new("questions"), format) else { return };
    for question in questions.flatten().take(10_000) {
        question.check().expect("a bad question");
    }
}
