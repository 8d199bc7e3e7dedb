//! `SearchService`.

use tonic::{Request, Response, Status};

use super::context::Context;
use super::proto::search_service_server::SearchService;
use super::{convert, limits, proto};
use crate::{Error, Result};

/// Finds questions.
pub(super) struct Search(pub Context);

#[tonic::async_trait]
impl SearchService for Search {
    async fn search(&self, request: Request<proto::SearchRequest>) -> Result<Response<proto::SearchResponse>, Status> {
        let proto::SearchRequest { bank, query, options } = request.into_inner();
        let search = convert::search_request(convert::query(query)?, options)?;
        let (found, waited) = self.0.in_bank(bank, move |bank| bank.search(&search)).await?;
        Ok(Response::new(proto::SearchResponse {
            hits: found.hits.into_iter().map(convert::hit).collect(),
            timings: Some(convert::timings(found.timings, waited)),
        }))
    }

    async fn batch_search(
        &self,
        request: Request<proto::BatchSearchRequest>,
    ) -> Result<Response<proto::BatchSearchResponse>, Status> {
        let proto::BatchSearchRequest { bank, queries, options } = request.into_inner();
        let queries = limits::items("queries", queries, limits::QUERIES)?;
        let searches = queries
            .into_iter()
            .map(|query| convert::search_request(convert::query(Some(query))?, options.clone()))
            .collect::<Result<Vec<_>>>()?;
        let hits: usize = searches.iter().map(|search| search.k).sum();
        if hits > limits::BATCH_HITS {
            let expected = format!("at most {} hits in all: fewer queries, or a smaller `k`", limits::BATCH_HITS);
            return Err(Error::invalid("batch", expected, hits).into());
        }
        let (found, waited) = self.0.in_bank(bank, move |bank| bank.search_batch(&searches)).await?;
        let result = |found: crate::engine::SearchResponse| proto::SearchResult {
            hits: found.hits.into_iter().map(convert::hit).collect(),
            timings: Some(convert::timings(found.timings, waited)),
        };
        Ok(Response::new(proto::BatchSearchResponse { results: found.into_iter().map(result).collect() }))
    }

    async fn expanded_search(
        &self,
        request: Request<proto::ExpandedSearchRequest>,
    ) -> Result<Response<proto::ExpandedSearchResponse>, Status> {
        let mut request = request.into_inner();
        let bank = std::mem::take(&mut request.bank);
        let expand = convert::expand_request(request)?;
        let (found, waited) = self.0.to_generate().in_bank(bank, move |bank| bank.expand(&expand)).await?;
        Ok(Response::new(proto::ExpandedSearchResponse {
            hits: found.hits.into_iter().map(convert::hit).collect(),
            phrases: found.phrases.into_iter().map(convert::paraphrase).collect(),
            timings: Some(convert::timings(found.timings, waited)),
        }))
    }
}
