//! `simbert bench encode --lone`: what a question takes that comes alone, beside a bare session.

use std::io::Write;
use std::time::Instant;

use super::encode::written;
use super::texts::quantile;
use crate::model::ModelDirectory;
use crate::runtime::{DirectEncoder, Encoder, RuntimeOptions};

/// Texts that both encode before the clock runs.
const WARM_UP: usize = 20;

/// Encodes each text by the encoder, which queues it for one of its threads, one after the other. Then once more in turns
/// with a session that this thread calls itself, for the median of the ratios: what the queue adds. Threads that take
/// turns find their processor's caches cold, so the times as such are of the first pass.
pub(super) fn run(
    directory: &ModelDirectory,
    options: &RuntimeOptions,
    texts: &[String],
    json: bool,
) -> anyhow::Result<()> {
    let encoder = Encoder::open(directory, options)?;
    let mut direct = DirectEncoder::open(directory, options)?;
    let mut queued = |text: &String| timed(|| encoder.encode(std::slice::from_ref(text)));
    let mut direct = |text: &String| timed(|| direct.encode(text));
    for text in texts.iter().cycle().take(WARM_UP) {
        queued(text)?;
        direct(text)?;
    }
    let mut alone = texts.iter().map(&mut queued).collect::<anyhow::Result<Vec<f64>>>()?;
    let (mut bare, mut ratios) = (Vec::with_capacity(texts.len()), Vec::with_capacity(texts.len()));
    for (turn, text) in texts.iter().enumerate() {
        // Whoever comes second finds the text's weights in the processor's cache.
        let (queued, direct) = match turn % 2 {
            0 => (queued(text)?, direct(text)?),
            _ => {
                let direct = direct(text)?;
                (queued(text)?, direct)
            }
        };
        bare.push(direct);
        ratios.push(queued / direct);
    }
    let [ratio, direct_ms, p50] = [&mut ratios, &mut bare, &mut alone].map(|times| quantile(times, 0.5));
    let p95 = quantile(&mut alone, 0.95);
    let (mut out, arithmetic) = (std::io::stdout().lock(), written(directory.arithmetic()));
    if json {
        let row = serde_json::json!({
            "arithmetic": arithmetic, "p50_ms": p50, "p95_ms": p95, "direct_p50_ms": direct_ms, "to_direct": ratio,
        });
        writeln!(out, "{row}")?;
    } else {
        writeln!(
            out,
            "{arithmetic}: p50 {p50:.2} ms, p95 {p95:.2} ms; in turns with a session of its own, p50 {direct_ms:.2} ms: ratio {ratio:.3}"
        )?;
    }
    Ok(())
}

/// Milliseconds that `call` takes.
fn timed<T>(call: impl FnOnce() -> crate::Result<T>) -> anyhow::Result<f64> {
    let started = Instant::now();
    call()?;
    Ok(started.elapsed().as_secs_f64() * 1e3)
}
