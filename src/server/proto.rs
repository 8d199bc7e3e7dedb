//! What is generated from `proto/simbert/v1/`: messages, service traits, clients.

#![allow(missing_docs, clippy::all, clippy::pedantic, reason = "generated code")]

tonic::include_proto!("simbert.v1");

/// The descriptors of the package, as reflection serves them.
pub const DESCRIPTORS: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/simbert_descriptors.bin"));
