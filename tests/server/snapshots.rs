//! Snapshots of a bank that the server has open, and banks made of them.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use simbert::engine::Engine;
use simbert::server::proto::take_snapshot_response::Part;
use simbert::server::proto::{self, RestoreBankRequest, SnapshotProgress, SnapshotTaken};
use simbert::server::{Client, ServerOptions};
use tempfile::TempDir;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Code, Request, Status, Streaming};

use crate::harness::{Served, assert_status, connect, engine, numbered, options, questions, run, said};
use crate::small_disk::SmallDisk;

/// What a whole stream said.
struct Sent {
    progress: Vec<SnapshotProgress>,
    taken: SnapshotTaken,
    file: Vec<u8>,
}

async fn take(client: &mut Client) -> Result<Sent, Status> {
    let request = proto::TakeSnapshotRequest { name: "faq".to_owned() };
    let mut replies = client.banks.take_snapshot(request).await?.into_inner();
    let mut sent = Sent { progress: Vec::new(), taken: SnapshotTaken::default(), file: Vec::new() };
    while let Some(reply) = replies.message().await? {
        match reply.part.unwrap() {
            Part::Progress(progress) => sent.progress.push(progress),
            Part::Taken(taken) => sent.taken = taken,
            Part::Chunk(chunk) => {
                assert!(!chunk.is_empty() && chunk.len() <= 1 << 20 && sent.taken.bytes > 0);
                sent.file.extend(chunk);
            }
        }
    }
    Ok(sent)
}

fn messages(name: &str, file: &[u8]) -> Vec<RestoreBankRequest> {
    let message = |chunk: &[u8]| RestoreBankRequest { name: name.to_owned(), chunk: chunk.to_vec() };
    let mut messages: Vec<_> = file.chunks(100_000).map(message).collect();
    messages.iter_mut().skip(1).for_each(|message| message.name.clear());
    messages
}

async fn restore(client: &mut Client, messages: Vec<RestoreBankRequest>) -> Result<proto::Bank, Status> {
    Ok(client.banks.restore_bank(tokio_stream::iter(messages)).await?.into_inner().bank.unwrap())
}

/// Waits until nothing but these banks is in the folder of banks.
async fn only(folder: &Path, banks: &[&str]) {
    let started = Instant::now();
    loop {
        let entries = std::fs::read_dir(folder.join("banks")).unwrap();
        let mut found: Vec<_> = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        found.sort();
        if found == banks {
            return;
        }
        assert!(started.elapsed() < Duration::from_secs(10), "{found:?} are left");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// Questions with long answers, so that a snapshot has many chunks: each some 200 KiB.
fn long(range: std::ops::Range<usize>) -> Vec<proto::Question> {
    let mut questions = numbered(range);
    questions.iter_mut().for_each(|question| question.answer = Some("答".repeat(70_000)));
    questions
}

/// A server with a bank `faq` whose snapshot has some 12 MiB: more than a stream holds that nobody reads.
async fn served_long(options: ServerOptions) -> Served {
    let mut served = Served::start_with(options).await;
    served.create("faq").await.unwrap();
    for first in [0, 20, 40] {
        served.upsert(long(first..first + 20)).await.unwrap();
    }
    served
}

/// A snapshot of `faq` of which nobody has read anything.
async fn unread(client: &mut Client) -> Result<Streaming<proto::TakeSnapshotResponse>, Status> {
    let request = proto::TakeSnapshotRequest { name: "faq".to_owned() };
    client.banks.take_snapshot(request).await.map(tonic::Response::into_inner)
}

async fn end<T>(replies: &mut Streaming<T>) -> Result<(), Status> {
    while replies.message().await?.is_some() {}
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_snapshot_is_one_state_while_writes_go_on() {
    const QUESTIONS: usize = 1000;
    let version =
        |n: u64, i: usize| proto::Question { text: format!("第{n}版问题{i}"), ..numbered(i..i + 1).remove(0) };
    let mut served = Served::with_bank().await;
    served.upsert((0..QUESTIONS).map(|i| version(0, i)).collect()).await.unwrap();
    let written = Arc::new(AtomicU64::new(0));
    let (mut writer, count) = (served.client.clone(), written.clone());
    let writing = tokio::spawn(async move {
        // Each write gives all questions of one group a new version.
        for n in 1.. {
            let group = (0..QUESTIONS).filter(|i| *i as u64 % 10 == n % 10).map(|i| version(n, i)).collect();
            let request = proto::UpsertQuestionsRequest { bank: "faq".to_owned(), questions: group };
            writer.questions.upsert_questions(request).await.unwrap();
            count.store(n, Ordering::Relaxed);
        }
    });
    for round in 0..5 {
        let before = written.load(Ordering::Relaxed);
        while written.load(Ordering::Relaxed) == before {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        let sent = take(&mut served.client).await.unwrap();
        assert_eq!((sent.taken.questions, sent.taken.bytes), (QUESTIONS as u64, sent.file.len() as u64));
        assert!(sent.progress.iter().all(|progress| progress.questions == QUESTIONS as u64));
        let bank = restore(&mut served.client, messages("copy", &sent.file)).await.unwrap();
        assert_eq!((bank.name.as_str(), bank.questions), ("copy", QUESTIONS as u64));
        let list = proto::ListQuestionsRequest { bank: bank.name, page_size: Some(1000), ..Default::default() };
        let listed = served.client.questions.list_questions(list).await.unwrap().into_inner().questions;
        for (i, question) in listed.iter().enumerate() {
            // Batch 1 was the load, batch n + 1 the write of version n.
            let of_its_group = |n: &u64| *n == 0 || *n % 10 == i as u64 % 10;
            let newest = (0..sent.taken.batch).rev().find(of_its_group).unwrap();
            assert_eq!(question.text, version(newest, i).text, "round {round}, batch {}", sent.taken.batch);
        }
        assert!(sent.taken.batch > before);
        served
            .client
            .banks
            .delete_bank(proto::DeleteBankRequest { name: "copy".to_owned(), ..Default::default() })
            .await
            .unwrap();
    }
    writing.abort();
    only(served.folder.path(), &["faq"]).await;
}

#[tokio::test]
async fn a_caller_that_does_not_read_holds_up_nobody_and_leaves_nothing() {
    let mut served = served_long(options()).await;
    let first = unread(&mut served.client).await.unwrap();
    served.upsert(questions()).await.unwrap();
    // While the first is copied a second one has to wait, but not for its caller.
    let started = Instant::now();
    let second = loop {
        match take(&mut served.client).await {
            Err(status) if status.code() == Code::Unavailable => assert!(started.elapsed() < Duration::from_secs(10)),
            taken => break taken.unwrap(),
        }
    };
    assert_eq!((second.taken.questions, second.taken.batch), (65, 4));
    assert!(second.file.len() > 12 << 20);
    let mut torn = unread(&mut served.client).await.unwrap();
    while !matches!(torn.message().await.unwrap().unwrap().part, Some(Part::Chunk(_))) {}
    drop((first, torn));
    only(served.folder.path(), &["faq"]).await;
}

#[tokio::test]
async fn a_cut_stream_of_a_restore_leaves_nothing() {
    let mut served = served_long(options()).await;
    let file = take(&mut served.client).await.unwrap().file;
    let all = messages("copy", &file);
    let (sender, receiver) = mpsc::channel(1);
    let mut client = served.client.clone();
    let restoring = tokio::spawn(async move { client.banks.restore_bank(ReceiverStream::new(receiver)).await });
    for message in &all[..all.len() / 2] {
        sender.send(message.clone()).await.unwrap();
    }
    restoring.abort(); // resets the stream
    drop(sender);
    only(served.folder.path(), &["faq"]).await;
    // Half a file is a damaged one.
    let torn = restore(&mut served.client, all[..all.len() / 2].to_vec()).await;
    assert_status(torn, Code::InvalidArgument, "it was not copied whole");
    only(served.folder.path(), &["faq"]).await;
    assert_eq!(restore(&mut served.client, all).await.unwrap().questions, 60);
}

#[tokio::test]
async fn what_cannot_be_restored_is_refused_with_its_reason() {
    let mut served = Served::with_questions().await;
    let file = take(&mut served.client).await.unwrap().file;
    let client = &mut served.client;
    for at in [30, file.len() / 2, file.len() - 3] {
        let mut damaged = file.clone();
        damaged[at] ^= 1;
        let refused = restore(client, messages("copy", &damaged)).await;
        assert_status(
            refused,
            Code::InvalidArgument,
            "the snapshot: expected a whole one, received one that is damaged",
        );
    }
    let other = restore(client, messages("copy", b"id,question\n1,a\n")).await;
    assert_status(other, Code::InvalidArgument, "the snapshot: expected a file that `simbert bank snapshot` wrote");
    assert_status(restore(client, vec![]).await, Code::InvalidArgument, "the chunks of a snapshot's file");
    let empty = restore(client, vec![RestoreBankRequest::default()]).await;
    assert_status(empty, Code::InvalidArgument, "the snapshot: expected a file");
    assert_status(
        restore(client, messages("../copy", &file)).await,
        Code::InvalidArgument,
        "bank name: expected 1 to 64",
    );
    let mut renamed = messages("copy", &file);
    renamed.push(RestoreBankRequest { name: "other".to_owned(), chunk: vec![] });
    assert_status(restore(client, renamed).await, Code::InvalidArgument, "one name for the whole stream, `copy`");
    // A taken name is refused before anything is sent, where it is known.
    assert_status(restore(client, messages("", &file)).await, Code::AlreadyExists, "bank `faq` already exists");
    let named = restore(client, vec![RestoreBankRequest { name: "faq".to_owned(), chunk: vec![] }]).await;
    assert_status(named, Code::AlreadyExists, "bank `faq` already exists");
    let missing = client.banks.take_snapshot(proto::TakeSnapshotRequest { name: "none".to_owned() }).await.unwrap();
    assert_status(end(&mut missing.into_inner()).await, Code::NotFound, "bank `none` was not found");
    assert_eq!(restore(client, messages("copy", &file)).await.unwrap().faqs, 4);
    only(served.folder.path(), &["copy", "faq"]).await;
}

#[tokio::test]
async fn a_restored_bank_belongs_to_its_model() {
    let mut served = Served::with_questions().await;
    let file = take(&mut served.client).await.unwrap().file;
    let elsewhere = Arc::new(TempDir::new().unwrap());
    let mut other = Served::serve(engine(elsewhere.path(), "other"), elsewhere, options()).await;
    let bank = restore(&mut other.client, messages("", &file)).await.unwrap();
    assert_eq!((bank.name.as_str(), bank.model_fingerprint.as_str(), bank.questions), ("faq", "fake", 5));
    let get = other.client.banks.get_bank(proto::GetBankRequest { name: "faq".to_owned() }).await;
    assert_status(get, Code::FailedPrecondition, "encoded by model fake");
}

#[tokio::test]
async fn too_many_snapshots_are_turned_away() {
    let mut served = served_long(ServerOptions { max_transfers: 1, ..options() }).await;
    let first = unread(&mut served.client).await.unwrap();
    let full = "the list of snapshots on their way is full (1 at once by";
    assert_status(unread(&mut served.client).await.map(drop), Code::ResourceExhausted, full);
    assert_status(restore(&mut served.client, vec![]).await, Code::ResourceExhausted, full);
    drop(first);
    let started = Instant::now();
    while take(&mut served.client).await.is_err() {
        assert!(started.elapsed() < Duration::from_secs(10), "the place is not given back");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

#[tokio::test]
async fn a_passed_deadline_ends_both_ways() {
    let mut served = served_long(options()).await;
    let soon = Duration::from_millis(300);
    let (_sender, receiver) = mpsc::channel::<RestoreBankRequest>(1);
    let mut request = Request::new(ReceiverStream::new(receiver));
    request.set_timeout(soon);
    let status = served.client.banks.restore_bank(request).await.unwrap_err();
    // The caller's own clock may be the first to ring.
    assert!(matches!(status.code(), Code::DeadlineExceeded | Code::Cancelled), "{status}");
    let mut request = Request::new(proto::TakeSnapshotRequest { name: "faq".to_owned() });
    request.set_timeout(soon);
    let mut replies = served.client.banks.take_snapshot(request).await.unwrap().into_inner();
    tokio::time::sleep(soon * 2).await;
    assert_status(end(&mut replies).await, Code::DeadlineExceeded, "the call's deadline passed");
    only(served.folder.path(), &["faq"]).await;
}

#[tokio::test]
async fn shutting_down_gives_snapshots_up_and_leaves_nothing() {
    let mut served = served_long(options()).await;
    let file = take(&mut served.client).await.unwrap().file;
    let mut sending = unread(&mut served.client).await.unwrap();
    while !matches!(sending.message().await.unwrap().unwrap().part, Some(Part::Chunk(_))) {}
    let (sender, receiver) = mpsc::channel(1);
    let mut client = served.client.clone();
    let restoring = tokio::spawn(async move { client.banks.restore_bank(ReceiverStream::new(receiver)).await });
    for message in messages("copy", &file).into_iter().take(3) {
        sender.send(message).await.unwrap();
    }
    let folder = served.folder.clone();
    let (started, running) = (Instant::now(), served.begin_stop());
    assert_status(restoring.await.unwrap(), Code::Unavailable, "it is shutting down");
    assert_status(end(&mut sending).await, Code::Unavailable, "it is shutting down");
    running.await.unwrap().unwrap();
    assert!(started.elapsed() < ServerOptions::default().grace / 4, "{:?}", started.elapsed());
    only(folder.path(), &["faq"]).await;
    let mut again = Served::start_in(folder, options()).await;
    assert_eq!(again.ids(100).await.len(), 60);
}

#[tokio::test]
async fn a_full_disk_takes_no_snapshot_and_keeps_the_banks_room() {
    let Some(disk) = SmallDisk::new(160) else { return };
    let mut elsewhere = served_long(options()).await;
    let file = take(&mut elsewhere.client).await.unwrap().file;
    let folder = Arc::new(TempDir::new().unwrap()); // only its type is wanted
    let mut served = Served::serve(engine(disk.path(), "fake"), folder, options()).await;
    served.create("faq").await.unwrap();
    served.upsert(long(0..20)).await.unwrap();
    served.upsert(long(20..40)).await.unwrap();
    let ballast = disk.path().join("ballast");
    let found = rustix::fs::statvfs(disk.path()).unwrap();
    let left = |mib: u64| (found.f_bavail * found.f_frsize).checked_sub(mib << 20).unwrap() as usize;
    std::fs::write(&ballast, vec![1; left(40)]).unwrap(); // 8 MiB beside the reserve: too few
    assert_status(take(&mut served.client).await.map(drop), Code::ResourceExhausted, "make room");
    let refused = restore(&mut served.client, messages("copy", &file)).await;
    assert_status(refused, Code::ResourceExhausted, "make room");
    only(disk.path(), &["faq"]).await;
    std::fs::remove_file(ballast).unwrap();
    assert_eq!(take(&mut served.client).await.unwrap().taken.questions, 40);
    served.stop().await;
}

#[tokio::test]
async fn the_commands_copy_a_bank_that_the_server_has_open() {
    let served = served_long(options()).await;
    let folder = served.folder.clone();
    let data = folder.path();
    let files = TempDir::new().unwrap();
    let (url, path) = (format!("http://{}", served.address), files.path().join("faq.bank"));
    let (server, file) = (["--server", url.as_str()], path.to_str().unwrap());
    let call = async |arguments: &[&str]| said(run(data, &[&["bank"], arguments, &server].concat()).await);

    let (code, local) = said(run(data, &["bank", "snapshot", "faq", file]).await).unwrap_err();
    assert!(code == Some(1) && local.contains("another process has it open"), "{local}");
    assert!(local.contains(&format!("`simbert bank snapshot faq {file} --server http://host:port`")), "{local}");
    assert!(!path.exists());

    let shown = call(&["snapshot", "faq", file]).await.unwrap();
    assert_eq!(shown, format!("bank `faq`: 60 questions copied to {file}, as of batch 3\n"));
    assert_eq!(Engine::check_snapshot(&path, &|_, _| ()).unwrap().counts.questions, 60);
    let (code, there) = call(&["snapshot", "faq", file]).await.unwrap_err();
    assert!(code == Some(1) && there.contains("pass `--force` to replace it"), "{there}");
    let json: serde_json::Value =
        serde_json::from_str(&call(&["snapshot", "faq", file, "--force", "--json"]).await.unwrap()).unwrap();
    assert_eq!(
        (&json["questions"], &json["batch"], &json["model_fingerprint"]),
        (&60.into(), &3.into(), &"fake".into())
    );
    assert_eq!(std::fs::read_dir(files.path()).unwrap().count(), 1, "nothing but the file");
    let (code, missing) = call(&["snapshot", "none", file, "--force"]).await.unwrap_err();
    assert!(code == Some(1) && missing.contains("the server answered NotFound: bank `none`"), "{missing}");
    assert_eq!(std::fs::read_dir(files.path()).unwrap().count(), 1, "the file of before");

    let (code, taken) = call(&["restore", file]).await.unwrap_err();
    assert!(code == Some(1) && taken.contains("AlreadyExists: bank `faq` already exists"), "{taken}");
    let shown = call(&["restore", file, "copy"]).await.unwrap();
    assert_eq!(shown, format!("bank `copy`: 60 questions restored from {file}, as of batch 3\n"));
    let get = proto::GetBankRequest { name: "copy".to_owned() };
    let mut client = connect(served.address).await;
    assert_eq!(client.banks.get_bank(get).await.unwrap().into_inner().bank.unwrap().questions, 60);
    let mut bytes = std::fs::read(&path).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    std::fs::write(&path, bytes).unwrap();
    let (code, damaged) = call(&["restore", file, "copy2"]).await.unwrap_err();
    assert!(code == Some(1) && damaged.contains("the snapshot: expected a whole one"), "{damaged}");

    let (code, wrong) = said(run(data, &["bank", "restore", file, "--server", "localhost:1"]).await).unwrap_err();
    assert!(code == Some(2) && wrong.contains("expected `http://host:port`"), "{wrong}");
    served.stop().await;
    let gone = said(run(data, &["bank", "snapshot", "faq", file, "--force", "--server", &url]).await);
    assert!(matches!(&gone, Err((Some(1), message)) if message.contains("is not available")), "{gone:?}");
}
