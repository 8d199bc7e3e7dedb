//! Which paths there are, and which call each makes.

use axum::routing::MethodFilter;
use prost_reflect::{DescriptorPool, Kind, MethodDescriptor};

use crate::{Error, Result};

/// The package that the calls are of.
pub(super) const PACKAGE: &str = "simbert.v1";

/// A path that makes a call. What stands in braces is a field of the call's request; with GET the query string holds
/// others, with POST the body does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Route {
    pub verb: Verb,
    pub path: &'static str,
    /// Service and call, as in [`PACKAGE`].
    pub call: &'static str,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verb {
    Get,
    Post,
}

impl Verb {
    pub fn filter(self) -> MethodFilter {
        match self {
            Self::Get => MethodFilter::GET,
            Self::Post => MethodFilter::POST,
        }
    }

    /// As OpenAPI has it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Get => "get",
            Self::Post => "post",
        }
    }
}

const fn get(path: &'static str, call: &'static str) -> Route {
    Route { verb: Verb::Get, path, call }
}

const fn post(path: &'static str, call: &'static str) -> Route {
    Route { verb: Verb::Post, path, call }
}

/// All of them.
pub(super) const ROUTES: &[Route] = &[
    get("/v1/model", "EmbeddingService/GetModel"),
    post("/v1/embed", "EmbeddingService/Embed"),
    get("/v1/banks", "BankService/ListBanks"),
    post("/v1/banks", "BankService/CreateBank"),
    get("/v1/banks/{name}", "BankService/GetBank"),
    get("/v1/banks/{name}/map", "BankService/MapBank"),
    get("/v1/banks/{bank}/questions", "QuestionService/ListQuestions"),
    post("/v1/banks/{bank}/questions", "QuestionService/UpsertQuestions"),
    post("/v1/banks/{bank}/questions:get", "QuestionService/GetQuestions"),
    post("/v1/banks/{bank}/search", "SearchService/Search"),
    post("/v1/banks/{bank}/search:batch", "SearchService/BatchSearch"),
    post("/v1/banks/{bank}/search:expanded", "SearchService/ExpandedSearch"),
    post("/v1/generate", "ParaphraseService/Generate"),
];

impl Route {
    /// The call, as the descriptors have it.
    ///
    /// # Errors
    /// The descriptors have no such call, it is one of streams, or its request has no field of a name in braces that
    /// could be in a path.
    pub fn method(&self, pool: &DescriptorPool) -> Result<MethodDescriptor> {
        let fault = |what: &str| Error::Internal(format!("route {}: {what}", self.path));
        let (service, call) = self.call.split_once('/').ok_or_else(|| fault("its call has no service"))?;
        let service = pool.get_service_by_name(&format!("{PACKAGE}.{service}")).ok_or_else(|| fault("no service"))?;
        let method = service.methods().find(|method| method.name() == call).ok_or_else(|| fault("no such call"))?;
        if method.is_client_streaming() || method.is_server_streaming() {
            return Err(fault("its call is one of streams"));
        }
        for name in self.fields() {
            let field = method.input().get_field_by_name(name).ok_or_else(|| fault("no such field"))?;
            if field.kind() != Kind::String || field.is_list() {
                return Err(fault("a field of its path is no text"));
            }
        }
        Ok(method)
    }

    /// The fields that stand in the path.
    pub fn fields(&self) -> impl Iterator<Item = &'static str> {
        self.path.split('/').filter_map(|part| part.strip_prefix('{')?.strip_suffix('}'))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::server::proto;

    #[test]
    fn every_route_has_its_call_and_its_fields() {
        let pool = DescriptorPool::decode(proto::DESCRIPTORS).unwrap();
        for route in ROUTES {
            route.method(&pool).unwrap();
        }
        let refused = |path, call| get(path, call).method(&pool).unwrap_err().to_string();
        assert!(refused("/x/{text}", "BankService/GetBank").contains("no such field"));
        assert!(refused("/x", "BankService/TakeSnapshot").contains("streams"));
    }
}
