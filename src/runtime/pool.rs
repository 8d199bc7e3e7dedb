//! ONNX Runtime sessions, lent to one caller at a time: `Session::run` wants the session for itself.

use std::ops::{Deref, DerefMut};
use std::path::Path;
use std::sync::Arc;

use ort::session::Session;
use parking_lot::{Condvar, Mutex};

use super::weights::SharedWeights;
use super::{RuntimeOptions, attention, failed, library};
use crate::Result;
use crate::onnx::stored;

/// Loads `graph` `count` times, each with `threads` threads; both are at least 1. Whoever keeps the sessions keeps the
/// weights, so that others can share them.
///
/// # Errors
/// The library is missing, or refuses the graph.
pub fn sessions(
    graph: &Path,
    options: &RuntimeOptions,
    count: usize,
    threads: usize,
) -> Result<(Vec<Session>, Arc<SharedWeights>)> {
    let environment = library::environment(options.onnxruntime.as_deref())?;
    let (file, wanted) = stored(graph)?;
    let weights = SharedWeights::of(&file)?;
    // ONNX Runtime adds the domain of our operators to a list of the process's, and fails where two sessions do so at once.
    static OPENING: Mutex<()> = Mutex::new(());
    let open = || {
        let _alone = OPENING.lock();
        let action = || format!("open `{}`", graph.display());
        let mut builder = Session::builder(&environment).map_err(failed(action()))?;
        builder = builder.with_intra_threads(threads).map_err(failed(action()))?;
        // Idle threads must not burn the cores that the rest of the server runs on.
        builder = builder.with_intra_op_spinning(false).map_err(failed(action()))?;
        // It would keep a plan of the memory for each shape of the inputs that ever came, and a decoder's hardly come twice.
        builder = builder.with_memory_pattern(false).map_err(failed(action()))?;
        let operators = attention::operators().map_err(failed(action()))?;
        builder = builder.with_operators(operators).map_err(failed(action()))?;
        weights.give(builder, &file, &wanted)?.commit_from_file(graph).map_err(failed(action()))
    };
    Ok(((0..count).map(|_| open()).collect::<Result<_>>()?, weights))
}

/// Sessions of one graph.
pub struct SessionPool {
    free: Mutex<Vec<Session>>,
    returned: Condvar,
    size: usize,
    _weights: Arc<SharedWeights>,
}

impl SessionPool {
    /// Loads `graph` `count` times, each with `threads` threads; both are at least 1.
    ///
    /// # Errors
    /// The library is missing, or refuses the graph.
    pub fn open(graph: &Path, options: &RuntimeOptions, (count, threads): (usize, usize)) -> Result<Self> {
        let (free, weights) = sessions(graph, options, count, threads)?;
        Ok(Self { free: Mutex::new(free), returned: Condvar::new(), size: count, _weights: weights })
    }

    /// How many sessions there are.
    pub fn size(&self) -> usize {
        self.size
    }

    /// Waits for a free session.
    pub fn borrow(&self) -> Borrowed<'_> {
        let mut free = self.free.lock();
        loop {
            if let Some(session) = free.pop() {
                return Borrowed { session: Some(session), pool: self };
            }
            self.returned.wait(&mut free);
        }
    }
}

/// A session that goes back to its pool when dropped.
pub struct Borrowed<'p> {
    /// There until `drop` takes it.
    session: Option<Session>,
    pool: &'p SessionPool,
}

impl Deref for Borrowed<'_> {
    type Target = Session;
    fn deref(&self) -> &Session {
        self.session.as_ref().expect("only drop takes the session")
    }
}

impl DerefMut for Borrowed<'_> {
    fn deref_mut(&mut self) -> &mut Session {
        self.session.as_mut().expect("only drop takes the session")
    }
}

impl Drop for Borrowed<'_> {
    fn drop(&mut self) {
        self.pool.free.lock().extend(self.session.take());
        self.pool.returned.notify_one();
    }
}
