//! `SearchService`.

use tonic::{Request, Response, Status};

use super::access::admitted;
use super::context::Context;
use super::convert;
use super::limits::{BATCH_HITS, QUERIES};
use super::proto;
use super::proto::search_service_server::SearchService;
use super::refused::{At, Refused};
use crate::engine::{Bank, Query, SearchRequest, only};

/// What to ask for instead of a reply that is too large.
const SMALLER: &str = "fewer hits, or leave answers out by a `read_mask`";

/// Finds questions.
pub(super) struct Search(pub Context);

#[tonic::async_trait]
impl SearchService for Search {
    async fn search(&self, request: Request<proto::SearchRequest>) -> Result<Response<proto::SearchResponse>, Status> {
        let (caller, proto::SearchRequest { bank, query, options }) = admitted(request)?;
        let wanted = convert::read_mask(options.as_ref())?;
        let limits = self.0.limits();
        let search = convert::search_request(convert::query(query, limits).at("query")?, options, limits)?;
        let (found, waited) = self.0.search(&caller, bank, vec![search], self.0.keeping(wanted, SMALLER)).await?;
        let found = only(found)?;
        let reply = proto::SearchResponse {
            hits: found.hits.into_iter().map(|hit| convert::hit(hit, wanted)).collect(),
            timings: Some(convert::timings(found.timings, waited)),
        };
        self.0.reply(reply, SMALLER)
    }

    async fn batch_search(
        &self,
        request: Request<proto::BatchSearchRequest>,
    ) -> Result<Response<proto::BatchSearchResponse>, Status> {
        let (caller, proto::BatchSearchRequest { bank, queries, options }) = admitted(request)?;
        let wanted = convert::read_mask(options.as_ref())?;
        let limits = self.0.limits();
        let queries = limits.items("queries", queries, QUERIES).at("queries")?.into_iter().enumerate();
        let query = |(place, query)| convert::query(Some(query), limits).at(format!("queries[{place}]"));
        let queries = queries.map(query).collect::<Result<Vec<_>, Refused>>()?;
        // The options, which may be large, are made once.
        let with_options = convert::search_request(Query::Text(String::new()), options, limits)?;
        let searches: Vec<_> =
            queries.into_iter().map(|query| SearchRequest { query, ..with_options.clone() }).collect();
        let hits = searches.iter().map(|search| search.k).sum();
        limits.within("hits of the batch, its queries times `k`", hits, BATCH_HITS).at("queries")?;
        let (found, waited) = self.0.search(&caller, bank, searches, self.0.keeping(wanted, SMALLER)).await?;
        let result = |found: crate::engine::SearchResponse| proto::SearchResult {
            hits: found.hits.into_iter().map(|hit| convert::hit(hit, wanted)).collect(),
            timings: Some(convert::timings(found.timings, waited)),
        };
        let reply = proto::BatchSearchResponse { results: found.into_iter().map(result).collect() };
        self.0.reply(reply, SMALLER)
    }

    async fn expanded_search(
        &self,
        request: Request<proto::ExpandedSearchRequest>,
    ) -> Result<Response<proto::ExpandedSearchResponse>, Status> {
        let (caller, mut request) = admitted(request)?;
        let bank = std::mem::take(&mut request.bank);
        let wanted = convert::read_mask(request.options.as_ref())?;
        let expand = convert::expand_request(request, self.0.limits())?;
        let (generating, keeping) = (self.0.to_generate(), self.0.keeping(wanted, SMALLER));
        let search = move |bank: Bank| bank.expand_keeping(&expand, &|q| keeping.keep(q));
        let (found, waited) = generating.in_bank(&caller, bank, search).await?;
        let reply = proto::ExpandedSearchResponse {
            hits: found.hits.into_iter().map(|hit| convert::hit(hit, wanted)).collect(),
            phrases: found.phrases.into_iter().map(convert::paraphrase).collect(),
            timings: Some(convert::timings(found.timings, waited)),
        };
        self.0.reply(reply, SMALLER)
    }
}
