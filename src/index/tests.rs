use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use proptest::prelude::*;
use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};
use roaring::RoaringBitmap;

use super::*;

static GO_ON: AtomicBool = AtomicBool::new(false);

fn unit(mut vector: Vec<f32>) -> Vec<f32> {
    let length = dot(&vector, &vector).sqrt();
    vector.iter_mut().for_each(|x| *x /= length);
    vector
}

/// Vectors around common centres, as sentences are.
pub(super) fn clustered(n: usize, dimension: usize, seed: u64) -> Vec<Vec<f32>> {
    let mut rng = SmallRng::seed_from_u64(seed);
    let mut random = || (0..dimension).map(|_| rng.random::<f32>() - 0.5).collect::<Vec<f32>>();
    let centres: Vec<_> = (0..n.div_ceil(20)).map(|_| random()).collect();
    let near = |(i, noise): (usize, Vec<f32>)| {
        unit(centres[i % centres.len()].iter().zip(noise).map(|(c, x)| c + 0.6 * x).collect())
    };
    (0..n).map(|_| random()).enumerate().map(near).collect()
}

/// Rows in memory that pretend to lie in a file; the damaged ones are refused.
#[derive(Debug)]
struct InAFile {
    rows: super::aligned::Aligned,
    damaged: Vec<u32>,
}

impl StoredRows for InAFile {
    fn bytes(&self) -> &[u8] {
        self.rows.as_ref()
    }
    fn check(&self, number: u32) -> Result<()> {
        match self.damaged.contains(&number) {
            true => Err(Error::corrupt("a file", format!("vector {number} is damaged"))),
            false => Ok(()),
        }
    }
}

fn damaged_file(vectors: &[Vec<f32>], damaged: &[u32]) -> Arc<dyn StoredRows> {
    let stride = vectors[0].len().next_multiple_of(16);
    let mut rows = super::aligned::Aligned::zeroed(4 * stride * vectors.len());
    for (row, vector) in rows.as_mut::<f32>().chunks_exact_mut(stride).zip(vectors) {
        row[..vector.len()].copy_from_slice(vector);
    }
    Arc::new(InAFile { rows, damaged: damaged.to_vec() })
}

/// Vectors as a segment's file has them.
pub(super) fn in_a_file(vectors: &[Vec<f32>]) -> Arc<dyn StoredRows> {
    damaged_file(vectors, &[])
}

fn insert(index: &dyn VectorIndex, first: u32, vectors: &[Vec<f32>]) {
    let items: Vec<_> = vectors.iter().enumerate().map(|(i, v)| (first + i as u32, v.as_slice())).collect();
    index.insert(&items).unwrap();
}

fn search(
    index: &dyn VectorIndex,
    vector: &[f32],
    k: usize,
    allowed: Option<&RoaringBitmap>,
    exact: bool,
) -> Vec<Neighbour> {
    index.search(VectorQuery { vector, k, allowed, exact }).unwrap()
}

/// Small widths, and always a walk: comparing must only happen where a walk comes back short.
fn small_graph() -> HnswSettings {
    HnswSettings {
        links: 8,
        build_width: 40,
        search_width: 8,
        walk_cost: 0,
        build_threads: 2,
        freeze_from: 512,
        ..HnswSettings::default()
    }
}

fn recall(index: &dyn VectorIndex, queries: &[Vec<f32>], k: usize) -> f64 {
    let (mut found, mut wanted) = (0, 0);
    for vector in queries {
        let exact = search(index, vector, k, None, true);
        let floor = exact.last().map_or(f32::INFINITY, |neighbour| neighbour.score);
        found += search(index, vector, k, None, false).iter().filter(|neighbour| neighbour.score >= floor).count();
        wanted += exact.len();
    }
    found as f64 / wanted as f64
}

#[test]
fn exact_search_is_a_sorted_comparison_with_all() {
    let vectors = clustered(300, 19, 1);
    let index = Exact::new(19);
    insert(&index, 5, &vectors);
    let mut expected: Vec<_> =
        vectors.iter().enumerate().map(|(i, v)| Neighbour { id: 5 + i as u32, score: dot(&vectors[7], v) }).collect();
    expected.sort_by(|a, b| b.score.total_cmp(&a.score).then(a.id.cmp(&b.id)));
    assert_eq!(search(&index, &vectors[7], 10, None, false), expected[..10]);
    assert_eq!(search(&index, &vectors[7], 1000, None, false), expected);
}

#[test]
fn many_threads_find_what_one_finds() {
    let vectors = clustered(60_000, 8, 2);
    let index = Exact::new(8);
    insert(&index, 0, &vectors);
    let one = rayon::ThreadPoolBuilder::new().num_threads(1).build().unwrap();
    for query in &vectors[..5] {
        let alone = one.install(|| search(&index, query, 25, None, true));
        assert_eq!(search(&index, query, 25, None, true), alone);
        assert_eq!(alone.len(), 25);
    }
}

#[test]
fn bad_vectors_are_refused_and_change_nothing() {
    let all: [Box<dyn VectorIndex>; 2] = [Box::new(Exact::new(4)), Box::new(Segments::new(4, small_graph()).unwrap())];
    for index in all {
        let index = &*index;
        let good = [1.0, 0.0, 0.0, 0.0];
        for bad in
            [&[1.0, 0.0, 0.0][..], &[f32::NAN, 0.0, 0.0, 0.0], &[f32::INFINITY, 0.0, 0.0, 0.0], &[2.0, 0.0, 0.0, 0.0]]
        {
            assert!(index.insert(&[(0, &good), (1, bad)]).is_err());
            assert!(index.search(VectorQuery { vector: bad, k: 1, allowed: None, exact: false }).is_err());
        }
        assert!(index.insert(&[(0, &good), (0, &good)]).is_err());
        assert!(index.is_empty());
        index.insert(&[(0, &good)]).unwrap();
        index.remove(&[0, 9]);
        assert!(index.insert(&[(0, &good)]).is_err(), "an id names one vector for good");
        assert!(search(index, &good, 3, None, false).is_empty());
    }
}

#[test]
fn settings_that_cannot_work_are_refused() {
    for links in [0, 1, 129, 257] {
        assert!(Segments::new(8, HnswSettings { links, ..HnswSettings::default() }).is_err());
    }
}

/// One index for each kind of codes.
fn with_graphs(dimension: usize, settings: HnswSettings) -> [Segments; 3] {
    [Quantisation::Off, Quantisation::F16, Quantisation::Int8]
        .map(|quantisation| Segments::new(dimension, HnswSettings { quantisation, ..settings }).unwrap())
}

#[test]
fn a_graph_finds_nearly_all_that_exact_search_finds() {
    let vectors = clustered(8000, 32, 3);
    for index in with_graphs(32, HnswSettings { build_width: 80, walk_cost: 0, ..HnswSettings::default() }) {
        let index = &index;
        insert(index, 0, &vectors[..7000]);
        assert_eq!(index.maintained(), 0);
        index.maintain(Pace::Quiet, &GO_ON, &|_, _| ());
        assert_eq!(index.maintained(), 7000);
        insert(index, 7000, &vectors[7000..7900]);
        assert!(recall(index, &vectors[6900..7100], 10) > 0.98, "with a graph and waiting, alike");
        insert(index, 7900, &vectors[7900..]);
        index.maintain(Pace::Quiet, &GO_ON, &|_, _| ());
        assert!(index.maintained() >= 7000);
        assert!(recall(index, &vectors[..200], 10) > 0.98);
    }
}

#[test]
fn a_batch_finds_what_its_searches_find() {
    let vectors = clustered(3000, 16, 11);
    for index in with_graphs(16, small_graph()) {
        insert(&index, 0, &vectors);
        index.maintain(Pace::Quiet, &GO_ON, &|_, _| ());
        let query = |vector| VectorQuery { vector, k: 5, allowed: None, exact: false };
        let queries: Vec<_> = vectors.iter().take(50).map(|vector| query(vector.as_slice())).collect();
        let found = index.search_batch(&queries).unwrap();
        assert!(queries.iter().zip(&found).all(|(query, found)| index.search(*query).unwrap() == *found));
        assert_eq!(found.len(), 50);
        assert!(index.search_batch(&[queries[0], query(&[0.5; 16])]).is_err());
    }
}

#[test]
fn equal_vectors_make_no_island() {
    let mut vectors = clustered(1500, 16, 4);
    let twin = vectors[0].clone();
    vectors.extend(std::iter::repeat_n(twin.clone(), 300));
    for index in with_graphs(16, small_graph()) {
        let index = &index;
        insert(index, 0, &vectors);
        index.maintain(Pace::Quiet, &GO_ON, &|_, _| ());
        let found = search(index, &twin, 20, None, false);
        assert!(found.len() == 20 && found.iter().all(|neighbour| neighbour.score > 0.9999), "{found:?}");
        assert!(recall(index, &vectors[1..100], 10) > 0.9);
        index.remove(&[0]); // the one that stands for all the others
        assert!(search(index, &twin, 20, None, false).iter().all(|n| n.score > 0.9999 && n.id >= 1500));
    }
}

#[test]
fn a_segment_moves_into_another_index() {
    let vectors = clustered(1000, 16, 12);
    let [_, _, index] = with_graphs(16, small_graph());
    insert(&index, 0, &vectors);
    index.maintain(Pace::Quiet, &GO_ON, &|_, _| ());
    let [frozen] = &index.frozen()[..] else { panic!("one segment") };
    let remade = || Frozen::from_parts(16, Quantisation::Int8, &frozen.parts(), in_a_file(&vectors)).unwrap();
    let [_, _, other] = with_graphs(16, small_graph());
    let live: RoaringBitmap = (0..2000).filter(|id| *id != 7).collect();
    other.adopt(remade(), &live).unwrap();
    assert!(other.adopt(remade(), &live).is_err(), "an id names one vector for good");
    assert!(Segments::new(17, small_graph()).unwrap().adopt(remade(), &live).is_err());
    index.remove(&[7]);
    for vector in &vectors[..50] {
        assert_eq!(search(&index, vector, 9, None, false), search(&other, vector, 9, None, false));
    }
    other.remove(&[3]);
    assert_eq!(other.len(), 998);
}

#[test]
fn a_damaged_vector_is_an_error_and_is_never_found_or_merged() {
    let vectors = clustered(1000, 16, 13);
    let made = Segments::new(16, small_graph()).unwrap();
    insert(&made, 0, &vectors);
    made.maintain(Pace::Quiet, &GO_ON, &|_, _| ());
    let ids: Vec<u32> = (0..1000).collect();
    let live: RoaringBitmap = (0..1000).collect();
    let [frozen] = &made.frozen()[..] else { panic!("one segment") };
    let rows = || damaged_file(&vectors, &[400]);
    let with_graph = Segments::new(16, small_graph()).unwrap();
    with_graph.adopt(Frozen::from_parts(16, Quantisation::Int8, &frozen.parts(), rows()).unwrap(), &live).unwrap();
    let without = Segments::new(16, HnswSettings { freeze_from: 500, ..small_graph() }).unwrap();
    without.adopt_rows(&ids, rows(), &live).unwrap();
    for (index, linked) in [(&with_graph, 2001), (&without, 1001)] {
        let query = VectorQuery { vector: &vectors[400], k: 5, allowed: None, exact: false };
        for exact in [true, false] {
            let refused = index.search(VectorQuery { exact, ..query }).unwrap_err();
            assert!(matches!(refused, Error::DataCorruption { .. }), "{refused}");
        }
        let others: RoaringBitmap = (0..400).collect();
        let found = index.search(VectorQuery { allowed: Some(&others), exact: true, ..query }).unwrap();
        assert_eq!(found.len(), 5, "what does not touch it is served");
        insert(index, 1000, &clustered(1001, 16, 14));
        index.maintain(Pace::Quiet, &GO_ON, &|_, _| ());
        assert!(index.search(query).is_err(), "it was not built into another segment");
        assert_eq!(index.maintained(), linked, "what lies elsewhere has a graph all the same");
        index.remove(&[400]);
        assert_eq!(search(index, &vectors[400], 5, None, true).len(), 5);
        index.maintain(Pace::Quiet, &GO_ON, &|_, _| ());
        assert_eq!((index.maintained(), index.frozen().len()), (2000, 1), "what is gone is in nobody's way");
    }
    assert!(Frozen::from_parts(16, Quantisation::Off, &frozen.parts(), rows()).is_err(), "all are read into memory");
}

/// Keeps segments in memory, and tells what it was told.
#[derive(Default)]
struct Shelf(parking_lot::Mutex<Vec<(Vec<u32>, RoaringBitmap)>>);

impl Keeper for Shelf {
    fn keep(&self, made: &Frozen, dead: &RoaringBitmap) -> Result<Arc<dyn StoredRows>> {
        self.0.lock().push((made.parts().ids.to_vec(), dead.clone()));
        Ok(in_a_file(&made.vectors().map(<[f32]>::to_vec).collect::<Vec<_>>()))
    }
    fn forget(&self, dead: &RoaringBitmap) -> Result<()> {
        self.0.lock().push((Vec::new(), dead.clone()));
        Ok(())
    }
}

#[test]
fn what_is_made_is_kept() {
    let vectors = clustered(2600, 16, 15);
    let shelf = Arc::new(Shelf::default());
    let index = Segments::new(16, small_graph()).unwrap().kept_by(Arc::clone(&shelf) as Arc<dyn Keeper>);
    insert(&index, 0, &vectors[..1300]);
    index.maintain(Pace::Quiet, &GO_ON, &|_, _| ());
    let all: Vec<_> = vectors[..40].iter().map(|vector| search(&index, vector, 9, None, true)).collect();
    insert(&index, 1300, &vectors[1300..]);
    index.remove(&(1300..2600).collect::<Vec<_>>());
    index.remove(&[5]);
    index.maintain(Pace::Quiet, &GO_ON, &|_, _| ());
    index.remove(&(0..1300).collect::<Vec<_>>());
    index.maintain(Pace::Quiet, &GO_ON, &|_, _| ());
    let kept = shelf.0.lock();
    let sizes: Vec<_> = kept.iter().map(|(ids, dead)| (ids.len(), dead.len())).collect();
    assert_eq!(sizes, [(1300, 0), (0, 2600)], "one segment made, and at the end nothing is left");
    assert!(all.iter().all(|found| found.len() == 9));
}

#[test]
fn a_stopped_build_leaves_a_usable_index() {
    let vectors = clustered(2000, 16, 6);
    for index in with_graphs(16, small_graph()) {
        let index = &index;
        insert(index, 0, &vectors);
        let stop = AtomicBool::new(false);
        index.maintain(Pace::Quiet, &stop, &|_, _| stop.store(true, std::sync::atomic::Ordering::Relaxed));
        assert_eq!(index.maintained(), 0);
        assert_eq!(search(index, &vectors[3], 1, None, false)[0].id, 3);
        index.maintain(Pace::Quiet, &GO_ON, &|_, _| ());
        assert_eq!(index.maintained(), 2000);
        assert_eq!(search(index, &vectors[3], 1, None, false)[0].id, 3);
    }
}

#[test]
fn searches_go_on_while_the_graph_grows() {
    let vectors = clustered(3000, 16, 7);
    for index in with_graphs(16, small_graph()) {
        let index = &index;
        insert(index, 0, &vectors[..1500]);
        index.maintain(Pace::Quiet, &GO_ON, &|_, _| ());
        insert(index, 1500, &vectors[1500..]);
        std::thread::scope(|scope| {
            let builder = scope.spawn(|| index.maintain(Pace::Quiet, &GO_ON, &|_, _| ()));
            let mut removed = 0;
            while !builder.is_finished() {
                index.remove(&[removed * 7]);
                removed += 1;
                for (i, vector) in vectors.iter().enumerate().step_by(97).filter(|(i, _)| i % 7 != 0) {
                    let found = search(index, vector, 12, None, false);
                    assert_eq!(found.len(), 12);
                    assert!(found[0].score > 0.999, "question {i} finds itself");
                    assert!(found.windows(2).all(|w| w[0].score >= w[1].score && w[0].id != w[1].id));
                }
            }
        });
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]
    #[test]
    fn filters_and_tombstones_never_cost_hits(
        seed in 0u64..1000,
        linked in 200usize..1200,
        waiting in 0usize..300,
        dead_of_100 in 0u32..60,
        allowed_of_1000 in prop::sample::select(vec![1u32, 10, 100, 300, 900, 1000]),
        k in 1usize..60,
        which in 0usize..3,
    ) {
        let vectors = clustered(linked + waiting, 12, seed);
        let index = &with_graphs(12, HnswSettings { freeze_from: 100, ..small_graph() })[which];
        insert(index, 0, &vectors[..linked]);
        index.maintain(Pace::Quiet, &GO_ON, &|_, _| ());
        insert(index, linked as u32, &vectors[linked..]);
        let mut rng = SmallRng::seed_from_u64(seed);
        let ids = 0..(linked + waiting) as u32;
        let dead: Vec<u32> = ids.clone().filter(|_| rng.random_range(0..100) < dead_of_100).collect();
        index.remove(&dead);
        let allowed: RoaringBitmap = ids.filter(|_| rng.random_range(0..1000) < allowed_of_1000).collect();
        for again in [false, true] {
            let (mut right, mut wanted) = (0, 0);
            for query in vectors.iter().step_by(41) {
                let exact = search(index, query, k, Some(&allowed), true);
                let found = search(index, query, k, Some(&allowed), false);
                prop_assert_eq!(found.len(), exact.len());
                prop_assert!(found.iter().all(|n| allowed.contains(n.id) && dead.binary_search(&n.id).is_err()));
                prop_assert!(found.windows(2).all(|w| w[0].score >= w[1].score && w[0].id != w[1].id));
                right += found.iter().filter(|n| exact.iter().any(|e| e.score <= n.score)).count();
                wanted += exact.len();
                let unfiltered = search(index, query, k, None, false);
                prop_assert_eq!(unfiltered.len(), k.min(index.len()));
            }
            prop_assert!(right * 10 >= wanted * 9, "{right} of {wanted}");
            if !again {
                index.maintain(Pace::Quiet, &GO_ON, &|_, _| ()); // drops the dead
            }
        }
    }

    #[test]
    fn segments_hold_what_went_in_and_did_not_go_out(
        seed in 0u64..1000,
        steps in prop::collection::vec((0u8..10, 1usize..120), 1..30),
    ) {
        let vectors = clustered(4000, 8, seed);
        let settings = HnswSettings { freeze_from: 60, build_width: 10, ..small_graph() };
        let index = Segments::new(8, settings).unwrap();
        let plain = Exact::new(8);
        let mut next = 0;
        for (what, many) in steps {
            match what {
                0..6 => {
                    insert(&index, next, &vectors[next as usize..][..many]);
                    insert(&plain, next, &vectors[next as usize..][..many]);
                    next += many as u32;
                }
                6..8 => {
                    let gone: Vec<u32> = (0..next).filter(|id| (id / 7 + many as u32).is_multiple_of(4)).collect();
                    index.remove(&gone);
                    plain.remove(&gone);
                }
                _ => index.maintain(Pace::Quiet, &GO_ON, &|_, _| ()),
            }
            prop_assert_eq!(index.len(), plain.len());
            let (found, exact) = (search(&index, &vectors[9], 30, None, true), search(&plain, &vectors[9], 30, None, true));
            prop_assert_eq!(found.len(), exact.len());
            for (found, exact) in found.iter().zip(exact) {
                prop_assert!((found.score - exact.score).abs() < 1e-5);
            }
        }
        index.maintain(Pace::Quiet, &GO_ON, &|_, _| ());
        prop_assert!(index.len() - index.maintained() < 60);
    }
}
