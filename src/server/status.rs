//! The one place where an error becomes a gRPC status: its code, a sentence for a caller elsewhere, and details for
//! programs (google.rpc.ErrorInfo, BadRequest and RetryInfo, in `grpc-status-details-bin`).
//!
//! Sentences for callers name no files of the server and no commands: the log and the command line do.

use std::collections::HashMap;
use std::path::Path;
use std::time::Duration;

use tonic::{Code, Status};
use tonic_types::{ErrorDetails, StatusExt as _};

use super::limits::flag;
use super::proto::ErrorReason;
use super::refused::Refused;
use crate::Error;
use crate::error::brief;

/// Who gives the reasons.
const DOMAIN: &str = "simbert";
/// When to try again what was turned away because there is too much to do, and what is not there yet.
const BUSY: Duration = Duration::from_millis(500);
const AWAY: Duration = Duration::from_secs(1);
/// Bytes of a sentence and of a detail. All of a status comes as headers, of which a client takes 8 KiB or more; a letter
/// that is none of ASCII's takes three times its bytes there.
const SENTENCE: usize = 800;
const DETAIL: usize = 256;

impl From<Error> for Status {
    fn from(error: Error) -> Self {
        Refused::from(error).into()
    }
}

impl From<Refused> for Status {
    fn from(refused: Refused) -> Self {
        let Refused { error, field, beyond } = &refused;
        let (code, reason) = meaning(error);
        if matches!(code, Code::Internal | Code::DataLoss) {
            tracing::error!(%error, "a call failed");
        }
        let mut facts = facts(error);
        let reason = match beyond {
            Some((limit, most)) => {
                facts = vec![("limit", (*limit).to_owned()), ("most", most.to_string()), ("setting", flag(limit))];
                ErrorReason::LimitExceeded
            }
            None => reason,
        };
        let sentence = brief(refused.to_string(), SENTENCE);
        let mut details = info(reason, facts);
        if !field.is_empty() && code == Code::InvalidArgument {
            details.add_bad_request_violation(brief(field.clone(), DETAIL), sentence.clone());
        }
        match reason {
            ErrorReason::Busy => _ = details.set_retry_info(Some(BUSY)),
            ErrorReason::NotAvailable => _ = details.set_retry_info(Some(AWAY)),
            _ => {}
        }
        Self::with_error_details(code, sentence, details)
    }
}

/// A status of the server's own, for what is no error of the library.
pub(super) fn own(code: Code, reason: ErrorReason, sentence: impl Into<String>) -> Status {
    let mut details = info(reason, Vec::new());
    if code == Code::Unavailable {
        details.set_retry_info(Some(AWAY));
    }
    Status::with_error_details(code, brief(sentence.into(), SENTENCE), details)
}

/// The same status, whose ErrorInfo names one thing more.
pub(super) fn with_fact(status: Status, name: &str, value: impl ToString) -> Status {
    let mut details = status.get_error_details();
    // What tonic refuses by itself has no details.
    let (reason, mut facts) = match details.error_info() {
        Some(info) => (info.reason.clone(), info.metadata.clone()),
        None => (word(ErrorReason::Internal).to_owned(), HashMap::new()),
    };
    facts.insert(name.to_owned(), value.to_string());
    details.set_error_info(reason, DOMAIN, facts);
    Status::with_error_details(status.code(), status.message(), details)
}

fn info(reason: ErrorReason, facts: Vec<(&str, String)>) -> ErrorDetails {
    let facts: HashMap<String, String> =
        facts.into_iter().map(|(name, value)| (name.to_owned(), brief(value, DETAIL))).collect();
    ErrorDetails::with_error_info(word(reason), DOMAIN, facts)
}

/// A reason as it is sent.
fn word(reason: ErrorReason) -> &'static str {
    reason.as_str_name().trim_start_matches("ERROR_REASON_")
}

/// What the caller can do about an error: in gRPC's words, and in the contract's.
fn meaning(error: &Error) -> (Code, ErrorReason) {
    match error {
        Error::Invalid { .. } | Error::BadLine { .. } => (Code::InvalidArgument, ErrorReason::InvalidValue),
        Error::NotFound { .. } => (Code::NotFound, ErrorReason::BankNotFound),
        Error::AlreadyExists { .. } => (Code::AlreadyExists, ErrorReason::BankExists),
        Error::ModelMismatch { .. } => (Code::FailedPrecondition, ErrorReason::OtherModel),
        Error::NoDecoder { .. } => (Code::FailedPrecondition, ErrorReason::NoDecoder),
        Error::DataCorruption { .. } => (Code::DataLoss, ErrorReason::Damaged),
        Error::Unavailable { .. } => (Code::Unavailable, ErrorReason::NotAvailable),
        Error::DiskFull { .. } => (Code::ResourceExhausted, ErrorReason::DiskFull),
        Error::Exhausted { .. } => (Code::ResourceExhausted, ErrorReason::Busy),
        Error::TooLarge { .. } => (Code::OutOfRange, ErrorReason::MessageTooLarge),
        Error::Cancelled { .. } => (Code::Cancelled, ErrorReason::Cancelled),
        Error::Io { .. } | Error::Store { .. } | Error::Runtime { .. } | Error::Network(_) | Error::Internal(_) => {
            (Code::Internal, ErrorReason::Internal)
        }
    }
}

/// What a program might want to know of it, by name.
fn facts(error: &Error) -> Vec<(&'static str, String)> {
    match error {
        Error::NotFound { kind: "bank", name, .. } | Error::AlreadyExists { kind: "bank", name, .. } => {
            vec![("bank", name.clone())]
        }
        Error::ModelMismatch { bank, expected, received } => {
            vec![("bank", bank.clone()), ("encoded_by", expected.clone()), ("loaded", received.clone())]
        }
        Error::TooLarge { most, .. } => vec![("most", most.to_string())],
        _ => Vec::new(),
    }
}

/// What is wrong and what to do, for somebody who calls from elsewhere.
pub(super) fn sentence(error: &Error) -> String {
    let name_of = |path: &Path| path.file_name().unwrap_or(path.as_os_str()).to_string_lossy().into_owned();
    match error {
        Error::NotFound { kind: "bank", name, .. } => {
            format!("bank `{name}` was not found; ListBanks tells which there are, CreateBank makes one")
        }
        Error::NotFound { kind, name, .. } => format!("{kind} `{name}` was not found"),
        Error::ModelMismatch { bank, expected, received } => format!(
            "bank `{bank}` was encoded by model {expected}, but the loaded model is {received}; call a server with the \
             first model, or have the bank encoded anew for this one"
        ),
        Error::NoDecoder { .. } => {
            "writing similar questions is not available: the server's model has no decoder; call a server whose model \
             has one"
                .to_owned()
        }
        Error::DataCorruption { path, comment } => format!("{} is damaged: {comment}", name_of(path)),
        Error::DiskFull { left, wanted, .. } => format!(
            "the server's disk is full ({} MiB are left, and a write needs {}: make room)",
            left >> 20,
            wanted >> 20
        ),
        Error::Exhausted { what, limit } => format!("{what} is full ({limit}); try again later"),
        Error::TooLarge { .. } => format!("{error}; the server's `--max-message` sets this limit"),
        Error::Io { action, source, .. } => format!("the server cannot {action}: {source}; its log says more"),
        error => error.to_string(),
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
    use crate::server::limits::HITS;

    fn text() -> String {
        "this".to_owned()
    }

    #[test]
    fn every_error_gets_its_code_and_its_reason() {
        let named = |f: fn(&'static str, String, String) -> Error| f("bank", "faq".to_owned(), "look again".to_owned());
        let sled = || sled::Error::Unsupported("that".to_owned());
        let cases = [
            (Error::invalid("k", "1 to 1000", 0), Code::InvalidArgument, "INVALID_VALUE"),
            (Error::BadLine { path: "a.csv".into(), line: 3, reason: text() }, Code::InvalidArgument, "INVALID_VALUE"),
            (named(|kind, name, hint| Error::NotFound { kind, name, hint }), Code::NotFound, "BANK_NOT_FOUND"),
            (named(|kind, name, hint| Error::AlreadyExists { kind, name, hint }), Code::AlreadyExists, "BANK_EXISTS"),
            (
                Error::ModelMismatch { bank: text(), expected: text(), received: text() },
                Code::FailedPrecondition,
                "OTHER_MODEL",
            ),
            (Error::NoDecoder { hint: text() }, Code::FailedPrecondition, "NO_DECODER"),
            (Error::corrupt("vectors", "bad checksum"), Code::DataLoss, "DAMAGED"),
            (Error::Unavailable { what: text(), reason: text() }, Code::Unavailable, "NOT_AVAILABLE"),
            (Error::Exhausted { what: text(), limit: text() }, Code::ResourceExhausted, "BUSY"),
            (Error::TooLarge { most: 1, instead: "less" }, Code::OutOfRange, "MESSAGE_TOO_LARGE"),
            (Error::DiskFull { path: "/data".into(), left: 1, wanted: 2 }, Code::ResourceExhausted, "DISK_FULL"),
            (Error::Cancelled { what: text() }, Code::Cancelled, "CANCELLED"),
            (Error::io("read", "file", std::io::Error::other("no")), Code::Internal, "INTERNAL"),
            (Error::store("read", sled()), Code::Internal, "INTERNAL"),
            (Error::Runtime { action: text(), message: text() }, Code::Internal, "INTERNAL"),
            (Error::Network(candle_core::Error::Msg(text())), Code::Internal, "INTERNAL"),
            (Error::Internal(text()), Code::Internal, "INTERNAL"),
        ];
        for (error, code, reason) in cases {
            let status = Status::from(error);
            let details = status.get_error_details();
            let info = details.error_info().unwrap();
            assert_eq!((status.code(), info.reason.as_str(), info.domain.as_str()), (code, reason, "simbert"));
            let again = matches!(reason, "BUSY" | "NOT_AVAILABLE");
            assert_eq!(details.retry_info().is_some(), again, "{status}");
        }
    }

    #[test]
    fn callers_hear_no_paths_and_no_commands() {
        let hint = "`simbert bank list` shows the banks of /srv/banks".to_owned();
        let errors = [
            Error::NotFound { kind: "bank", name: "faq".to_owned(), hint },
            Error::ModelMismatch { bank: "faq".to_owned(), expected: text(), received: text() },
            Error::NoDecoder { hint: "the model has no /srv/model/decoder.onnx; run `simbert export`".to_owned() },
            Error::corrupt("/srv/banks/faq", "record 3 is missing"),
            Error::io("write the snapshot", "/srv/banks/faq/x", std::io::Error::other("no")),
            Error::DiskFull { path: "/srv/banks".into(), left: 1 << 20, wanted: 2 << 20 },
        ];
        for error in errors {
            let status = Status::from(error);
            let told = format!("{} {:?}", status.message(), status.get_error_details());
            assert!(!told.contains("/srv") && !told.contains("`simbert"), "{told}");
        }
    }

    #[test]
    fn a_field_and_a_limit_are_named() {
        let error = Error::invalid("k", "1 to 1000", 1001);
        let refused = Refused { field: "options.k".to_owned(), ..Refused::beyond(error, HITS, 1000) };
        let status = Status::from(refused);
        let details = status.get_error_details();
        let violation = &details.bad_request().unwrap().field_violations[0];
        assert_eq!((violation.field.as_str(), violation.description.as_str()), ("options.k", status.message()));
        let info = details.error_info().unwrap();
        let fact = |name: &str| info.metadata[name].as_str();
        assert_eq!(info.reason, "LIMIT_EXCEEDED");
        assert_eq!((fact("limit"), fact("most"), fact("setting")), ("hits", "1000", "--max-hits"));
    }

    #[test]
    fn what_a_caller_made_long_does_not_make_the_status_long() {
        let long = "长".repeat(1 << 20);
        let error = Error::NotFound { kind: "bank", name: long.clone(), hint: text() };
        let status = Status::from(Refused { field: long, ..error.into() });
        assert!(status.message().len() < 1000);
        let http = status.into_http::<tonic::body::Body>();
        let bytes: usize = http.headers().values().map(tonic::codegen::http::HeaderValue::len).sum();
        assert!(bytes < 8 << 10, "{bytes}");
    }

    #[test]
    fn a_fact_is_added_to_those_that_are_there() {
        let status = Status::from(Error::NotFound { kind: "bank", name: "faq".to_owned(), hint: text() });
        let status = with_fact(status, "settled", 7);
        let details = status.get_error_details();
        let info = details.error_info().unwrap();
        assert_eq!((info.metadata["bank"].as_str(), info.metadata["settled"].as_str()), ("faq", "7"));
        let status = with_fact(Status::internal("torn"), "settled", 7);
        assert_eq!(status.get_error_details().error_info().unwrap().metadata["settled"], "7");
        assert_eq!((status.code(), status.message()), (Code::Internal, "torn"));
    }
}
