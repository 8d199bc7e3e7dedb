//! Replies of a stream, to a caller who may not read them.

use std::time::Duration;

use tokio::sync::mpsc::Sender;
use tonic::{Code, Status};

use super::calls::FAREWELL;
use super::proto::ErrorReason;
use super::status;

/// Sends one, and waits for so long until there is room for it. Sent to a caller who has gone it is lost, which is no error:
/// whoever sends learns of it by [`Sender::closed`].
///
/// # Errors
/// UNAVAILABLE when the caller did not read meanwhile.
pub(super) async fn send<T>(replies: &Sender<Result<T, Status>>, reply: T, patience: Duration) -> Result<(), Status> {
    match tokio::time::timeout(patience, replies.send(Ok(reply))).await {
        Ok(_) => Ok(()),
        Err(_) => {
            let sentence = format!(
                "the stream's replies were not read for {} s, which the server's `--stream-idle` allows",
                patience.as_secs_f64()
            );
            Err(status::own(Code::Unavailable, ErrorReason::StreamIdle, sentence))
        }
    }
}

/// Ends a stream by an error, for whoever reads on.
pub(super) async fn fail<T>(replies: &Sender<Result<T, Status>>, status: Status) {
    let _ = tokio::time::timeout(FAREWELL, replies.send(Err(status))).await;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn who_does_not_read_is_given_up_and_who_has_gone_is_no_error() {
        let (replies, receiver) = tokio::sync::mpsc::channel(1);
        let patience = Duration::from_millis(20);
        send(&replies, 1, patience).await.unwrap();
        let status = send(&replies, 2, patience).await.unwrap_err();
        assert_eq!(status.code(), Code::Unavailable);
        fail(&replies, status).await; // ends
        drop(receiver);
        send(&replies, 3, patience).await.unwrap();
    }
}
