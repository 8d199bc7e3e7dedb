//! The contract by its descriptors: what calls there are, and where.

use prost_reflect::{DescriptorPool, MethodDescriptor};

use super::proto;
use crate::{Error, Result};

/// The descriptors of our own services.
///
/// # Errors
/// They are damaged.
pub(super) fn ours() -> Result<DescriptorPool> {
    decoded(proto::DESCRIPTORS)
}

/// Descriptors as they are served.
///
/// # Errors
/// They are damaged.
pub(super) fn decoded(set: &[u8]) -> Result<DescriptorPool> {
    DescriptorPool::decode(set).map_err(|e| Error::Internal(format!("the descriptors are damaged: {e}")))
}

/// Every call of all services.
pub(super) fn methods(pool: &DescriptorPool) -> impl Iterator<Item = MethodDescriptor> {
    pool.services().flat_map(|service| service.methods().collect::<Vec<_>>())
}

/// The path that a call is made at.
pub(super) fn path(method: &MethodDescriptor) -> String {
    format!("/{}/{}", method.parent_service().full_name(), method.name())
}
