//! A file of questions, cut into batches.

use indicatif::ProgressBar;

use crate::engine::{Question, QuestionFile};
use crate::{Error, Result};

/// Bad lines that are shown in full when they are skipped.
const SHOWN: u64 = 10;

pub(super) struct Cut {
    pub file: QuestionFile,
    /// Questions of a batch.
    pub batch: usize,
    /// Whether bad lines are counted and passed over.
    pub skip_bad: bool,
    pub bar: ProgressBar,
}

impl Cut {
    /// Cuts the file until `pass_on`, which also gets the bytes read so far, wants no more. Returns how many bad lines were
    /// skipped.
    ///
    /// # Errors
    /// The file cannot be read, or has a bad line that is not to be skipped; what came before it was passed on.
    pub fn run(mut self, pass_on: impl Fn(Vec<Question>, u64) -> bool) -> Result<u64> {
        let mut skipped = 0;
        loop {
            let mut batch = Vec::with_capacity(self.batch);
            let mut end = None;
            while batch.len() < self.batch && end.is_none() {
                match self.file.next().transpose() {
                    Ok(Some(question)) => batch.push(question),
                    Ok(None) => end = Some(Ok(skipped)),
                    Err(Error::BadLine { path, line, reason }) if self.skip_bad => {
                        skipped += 1;
                        if skipped <= SHOWN {
                            self.bar.suspend(|| eprintln!("skipped {}:{line}: {reason}", path.display()));
                        }
                    }
                    Err(error) => end = Some(Err(error)),
                }
            }
            let wanted = batch.is_empty() || pass_on(batch, self.file.bytes_read());
            match end {
                Some(end) => return end,
                None if !wanted => return Ok(skipped), // the commit has failed, and says so
                None => {}
            }
        }
    }
}
