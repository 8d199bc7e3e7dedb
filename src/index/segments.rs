//! An index of segments: those that wait, compared one by one, and those with a graph.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use parking_lot::{Mutex, RwLock};
use roaring::RoaringBitmap;

use super::codes::MOST_COMPONENTS;
use super::frozen::Frozen;
use super::run::Run;
use super::scratch::{Pool, Scratch};
use super::snapshot::{Part, Snapshot};
use super::top::Top;
use super::{HnswSettings, Keeper, Neighbour, Pace, Progress, StoredRows, VectorIndex, VectorQuery, check_unit};
use crate::{Error, Result};

/// Segments that searches look through before some are merged while writes come one after the other.
const MOST_SEGMENTS: usize = 12;

/// Vectors in segments that never change, as a log-structured merge tree keeps them.
///
/// An insert adds a run of vectors, which searches compare one by one. [`VectorIndex::maintain`] makes segments with a
/// graph of the runs, and merges segments of like size: so there are few segments, each over twice the size of the next,
/// and a vector is linked anew about once for each doubling of the index; less often in a bulk load, where segments are
/// merged once there are many. A segment with over a fifth dead is made anew of the living.
///
/// A search reads one snapshot to its end: it neither waits for a writer nor holds one up.
pub struct Segments {
    dimension: usize,
    settings: HnswSettings,
    /// Locked to take the pointer or to exchange it, for no longer.
    current: RwLock<Arc<Snapshot>>,
    /// Every id ever inserted. Held by whoever makes the next snapshot.
    used: Mutex<RoaringBitmap>,
    /// Held by the one thread that maintains.
    maintenance: Mutex<()>,
    /// Held by the one thread that makes a segment of what waits: that one, or one of those that build for it.
    freezing: Mutex<()>,
    pool: Pool,
    /// Where segments are kept, if they are.
    keeper: Option<Arc<dyn Keeper>>,
}

impl Segments {
    /// An empty index of vectors `dimension` wide.
    ///
    /// # Errors
    /// A setting is out of its range, or the vectors are too wide.
    pub fn new(dimension: usize, settings: HnswSettings) -> Result<Self> {
        settings.check()?;
        if !(1..=MOST_COMPONENTS).contains(&dimension) {
            return Err(Error::invalid("width of vectors", format!("1 to {MOST_COMPONENTS}"), dimension));
        }
        Ok(Self {
            dimension,
            settings,
            current: RwLock::default(),
            used: Mutex::default(),
            maintenance: Mutex::default(),
            freezing: Mutex::default(),
            pool: Pool::default(),
            keeper: None,
        })
    }

    /// The same index, whose segments are kept by `keeper` from now on.
    #[must_use]
    pub fn kept_by(self, keeper: Arc<dyn Keeper>) -> Self {
        Self { keeper: Some(keeper), ..self }
    }

    /// The segments with a graph.
    #[cfg(test)]
    pub(super) fn frozen(&self) -> Vec<Arc<Frozen>> {
        self.snapshot().frozen.iter().map(|part| Arc::clone(&part.whole)).collect()
    }

    /// Takes in a segment that was made before; of its ids, those in `live` are.
    ///
    /// # Errors
    /// Its vectors have another width, or one of its ids was used before.
    pub fn adopt(&self, frozen: Frozen, live: &RoaringBitmap) -> Result<()> {
        if frozen.dimension() != self.dimension {
            let expected = format!("vectors of {} components", self.dimension);
            return Err(Error::invalid("segment", expected, format!("{} components", frozen.dimension())));
        }
        let members = frozen.run().members().clone();
        self.take_in(&members, live, |next, live| next.frozen.push(Part::new(frozen, live)))
    }

    /// Takes in vectors that lie in a file, without a graph; of their ids, which ascend, those in `live` are.
    ///
    /// # Errors
    /// There are fewer vectors than ids, or one of the ids was used before.
    pub fn adopt_rows(&self, ids: &[u32], rows: Arc<dyn StoredRows>, live: &RoaringBitmap) -> Result<()> {
        let run = Run::stored(ids.to_vec(), self.dimension, rows)?;
        let members = run.members().clone();
        self.take_in(&members, live, |next, live| next.runs.push(Part::new(run, live)))
    }

    fn take_in(
        &self,
        members: &RoaringBitmap,
        live: &RoaringBitmap,
        add: impl FnOnce(&mut Snapshot, u64),
    ) -> Result<()> {
        let mut used = self.used.lock();
        if let Some(id) = (&*used & members).min() {
            return Err(Error::invalid("vector id", "an id that was never used in this index", id));
        }
        let mut next = Snapshot::clone(&self.snapshot());
        *used |= members;
        let live = live & members;
        *Arc::make_mut(&mut next.live) |= &live;
        add(&mut next, live.len());
        self.publish(next);
        Ok(())
    }

    /// Segments with a graph.
    pub fn graphs(&self) -> usize {
        self.snapshot().frozen.len()
    }

    /// Vectors that wait for a graph.
    pub fn waiting(&self) -> usize {
        self.snapshot().runs.iter().map(|part| part.live as usize).sum()
    }

    /// Bytes that searches need in memory: graphs, codes, ids, and vectors that wait.
    pub fn bytes(&self) -> usize {
        let snapshot = self.snapshot();
        let waiting = snapshot.runs.iter().map(|part| part.whole.rows().bytes() + part.whole.bytes());
        let frozen = snapshot.frozen.iter().map(|part| part.whole.bytes());
        waiting.chain(frozen).sum()
    }

    fn snapshot(&self) -> Arc<Snapshot> {
        Arc::clone(&self.current.read())
    }

    /// Only for who holds `used`.
    fn publish(&self, next: Snapshot) {
        let old = std::mem::replace(&mut *self.current.write(), Arc::new(next));
        drop(old); // which may free a large segment: after the lock
    }

    /// Whether comparing with `allowed` vectors is quicker than finding them in a graph of `all`: the graph must visit
    /// all / allowed vectors for each one that it may keep.
    fn exact_is_quicker(&self, allowed: u64, all: u64, width: usize) -> bool {
        let walk = (width as u64).saturating_mul(self.settings.walk_cost);
        allowed.saturating_mul(allowed) <= all.saturating_mul(walk)
    }

    /// The best of one segment among `inside`, all of it without.
    fn search_frozen(
        &self,
        frozen: &Frozen,
        query: VectorQuery<'_>,
        inside: Option<&RoaringBitmap>,
        scratch: &mut Scratch,
    ) -> Top {
        let VectorQuery { vector, k, exact, .. } = query;
        let width = self.settings.search_width.max(k.saturating_mul(2)).min(frozen.len());
        let many = inside.map_or(frozen.len() as u64, |inside| inside.intersection_len(frozen.run().members()));
        let mut top = Top::new(k);
        if !exact && !self.exact_is_quicker(many, frozen.len() as u64, width) {
            let complete = match inside {
                None => frozen.walk(vector, k, width, scratch, &mut top),
                Some(inside) => frozen.walk_inside(vector, k, width, (inside, many as usize), scratch, &mut top),
            };
            if complete {
                return top;
            }
            top = Top::new(k); // an island, or a narrow filter, hid some from the walk
        }
        frozen.run().scan(vector, inside, scratch, &mut top);
        top
    }

    /// Makes a segment of the vectors that wait, where they are enough; whether they were.
    fn freeze(&self, stop: &AtomicBool, progress: &Progress<'_>) -> Result<bool> {
        let _one_at_a_time = self.freezing.lock();
        let sealed = {
            let snapshot = self.snapshot();
            if snapshot.waiting() < self.settings.freeze_from.max(1) {
                return Ok(false); // before stored vectors are looked at for nothing
            }
            let damaged = |run: &Arc<Run>| run.is_damaged(&snapshot.live);
            let damaged: Vec<_> = snapshot.runs.iter().map(|part| Arc::clone(&part.whole)).filter(damaged).collect();
            let _used = self.used.lock();
            let mut snapshot = Snapshot::clone(&self.snapshot());
            if snapshot.seal(&damaged) < self.settings.freeze_from.max(1) {
                return Ok(false);
            }
            let sealed = snapshot.sealed().map(|part| Arc::clone(&part.whole)).collect::<Vec<_>>();
            self.publish(snapshot);
            sealed
        };
        let made = self.make(&sealed.iter().map(|run| &**run).collect::<Vec<_>>(), stop, progress)?;
        let _used = self.used.lock();
        let mut next = Snapshot::clone(&self.snapshot());
        next.replace_sealed(made);
        self.publish(next);
        Ok(true)
    }

    /// Makes one segment of several, or one without its dead; whether there was need.
    fn merge(&self, pace: Pace, stop: &AtomicBool, progress: &Progress<'_>) -> Result<bool> {
        let most = match pace {
            Pace::Busy => MOST_SEGMENTS,
            Pace::Quiet => 1,
        };
        let (snapshot, mut damaged) = (self.snapshot(), Vec::new());
        let merged = loop {
            let merged = snapshot.to_merge(most, &damaged);
            if merged.is_empty() {
                return Ok(false);
            }
            let known = damaged.len();
            damaged.extend(merged.iter().filter(|frozen| frozen.run().is_damaged(&snapshot.live)).cloned());
            if damaged.len() == known {
                break merged;
            }
        };
        drop(snapshot); // which would keep alive what is merged away
        // A merge may take minutes. Who writes meanwhile must not make searches compare with ever more vectors.
        let freeze_meanwhile = |done, all| {
            progress(done, all);
            if self.snapshot().waiting() >= 2 * self.settings.freeze_from.max(1)
                && let Err(error) = self.freeze(stop, &|_, _| ())
            {
                tell(&error);
            }
        };
        let made = self.make(&merged.iter().map(|frozen| frozen.run()).collect::<Vec<_>>(), stop, &freeze_meanwhile)?;
        let _used = self.used.lock();
        let mut next = Snapshot::clone(&self.snapshot());
        next.replace(&merged, made);
        self.publish(next);
        Ok(true)
    }

    /// A segment of the live vectors of some runs, none of them damaged, now kept; nothing where all are dead.
    fn make(&self, runs: &[&Run], stop: &AtomicBool, progress: &Progress<'_>) -> Result<Option<Frozen>> {
        let live = Arc::clone(&self.snapshot().live);
        let alive = |(id, _): &(u32, &[f32])| live.contains(*id);
        let items: Vec<_> = runs.iter().flat_map(|run| run.items(self.dimension)).filter(alive).collect();
        let mut made = match items.is_empty() {
            true => None,
            false => {
                Some(Frozen::build(self.dimension, items, &self.settings, self.settings.threads(), stop, progress)?)
            }
        };
        if let Some(keeper) = &self.keeper {
            let dead = {
                let used = self.used.lock();
                &*used - &*self.snapshot().live
            };
            match &mut made {
                Some(made) => made.rest_on(keeper.keep(made, &dead)?)?,
                None => keeper.forget(&dead)?,
            }
        }
        Ok(made)
    }
}

fn tell(error: &Error) {
    tracing::error!(%error, "a segment could not be made; its vectors are compared one by one instead");
}

impl VectorIndex for Segments {
    fn dimension(&self) -> usize {
        self.dimension
    }

    fn len(&self) -> usize {
        self.snapshot().live.len() as usize
    }

    fn insert(&self, items: &[(u32, &[f32])]) -> Result<()> {
        let mut new = RoaringBitmap::new();
        let mut used = self.used.lock();
        for &(id, vector) in items {
            check_unit(vector, self.dimension)?;
            if used.contains(id) || !new.insert(id) {
                return Err(Error::invalid("vector id", "an id that was never used in this index", id));
            }
        }
        if items.is_empty() {
            return Ok(());
        }
        let mut items = items.to_vec();
        items.sort_unstable_by_key(|&(id, _)| id);
        let ids = items.iter().map(|&(id, _)| id).collect();
        let run = Run::new(ids, self.dimension, items.iter().map(|&(_, vector)| vector));
        let mut next = Snapshot::clone(&self.snapshot());
        *used |= &new;
        *Arc::make_mut(&mut next.live) |= new;
        next.add(run, self.dimension);
        self.publish(next);
        Ok(())
    }

    fn remove(&self, ids: &[u32]) {
        let _used = self.used.lock();
        let mut next = Snapshot::clone(&self.snapshot());
        next.remove(&ids.iter().copied().collect());
        self.publish(next);
    }

    fn search(&self, query: VectorQuery<'_>) -> Result<Vec<Neighbour>> {
        check_unit(query.vector, self.dimension)?;
        let snapshot = self.snapshot();
        let allowed = query.allowed.map(|allowed| allowed & &*snapshot.live);
        let query = VectorQuery { k: query.k.min(snapshot.live.len() as usize), ..query };
        let mut top = Top::new(query.k);
        let damage = self.pool.with(|scratch| {
            for part in &snapshot.runs {
                part.whole.scan(query.vector, snapshot.inside(part, allowed.as_ref()), scratch, &mut top);
            }
            for part in &snapshot.frozen {
                let inside = snapshot.inside(part, allowed.as_ref());
                let found = self.search_frozen(&part.whole, query, inside, scratch);
                found.into_best_first().into_iter().for_each(|neighbour| top.push(neighbour));
            }
            scratch.damage.take()
        });
        damage.map_or_else(|| Ok(top.into_best_first()), Err)
    }

    fn maintain(&self, pace: Pace, stop: &AtomicBool, progress: &Progress<'_>) {
        let _one_at_a_time = self.maintenance.lock();
        while !stop.load(Ordering::Relaxed) {
            let made = self.freeze(stop, progress).and_then(|made| Ok(made || self.merge(pace, stop, progress)?));
            match made {
                Ok(true) => {}
                Ok(false) | Err(Error::Cancelled { .. }) => break,
                Err(error) => {
                    tell(&error);
                    break;
                }
            }
        }
    }

    fn maintained(&self) -> usize {
        self.snapshot().frozen.iter().map(|part| part.live as usize).sum()
    }
}
