//! Messages above the limit: tonic refuses them before any service sees them, and says so in its own words. Here they
//! become ours, which say what to do.

use prost::Message;
use tonic::body::Body;
use tonic::codegen::http;
use tonic::{Code, Status};

use super::proto::ErrorReason;
use super::status;

/// How tonic's sentence begins. Its numbers are the message's size and the limit.
const REFUSED: &str = "Error, decoded message length too large: ";

/// The status of a message that is too large, said so that its sender knows what to do; any other as it is.
pub(super) fn explained(status: Status) -> Status {
    let numbers: Vec<u64> = match status.message().strip_prefix(REFUSED) {
        Some(rest) if status.code() == Code::OutOfRange => {
            rest.split(|c: char| !c.is_ascii_digit()).filter_map(|digits| digits.parse().ok()).collect()
        }
        _ => return status,
    };
    let [bytes, most] = numbers[..] else { return status };
    let sentence = format!(
        "message: expected at most {most} bytes, received {bytes} bytes; send fewer or shorter items in each; the \
         server's `--max-message` sets this limit"
    );
    too_large(sentence, bytes, most)
}

/// The same for the answer of a whole call.
pub(super) fn explained_answer(answer: http::Response<Body>) -> http::Response<Body> {
    match Status::from_header_map(answer.headers()) {
        Some(status) if status.code() == Code::OutOfRange => explained(status).into_http(),
        _ => answer,
    }
}

/// The bytes of a reply, if they are not too many; `instead` is what the caller might ask for otherwise.
///
/// # Errors
/// OUT_OF_RANGE.
pub(super) fn of_reply(reply: &impl Message, most: usize, instead: &str) -> Result<usize, Status> {
    let bytes = reply.encoded_len();
    if bytes <= most {
        return Ok(bytes);
    }
    let sentence = format!(
        "reply: expected at most {most} bytes, and it would have {bytes} bytes; ask for {instead}; the server's \
         `--max-message` sets this limit"
    );
    Err(too_large(sentence, bytes as u64, most as u64))
}

fn too_large(sentence: String, bytes: u64, most: u64) -> Status {
    let status = status::own(Code::OutOfRange, ErrorReason::MessageTooLarge, sentence);
    status::with_fact(status::with_fact(status, "bytes", bytes), "most", most)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_too_large_is_said_anew() {
        let other = explained(Status::out_of_range("elsewhere"));
        assert_eq!(other.message(), "elsewhere");
        let ours = explained(Status::out_of_range(format!("{REFUSED}found 70000 bytes, the limit is: 65536 bytes")));
        assert!(ours.message().starts_with("message: expected at most 65536 bytes, received 70000 bytes;"), "{ours}");
        let torn = explained(Status::out_of_range(format!("{REFUSED}found many")));
        assert!(torn.message().starts_with(REFUSED));
    }

    #[test]
    fn a_reply_that_fits_goes_out() {
        let text = || "x".repeat(98); // with its tag and length 100 bytes
        assert_eq!(of_reply(&text(), 101, "less").unwrap(), 100);
        let status = of_reply(&text(), 99, "fewer ids").unwrap_err();
        assert!(status.message().contains("it would have 100 bytes; ask for fewer ids;"), "{status}");
    }
}
