//! `simbert demo`: the whole path, from a file of questions to answers over a real connection.

mod bulk;
mod folder;
mod print;

use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use clap::Args;
use indicatif::ProgressBar;
use tokio::sync::oneshot;

use super::ModelArgs;
use super::log::start_log;
use super::remote::{self, told};
use super::serve::{open_engine, runtime, stop_signal};
use crate::engine::Engine;
use crate::onnx::{self, Stamp};
use crate::server::proto::{self, query::Kind};
use crate::server::{Client, Server, ServerOptions};
use folder::Folder;
use print::Print;

/// The name of the demo's bank.
const BANK: &str = "demo";
/// Samples of which the best similar questions are shown.
const SAMPLES: u32 = 48;
/// Calls of which the latency is shown.
const REPEATS: usize = 50;

/// Show it all: index a bank of questions, serve it, search it, expand a query, write similar questions.
///
/// Starts a server on a free local port and talks to it as any client would, over gRPC and TCP.
#[derive(Args)]
#[command(
    after_help = "Examples:\n  simbert demo\n  simbert demo --query 手机没信号怎么办 --query 怎么退货\n  simbert demo --keep"
)]
pub struct Demo {
    #[command(flatten)]
    model: ModelArgs,
    /// Questions with answers, as TSV with the columns id, question, answer, domain.
    #[arg(long, value_name = "FILE", default_value = "data/faq/standard.tsv")]
    questions: PathBuf,
    /// Keep the bank in this folder; a temporary one, removed at the end, when absent.
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
    /// What to look up; may be given several times.
    #[arg(long, value_name = "TEXT", default_values = ["银行卡被偷了我该做什么", "手机老是没信号咋整", "护照怎么办理"])]
    query: Vec<String>,
    /// Keep serving at the end, until Ctrl-C.
    #[arg(long)]
    keep: bool,
}

impl Demo {
    pub fn run(self) -> anyhow::Result<()> {
        start_log("warn");
        let print = Print::new();
        let writes = export_if_needed(&self.model, &print)?;
        let folder = Folder::new(self.data.clone())?;
        let engine = spin("Opening the model", || open_engine(&self.model, folder.path(), 0))?;
        print.step(&format!("Model {}, {} wide", engine.fingerprint(), engine.dimension()));
        runtime()?.block_on(self.serve_and_show(engine, writes, &print))
    }

    async fn serve_and_show(self, engine: Engine, writes: bool, print: &Print) -> anyhow::Result<()> {
        let listen = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        let server = Server::bind(engine, ServerOptions { listen, ..ServerOptions::default() }).await?;
        let address = server.address();
        let mut stop = std::pin::pin!(stop_signal()?);
        let (shut_down, shutdown) = oneshot::channel::<()>();
        let serving = tokio::spawn(server.run(async { _ = shutdown.await }));
        print.step(&format!("Serving on {address}"));

        let shown = tokio::select! {
            shown = self.show(address, writes, print) => shown,
            () = &mut stop => Err(anyhow::anyhow!("stopped by a signal")),
        };
        if self.keep && shown.is_ok() {
            print.step(&format!("Still serving on {address}, bank `{BANK}`; Ctrl-C stops"));
            stop.await;
        }
        let _ = shut_down.send(()); // fails when the server has ended already, which the next line reports
        serving.await.context("the server panicked")??;
        if shown.is_ok() {
            print.step("Shut down, the bank is flushed");
        }
        shown
    }

    async fn show(&self, address: SocketAddr, writes: bool, print: &Print) -> anyhow::Result<()> {
        // A busy machine may take minutes to write questions.
        let mut client = remote::connect(&format!("http://{address}")).await?;
        make_bank(&mut client).await?;
        let indexed = bulk::index(&mut client, BANK, &self.questions).await?;
        print.step(&indexed);
        for query in &self.query {
            self.search(&mut client, query, print).await?;
        }
        let Some(query) = self.query.first() else { return Ok(()) };
        if writes {
            self.expand(&mut client, query, print).await?;
            self.generate(&mut client, query, print).await?;
        } else {
            print.step("The model has no decoder: no expanded search, no similar questions");
        }
        self.latency(&mut client, query, print).await
    }

    async fn search(&self, client: &mut Client, query: &str, print: &Print) -> anyhow::Result<()> {
        let (response, round_trip) = timed(client.search.search(search_request(query))).await?;
        print.title("Search", query);
        for hit in response.hits {
            print.hit(&hit);
        }
        print.times(response.timings, round_trip);
        Ok(())
    }

    async fn expand(&self, client: &mut Client, query: &str, print: &Print) -> anyhow::Result<()> {
        let request = proto::ExpandedSearchRequest {
            bank: BANK.to_owned(),
            text: query.to_owned(),
            options: Some(proto::SearchOptions { k: Some(3), ..Default::default() }),
            ..Default::default()
        };
        let spinner = spinner("Widening the search by similar questions");
        let (response, round_trip) = timed(client.search.expanded_search(request)).await?;
        spinner.finish_and_clear();
        print.title("Expanded search", query);
        for phrase in response.phrases {
            print.phrase(&phrase);
        }
        for hit in response.hits {
            print.hit(&hit);
        }
        print.times(response.timings, round_trip);
        Ok(())
    }

    async fn generate(&self, client: &mut Client, query: &str, print: &Print) -> anyhow::Result<()> {
        let request = proto::GenerateRequest {
            text: query.to_owned(),
            k: Some(8),
            sampling: Some(proto::Sampling { samples: Some(SAMPLES), ..Default::default() }),
            ..Default::default()
        };
        let spinner = spinner("Writing similar questions");
        let (response, round_trip) = timed(client.paraphrases.generate(request)).await?;
        spinner.finish_and_clear();
        print.title("Similar questions", query);
        for phrase in response.paraphrases {
            print.phrase(&phrase);
        }
        print.times(response.timings, round_trip);
        Ok(())
    }

    async fn latency(&self, client: &mut Client, query: &str, print: &Print) -> anyhow::Result<()> {
        let mut round_trips = Vec::with_capacity(REPEATS);
        for _ in 0..REPEATS {
            round_trips.push(timed(client.search.search(search_request(query))).await?.1);
        }
        round_trips.sort_unstable();
        let milliseconds = |share: usize| round_trips[REPEATS * share / 100].as_secs_f64() * 1e3;
        print.step(&format!(
            "Search, {REPEATS} more calls one after the other: round trip p50 {:.1} ms, p95 {:.1} ms",
            milliseconds(50),
            milliseconds(95)
        ));
        Ok(())
    }
}

fn search_request(query: &str) -> proto::SearchRequest {
    proto::SearchRequest {
        bank: BANK.to_owned(),
        query: Some(proto::Query { kind: Some(Kind::Text(query.to_owned())) }),
        options: Some(proto::SearchOptions { k: Some(3), ..Default::default() }),
    }
}

/// A reply and how long it took, seen from the client.
async fn timed<T>(
    call: impl Future<Output = Result<tonic::Response<T>, tonic::Status>>,
) -> anyhow::Result<(T, Duration)> {
    let started = Instant::now();
    let response = call.await.map_err(told)?;
    Ok((response.into_inner(), started.elapsed()))
}

/// Makes the bank, or takes the one that an earlier demo left in the folder.
async fn make_bank(client: &mut Client) -> anyhow::Result<()> {
    let description = "the questions of `simbert demo`".to_owned();
    let create = proto::CreateBankRequest { name: BANK.to_owned(), description, ..Default::default() };
    match client.banks.create_bank(create).await {
        Err(status) if status.code() != tonic::Code::AlreadyExists => Err(told(status)),
        _ => Ok(()),
    }
}

/// Writes the model's graphs where they are missing or were made from other weights; says whether there is a decoder.
fn export_if_needed(model: &ModelArgs, print: &Print) -> anyhow::Result<bool> {
    let directory = model.named()?;
    let fresh = |graph: PathBuf| Stamp::check(&directory, &graph).is_ok();
    // An export removes the decoder of a model that has none.
    let decoder = directory.decoder_path().exists();
    if fresh(directory.encoder_path()) && (!decoder || fresh(directory.decoder_path())) {
        return Ok(decoder);
    }
    let export = spin("Exporting the model to ONNX", || Ok(onnx::export(&directory)?))?;
    print.step(&format!("Exported the model to ONNX, {:.1} MB", export.weight_bytes as f64 / 1e6));
    Ok(export.decoder)
}

/// Runs `work` beside a spinner.
fn spin<T>(message: &'static str, work: impl FnOnce() -> anyhow::Result<T>) -> anyhow::Result<T> {
    let spinner = spinner(message);
    let result = work();
    spinner.finish_and_clear();
    result
}

/// A spinner that turns by itself, until it is finished or dropped.
fn spinner(message: &'static str) -> ProgressBar {
    let spinner = ProgressBar::new_spinner().with_message(message);
    spinner.enable_steady_tick(Duration::from_millis(100));
    spinner
}
