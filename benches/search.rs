//! One look-up through the graph beside one that compares with every vector, over clustered unit vectors; without a
//! filter, and with filters that let through fewer and fewer.
//!
//! `make bench` prints the times of both and how many of the exact top ten the graph found. Where the two meet is what
//! `HnswSettings::walk_cost` stands for.

use std::sync::atomic::AtomicBool;

use criterion::{Criterion, criterion_group, criterion_main};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use roaring::RoaringBitmap;
use simbert::index::{HnswSettings, Pace, Segments, VectorIndex, VectorQuery};

const VECTORS: usize = 100_000;
const DIMENSION: usize = 384;
const CLUSTERS: usize = 2500;
const QUERIES: usize = 200;
/// Of the vectors, how many pass the filter.
const SHARES: [f64; 8] = [1.0, 0.5, 0.2, 0.1, 0.05, 0.02, 0.01, 0.005];

/// Unit vectors around random centres, as questions lie around topics.
fn clustered(random: &mut ChaCha8Rng, centres: &[Vec<f32>]) -> Vec<f32> {
    let centre = &centres[random.random_range(0..centres.len())];
    let noisy = centre.iter().map(|c| c + random.random_range(-0.5..0.5)).collect::<Vec<f32>>();
    let length = noisy.iter().map(|x| x * x).sum::<f32>().sqrt();
    noisy.into_iter().map(|x| x / length).collect()
}

fn search(criterion: &mut Criterion) {
    let mut random = ChaCha8Rng::seed_from_u64(42);
    let centres: Vec<Vec<f32>> =
        (0..CLUSTERS).map(|_| (0..DIMENSION).map(|_| random.random_range(-1.0..1.0)).collect()).collect();
    let vectors: Vec<Vec<f32>> = (0..VECTORS).map(|_| clustered(&mut random, &centres)).collect();
    let queries: Vec<Vec<f32>> = (0..QUERIES).map(|_| clustered(&mut random, &centres)).collect();
    let settings = HnswSettings { walk_cost: 0, build_threads: 2, ..HnswSettings::default() };
    let index = Segments::new(DIMENSION, settings).expect("the settings are valid");
    let items: Vec<(u32, &[f32])> = (0..).zip(vectors.iter().map(Vec::as_slice)).collect();
    index.insert(&items).expect("the vectors are unit vectors");
    index.maintain(Pace::Quiet, &AtomicBool::new(false), &|_, _| {});

    for share in SHARES {
        let allowed: RoaringBitmap = (0..VECTORS as u32).filter(|_| random.random_bool(share)).collect();
        let allowed = (share < 1.0).then_some(&allowed);
        let look_up = |query: &[f32], exact| {
            let query = VectorQuery { vector: query, k: 10, allowed, exact };
            index.search(query).expect("the query is a unit vector")
        };
        let found = queries.iter().map(|query| {
            let exact: Vec<u32> = look_up(query, true).iter().map(|hit| hit.id).collect();
            look_up(query, false).iter().filter(|hit| exact.contains(&hit.id)).count()
        });
        let recall = found.sum::<usize>() as f64 / (10 * QUERIES) as f64;
        println!("{:.1} % of {VECTORS} vectors allowed: recall@10 of the graph {recall:.4}", 100.0 * share);

        let mut group = criterion.benchmark_group(format!("{:.1} % allowed", 100.0 * share));
        group.sample_size(20);
        for (name, exact) in [("graph", false), ("exact", true)] {
            let mut next = queries.iter().cycle();
            group.bench_function(name, |bencher| {
                bencher.iter(|| next.next().map(|query| look_up(query, exact)));
            });
        }
        group.finish();
    }
}

criterion_group!(benches, search);
criterion_main!(benches);
