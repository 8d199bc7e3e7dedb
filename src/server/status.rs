//! The one place where an error becomes a gRPC status.

use tonic::{Code, Status};

use crate::Error;

impl From<Error> for Status {
    fn from(error: Error) -> Self {
        let code = code(&error);
        if matches!(code, Code::Internal | Code::DataLoss) {
            tracing::error!(%error, "a call failed");
        }
        Self::new(code, error.to_string())
    }
}

/// What the caller can do about an error, in gRPC's words.
fn code(error: &Error) -> Code {
    match error {
        Error::Invalid { .. } | Error::BadLine { .. } => Code::InvalidArgument,
        Error::NotFound { .. } => Code::NotFound,
        Error::AlreadyExists { .. } => Code::AlreadyExists,
        Error::ModelMismatch { .. } => Code::FailedPrecondition,
        Error::DataCorruption { .. } => Code::DataLoss,
        Error::Unavailable { .. } => Code::Unavailable,
        Error::Exhausted { .. } => Code::ResourceExhausted,
        Error::Cancelled { .. } => Code::Cancelled,
        Error::Io { .. } | Error::Store { .. } | Error::Runtime { .. } | Error::Network(_) | Error::Internal(_) => {
            Code::Internal
        }
    }
}

/// The name of a code, as gRPC's documentation has it.
pub(super) fn code_name(code: Code) -> &'static str {
    match code {
        Code::Ok => "OK",
        Code::Cancelled => "CANCELLED",
        Code::Unknown => "UNKNOWN",
        Code::InvalidArgument => "INVALID_ARGUMENT",
        Code::DeadlineExceeded => "DEADLINE_EXCEEDED",
        Code::NotFound => "NOT_FOUND",
        Code::AlreadyExists => "ALREADY_EXISTS",
        Code::PermissionDenied => "PERMISSION_DENIED",
        Code::ResourceExhausted => "RESOURCE_EXHAUSTED",
        Code::FailedPrecondition => "FAILED_PRECONDITION",
        Code::Aborted => "ABORTED",
        Code::OutOfRange => "OUT_OF_RANGE",
        Code::Unimplemented => "UNIMPLEMENTED",
        Code::Internal => "INTERNAL",
        Code::Unavailable => "UNAVAILABLE",
        Code::DataLoss => "DATA_LOSS",
        Code::Unauthenticated => "UNAUTHENTICATED",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_error_keeps_its_sentence_and_gets_its_code() {
        let named = |f: fn(&'static str, String, String) -> Error| f("bank", "faq".to_owned(), "look again".to_owned());
        let text = || "this".to_owned();
        let sled = || sled::Error::Unsupported("that".to_owned());
        let cases = [
            (Error::invalid("k", "1 to 1000", 0), Code::InvalidArgument),
            (Error::BadLine { path: "a.csv".into(), line: 3, reason: text() }, Code::InvalidArgument),
            (named(|kind, name, hint| Error::NotFound { kind, name, hint }), Code::NotFound),
            (named(|kind, name, hint| Error::AlreadyExists { kind, name, hint }), Code::AlreadyExists),
            (Error::ModelMismatch { bank: text(), expected: text(), received: text() }, Code::FailedPrecondition),
            (Error::corrupt("vectors", "bad checksum"), Code::DataLoss),
            (Error::Unavailable { what: text(), reason: text() }, Code::Unavailable),
            (Error::Exhausted { what: text(), limit: text() }, Code::ResourceExhausted),
            (Error::Cancelled { what: text() }, Code::Cancelled),
            (Error::io("read", "file", std::io::Error::other("no")), Code::Internal),
            (Error::store("read", sled()), Code::Internal),
            (Error::Runtime { action: text(), message: text() }, Code::Internal),
            (Error::Network(candle_core::Error::Msg(text())), Code::Internal),
            (Error::Internal(text()), Code::Internal),
        ];
        for (error, code) in cases {
            let sentence = error.to_string();
            let status = Status::from(error);
            assert_eq!((status.code(), status.message()), (code, sentence.as_str()));
        }
    }
}
