//! `simbert eval calibrate`.

use std::path::PathBuf;

use clap::{Args, ValueEnum};

use super::bar::Bar;
use super::encode;
use crate::cli::ModelArgs;
use crate::cli::say::say;
use crate::eval::{self, Calibrated, Goodness, Method, WantedPrecision};
use crate::metrics::Curve;
use crate::model::{Calibration, Fitted};
use crate::runtime::Encoder;

/// Fit what a score means: the probability that two questions mean the same.
///
/// From labelled pairs (`sentence, sentence, label`, with tabs), or from queries and the standard questions that they
/// find, right or wrong. Writes `calibration.json` into the model directory, from where search results take their
/// probabilities; it belongs to this model and no other. All figures of the new curve are held out: each fifth of the
/// pairs is judged by a curve that was fitted to the rest. A calibration that the model has already is judged beside
/// it, so that `--dry-run` shows how well it serves other pairs.
///
/// Probabilities hold where the share of right pairs is that of the pairs they were fitted to. A curve from pairs of
/// which half mean the same promises too much where most hits are wrong: name the share there with `--prior`, or fit
/// it to queries of your own.
#[derive(Args)]
#[command(after_help = "Examples:\n  simbert eval calibrate pairs.tsv --dry-run --plot reliability.svg\n  \
    simbert eval calibrate stsb.tsv --positive-from 4 --prior 0.1\n  \
    simbert eval calibrate --standard data/faq/standard.tsv --query data/faq/queries.tsv --precision 0.9,0.95")]
pub struct CalibrateArgs {
    /// Labelled pairs; several files are taken together.
    #[arg(value_name = "FILE.tsv", required_unless_present = "standard", conflicts_with = "standard")]
    files: Vec<PathBuf>,
    /// Standard questions, `id, question`, instead of pairs.
    #[arg(long, value_name = "S.tsv", requires = "query")]
    standard: Option<PathBuf>,
    /// Users' queries, `question, id`.
    #[arg(long, value_name = "Q.tsv", requires = "standard")]
    query: Option<PathBuf>,
    /// Hits of each query that are fitted to: as many as a search will show. With 1, only what is first counts.
    #[arg(long, value_name = "K", default_value_t = 10, requires = "standard", conflicts_with = "files",
        value_parser = clap::value_parser!(u16).range(1..=1000))]
    hits: u16,
    #[command(flatten)]
    model: ModelArgs,
    /// How to fit; the one with the lower held-out log loss when absent.
    #[arg(long, value_enum)]
    method: Option<MethodName>,
    /// Say where to cut for these precisions, above 0 and up to 1.
    #[arg(long, value_name = "P", value_delimiter = ',', default_values_t = [0.8, 0.9, 0.95])]
    precision: Vec<f64>,
    /// The share of right pairs where the probabilities will be used, if it is another one: above 0 and below 1.
    #[arg(long, value_name = "P")]
    prior: Option<f64>,
    /// The least label that says that two sentences mean the same, where labels are graded.
    #[arg(long, value_name = "X", allow_negative_numbers = true, conflicts_with = "standard")]
    positive_from: Option<f32>,
    /// Write no `calibration.json`.
    #[arg(long)]
    dry_run: bool,
    /// Draw the reliability plot.
    #[arg(long, value_name = "FILE.svg")]
    plot: Option<PathBuf>,
    /// Print one line of JSON: {"pairs":…,"base_rate":…,"method":…,"before":{…},"after":{…},"precisions":[…],…}.
    #[arg(long)]
    json: bool,
}

/// [`Method`] on the command line.
#[derive(Debug, Clone, Copy, ValueEnum)]
enum MethodName {
    /// Any curve that never falls: pool adjacent violators.
    Isotonic,
    /// A logistic curve.
    Platt,
}

impl CalibrateArgs {
    pub fn run(self) -> anyhow::Result<()> {
        let directory = self.model.directory()?;
        let encoder = Encoder::open(&directory, &self.model.runtime())?;
        let encode = encode(&encoder);
        let mut bar = Bar::default();
        let mut progress = |step| bar.step(step);
        let (samples, hits) = match (&self.standard, &self.query) {
            (Some(standard), Some(query)) => {
                let hits = usize::from(self.hits);
                (eval::hit_samples(standard, query, hits, &encode, &mut progress)?, Some(hits))
            }
            _ => (eval::pair_samples(&self.files, self.positive_from, &encode, &mut progress)?, None),
        };
        drop(bar);
        let method = self.method.map(|name| match name {
            MethodName::Isotonic => Method::Isotonic,
            MethodName::Platt => Method::Platt,
        });
        // What is broken is about to be made anew, so it is said and no reason to stop.
        let earlier = directory.calibration(encoder.fingerprint()).unwrap_or_else(|error| {
            eprintln!("the calibration in place is not judged: {error}");
            None
        });
        let earlier = earlier.as_ref().map(|calibration| &calibration.curve);
        let found = eval::calibrate(&samples, method, &self.precision, self.prior, earlier)?;
        if let Some(path) = &self.plot {
            eval::draw_calibration(&found, path)?;
        }
        let files = self.files.iter().chain(&self.standard).chain(&self.query).filter_map(|path| path.file_name());
        let fitted = Fitted {
            pairs: found.pairs,
            base_rate: found.base_rate,
            prior: found.prior,
            hits,
            files: files.map(|name| name.to_string_lossy().into_owned()).collect(),
        };
        let calibration = Calibration::new(encoder.fingerprint().to_owned(), found.curve.clone(), fitted);
        let path = directory.calibration_path();
        if !self.dry_run {
            calibration.write(&path)?;
        }
        if self.json {
            say!("{}", serde_json::to_string(&found)?);
            return Ok(());
        }
        print(&found);
        match self.dry_run {
            true => say!("\nnothing was written, as `--dry-run` asks"),
            false => say!("\nwrote {}", path.display()),
        }
        Ok(())
    }
}

fn print(found: &Calibrated) {
    let Calibrated { pairs, base_rate, prior, method, compared, before, earlier, after, precisions, curve, .. } = found;
    say!("pairs              {pairs}");
    say!("mean the same      {:.1} %", base_rate * 100.0);
    if let Some(prior) = prior {
        say!("weighed to         {:.1} %", prior * 100.0);
    }
    say!("method             {}", name(*method));
    for (method, loss) in compared {
        say!("  held-out log loss {loss:.4}  {}", name(*method));
    }
    match curve {
        Curve::Isotonic { knots } => say!("  {} knots", knots.len()),
        Curve::Platt { slope, intercept } => say!("  slope {slope:.4}, intercept {intercept:.4}"),
    }
    let in_place = if earlier.is_some() { "    in place" } else { "" };
    say!("\nheld out           the cosine  calibrated{in_place}");
    let columns = [Some(before), Some(after), earlier.as_ref()];
    let row = |name: &str, of: &dyn Fn(&Goodness) -> f64| {
        let figures = columns.iter().flatten().map(|goodness| format!("{:>10.4}", of(goodness)));
        say!("{name:<19}{}", figures.collect::<Vec<_>>().join("  "));
    };
    row("log loss", &|goodness| goodness.log_loss);
    row("Brier score", &|goodness| goodness.brier);
    row("calibration error", &|goodness| goodness.calibration_error);
    if precisions.is_empty() {
        return;
    }
    say!("\nwanted precision   cosine from  probability from   held out: precision  recall");
    for WantedPrecision { precision, cut } in precisions {
        match cut {
            None => say!("{precision:<19}not reachable"),
            Some(cut) => say!(
                "{precision:<19}{:>11.4}  {:>16.4}  {:>20.4}  {:>6.4}",
                cut.score,
                cut.probability,
                cut.held_out_precision,
                cut.held_out_recall
            ),
        }
    }
}

fn name(method: Method) -> &'static str {
    match method {
        Method::Isotonic => "isotonic",
        Method::Platt => "platt",
    }
}
