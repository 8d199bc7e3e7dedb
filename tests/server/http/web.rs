//! gRPC-web, and gRPC at the HTTP port.

use prost::Message;
use simbert::server::proto;
use tonic::Code;

use super::client::{Answer, Http};
use super::served;
use crate::harness::{assert_status, connect, questions};

/// One frame of gRPC: a flag, the length, the message.
fn framed(message: &impl Message) -> Vec<u8> {
    let bytes = message.encode_to_vec();
    [&[0][..], &(bytes.len() as u32).to_be_bytes(), &bytes].concat()
}

/// The messages of an answer, and its trailers.
fn frames(answer: &Answer) -> (Vec<&[u8]>, String) {
    assert_eq!((answer.status, &answer.headers["content-type"][..]), (200, "application/grpc-web+proto"));
    let (mut messages, mut rest) = (Vec::new(), &answer.body[..]);
    while let [flag, a, b, c, d, after @ ..] = rest {
        let (frame, next) = after.split_at(u32::from_be_bytes([*a, *b, *c, *d]) as usize);
        if *flag == 0x80 {
            assert!(next.is_empty());
            return (messages, String::from_utf8(frame.to_vec()).unwrap());
        }
        messages.push(frame);
        rest = next;
    }
    panic!("there are no trailers");
}

async fn call(http: Http, path: &str, message: &impl Message) -> Answer {
    let headers = [("content-type", "application/grpc-web+proto"), ("x-grpc-web", "1")];
    http.send("POST", path, &headers, &framed(message)).await
}

#[tokio::test]
async fn a_page_calls_and_reads_streams() {
    let (served, http) = served().await;
    let ids = vec!["q3".to_owned()];
    let get = proto::GetQuestionsRequest { bank: "faq".to_owned(), ids };
    let answer = call(http, "/simbert.v1.QuestionService/GetQuestions", &get).await;
    let (messages, trailers) = frames(&answer);
    let reply = proto::GetQuestionsResponse::decode(messages[0]).unwrap();
    assert_eq!((messages.len(), &reply.questions[0]), (1, &questions()[2]));
    assert!(trailers.contains("grpc-status:0"), "{trailers}");

    let take = proto::TakeSnapshotRequest { name: "faq".to_owned() };
    let answer = call(http, "/simbert.v1.BankService/TakeSnapshot", &take).await;
    let (messages, trailers) = frames(&answer);
    assert!(messages.len() >= 2 && trailers.contains("grpc-status:0"), "{} {trailers}", messages.len());

    let get = proto::GetBankRequest { name: "nobody".to_owned() };
    let refused = call(http, "/simbert.v1.BankService/GetBank", &get).await;
    let status = refused.headers.get("grpc-status").cloned().unwrap_or_else(|| frames(&refused).1);
    assert!(status.contains('5'), "{status}");
    drop(served);
}

#[tokio::test]
async fn other_requests_for_a_call_are_refused() {
    let (_served, http) = served().await;
    let path = "/simbert.v1.BankService/ListBanks";
    http.post(path, "{}").await.assert_error(404, "NOT_FOUND", "/openapi.json");
    let message = framed(&proto::ListBanksRequest {});
    let plain = http.send("POST", path, &[("content-type", "application/grpc")], &message).await;
    assert_eq!(plain.status, 400, "gRPC needs HTTP/2");
}

#[tokio::test]
async fn plain_grpc_is_answered_too() {
    let (_served, http) = served().await;
    let mut client = connect(http.0).await;
    let banks = client.banks.list_banks(proto::ListBanksRequest {}).await.unwrap().into_inner().banks;
    assert_eq!(banks[0].name, "faq");
    let nobody = client.banks.get_bank(proto::GetBankRequest { name: "nobody".to_owned() }).await;
    assert_status(nobody, Code::NotFound, "nobody");
}
