//! Writing a snapshot.

use std::io::Write;

use prost::Message;
use sha2::{Digest, Sha256};

use super::super::whole_file::WholeFile;
use super::{Entry, FRAME, HEADER, Header, LONGEST, MAGIC, QUESTIONS, TRAILER, Trailer, VERSION, head, sum};
use crate::{Error, Result};

/// A snapshot on its way to the disk. Memory: one frame.
#[derive(Debug)]
pub(super) struct Writer {
    file: WholeFile,
    hash: Sha256,
    /// Frames written.
    frames: u32,
    /// Questions in the frame that is being filled, and the frame.
    content: Vec<u8>,
    questions: u64,
    expected: u64,
}

impl Writer {
    pub(super) fn new(file: WholeFile, header: &Header) -> Result<Self> {
        let (hash, content) = (Sha256::new(), Vec::with_capacity(FRAME));
        let mut writer = Self { file, hash, frames: 0, content, questions: 0, expected: header.questions };
        writer.put(&[&MAGIC[..], &VERSION.to_le_bytes()].concat())?;
        writer.frame(HEADER, &header.encode_to_vec())?;
        Ok(writer)
    }

    /// Adds a question. Returns whether a frame was written with it.
    pub(super) fn push(&mut self, record: Vec<u8>, vector: Vec<u8>) -> Result<bool> {
        let entry = Entry { record, vector };
        entry
            .encode_length_delimited(&mut self.content)
            .map_err(|e| Error::Internal(format!("a question could not be encoded: {e}")))?; // a Vec has room
        self.questions += 1;
        let full = self.content.len() >= FRAME;
        if full {
            self.close_frame()?;
        }
        Ok(full)
    }

    fn close_frame(&mut self) -> Result<()> {
        let mut content = std::mem::take(&mut self.content);
        self.frame(QUESTIONS, &content)?;
        content.clear();
        self.content = content;
        Ok(())
    }

    /// Writes the trailer, puts the file on the disk and gives it its name.
    pub(super) fn finish(mut self) -> Result<()> {
        if self.questions != self.expected {
            let comment = format!("the bank has {} questions, {} were copied", self.expected, self.questions);
            return Err(Error::Internal(comment));
        }
        if !self.content.is_empty() {
            self.close_frame()?;
        }
        let sha256 = self.hash.clone().finalize().to_vec();
        let trailer = Trailer { questions: self.questions, frames: self.frames + 1, sha256 };
        self.frame(TRAILER, &trailer.encode_to_vec())?;
        self.file.finish()
    }

    fn frame(&mut self, kind: u8, content: &[u8]) -> Result<()> {
        let length = u32::try_from(content.len()).ok().filter(|length| *length as usize <= LONGEST);
        let length = length.ok_or_else(|| Error::Internal(format!("a frame of {} bytes", content.len())))?;
        let head = head(kind, self.frames, length);
        let sum = sum(&head, content);
        self.put(&head)?;
        self.put(content)?;
        self.put(&sum.to_le_bytes())?;
        self.frames = self.frames.checked_add(1).ok_or_else(|| Error::Internal("2³² frames".to_owned()))?;
        Ok(())
    }

    fn put(&mut self, bytes: &[u8]) -> Result<()> {
        self.hash.update(bytes);
        self.file.write_all(bytes).map_err(|e| Error::io("write the snapshot", self.file.path(), e))
    }
}
