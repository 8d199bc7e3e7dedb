//! `simbert bench encode --lone`: what a question takes that comes alone, beside a bare session.

use std::io::Write;
use std::time::Instant;

use super::encode::written;
use super::texts::quantile;
use crate::model::ModelDirectory;
use crate::runtime::{DirectEncoder, Encoder, RuntimeOptions};

/// Texts that both encode before the clock runs.
const WARM_UP: usize = 20;

/// Encodes each text by the encoder, which queues it for one of its threads, and by a session that this thread calls
/// itself; in turns. Prints the medians of both, and the median of their ratios.
pub(super) fn run(
    directory: &ModelDirectory,
    options: &RuntimeOptions,
    texts: &[String],
    json: bool,
) -> anyhow::Result<()> {
    let encoder = Encoder::open(directory, options)?;
    let mut direct = DirectEncoder::open(directory, options)?;
    for text in texts.iter().cycle().take(WARM_UP) {
        encoder.encode(std::slice::from_ref(text))?;
        direct.encode(text)?;
    }
    let (mut queued, mut bare) = (Vec::with_capacity(texts.len()), Vec::with_capacity(texts.len()));
    for (turn, text) in texts.iter().enumerate() {
        // Whoever comes second finds the text's weights in the processor's cache.
        for by_queue in [turn % 2 == 0, turn % 2 != 0] {
            let started = Instant::now();
            match by_queue {
                true => drop(encoder.encode(std::slice::from_ref(text))?),
                false => drop(direct.encode(text)?),
            }
            let times = if by_queue { &mut queued } else { &mut bare };
            times.push(started.elapsed().as_secs_f64() * 1e3);
        }
    }
    let mut ratios: Vec<f64> = queued.iter().zip(&bare).map(|(queued, bare)| queued / bare).collect();
    let [ratio, direct_ms, p50] = [&mut ratios, &mut bare, &mut queued].map(|times| quantile(times, 0.5));
    let p95 = quantile(&mut queued, 0.95);
    let (mut out, arithmetic) = (std::io::stdout().lock(), written(directory.arithmetic()));
    if json {
        let row = serde_json::json!({
            "arithmetic": arithmetic, "p50_ms": p50, "p95_ms": p95, "direct_p50_ms": direct_ms, "to_direct": ratio,
        });
        writeln!(out, "{row}")?;
    } else {
        writeln!(
            out,
            "{arithmetic}: p50 {p50:.2} ms, p95 {p95:.2} ms; without queue and threads p50 {direct_ms:.2} ms; ratio {ratio:.3}"
        )?;
    }
    Ok(())
}
