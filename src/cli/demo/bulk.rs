//! Sends a file of questions through the bulk stream, with a progress bar.

use std::path::Path;
use std::time::Instant;

use anyhow::{Context as _, bail};
use indicatif::{ProgressBar, ProgressStyle};
use serde::Deserialize;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;

use super::super::remote::told;
use crate::server::{Client, proto};

/// Questions of one message.
const CHUNK: usize = 64;

/// One line of the file.
#[derive(Deserialize)]
struct Row {
    id: String,
    question: String,
    answer: String,
    domain: String,
}

impl From<Row> for proto::Question {
    fn from(row: Row) -> Self {
        let domain = proto::MetadataValue { kind: Some(proto::metadata_value::Kind::Text(row.domain)) };
        Self {
            faq_id: Some(row.id.clone()),
            id: row.id,
            text: row.question,
            answer: Some(row.answer),
            metadata: [("domain".to_owned(), domain)].into(),
        }
    }
}

fn read(path: &Path) -> anyhow::Result<Vec<proto::Question>> {
    let reader = csv::ReaderBuilder::new().delimiter(b'\t').quoting(false).from_path(path);
    let mut reader = reader.context("cannot open the questions; name a file with `--questions`")?;
    let rows = reader.deserialize::<Row>().map(|row| row.map(proto::Question::from));
    rows.collect::<Result<_, _>>().with_context(|| format!("cannot read {}", path.display()))
}

/// Indexes the file into `bank`; says how it went.
pub async fn index(client: &mut Client, bank: &str, path: &Path) -> anyhow::Result<String> {
    let questions = read(path)?;
    let total = questions.len() as u64;
    let started = Instant::now();
    let bar = ProgressBar::new(total);
    bar.set_style(ProgressStyle::with_template(
        "{elapsed_precise} {bar:24} {pos}/{len} questions, {eta_precise} left",
    )?);

    let (sender, messages) = mpsc::channel(4);
    let bank = bank.to_owned();
    tokio::spawn(async move {
        let mut questions = questions.into_iter().peekable();
        while questions.peek().is_some() {
            let questions = questions.by_ref().take(CHUNK).collect();
            let message = proto::BulkUpsertQuestionsRequest { bank: bank.clone(), questions };
            if sender.send(message).await.is_err() {
                return; // the server has ended the stream, and its reply says why
            }
        }
    });
    let replies = client.questions.bulk_upsert_questions(ReceiverStream::new(messages)).await.map_err(told)?;
    let mut replies = replies.into_inner();
    let mut last = proto::BulkUpsertQuestionsResponse::default();
    while let Some(reply) = replies.message().await.map_err(told)? {
        for failure in &reply.failures {
            bar.suspend(|| eprintln!("left out `{}`: {}", failure.id, failure.reason));
        }
        bar.set_position(reply.settled);
        last = reply;
    }
    bar.finish_and_clear();
    if last.inserted + last.updated == 0 {
        bail!("{} has no question that could be indexed", path.display());
    }
    let seconds = started.elapsed().as_secs_f64();
    Ok(format!(
        "Indexed {} questions in {seconds:.1} s, {:.0} a second",
        last.inserted + last.updated,
        total as f64 / seconds
    ))
}
