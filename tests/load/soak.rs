//! The server at full load for a while: what it holds may not grow.
//!
//! `SIMBERT_SOAK_MINUTES` says how long (`make soak` asks for 30 minutes), and `SIMBERT_SOAK_RESULTS` names a folder for
//! the table and the plot.

use std::fmt::Write as _;
use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant};

use plotters::prelude::*;
use serde_json::Value;
use simbert::server::proto;
use tempfile::TempDir;

use crate::TURN;
use crate::process::{Process, is_real, simbert};

const MINUTES: &str = "SIMBERT_SOAK_MINUTES";
const RESULTS: &str = "SIMBERT_SOAK_RESULTS";
const BANK: &str = "soak";
const QUESTIONS: usize = 5000;
/// Upserts replace, deletions remove, callers and connections come and go, snapshots are taken.
const MIX: &str = "search=60,embed=12,upsert=15,delete=5,generate=3,expanded=2,snapshot=0.1";
/// More than the server answers at once, so that it is at its limit and turns some away.
const CALLERS: &str = "48";
/// How many times the memory is looked at.
const SAMPLES: u32 = 200;
/// How much larger than in its second fifth the memory may be in the last fifth of the time: what the allocator has not given back yet.
const GROWTH: f64 = 0.05;
/// And in the first minutes, when pools and caches are still filling, in bytes.
const FILLING: f64 = 24.0 * (1 << 20) as f64;
/// Open files besides a connection each: the log, the store, segments, and snapshots on their way.
const MOST_FILES: usize = 160;
const MOST_THREADS: usize = 160;

struct Sample {
    minutes: f64,
    memory: f64,
    files: usize,
    threads: usize,
}

fn look(process: &Process, started: Instant) -> Sample {
    let status = std::fs::read_to_string(process.proc("status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    let kib: f64 = line.split_whitespace().next().unwrap().parse().unwrap();
    let count = |folder: &str| std::fs::read_dir(process.proc(folder)).unwrap().count();
    Sample {
        minutes: started.elapsed().as_secs_f64() / 60.0,
        memory: kib * 1024.0,
        files: count("fd"),
        threads: count("task"),
    }
}

/// The median of the fifth `which` of the samples, from 0.
fn fifth(samples: &[Sample], which: usize, value: impl Fn(&Sample) -> f64) -> f64 {
    let size = samples.len() / 5;
    let mut values: Vec<f64> = samples[which * size..(which + 1) * size].iter().map(value).collect();
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

fn text(i: usize) -> String {
    let what = ["退款", "挂失", "开户", "密码", "流量", "发票", "快递", "会员", "转账", "保修"];
    format!("{}的第{i}种情况怎么办理{}", what[i % 10], what[i / 10 % 10])
}

async fn fill(process: &Process) {
    let mut client = process.client().await;
    let create = proto::CreateBankRequest { name: BANK.to_owned(), ..Default::default() };
    client.banks.create_bank(create).await.unwrap();
    let question = |i| proto::Question { id: format!("q{i}"), text: text(i), ..Default::default() };
    for start in (0..QUESTIONS).step_by(500) {
        let questions = (start..start + 500).map(question).collect();
        let request = proto::UpsertQuestionsRequest { bank: BANK.to_owned(), questions };
        client.questions.upsert_questions(request).await.unwrap();
    }
}

#[tokio::test]
async fn memory_files_and_threads_stay_bounded_at_full_load() {
    let _turn = TURN.lock().await;
    if !Path::new("/proc/self/status").exists() {
        return; // another system, which keeps no such files
    }
    let minutes: f64 = std::env::var(MINUTES).map_or(0.5, |text| text.parse().unwrap());
    let data = TempDir::new().unwrap();
    let process = Process::start(data.path());
    fill(&process).await;
    let texts = data.path().join("texts.txt");
    std::fs::write(&texts, (0..20_000).map(|i| text(3 * i) + "\n").collect::<String>()).unwrap();

    let seconds = 60.0 * minutes;
    let mut load = simbert()
        .args(["bench", "serve", &process.url, "--bank", BANK, "--mix", MIX, "--callers", CALLERS, "--texts"])
        .arg(&texts)
        .args(["--connections", "6", "--reconnect", "100", "--leaving", "0.05", "--samples", "16", "--json"])
        .args(["--seconds", &seconds.to_string(), "--warm-up", "0"])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let (started, mut samples) = (Instant::now(), Vec::new());
    for i in 1..=SAMPLES {
        let due = Duration::from_secs_f64(seconds * f64::from(i) / f64::from(SAMPLES + 1));
        tokio::time::sleep(due.saturating_sub(started.elapsed())).await;
        samples.push(look(&process, started));
    }
    let report = tokio::task::spawn_blocking(move || {
        let output = std::io::read_to_string(load.stdout.take().unwrap()).unwrap();
        assert!(load.wait().unwrap().success());
        serde_json::from_str::<Value>(&output).unwrap()
    });
    let report = report.await.unwrap();
    if let Ok(folder) = std::env::var(RESULTS) {
        write_table(Path::new(&folder), &samples, &report);
        draw(&Path::new(&folder).join("soak.svg"), &samples).unwrap();
    }

    check_calls(&report);
    let memory = [1, 4].map(|which| fifth(&samples, which, |sample| sample.memory));
    let allowed = (memory[0] * GROWTH).max(if minutes < 5.0 { FILLING } else { 0.0 });
    let [before, after] = memory.map(|bytes| bytes / f64::from(1 << 20));
    println!("memory {before:.0} MiB in the second fifth of the time, {after:.0} MiB in the last");
    assert!(memory[1] - memory[0] <= allowed, "memory grew from {before:.1} to {after:.1} MiB");
    let most = |value: fn(&Sample) -> usize| samples.iter().map(value).max().unwrap();
    let (files, threads) = (most(|sample| sample.files), most(|sample| sample.threads));
    assert!(files <= MOST_FILES && threads <= MOST_THREADS, "{files} files, {threads} threads");

    process.terminate();
    assert!(process.end(Duration::from_secs(30)).await.expect("it ends").success());
}

/// Calls of each kind were answered, and those that were not were turned away.
fn check_calls(report: &Value) {
    for kind in ["search", "embed", "upsert", "delete", "generate", "expanded"] {
        assert!(report["calls"][kind]["done"].as_u64().unwrap_or(0) > 0, "no {kind} was answered: {report}");
    }
    assert_eq!(report["unanswered"], 0, "{report}");
    assert!(report["all"]["left"].as_u64().unwrap() > 0, "nobody left: {report}");
    // UNAVAILABLE answers a snapshot while another is copied.
    let expected = ["ResourceExhausted", "DeadlineExceeded", "Unavailable"];
    let codes = report["all"]["codes"].as_object().unwrap();
    assert!(codes.keys().all(|code| expected.contains(&code.as_str())), "{report}");
    for (kind, seen) in report["calls"].as_object().unwrap() {
        assert!(kind == "snapshot" || seen["codes"].get("Unavailable").is_none(), "{kind}: {report}");
    }
}

fn write_table(folder: &Path, samples: &[Sample], report: &Value) {
    let mut table = String::new();
    let model = if is_real() { "the bundled model" } else { "a fake model" };
    let number = |value: &Value| value.as_f64().unwrap_or(f64::NAN);
    writeln!(
        table,
        "{:.0} minutes of `{MIX}` by {CALLERS} callers, with {model} over {QUESTIONS} questions: {:.0} calls a second \
         answered, {} made.\n",
        number(&report["seconds"]) / 60.0,
        number(&report["all"]["done_per_second"]),
        report["all"]["calls"],
    )
    .unwrap();
    table += "| fifth of the time | memory, MiB, median | most | open files, most | threads, most |\n|---|---|---|---|---|\n";
    for (which, part) in samples.chunks(samples.len() / 5).take(5).enumerate() {
        let mib = |bytes: f64| bytes / f64::from(1 << 20);
        let most = part.iter().map(|sample| sample.memory).fold(0.0, f64::max);
        let files = part.iter().map(|sample| sample.files).max().unwrap();
        let threads = part.iter().map(|sample| sample.threads).max().unwrap();
        let median = fifth(samples, which, |sample| sample.memory);
        writeln!(table, "| {} | {:.1} | {:.1} | {files} | {threads} |", which + 1, mib(median), mib(most)).unwrap();
    }
    table +=
        "\n| call | answered a second | p50 ms | p99 ms | longest ms | not answered |\n|---|---|---|---|---|---|\n";
    for (kind, seen) in report["calls"].as_object().unwrap() {
        let times = ["p50_ms", "p99_ms", "max_ms"].map(|name| format!("{:.1}", number(&seen[name]))).join(" | ");
        let (rate, codes) = (number(&seen["done_per_second"]), &seen["codes"]);
        writeln!(table, "| {kind} | {rate:.1} | {times} | {codes}, {} left |", seen["left"]).unwrap();
    }
    let growth = fifth(samples, 4, |sample| sample.memory) / fifth(samples, 1, |sample| sample.memory);
    writeln!(table, "\n    ratio soak_memory_last_to_second_fifth {growth:.3}").unwrap();
    std::fs::create_dir_all(folder).unwrap();
    std::fs::write(folder.join("soak.md"), &table).unwrap();
    println!("{table}");
}

/// Memory over time.
fn draw(path: &Path, samples: &[Sample]) -> Result<(), Box<dyn std::error::Error>> {
    let mib = |sample: &Sample| sample.memory / f64::from(1 << 20);
    let top = samples.iter().map(mib).fold(0.0, f64::max) * 1.1;
    let end = samples.last().map_or(1.0, |sample| sample.minutes);
    let root = SVGBackend::new(path, (720, 360)).into_drawing_area();
    root.fill(&WHITE)?;
    let mut chart = ChartBuilder::on(&root)
        .caption("Resident memory of the server, MiB", ("sans-serif", 16))
        .margin(12)
        .x_label_area_size(36)
        .y_label_area_size(52)
        .build_cartesian_2d(0.0..end, 0.0..top)?;
    chart.configure_mesh().x_desc("minutes").light_line_style(TRANSPARENT).draw()?;
    let line = samples.iter().map(|sample| (sample.minutes, mib(sample)));
    chart.draw_series(LineSeries::new(line, BLUE.stroke_width(2)))?;
    Ok(root.present()?)
}
