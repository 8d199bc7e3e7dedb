//! Writes for `benches/peers/generate.py`, which runs it beside other programs: `generate MODEL f32|int8 THREADS`.
//!
//! Reads one JSON object a line and answers each with one:
//! - `{"source": [id, …], "target": [id, …]}`: the logits of each target token, the first predicted by the source;
//! - `{"text": …, "samples": n}`: the samples of a request, and the seconds that they took;
//! - `{"text": …, "samples": n, "k": k}`: the best k of them, ranked.

use std::io::Write;
use std::sync::Arc;
use std::time::Instant;

use serde_json::{Value, json};
use simbert::generate::{GenerateRequest, Paraphraser, Sampling};
use simbert::model::{Arithmetic, ModelDirectory};
use simbert::runtime::{Decoder, Encoder, Rows, RuntimeOptions};

type Result<T> = std::result::Result<T, Box<dyn std::error::Error>>;

fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [model, arithmetic, threads] = &arguments[..] else {
        return Err("usage: generate MODEL f32|int8 THREADS".into());
    };
    let arithmetic = if arithmetic == "int8" { Arithmetic::Int8 } else { Arithmetic::F32 };
    let directory = ModelDirectory::open(model)?.with_arithmetic(arithmetic);
    let options = RuntimeOptions { threads: threads.parse()?, ..RuntimeOptions::default() };
    let decoder = Arc::new(Decoder::open(&directory, &options)?);
    let paraphraser = Paraphraser::new(Arc::new(Encoder::open(&directory, &options)?), decoder.clone())?;
    let mut out = std::io::stdout().lock();
    for line in std::io::stdin().lines() {
        writeln!(out, "{}", answer(&serde_json::from_str(&line?)?, &decoder, &paraphraser)?)?;
        out.flush()?;
    }
    Ok(())
}

fn answer(question: &Value, decoder: &Decoder, paraphraser: &Paraphraser) -> Result<Value> {
    let Some(text) = question["text"].as_str() else {
        let ids = |name: &str| serde_json::from_value::<Vec<u32>>(question[name].clone());
        return Ok(json!({"logits": logits(decoder, &ids("source")?, &ids("target")?)?}));
    };
    let samples = question["samples"].as_u64().ok_or("`samples` is missing")? as usize;
    let k = question["k"].as_u64().map(|k| k as usize);
    let sampling = Sampling { samples, ..Sampling::default() };
    let request = GenerateRequest { text: text.to_owned(), k: k.unwrap_or(1), sampling, min_score: None };
    let started = Instant::now();
    let texts = match k {
        Some(_) => paraphraser.generate(&request)?.into_iter().map(|paraphrase| paraphrase.text).collect(),
        None => paraphraser.samples(&request)?,
    };
    Ok(json!({"seconds": started.elapsed().as_secs_f64(), "texts": texts}))
}

fn logits(decoder: &Decoder, source: &[u32], target: &[u32]) -> Result<Vec<Vec<f32>>> {
    let mut cache = decoder.cache();
    let (source_slots, mut target_slots) = (source.iter().map(|_| cache.take()).collect::<Vec<_>>(), Vec::new());
    let mut rows = Rows::default();
    rows.push_source(source, &source_slots);
    let mut all = Vec::new();
    for place in 0..=target.len() {
        let logits = decoder.step(&mut cache, &std::mem::take(&mut rows))?;
        all.extend(logits.rows()?.map(<[f32]>::to_vec));
        if let Some(&token) = target.get(place) {
            target_slots.push(cache.take());
            rows.push_target(token, source.len() + place, &source_slots, &target_slots);
        }
    }
    Ok(all)
}
