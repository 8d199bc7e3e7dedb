//! Builds one segment over the vectors of a file, then searches it with each width that it reads from its input, and
//! prints what it took. `benches/peers/ann.py` runs it beside other libraries.
//!
//! The file is what `benches/peers/ann.py` writes: four little-endian `u32` (components, vectors, queries, neighbours
//! of each query), then `f32` vectors, `f32` queries, and the `u32` numbers of the true nearest vectors.

use std::sync::atomic::AtomicBool;
use std::time::{Duration, Instant};

use simbert::index::{Frozen, HnswSettings, Pool, Quantisation, instructions};

/// Processor time of this process.
fn cpu() -> Duration {
    let mut usage = std::mem::MaybeUninit::<libc::rusage>::zeroed();
    // SAFETY: getrusage fills the struct that it is given, which is all zeros and so valid before.
    let usage = unsafe {
        libc::getrusage(libc::RUSAGE_SELF, usage.as_mut_ptr());
        usage.assume_init()
    };
    let of = |t: libc::timeval| Duration::new(t.tv_sec as u64, t.tv_usec as u32 * 1000);
    of(usage.ru_utime) + of(usage.ru_stime)
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [path, quantisation, threads] = &arguments[..] else {
        return Err("usage: ann FILE off|f16|int8 THREADS".into());
    };
    let quantisation = match quantisation.as_str() {
        "off" => Quantisation::Off,
        "f16" => Quantisation::F16,
        "int8" => Quantisation::Int8,
        other => return Err(format!("expected off, f16 or int8, received {other}").into()),
    };
    let bytes = std::fs::read(path)?;
    let numbers: Vec<u32> =
        bytes.chunks_exact(4).map(|four| u32::from_le_bytes([four[0], four[1], four[2], four[3]])).collect();
    let [dimension, n, queries, neighbours] = [0, 1, 2, 3].map(|i| numbers[i] as usize);
    let floats: Vec<f32> = numbers[4..4 + (n + queries) * dimension].iter().map(|&bits| f32::from_bits(bits)).collect();
    let (all, asked) = floats.split_at(n * dimension);
    let truth = &numbers[4 + (n + queries) * dimension..];
    drop(bytes);

    let items: Vec<(u32, &[f32])> = (0..).zip(all.chunks_exact(dimension)).collect();
    let settings = HnswSettings { quantisation, ..HnswSettings::default() };
    let (wall, processor) = (Instant::now(), cpu());
    let segment = Frozen::build(dimension, items, &settings, threads.parse()?, &AtomicBool::new(false), &|_, _| ())?;
    println!(
        r#"{{"build_seconds":{:.3},"build_cpu_seconds":{:.3},"bytes":{},"instructions":"{}"}}"#,
        wall.elapsed().as_secs_f64(),
        (cpu() - processor).as_secs_f64(),
        segment.bytes(),
        instructions()
    );
    let pool = Pool::default();
    for width in std::io::stdin().lines() {
        let width: usize = width?.trim().parse()?;
        let mut right = 0;
        let (wall, processor) = (Instant::now(), cpu());
        for (query, truth) in asked.chunks_exact(dimension).zip(truth.chunks_exact(neighbours)) {
            let found = segment.search(query, 10, width, &pool)?;
            right += found.iter().filter(|hit| truth[..10].contains(&hit.id)).count();
        }
        println!(
            r#"{{"width":{width},"recall":{:.5},"seconds":{:.5},"cpu_seconds":{:.5}}}"#,
            right as f64 / (10 * queries) as f64,
            wall.elapsed().as_secs_f64(),
            (cpu() - processor).as_secs_f64()
        );
    }
    Ok(())
}
