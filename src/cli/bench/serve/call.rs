//! Makes one call to the server.

use std::time::Duration;

use tonic::{Code, Request, Status};

use super::connections::Connections;
use super::mix::{Kind, Plan};
use crate::server::proto;
use crate::server::proto::query::Kind as QueryKind;

/// Questions that upserts write and deletions remove, each under an id of its own: the bank grows by no more.
const WRITTEN: u64 = 1000;
/// How long a snapshot may take, whatever the deadline of the other calls.
const SNAPSHOT: Duration = Duration::from_secs(120);

/// What calls have in common.
pub struct Calls {
    pub connections: Connections,
    pub bank: String,
    /// Queries, texts to embed and to vary, and questions to write: one after the other, at least one.
    pub texts: Vec<String>,
    pub k: u32,
    /// Samples of the decoder, where the server's own number is not wanted.
    pub samples: Option<u32>,
    pub deadline: Duration,
}

/// How a call ended.
#[derive(Debug)]
pub enum Outcome {
    /// With an answer, and what the server says of its stages, if it does.
    Done(Option<proto::Timings>),
    Refused(Code),
    /// Its caller left before there was an answer, as planned.
    Left,
}

impl Calls {
    pub async fn make(&self, plan: &Plan) -> Outcome {
        let answer = async {
            match plan.leaves {
                Some(patience) => tokio::time::timeout(patience, self.ask(plan)).await.ok(),
                None => Some(self.ask(plan).await),
            }
        };
        match answer.await {
            Some(Ok(timings)) => Outcome::Done(timings),
            // The client's clock may be first, and says so in its own way.
            Some(Err(status)) if status.code() == Code::Cancelled => Outcome::Refused(Code::DeadlineExceeded),
            Some(Err(status)) => Outcome::Refused(status.code()),
            None => Outcome::Left,
        }
    }

    async fn ask(&self, plan: &Plan) -> Result<Option<proto::Timings>, Status> {
        let mut client = self.connections.next().await?;
        let text = || self.texts[(plan.number % self.texts.len() as u64) as usize].clone();
        let bank = || self.bank.clone();
        let id = || format!("load-{}", plan.number % WRITTEN);
        let options = || Some(proto::SearchOptions { k: Some(self.k), ..Default::default() });
        let sampling = || Some(proto::Sampling { samples: self.samples, ..Default::default() });
        let timings = match plan.kind {
            Kind::Search => {
                let query = Some(proto::Query { kind: Some(QueryKind::Text(text())) });
                let request = proto::SearchRequest { bank: bank(), query, options: options() };
                client.search.search(self.timed(request)).await?.into_inner().timings
            }
            Kind::Embed => {
                let request = proto::EmbedRequest { texts: vec![text()] };
                client.embedding.embed(self.timed(request)).await?.into_inner().timings
            }
            Kind::Expanded => {
                let request = proto::ExpandedSearchRequest {
                    bank: bank(),
                    text: text(),
                    options: options(),
                    sampling: sampling(),
                    ..Default::default()
                };
                client.search.expanded_search(self.timed(request)).await?.into_inner().timings
            }
            Kind::Generate => {
                let request = proto::GenerateRequest { text: text(), sampling: sampling(), ..Default::default() };
                client.paraphrases.generate(self.timed(request)).await?.into_inner().timings
            }
            Kind::Upsert => {
                let question = proto::Question { id: id(), text: text(), ..Default::default() };
                let request = proto::UpsertQuestionsRequest { bank: bank(), questions: vec![question] };
                client.questions.upsert_questions(self.timed(request)).await?;
                None
            }
            Kind::Delete => {
                let request = proto::DeleteQuestionsRequest { bank: bank(), ids: vec![id()] };
                client.questions.delete_questions(self.timed(request)).await?;
                None
            }
            Kind::Snapshot => {
                let mut request = Request::new(proto::TakeSnapshotRequest { name: bank() });
                request.set_timeout(SNAPSHOT);
                let mut parts = client.banks.take_snapshot(request).await?.into_inner();
                while parts.message().await?.is_some() {}
                None
            }
        };
        Ok(timings)
    }

    fn timed<T>(&self, message: T) -> Request<T> {
        let mut request = Request::new(message);
        request.set_timeout(self.deadline);
        request
    }
}
