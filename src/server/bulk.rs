//! `BulkUpsertQuestions`: a stream of questions, written in batches, acknowledged when they are on the disk.
//!
//! Memory is bounded by one message and one batch: the next message is read when the batch is written, and HTTP/2
//! flow control holds the sender back. What ends the stream early says how far it came.

use std::time::{Duration, Instant};

use prost::Message as _;
use tokio::sync::{OwnedSemaphorePermit, mpsc};
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Status, Streaming};
use tracing::Instrument;

use super::access::{Caller, admitted};
use super::calls::{self, Deadline};
use super::context::Context;
use super::question::upsert;
use super::refused::{At, Refused};
use super::{convert, message_size, proto, replies, status};
use crate::engine::{Bank, BankName, Question, Timings, UpsertOutcome, together};
use crate::error::brief;
use crate::{Error, Result};

/// How long an unfilled batch waits for more: a sender that pauses for its answer gets it.
const LINGER: Duration = Duration::from_millis(10);
/// Replies that may lie unread before the server stops reading.
const REPLIES: usize = 16;
/// Bytes of an id and of a reason in a reply, at most.
const ID: usize = 512;
const REASON: usize = 800;
/// Bytes that an item of a list takes besides its own, at most.
const TAG: usize = 8;

type Reply = Result<proto::BulkUpsertQuestionsResponse, Status>;

/// Starts to take the stream in; the replies come by the returned one.
///
/// # Errors
/// RESOURCE_EXHAUSTED when too many streams are open.
pub(super) fn start(
    context: Context,
    request: Request<Streaming<proto::BulkUpsertQuestionsRequest>>,
) -> Result<ReceiverStream<Reply>, Status> {
    let place = context.stream()?;
    let deadline = Deadline::of(&request);
    let (caller, requests) = admitted(request)?;
    let (replies, receiver) = mpsc::channel(REPLIES);
    let intake = Intake {
        context,
        caller,
        requests,
        replies,
        progress: proto::BulkUpsertQuestionsResponse::default(),
        spent: Timings::default(),
        received: 0,
        batch: Vec::new(),
        _place: place,
    };
    tokio::spawn(intake.run(deadline).in_current_span());
    Ok(ReceiverStream::new(receiver))
}

/// A valid question and its place in the stream.
type Placed = (u64, Question);

struct Intake {
    context: Context,
    caller: Caller,
    requests: Streaming<proto::BulkUpsertQuestionsRequest>,
    replies: mpsc::Sender<Reply>,
    /// The next reply.
    progress: proto::BulkUpsertQuestionsResponse,
    /// How long it took so far.
    spent: Timings,
    /// Questions read so far; those from `progress.settled` on are neither written nor reported.
    received: u64,
    batch: Vec<Placed>,
    _place: OwnedSemaphorePermit,
}

/// Why the reading pauses.
enum Pause {
    Message(proto::BulkUpsertQuestionsRequest),
    Silence,
    End,
}

impl Intake {
    async fn run(mut self, deadline: Option<Deadline>) {
        let replies = self.replies.clone();
        // When the caller leaves or its deadline passes, what was read but not written is dropped: it was never
        // acknowledged. A batch that is being written is written to its end.
        let result = tokio::select! {
            result = self.take_in() => result,
            () = calls::deadline(deadline) => Err(calls::exceeded()),
            () = replies.closed() => return,
        };
        tracing::info!(
            settled = self.progress.settled,
            inserted = self.progress.inserted,
            updated = self.progress.updated,
            failed = self.progress.failed,
            complete = result.is_ok(),
            "bulk stream ended"
        );
        if let Err(status) = result {
            let status = status::with_fact(status, "settled", self.progress.settled);
            replies::fail(&replies, status).await;
        }
        drop(replies);
        if self.context.stopping.is_cancelled() {
            let Self { requests, replies, .. } = self;
            drop(replies); // ends the stream of replies; the status is on its way
            calls::read_on(requests).await;
        }
    }

    async fn take_in(&mut self) -> Result<(), Status> {
        let Some(first) = self.first().await? else {
            return Err(Error::invalid("stream", "a first message with the bank's name", "no message").into());
        };
        let (name, bank) = self.context.open(&self.caller, first.bank.clone()).await?;
        let mut next = Ok(Pause::Message(first));
        loop {
            let ended = match next {
                Ok(Pause::Message(message)) => self.take_message(&bank, &name, message).await,
                Ok(Pause::Silence) => self.settle(&bank).await,
                // The last reply comes even if there is nothing new in it: an empty stream gets its totals, too.
                Ok(Pause::End) => return self.settle(&bank).await,
                Err(status) => Err(status),
            };
            let stopping = self.context.stopping.is_cancelled();
            if ended.is_err() || stopping {
                if self.received > self.progress.settled {
                    self.settle(&bank).await?; // what came before is good
                }
                return ended.and(Err(shutting_down()));
            }
            next = self.next().await;
        }
    }

    async fn first(&mut self) -> Result<Option<proto::BulkUpsertQuestionsRequest>, Status> {
        tokio::select! {
            message = self.requests.message() => message.map_err(message_size::explained),
            () = tokio::time::sleep(self.context.options.stream_idle) => Err(self.idle()),
            () = self.context.stopping.cancelled() => Err(shutting_down()),
        }
    }

    /// What a caller hears that has not sent anything for too long.
    fn idle(&self) -> Status {
        calls::idle(self.context.options.stream_idle, "go on after the last `settled` by another one")
    }

    /// The next message; without a pending batch it is waited for, with one only for a moment.
    async fn next(&mut self) -> Result<Pause, Status> {
        let pending = self.received > self.progress.settled;
        let patience = if pending { LINGER } else { self.context.options.stream_idle };
        tokio::select! {
            biased;
            message = self.requests.message() => {
                Ok(message.map_err(message_size::explained)?.map_or(Pause::End, Pause::Message))
            }
            () = tokio::time::sleep(patience) => if pending { Ok(Pause::Silence) } else { Err(self.idle()) },
            () = self.context.stopping.cancelled() => Ok(Pause::Silence),
        }
    }

    async fn take_message(
        &mut self,
        bank: &Bank,
        name: &BankName,
        message: proto::BulkUpsertQuestionsRequest,
    ) -> Result<(), Status> {
        if !message.bank.is_empty() && message.bank != name.as_str() {
            let expected = format!("one bank for the whole stream, `{name}`");
            return Err(Error::invalid("bank", expected, format!("`{}`", message.bank)))
                .at("bank")
                .map_err(Status::from);
        }
        for question in message.questions {
            let position = self.received;
            self.received += 1;
            let id = question.id.clone();
            match convert::question(question, self.context.limits()) {
                Ok(question) => self.batch.push((position, question)),
                Err(refused) => self.progress.failures.push(failure(position, id, &refused)),
            }
            if (self.received - self.progress.settled) as usize >= self.context.options.bulk_batch {
                self.settle(bank).await?;
            }
        }
        Ok(())
    }

    /// Writes the batch and says so.
    async fn settle(&mut self, bank: &Bank) -> Result<(), Status> {
        let batch = std::mem::take(&mut self.batch);
        if !batch.is_empty() {
            let bank = bank.clone();
            let entered = Instant::now();
            let write = move || {
                let waited = Timings { queue: entered.elapsed(), ..Timings::default() };
                Ok((write(&bank, batch)?, waited))
            };
            let written = self.context.writing.run_to_its_end(write).await.inspect_err(|_| {
                // Nothing of it is acknowledged, by no later reply either.
                self.received = self.progress.settled;
                self.progress.failures.clear();
            });
            let (written, waited) = written?;
            self.progress.inserted += written.outcome.inserted;
            self.progress.updated += written.outcome.updated;
            self.progress.failures.extend(written.failures);
            self.progress.failures.sort_by_key(|failure| failure.position);
            self.spent = together(self.spent, together(written.timings, waited));
        }
        self.progress.timings = Some(convert::timings(self.spent, Duration::ZERO));
        let failures = std::mem::take(&mut self.progress.failures);
        self.progress.failed += failures.len() as u64;
        let mut portions = portions(failures, self.context.options.max_message_bytes / 2).into_iter().peekable();
        while let Some(failures) = portions.next() {
            if portions.peek().is_none() {
                self.progress.settled = self.received; // all of it was reported then
            }
            let reply = proto::BulkUpsertQuestionsResponse { failures, ..self.progress.clone() };
            let sent = replies::send(&self.replies, reply, self.context.options.stream_idle).await;
            sent.inspect_err(|_| self.received = self.progress.settled)?; // what it would report, no later one does
        }
        Ok(())
    }
}

/// What became of a batch.
#[derive(Default)]
struct Written {
    outcome: UpsertOutcome,
    failures: Vec<proto::QuestionFailure>,
    timings: Timings,
}

impl Written {
    fn add(&mut self, (outcome, timings): (UpsertOutcome, Timings)) {
        self.outcome.inserted += outcome.inserted;
        self.outcome.updated += outcome.updated;
        self.timings = together(self.timings, timings);
    }
}

/// Writes a batch at once. If the engine refuses a question of it, one by one, to find which.
fn write(bank: &Bank, batch: Vec<Placed>) -> Result<Written> {
    let mut written = Written::default();
    match upsert(bank, batch.iter().map(|(_, question)| question.clone()).collect()) {
        Ok(all) => {
            written.add(all);
            return Ok(written);
        }
        Err(Error::Invalid { .. }) => {}
        Err(error) => return Err(error),
    }
    for (position, question) in batch {
        let id = question.id.to_string();
        match upsert(bank, vec![question]) {
            Ok(one) => written.add(one),
            Err(error @ Error::Invalid { .. }) => written.failures.push(failure(position, id, &error.into())),
            Err(error) => return Err(error),
        }
    }
    Ok(written)
}

/// The failures of one reply after the other, at least one, each of so many bytes or a single failure.
fn portions(failures: Vec<proto::QuestionFailure>, bytes: usize) -> Vec<Vec<proto::QuestionFailure>> {
    let (mut portions, mut portion, mut size) = (Vec::new(), Vec::new(), 0);
    for failure in failures {
        let more = failure.encoded_len() + TAG;
        if size + more > bytes && !portion.is_empty() {
            portions.push(std::mem::take(&mut portion));
            size = 0;
        }
        size += more;
        portion.push(failure);
    }
    portions.push(portion);
    portions
}

fn failure(position: u64, id: String, refused: &Refused) -> proto::QuestionFailure {
    let mut id = id;
    id.truncate(id.floor_char_boundary(ID));
    let (reason, field) = (brief(refused.to_string(), REASON), brief(refused.field.clone(), REASON));
    proto::QuestionFailure { position, id, reason, field }
}

fn shutting_down() -> Status {
    calls::shutting_down("go on after the last `settled` when it is back")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn failures_that_are_too_many_for_a_message_come_in_portions() {
        let failure = |position| proto::QuestionFailure { position, reason: "x".repeat(50), ..Default::default() };
        let sizes = |count, bytes| -> Vec<usize> {
            let portions = portions((0..count).map(failure).collect(), bytes);
            assert!(portions.iter().flatten().map(|failure| failure.position).eq(0..count));
            portions.iter().map(Vec::len).collect()
        };
        assert_eq!(sizes(0, 200), [0]);
        assert_eq!(sizes(7, 200), [3, 3, 1]);
        assert_eq!(sizes(2, 1), [1, 1]);
        assert_eq!(sizes(100, 1 << 20), [100]);
    }
}
