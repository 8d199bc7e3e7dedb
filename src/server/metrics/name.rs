//! Names of calls. There are as many as the server has calls, whatever is asked for.

use std::collections::HashMap;
use std::sync::Arc;

use prometheus_client::encoding::EncodeLabelSet;

use crate::Result;
use crate::server::{contract, proto};

/// A call that the server has, or `other`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct CallName {
    service: Arc<str>,
    method: Arc<str>,
}

/// A call, and how its messages come.
#[derive(Clone, Debug)]
pub struct Known {
    pub name: CallName,
    /// Whether a request is a stream of messages.
    pub asks_on: bool,
    /// Whether a request or an answer is.
    pub streams: bool,
}

/// The calls that there are, by their paths. Cheap to clone.
#[derive(Clone, Debug)]
pub struct CallNames {
    known: Arc<HashMap<String, Known>>,
    other: Known,
}

impl CallNames {
    /// The calls of our own services, health and reflection.
    ///
    /// # Errors
    /// The descriptors are damaged.
    pub fn new() -> Result<Self> {
        let mut known = HashMap::new();
        let sets =
            [proto::DESCRIPTORS, tonic_health::pb::FILE_DESCRIPTOR_SET, tonic_reflection::pb::v1::FILE_DESCRIPTOR_SET];
        for set in sets {
            let pool = contract::decoded(set)?;
            for method in contract::methods(&pool) {
                let service = method.parent_service();
                let asks_on = method.is_client_streaming();
                let streams = asks_on || method.is_server_streaming();
                let name = CallName { service: service.full_name().into(), method: method.name().into() };
                known.insert(contract::path(&method), Known { name, asks_on, streams });
            }
        }
        let name = CallName { service: "other".into(), method: "other".into() };
        Ok(Self { known: Arc::new(known), other: Known { name, asks_on: false, streams: false } })
    }

    /// The call of this path.
    pub fn of(&self, path: &str) -> &Known {
        self.known.get(path).unwrap_or(&self.other)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_server_does_not_have_is_one() {
        let names = CallNames::new().unwrap();
        let Known { name, streams, .. } = names.of("/simbert.v1.SearchService/Search");
        assert_eq!((&*name.service, &*name.method, *streams), ("simbert.v1.SearchService", "Search", false));
        let watch = names.of("/grpc.health.v1.Health/Watch");
        assert!(watch.streams && !watch.asks_on);
        assert!(names.of("/simbert.v1.QuestionService/BulkUpsertQuestions").asks_on);
        for unknown in ["/simbert.v1.SearchService/Nothing", "/", "", "/a/b"] {
            assert_eq!(&*names.of(unknown).name.method, "other");
        }
    }
}
