//! Reading a snapshot.

use std::fs::File;
use std::io::{BufReader, Read};
use std::path::{Path, PathBuf};

use prost::Message;
use sha2::{Digest, Sha256};

use super::super::acknowledged::Counts;
use super::super::folder::BankFacts;
use super::super::{FORMAT, sums_agree};
use super::{Entry, HEAD, HEADER, Header, LONGEST, MAGIC, QUESTIONS, SUM, TRAILER, Trailer, VERSION, head, sum};
use crate::{Error, Result};

/// What a snapshot says of the bank that it is of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SnapshotFacts {
    /// The bank's name.
    pub bank: String,
    pub facts: BankFacts,
    /// The bank's size, and the batch after which it was so.
    pub counts: Counts,
    /// The program that wrote it, and its version.
    pub written_by: String,
}

/// A snapshot that is read from its start to its end. Memory: one frame.
#[derive(Debug)]
pub struct SnapshotFile {
    /// How errors call it.
    path: PathBuf,
    input: BufReader<File>,
    facts: SnapshotFacts,
    hash: Sha256,
    /// Bytes and frames read.
    position: u64,
    frames: u32,
    questions: u64,
    ended: bool,
}

impl SnapshotFile {
    /// Opens a snapshot and reads its header.
    ///
    /// # Errors
    /// The file cannot be read, is no snapshot, was written by a newer program, or its start is damaged.
    pub fn open(path: &Path) -> Result<Self> {
        Self::open_as(path, path)
    }

    /// As [`SnapshotFile::open`], of a file that errors call by another name: it has yet to get its own, or the caller
    /// knows it by none.
    ///
    /// # Errors
    /// See [`SnapshotFile::open`].
    pub fn open_as(path: &Path, shown: &Path) -> Result<Self> {
        let file = File::open(path).map_err(|e| Error::io("open the snapshot", path, e))?;
        let nothing = SnapshotFacts {
            bank: String::new(),
            facts: BankFacts {
                format: FORMAT,
                model_fingerprint: String::new(),
                dimension: 0,
                description: String::new(),
                quantisation: String::new(),
            },
            counts: Counts::default(),
            written_by: String::new(),
        };
        let mut this = Self {
            path: shown.to_owned(),
            input: BufReader::with_capacity(1 << 16, file),
            facts: nothing,
            hash: Sha256::new(),
            position: 0,
            frames: 0,
            questions: 0,
            ended: false,
        };
        this.facts = this.read_facts()?;
        Ok(this)
    }

    /// Where it is, as errors say it.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// What the header says.
    pub fn facts(&self) -> &SnapshotFacts {
        &self.facts
    }

    fn read_facts(&mut self) -> Result<SnapshotFacts> {
        let mut start = [0; MAGIC.len() + 4];
        let read = self.fill(&mut start)?;
        let (magic, [.., a, b, c, d]) = (&start[..MAGIC.len()], start);
        if read < MAGIC.len() && MAGIC.starts_with(&start[..read]) && read > 0 {
            return Err(self.ends());
        }
        if magic != MAGIC {
            let expected = "a file that `simbert bank snapshot` wrote";
            return Err(Error::invalid(self.path.display().to_string(), expected, "another one, by its first bytes"));
        }
        if read < start.len() {
            return Err(self.ends());
        }
        let version = u32::from_le_bytes([a, b, c, d]);
        if version != VERSION {
            return Err(Error::invalid(
                format!("format of {}", self.path.display()),
                format!("{VERSION}, the one that this version of simbert reads"),
                format!("{version}; restore it with the version that wrote it"),
            ));
        }
        let (kind, content, place) = self.frame()?;
        let header = match kind {
            HEADER => self.decode::<Header>(&content, place)?,
            _ => return Err(self.damaged(place, "is not the header")),
        };
        let Ok(dimension) = usize::try_from(header.dimension) else {
            return Err(self.damaged(place, &format!("has vectors {} wide", header.dimension)));
        };
        Ok(SnapshotFacts {
            bank: header.bank,
            facts: BankFacts {
                format: FORMAT,
                model_fingerprint: header.model_fingerprint,
                dimension,
                description: header.description,
                quantisation: header.quantisation,
            },
            counts: Counts { batch: header.batch, questions: header.questions, faqs: header.faqs },
            written_by: header.written_by,
        })
    }

    /// The next questions; `None` after the last. By then all of the file
    /// was checked.
    ///
    /// # Errors
    /// The file cannot be read, or is damaged from some place on.
    pub(super) fn questions(&mut self) -> Result<Option<Vec<Entry>>> {
        if self.ended {
            return Ok(None);
        }
        let before = self.hash.clone();
        let (kind, content, place) = self.frame()?;
        match kind {
            QUESTIONS => {
                let (mut left, mut questions) = (content.as_slice(), Vec::new());
                while !left.is_empty() {
                    let entry = Entry::decode_length_delimited(&mut left);
                    let entry = entry.map_err(|e| self.damaged(place, &format!("is malformed: {e}")))?;
                    questions.push(entry);
                }
                self.questions += questions.len() as u64;
                Ok(Some(questions))
            }
            TRAILER => {
                let trailer = self.decode::<Trailer>(&content, place)?;
                self.check_end(&trailer, &before.finalize(), place)?;
                self.ended = true;
                Ok(None)
            }
            _ => Err(self.damaged(place, "is of an unknown kind")),
        }
    }

    /// Checks that the trailer, whose frame starts at `place`, says what was read, and that nothing follows.
    fn check_end(&mut self, trailer: &Trailer, hash: &[u8], place: u64) -> Result<()> {
        let expected = (self.facts.counts.questions, self.frames);
        if (trailer.questions, trailer.frames) != expected || self.questions != trailer.questions {
            let comment = format!(
                "counts {} questions in {} frames; the header counts {}, and {} in {} frames were read",
                trailer.questions, trailer.frames, expected.0, self.questions, self.frames
            );
            return Err(self.damaged(place, &comment));
        }
        if !sums_agree(&trailer.sha256[..], hash) {
            return Err(self.damaged(place, "has another SHA-256 than the bytes before it"));
        }
        let end = self.position;
        if self.fill(&mut [0])? > 0 {
            let comment = format!("something follows its end at byte {end}; it was not written by one snapshot alone");
            return Err(Error::corrupt(&self.path, comment));
        }
        Ok(())
    }

    /// Reads a frame: its kind, its content, and where it starts.
    fn frame(&mut self) -> Result<(u8, Vec<u8>, u64)> {
        let place = self.position;
        let mut found = [0; HEAD];
        if self.fill(&mut found)? < HEAD {
            return Err(self.ends());
        }
        let [kind, _, _, _, _, a, b, c, d] = found;
        let length = u32::from_le_bytes([a, b, c, d]);
        if found != head(kind, self.frames, length) || length as usize > LONGEST {
            return Err(self.damaged(place, "does not start as it should"));
        }
        let mut content = vec![0; length as usize + SUM];
        if self.fill(&mut content)? < content.len() {
            return Err(self.ends());
        }
        let read = content.split_off(length as usize);
        if !sums_agree(&read[..], &sum(&found, &content).to_le_bytes()[..]) {
            return Err(self.damaged(place, "has a wrong checksum"));
        }
        self.frames += 1;
        Ok((kind, content, place))
    }

    /// Reads until `bytes` are full or the file ends; returns how many came.
    fn fill(&mut self, bytes: &mut [u8]) -> Result<usize> {
        let mut read = 0;
        while read < bytes.len() {
            match self.input.read(&mut bytes[read..]) {
                Ok(0) => break,
                Ok(n) => read += n,
                Err(e) if e.kind() == std::io::ErrorKind::Interrupted => {}
                Err(e) => return Err(Error::io("read the snapshot", &self.path, e)),
            }
        }
        self.hash.update(&bytes[..read]);
        self.position += read as u64;
        Ok(read)
    }

    fn decode<M: Message + Default>(&self, content: &[u8], place: u64) -> Result<M> {
        M::decode(content).map_err(|e| self.damaged(place, &format!("is malformed: {e}")))
    }

    /// An error about the frame that starts at `place`: the one read last, or the one that could not be.
    fn damaged(&self, place: u64, fault: &str) -> Error {
        Error::corrupt(&self.path, format!("the frame at byte {place} {fault}; take the file from its source again"))
    }

    fn ends(&self) -> Error {
        let comment = format!("it ends at byte {}, before its trailer; it was not copied whole", self.position);
        Error::corrupt(&self.path, comment)
    }
}
