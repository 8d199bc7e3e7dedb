//! `GenerateMany`: a list of questions, each answered as soon as it is done.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Code, Request, Status};
use tracing::Instrument;

use super::calls::{self, Deadline};
use super::context::Context;
use super::limits::ITEMS;
use super::refused::{At, Refused};
use super::{convert, message_size, proto, replies};
use crate::Error;
use crate::error::brief;
use crate::generate::GenerateRequest;

/// Questions of one stream that are written at once, if the server's gate lets so many through.
const TOGETHER: usize = 16;
/// Bytes of the reason why one failed, at most.
const REASON: usize = 800;

type Reply = Result<proto::GenerateManyResponse, Status>;

/// Starts to write; the answers come by the returned stream, and writing stops when that is dropped.
///
/// # Errors
/// INVALID_ARGUMENT for what is wrong with the whole request; RESOURCE_EXHAUSTED when too many streams are open.
pub(super) fn start(
    context: Context,
    request: Request<proto::GenerateManyRequest>,
) -> Result<ReceiverStream<Reply>, Status> {
    let deadline = Deadline::of(&request);
    let proto::GenerateManyRequest { texts, k, sampling, min_score } = request.into_inner();
    let texts = context.limits().items("texts", texts, ITEMS).at("texts")?;
    let wish = |text: String| {
        convert::generate_request(proto::GenerateRequest { text, k, sampling, min_score }, context.limits())
    };
    // What holds for all is looked at before the first is written; a text is its own affair.
    wish("any".to_owned())?;
    let wishes: Vec<Result<GenerateRequest, Refused>> = texts.into_iter().map(wish).collect();
    let place = context.stream()?;
    let (replies, receiver) = mpsc::channel(TOGETHER);
    let many = Arc::new(Many { context, wishes, next: AtomicUsize::new(0), replies });
    let work = async move {
        let _place = place;
        many.run(deadline).await;
    };
    tokio::spawn(work.in_current_span());
    Ok(ReceiverStream::new(receiver))
}

struct Many {
    context: Context,
    wishes: Vec<Result<GenerateRequest, Refused>>,
    /// The first wish that nobody has taken up.
    next: AtomicUsize,
    replies: mpsc::Sender<Reply>,
}

impl Many {
    async fn run(self: Arc<Self>, deadline: Option<Deadline>) {
        let mut workers = JoinSet::new(); // which end, and with them the writing, when this ends
        for _ in 0..TOGETHER.min(self.wishes.len()) {
            workers.spawn(self.clone().work().in_current_span());
        }
        let work = async {
            while let Some(ended) = workers.join_next().await {
                ended.map_err(|e| Error::Internal(e.to_string()))??;
            }
            Ok::<(), Status>(())
        };
        let result = tokio::select! {
            result = work => result,
            () = self.replies.closed() => return,
            () = calls::deadline(deadline) => Err(calls::exceeded()),
            () = self.context.stopping.cancelled() => Err(calls::shutting_down("ask again for what is missing")),
        };
        if let Err(status) = result {
            workers.abort_all();
            replies::fail(&self.replies, status).await;
        }
    }

    /// Writes for one question after the other until none is left.
    async fn work(self: Arc<Self>) -> Result<(), Status> {
        loop {
            let place = self.next.fetch_add(1, Ordering::Relaxed);
            let Some(wish) = self.wishes.get(place) else { return Ok(()) };
            let written = match wish {
                Ok(wish) => self.write(wish.clone()).await,
                Err(refused) => Err(Status::invalid_argument(brief(refused.to_string(), REASON))),
            };
            let position = place as u32;
            let answer = match written {
                Ok(answer) => proto::GenerateManyResponse { position, ..answer },
                // Only what is wrong with a question is its own affair.
                Err(status) if matches!(status.code(), Code::InvalidArgument | Code::OutOfRange) => {
                    let failure = Some(status.message().to_owned());
                    proto::GenerateManyResponse { position, failure, ..Default::default() }
                }
                Err(status) => return Err(status),
            };
            replies::send(&self.replies, answer, self.context.options.stream_idle).await?;
        }
    }

    async fn write(&self, wish: GenerateRequest) -> Result<proto::GenerateManyResponse, Status> {
        let model = self.context.model.clone();
        let entered = Instant::now();
        let write = move || Ok((entered.elapsed(), model.generate(&wish)?));
        let (waited, (found, timings)) = self.context.generating.run_patiently(write).await?;
        let answer = proto::GenerateManyResponse {
            paraphrases: found.into_iter().map(convert::paraphrase).collect(),
            timings: Some(convert::timings(timings, waited)),
            ..Default::default()
        };
        let most = self.context.options.max_message_bytes;
        message_size::of_reply(&answer, most, "a smaller `k`").map(|_| answer)
    }
}
