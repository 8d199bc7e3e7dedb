//! `BulkUpsertQuestions`: a stream of questions, written in batches, acknowledged when they are on the disk.
//!
//! Memory is bounded by one message and one batch: the next message is read when the batch is written, and HTTP/2
//! flow control holds the sender back.

use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, mpsc};
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Status, Streaming};
use tracing::Instrument;

use super::calls::{self, Deadline};
use super::context::Context;
use super::{convert, proto};
use crate::engine::{Bank, BankName, Question, UpsertOutcome};
use crate::{Error, Result};

/// How long an unfilled batch waits for more: a sender that pauses for its answer gets it.
const LINGER: Duration = Duration::from_millis(10);
/// Replies that may lie unread before the server stops reading.
const REPLIES: usize = 16;

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
    let (replies, receiver) = mpsc::channel(REPLIES);
    let intake = Intake {
        context,
        requests: request.into_inner(),
        replies,
        progress: proto::BulkUpsertQuestionsResponse::default(),
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
    requests: Streaming<proto::BulkUpsertQuestionsRequest>,
    replies: mpsc::Sender<Reply>,
    /// The next reply.
    progress: proto::BulkUpsertQuestionsResponse,
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
            let _ = replies.send(Err(status)).await; // the caller may have gone
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
        let name = BankName::new(first.bank.clone())?;
        let bank = self.open(name.clone()).await?;
        let mut next = Pause::Message(first);
        loop {
            match next {
                Pause::Message(message) => self.take_message(&bank, &name, message).await?,
                Pause::Silence => self.settle(&bank).await?,
                // The last reply comes even if there is nothing new in it: an empty stream gets its totals, too.
                Pause::End => return self.settle(&bank).await,
            }
            if self.context.stopping.is_cancelled() {
                self.settle(&bank).await?;
                return Err(shutting_down());
            }
            next = self.next().await?;
        }
    }

    async fn first(&mut self) -> Result<Option<proto::BulkUpsertQuestionsRequest>, Status> {
        tokio::select! {
            message = self.requests.message() => message,
            () = self.context.stopping.cancelled() => Err(shutting_down()),
        }
    }

    async fn open(&self, name: BankName) -> Result<Bank, Status> {
        let engine = self.context.engine.clone();
        self.context.gate.run_patiently(move || engine.bank(&name)).await
    }

    /// The next message; without a pending batch it is waited for, with one only for a moment.
    async fn next(&mut self) -> Result<Pause, Status> {
        let linger = async {
            match self.received > self.progress.settled {
                true => tokio::time::sleep(LINGER).await,
                false => std::future::pending().await,
            }
        };
        tokio::select! {
            biased;
            message = self.requests.message() => Ok(message?.map_or(Pause::End, Pause::Message)),
            () = linger => Ok(Pause::Silence),
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
            return Err(Error::invalid("bank", expected, format!("`{}`", message.bank)).into());
        }
        for question in message.questions {
            let position = self.received;
            self.received += 1;
            let id = question.id.clone();
            match convert::question(question) {
                Ok(question) => self.batch.push((position, question)),
                Err(error) => self.progress.failures.push(failure(position, id, &error)),
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
            let (outcome, failures) = self.context.writing.run_to_its_end(move || write(&bank, batch)).await?;
            self.progress.inserted += outcome.inserted;
            self.progress.updated += outcome.updated;
            self.progress.failures.extend(failures);
            self.progress.failures.sort_by_key(|failure| failure.position);
        }
        self.progress.settled = self.received;
        self.progress.failed += self.progress.failures.len() as u64;
        let reply = self.progress.clone();
        self.progress.failures.clear();
        // Fails when the caller has gone, which ends `run`.
        let _ = self.replies.send(Ok(reply)).await;
        Ok(())
    }
}

/// Writes a batch at once. If the engine refuses a question of it, one by one, to find which.
fn write(bank: &Bank, batch: Vec<Placed>) -> Result<(UpsertOutcome, Vec<proto::QuestionFailure>)> {
    match bank.upsert(batch.iter().map(|(_, question)| question.clone()).collect()) {
        Ok(outcome) => return Ok((outcome, Vec::new())),
        Err(Error::Invalid { .. }) => {}
        Err(error) => return Err(error),
    }
    let mut total = UpsertOutcome::default();
    let mut failures = Vec::new();
    for (position, question) in batch {
        let id = question.id.to_string();
        match bank.upsert(vec![question]) {
            Ok(outcome) => {
                total.inserted += outcome.inserted;
                total.updated += outcome.updated;
            }
            Err(error @ Error::Invalid { .. }) => failures.push(failure(position, id, &error)),
            Err(error) => return Err(error),
        }
    }
    Ok((total, failures))
}

fn failure(position: u64, id: String, error: &Error) -> proto::QuestionFailure {
    proto::QuestionFailure { position, id, reason: error.to_string() }
}

fn shutting_down() -> Status {
    calls::shutting_down("go on after the last `settled` when it is back")
}
