//! `simbert search`.

use std::io::Write;

use clap::Args;

use super::open::{self, BankArgs};
use super::{ModelArgs, hits};
use crate::engine::{FILTER_SYNTAX, Filter, Query, SearchRequest};

/// Find the questions of a bank that are nearest to QUERY.
///
/// Each hit has its cosine and, with a model that `simbert eval calibrate` was run for, the probability that it is
/// right.
#[derive(Args)]
#[command(after_help = format!("{FILTER_SYNTAX}\n\nExamples:\n  simbert search --bank faq 卡丢了怎么办\n  \
    simbert search --bank faq 如何退款 -k 3 --group-by-faq --min-score 0.6\n  \
    simbert search --bank faq 如何退款 --filter domain=shop|bank --json"))]
pub struct Search {
    /// What is asked.
    query: String,
    #[command(flatten)]
    bank: BankArgs,
    #[command(flatten)]
    lookup: LookupArgs,
    /// Print one JSON object: {"hits": […], "timings": {…}}.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    model: ModelArgs,
}

/// What is looked for, besides the query.
#[derive(Args, Debug, Clone)]
pub struct LookupArgs {
    /// How many hits at most, 1 to 1000.
    #[arg(short, value_name = "N", default_value_t = 10)]
    k: usize,
    /// Only questions that pass; may be given several times. See below.
    #[arg(long, value_name = "FILTER", value_parser = |text: &str| text.parse::<Filter>())]
    filter: Vec<Filter>,
    /// Leave out hits with a lower cosine, −1 to 1.
    #[arg(long, value_name = "COSINE", allow_negative_numbers = true)]
    min_score: Option<f32>,
    /// Leave out hits that are less likely right, 0 to 1; needs a model with a calibration.
    #[arg(long, value_name = "P")]
    min_probability: Option<f64>,
    /// At most one hit, the best, for each FAQ.
    #[arg(long)]
    group_by_faq: bool,
    /// Compare with every question, where a graph would be walked otherwise.
    #[arg(long)]
    exact: bool,
}

impl LookupArgs {
    /// The request for `query`, checked.
    pub fn request(self, query: String) -> crate::Result<SearchRequest> {
        let request = SearchRequest {
            query: Query::Text(query),
            k: self.k,
            filter: (!self.filter.is_empty()).then(|| Filter::All(self.filter).into()),
            min_score: self.min_score,
            min_probability: self.min_probability,
            group_by_faq: self.group_by_faq,
            exact: self.exact,
        };
        request.check().map(|()| request)
    }
}

impl Search {
    pub fn run(self) -> anyhow::Result<()> {
        let request = self.lookup.request(self.query)?; // before the model is loaded
        let engine = open::engine(&self.bank.data, &self.model)?;
        let found = open::bank(&engine, &self.bank.bank)?.search(&request)?;
        let mut out = std::io::stdout().lock();
        if self.json {
            let found_hits = found.hits.iter().map(hits::json).collect::<anyhow::Result<Vec<_>>>()?;
            let timings = hits::json_timings(&found.timings);
            writeln!(out, "{}", serde_json::json!({"hits": found_hits, "timings": timings}))?;
            return Ok(());
        }
        hits::print(&mut out, &found.hits, false)?;
        if found.hits.is_empty() {
            eprintln!("nothing was found; widen `--filter`, or lower `--min-score` or `--min-probability`");
        }
        Ok(())
    }
}
