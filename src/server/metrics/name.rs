//! Names of calls. There are as many as the server has calls, whatever is asked for.

use std::collections::HashMap;
use std::sync::Arc;

use prometheus_client::encoding::EncodeLabelSet;
use prost_reflect::DescriptorPool;

use crate::server::proto;
use crate::{Error, Result};

/// A call that the server has, or `other`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct CallName {
    service: Arc<str>,
    method: Arc<str>,
}

/// A call, and whether messages of it come one after the other.
pub type Known = (CallName, bool);

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
            let pool = DescriptorPool::decode(set)
                .map_err(|e| Error::Internal(format!("the service descriptors are damaged: {e}")))?;
            for method in pool.services().flat_map(|service| service.methods().collect::<Vec<_>>()) {
                let service = method.parent_service();
                let streams = method.is_client_streaming() || method.is_server_streaming();
                let name = CallName { service: service.full_name().into(), method: method.name().into() };
                known.insert(format!("/{}/{}", service.full_name(), method.name()), (name, streams));
            }
        }
        let other = CallName { service: "other".into(), method: "other".into() };
        Ok(Self { known: Arc::new(known), other: (other, false) })
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
        let (search, streams) = names.of("/simbert.v1.SearchService/Search");
        assert_eq!((&*search.service, &*search.method, *streams), ("simbert.v1.SearchService", "Search", false));
        assert!(names.of("/grpc.health.v1.Health/Watch").1);
        for unknown in ["/simbert.v1.SearchService/Nothing", "/", "", "/a/b"] {
            assert_eq!(&*names.of(unknown).0.method, "other");
        }
    }
}
