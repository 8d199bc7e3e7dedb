//! `TakeSnapshot`: a bank is copied into a file of the server's own, which is then sent in chunks.
//!
//! The copying does not wait for the caller, so a slow one holds up nobody. Memory is bounded by a few chunks.

use std::fs::File;
use std::io::Read;
use std::pin::pin;

use tokio::sync::{OwnedSemaphorePermit, mpsc, watch};
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Status};
use tracing::Instrument;

use super::access::{Caller, admitted};
use super::calls::{self, Deadline};
use super::context::Context;
use super::proto::take_snapshot_response::Part;
use super::transfer::{self, Blocking};
use super::{proto, replies};
use crate::engine::{Bank, BankName, SnapshotFacts, Spool};
use crate::{Error, Result};

/// Bytes of a chunk, where messages may be so large.
const CHUNK: usize = 1 << 20;
/// Replies that may lie unread before the server waits.
const REPLIES: usize = 2;

type Reply = Result<proto::TakeSnapshotResponse, Status>;

/// Starts to copy; the replies come by the returned stream.
///
/// # Errors
/// RESOURCE_EXHAUSTED when too many snapshots are on their way, INVALID_ARGUMENT when the name is none,
/// PERMISSION_DENIED when the caller may not use the bank.
pub(super) fn start(
    context: Context,
    request: Request<proto::TakeSnapshotRequest>,
) -> Result<ReceiverStream<Reply>, Status> {
    let place = context.transfer()?;
    let deadline = Deadline::of(&request);
    let (caller, message) = admitted(request)?;
    let bank = caller.bank("name", message.name)?;
    let (replies, receiver) = mpsc::channel(REPLIES);
    let sending = Sending { context, caller, bank, replies, _place: place };
    tokio::spawn(sending.run(deadline).in_current_span());
    Ok(ReceiverStream::new(receiver))
}

/// A snapshot on its way to a caller.
struct Sending {
    context: Context,
    caller: Caller,
    bank: BankName,
    replies: mpsc::Sender<Reply>,
    _place: OwnedSemaphorePermit,
}

/// The file that is sent. It goes with this.
struct Taken {
    facts: SnapshotFacts,
    file: File,
    spool: Spool,
}

impl Taken {
    fn of(bank: &Bank, step: &crate::engine::Step<'_>) -> Result<Self> {
        let (facts, spool) = bank.spool(step)?;
        let path = spool.path();
        let file = File::open(&path).map_err(|e| Error::io("open the snapshot", &path, e))?;
        Ok(Self { facts, file, spool })
    }

    fn describe(&self) -> Result<proto::SnapshotTaken> {
        let found = self.file.metadata().map_err(|e| Error::io("measure the snapshot", self.spool.path(), e))?;
        let counts = self.facts.counts;
        let (batch, questions, faqs) = (counts.batch, counts.questions, counts.faqs);
        Ok(proto::SnapshotTaken { bytes: found.len(), batch, questions, faqs })
    }

    /// The next bytes, at most so many; none at the end.
    fn chunk(&mut self, most: usize) -> Result<Vec<u8>> {
        let mut chunk = Vec::with_capacity(most);
        let read = Read::by_ref(&mut self.file).take(most as u64).read_to_end(&mut chunk);
        read.map_err(|e| Error::io("read the snapshot", self.spool.path(), e))?;
        Ok(chunk)
    }
}

impl Sending {
    async fn run(self, deadline: Option<Deadline>) {
        // However it ends, copying that still runs ends at its next step, and the file goes.
        let result = tokio::select! {
            result = self.send() => result,
            () = calls::deadline(deadline) => Err(calls::exceeded()),
            () = self.context.stopping.cancelled() => Err(transfer::shutting_down()),
            () = self.replies.closed() => return tracing::info!(bank = %self.bank, "the caller left a snapshot"),
        };
        tracing::info!(bank = %self.bank, complete = result.is_ok(), "snapshot ended");
        if let Err(status) = result {
            replies::fail(&self.replies, status).await;
        }
    }

    async fn send(&self) -> Result<(), Status> {
        let mut taken = self.copy().await?;
        self.reply(Part::Taken(taken.with(|taken| taken.describe()).await?)).await?;
        let most = CHUNK.min(self.context.options.max_message_bytes / 2);
        loop {
            let chunk = taken.with(move |taken| taken.chunk(most)).await?;
            if chunk.is_empty() {
                return Ok(());
            }
            self.reply(Part::Chunk(chunk)).await?;
        }
    }

    /// Copies the bank, and tells how far that is.
    async fn copy(&self) -> Result<Blocking<Taken>, Status> {
        let (_, bank) = self.context.open(&self.caller, self.bank.to_string()).await?;
        let (told, mut progress) = watch::channel((0, 0));
        let stopping = self.context.stopping.clone();
        let copying = Blocking::new(&self.context.copying, move || {
            Taken::of(&bank, &|copied, questions| {
                told.send_replace((copied, questions));
                transfer::go_on(&stopping)
            })
        });
        let mut copying = pin!(copying);
        loop {
            tokio::select! {
                taken = &mut copying => return taken,
                Ok(()) = progress.changed() => {
                    let (copied, questions) = *progress.borrow_and_update();
                    // A caller that reads slowly hears of it later.
                    let part = Part::Progress(proto::SnapshotProgress { copied, questions });
                    let _ = self.replies.try_send(Ok(proto::TakeSnapshotResponse { part: Some(part) }));
                }
            }
        }
    }

    async fn reply(&self, part: Part) -> Result<(), Status> {
        let reply = proto::TakeSnapshotResponse { part: Some(part) };
        replies::send(&self.replies, reply, self.context.options.stream_idle).await
    }
}
