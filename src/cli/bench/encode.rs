//! `simbert bench encode`.

use std::io::Write;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Instant;

use candle_core::{DType, Device, Tensor};
use clap::{Args, ValueEnum, value_parser};

use super::super::ModelArgs;
use super::lone;
use super::texts::{quantile, texts};
use crate::model::{Arithmetic, Config, ModelDirectory};
use crate::runtime::{Encoder, RuntimeOptions};

/// Texts that one call encodes, as `simbert encode` does.
const TEXTS_AT_ONCE: usize = 1024;
/// Rows of the matrix product whose rate is measured.
const PRODUCT_ROWS: usize = 512;

/// Encode the lines of FILE in several arrangements, in turns, and compare their rates.
///
/// An arrangement is a number of sessions that run side by side, the threads of each, and the most tokens that a batch
/// computes. The last column is what the network's matrix products and attention need in operations, over the rate of plain
/// f32 matrix products of a layer's shape on the same cores: int8 can be above 1.
#[derive(Args)]
#[command(after_help = "Examples:\n  simbert bench encode questions.txt\n  \
    simbert bench encode questions.txt --arithmetic int8 --layout 2x1,1x2 --budget 64,256,1024\n  \
    simbert bench encode questions.txt --lone 200")]
pub struct Encode {
    /// A UTF-8 file of texts, one a line.
    file: PathBuf,
    /// Lines to read.
    #[arg(long, value_name = "N", default_value_t = 2048, value_parser = value_parser!(u32).range(1..))]
    limit: u32,
    /// Lines to pass over first.
    #[arg(long, value_name = "N", default_value_t = 0)]
    skip: usize,
    /// The numbers to compute in; those that the model is exported in when absent.
    #[arg(long, value_enum, value_delimiter = ',', conflicts_with = "int8")]
    arithmetic: Vec<Numbers>,
    /// Sessions and the threads of each; every core with one session each, and one session with all, when absent.
    #[arg(long, value_name = "SESSIONSxTHREADS", value_delimiter = ',')]
    layout: Vec<Layout>,
    /// Most tokens of a batch.
    #[arg(long, value_name = "TOKENS", value_delimiter = ',', default_values_t = [64, 128, 256, 512])]
    budget: Vec<usize>,
    /// Turns of each arrangement; the median counts.
    #[arg(long, value_name = "N", default_value_t = 3, value_parser = value_parser!(u32).range(1..=100))]
    rounds: u32,
    /// Encode the first N lines one by one instead, in turns with a session that is called without queue or threads between,
    /// and tell how long a call takes.
    #[arg(long, value_name = "N")]
    lone: Option<usize>,
    /// Print a line of JSON for each arrangement.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    model: ModelArgs,
}

/// [`Arithmetic`], as it is written on the command line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Numbers {
    F32,
    Int8,
}

impl From<Numbers> for Arithmetic {
    fn from(numbers: Numbers) -> Self {
        match numbers {
            Numbers::F32 => Self::F32,
            Numbers::Int8 => Self::Int8,
        }
    }
}

/// As it is written on the command line.
pub(super) fn written(arithmetic: Arithmetic) -> &'static str {
    match arithmetic {
        Arithmetic::F32 => "f32",
        Arithmetic::Int8 => "int8",
    }
}

/// How many sessions, and how many threads each has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Layout {
    sessions: usize,
    threads: usize,
}

impl FromStr for Layout {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let parts = text.split_once('x').and_then(|(s, t)| Some((s.parse().ok()?, t.parse().ok()?)));
        match parts {
            Some((sessions, threads)) if sessions > 0 && threads > 0 => Ok(Self { sessions, threads }),
            _ => Err("expected sessions and threads, both at least 1, like `2x1`".to_owned()),
        }
    }
}

/// An arrangement, and the seconds of its turns.
struct Arrangement {
    arithmetic: Arithmetic,
    layout: Layout,
    budget: usize,
    encoder: Encoder,
    seconds: Vec<f64>,
}

impl Encode {
    pub fn run(self) -> anyhow::Result<()> {
        let texts = texts(&self.file, self.skip, self.limit)?;
        let directory = self.model.directory()?;
        if let Some(count) = self.lone {
            let options = RuntimeOptions { tokens_per_batch: self.budget[0], ..self.model.runtime() };
            let texts = &texts[..count.clamp(1, texts.len())];
            let all = self.directories(&directory);
            return all.iter().try_for_each(|directory| lone::run(directory, &options, texts, self.json));
        }
        let cores = self.model.threads();
        let mut layouts = self.layout.clone();
        if layouts.is_empty() {
            layouts = vec![Layout { sessions: cores, threads: 1 }, Layout { sessions: 1, threads: cores }];
            layouts.dedup();
        }
        let mut all = Vec::new();
        for directory in self.directories(&directory) {
            for &layout in &layouts {
                for &budget in &self.budget {
                    let (sessions, threads) = (layout.sessions, layout.sessions * layout.threads);
                    let options =
                        RuntimeOptions { sessions, threads, tokens_per_batch: budget, ..self.model.runtime() };
                    let (arithmetic, encoder) = (directory.arithmetic(), Encoder::open(&directory, &options)?);
                    all.push(Arrangement { arithmetic, layout, budget, encoder, seconds: vec![] });
                }
            }
        }
        let config = directory.config()?;
        let lengths = lengths(&all[0].encoder, &texts)?;
        let (tokens, operations) = (lengths.iter().sum::<usize>(), operations(&config, &lengths));
        let mut products = Vec::new();
        for arrangement in &all {
            arrangement.encoder.encode(&texts[..texts.len().min(64)])?; // warms up
        }
        for _ in 0..self.rounds {
            products.push(product_rate(&config, cores)?);
            for arrangement in &mut all {
                let started = Instant::now();
                for texts in texts.chunks(TEXTS_AT_ONCE) {
                    arrangement.encoder.encode(texts)?;
                }
                arrangement.seconds.push(started.elapsed().as_secs_f64());
            }
        }
        self.report(all, (texts.len(), tokens, operations), quantile(&mut products, 0.5))
    }

    /// The model in each arithmetic that is measured.
    fn directories(&self, given: &ModelDirectory) -> Vec<ModelDirectory> {
        let exported = |numbers: &Numbers| given.clone().with_arithmetic((*numbers).into()).encoder_path().exists();
        let wanted = match (self.model.int8, self.arithmetic.is_empty()) {
            (true, _) => vec![Numbers::Int8],
            (false, true) => [Numbers::F32, Numbers::Int8].into_iter().filter(exported).collect(),
            (false, false) => self.arithmetic.clone(),
        };
        wanted.into_iter().map(|numbers| given.clone().with_arithmetic(numbers.into())).collect()
    }

    fn report(&self, all: Vec<Arrangement>, work: (usize, usize, f64), product_rate: f64) -> anyhow::Result<()> {
        let (sentences, tokens, operations) = work;
        let mut out = std::io::stdout().lock();
        if !self.json {
            writeln!(out, "{sentences} sentences, {:.1} tokens each", tokens as f64 / sentences as f64)?;
            writeln!(out, "plain f32 products: {:.0} GFLOP/s\n", product_rate / 1e9)?;
            writeln!(
                out,
                "| arithmetic | sessions × threads | tokens a batch | sentences/s | tokens/s | of the products' rate |"
            )?;
            writeln!(out, "|---|---|---|---|---|---|")?;
        }
        for Arrangement { arithmetic, layout: Layout { sessions, threads }, budget, mut seconds, .. } in all {
            let arithmetic = written(arithmetic);
            let median = quantile(&mut seconds, 0.5);
            let (by_sentence, by_token) = (sentences as f64 / median, tokens as f64 / median);
            let share = operations / median / product_rate;
            if self.json {
                let row = serde_json::json!({
                    "arithmetic": arithmetic, "sessions": sessions, "threads": threads, "budget": budget,
                    "sentences": sentences, "sentences_per_second": by_sentence, "tokens_per_second": by_token,
                    "flops": operations / median, "product_flops": product_rate,
                });
                writeln!(out, "{row}")?;
                continue;
            }
            writeln!(
                out,
                "| {arithmetic} | {sessions} × {threads} | {budget} | {by_sentence:.0} | {by_token:.0} | {share:.2} |"
            )?;
        }
        Ok(())
    }
}

fn lengths(encoder: &Encoder, texts: &[String]) -> crate::Result<Vec<usize>> {
    let most = encoder.config().max_tokens;
    texts.iter().map(|text| Ok(encoder.tokenizer().sentence(text, most)?.len())).collect()
}

/// Floating-point operations for sentences of these lengths: twice the numbers of the layers' matrices for each token,
/// and attention's two products.
fn operations(config: &Config, lengths: &[usize]) -> f64 {
    let (hidden, inner, layers) = (config.hidden_size, config.intermediate_size, config.num_hidden_layers);
    let matrices = 2 * layers * (4 * hidden * hidden + 2 * hidden * inner);
    lengths.iter().map(|&length| (length * matrices + 4 * layers * hidden * length * length) as f64).sum()
}

/// Operations a second of f32 matrix products, `[512, hidden] · [hidden, inner]`, one on each of `threads` threads at
/// once, as the encoder's sessions run.
fn product_rate(config: &Config, threads: usize) -> anyhow::Result<f64> {
    const TURNS: usize = 24;
    let (hidden, inner) = (config.hidden_size, config.intermediate_size);
    let one = || -> candle_core::Result<()> {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(1).build().map_err(candle_core::Error::wrap)?;
        pool.install(|| {
            let a = Tensor::ones((PRODUCT_ROWS, hidden), DType::F32, &Device::Cpu)?;
            let b = Tensor::ones((hidden, inner), DType::F32, &Device::Cpu)?;
            (0..TURNS).try_for_each(|_| a.matmul(&b).map(drop))
        })
    };
    let started = Instant::now();
    std::thread::scope(|scope| {
        let all: Vec<_> = (0..threads).map(|_| scope.spawn(one)).collect();
        all.into_iter().try_for_each(|one| -> anyhow::Result<()> {
            Ok(one.join().map_err(|_| anyhow::anyhow!("a product panicked"))??)
        })
    })?;
    let products = (threads * TURNS) as f64;
    Ok(products * 2.0 * (PRODUCT_ROWS * hidden * inner) as f64 / started.elapsed().as_secs_f64())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_layout_is_two_counts() {
        assert_eq!("2x1".parse(), Ok(Layout { sessions: 2, threads: 1 }));
        for bad in ["2", "0x1", "1x0", "2x", "axb"] {
            assert!(bad.parse::<Layout>().unwrap_err().contains("like `2x1`"), "{bad}");
        }
    }
}
