//! SIGTERM while everything runs: what was acknowledged is there afterwards, and nothing hangs.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use simbert::server::{Client, ServerOptions, proto};
use tempfile::TempDir;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Code, Status};

use crate::TURN;
use crate::process::Process;

const BANK: &str = "faq";
/// How long the load goes on before the signal, once every caller has had its first answers.
const LOAD: Duration = Duration::from_secs(2);
/// How long the first answers may take, on a machine with other work.
const WARMING: Duration = Duration::from_secs(60);
/// How many answers every caller has had before the signal.
const ANSWERS: usize = 6;
/// Before a caller who was turned away asks again.
const PAUSE: Duration = Duration::from_millis(20);
/// How long a caller may take to hear of the end, past the server's own grace period.
const HEARING: Duration = Duration::from_secs(5);
/// From the start of a server until it listens, and until it has answered a first search.
const RESTART: Duration = Duration::from_secs(10);

/// What a caller was told of the questions that it wrote.
#[derive(Default)]
struct Told {
    written: BTreeSet<String>,
    deleted: BTreeSet<String>,
    /// Asked for when the server ended, and not answered: done or not.
    open: BTreeSet<String>,
}

/// Counts a caller's answers, and lets the signal come when there are enough.
struct Answers {
    count: usize,
    waited_for: Option<mpsc::Sender<()>>,
}

impl Answers {
    fn add(&mut self) {
        self.count += 1;
        if self.count >= ANSWERS {
            self.waited_for = None;
        }
    }
}

/// Calls until there is an answer that is not “come later”.
async fn insist<T, F>(client: &Client, call: impl Fn(Client) -> F) -> Result<T, Status>
where
    F: Future<Output = Result<T, Status>>,
{
    loop {
        match call(client.clone()).await {
            Err(status) if status.code() == Code::ResourceExhausted => tokio::time::sleep(PAUSE).await,
            answer => return answer,
        }
    }
}

fn question(id: String) -> proto::Question {
    proto::Question { text: format!("{id}的问题怎么办理"), id, ..Default::default() }
}

/// Sends one batch after the other by a stream, until the server ends it.
async fn stream(mut client: Client, name: String, mut answers: Answers) -> Told {
    let (sender, messages) = mpsc::channel(4);
    let id = move |n: u64| format!("{name}-{n}");
    let ids = id.clone();
    tokio::spawn(async move {
        for start in (0..).step_by(8) {
            let questions = (start..start + 8).map(|n| question(ids(n))).collect();
            let message = proto::BulkUpsertQuestionsRequest { bank: BANK.to_owned(), questions };
            if sender.send(message).await.is_err() {
                return;
            }
        }
    });
    let mut settled = 0;
    let replies = client.questions.bulk_upsert_questions(ReceiverStream::new(messages)).await;
    if let Ok(mut replies) = replies.map(tonic::Response::into_inner) {
        while let Ok(Some(reply)) = replies.message().await {
            answers.add();
            settled = reply.settled;
        }
    }
    Told { written: (0..settled).map(id).collect(), ..Told::default() }
}

async fn upsert(mut client: Client, id: String) -> Result<(), Status> {
    let request = proto::UpsertQuestionsRequest { bank: BANK.to_owned(), questions: vec![question(id)] };
    client.questions.upsert_questions(request).await.map(drop)
}

async fn delete(mut client: Client, id: String) -> Result<(), Status> {
    let request = proto::DeleteQuestionsRequest { bank: BANK.to_owned(), ids: vec![id] };
    client.questions.delete_questions(request).await.map(drop)
}

async fn search(mut client: Client, text: String) -> Result<usize, Status> {
    let query = Some(proto::Query { kind: Some(proto::query::Kind::Text(text)) });
    let request = proto::SearchRequest { bank: BANK.to_owned(), query, options: None };
    Ok(client.search.search(request).await?.into_inner().hits.len())
}

async fn generate(mut client: Client, text: String) -> Result<usize, Status> {
    let sampling = Some(proto::Sampling { samples: Some(16), ..Default::default() });
    let request = proto::GenerateRequest { text, sampling, ..Default::default() };
    Ok(client.paraphrases.generate(request).await?.into_inner().paraphrases.len())
}

/// Writes one question after the other, and deletes every third again, until a call fails.
async fn write(client: Client, name: String, mut answers: Answers) -> Told {
    let mut told = Told::default();
    for n in 0.. {
        let id = format!("{name}-{n}");
        if insist(&client, |client| upsert(client, id.clone())).await.is_err() {
            told.open.insert(id);
            return told;
        }
        answers.add();
        if n % 3 == 0 {
            if insist(&client, |client| delete(client, id.clone())).await.is_err() {
                told.open.insert(id);
                return told;
            }
            told.deleted.insert(id);
        } else {
            told.written.insert(id);
        }
    }
    told
}

/// Reads or generates until a call fails.
async fn ask(client: Client, generates: bool, mut answers: Answers) {
    for n in 0.. {
        let text = || format!("第{n}个问题怎么办");
        let answer = match generates {
            true => insist(&client, |client| generate(client, text())).await,
            false => insist(&client, |client| search(client, text())).await,
        };
        if answer.is_err() {
            return;
        }
        answers.add();
    }
}

async fn ids(client: &mut Client) -> BTreeSet<String> {
    let (mut ids, mut page_token) = (BTreeSet::new(), String::new());
    loop {
        let request =
            proto::ListQuestionsRequest { bank: BANK.to_owned(), page_size: Some(1000), page_token, read_mask: None };
        let page = client.questions.list_questions(request).await.unwrap().into_inner();
        ids.extend(page.questions.into_iter().map(|question| question.id));
        page_token = page.next_page_token;
        if page_token.is_empty() {
            return ids;
        }
    }
}

#[tokio::test]
async fn a_signal_under_load_loses_nothing_acknowledged_and_hangs_nobody() {
    let _turn = TURN.lock().await;
    let data = TempDir::new().unwrap();
    let process = Process::start(data.path());
    let create = proto::CreateBankRequest { name: BANK.to_owned(), ..Default::default() };
    process.client().await.banks.create_bank(create).await.unwrap();

    let (mut writers, mut readers) = (JoinSet::new(), JoinSet::new());
    let (waited_for, mut warm) = mpsc::channel(1);
    let answers = || Answers { count: 0, waited_for: Some(waited_for.clone()) };
    for i in 0..2 {
        writers.spawn(stream(process.client().await, format!("s{i}"), answers()));
    }
    for i in 0..4 {
        writers.spawn(write(process.client().await, format!("w{i}"), answers()));
        readers.spawn(ask(process.client().await, i % 2 == 0, answers()));
    }
    drop(waited_for);
    tokio::time::timeout(WARMING, warm.recv()).await.expect("every caller is answered");
    tokio::time::sleep(LOAD).await;
    assert!(writers.try_join_next().is_none() && readers.try_join_next().is_none(), "nobody fails before the signal");
    let told = Instant::now();
    process.terminate();
    let grace = ServerOptions::default().grace;
    let status = process.end(grace + HEARING).await.expect("the server ends");
    println!("ended {:.2} s after the signal", told.elapsed().as_secs_f64());
    assert!(status.success(), "{status}");
    assert!(told.elapsed() < grace, "the calls that ran were short: {:?}", told.elapsed());
    let heard = async { (writers.join_all().await, readers.join_all().await) };
    let (written, _) = tokio::time::timeout(HEARING, heard).await.expect("nobody hangs");
    assert!(written.iter().all(|told| told.written.len() > 2), "all of them wrote");

    let started = Instant::now();
    let process = Process::start(data.path());
    let mut client = process.client().await;
    assert_eq!(search(client.clone(), "怎么办理".to_owned()).await.unwrap(), 10);
    println!(
        "listened after {:.2} s, searched after {:.2} s",
        process.ready_after.as_secs_f64(),
        started.elapsed().as_secs_f64()
    );
    assert!(started.elapsed() < RESTART, "{:?}", started.elapsed());
    let found = ids(&mut client).await;
    let all = |of: fn(&Told) -> &BTreeSet<String>| written.iter().flat_map(of).collect::<Vec<_>>();
    let lost: Vec<_> = all(|told| &told.written).into_iter().filter(|id| !found.contains(*id)).collect();
    assert!(lost.is_empty(), "acknowledged, and gone: {lost:?}");
    let back: Vec<_> = all(|told| &told.deleted).into_iter().filter(|id| found.contains(*id)).collect();
    assert!(back.is_empty(), "deleted, and there: {back:?}");
}
