//! The gRPC server, one file per service.
