//! A checkpoint: everything a run needs to go on as if it had never stopped.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use candle_core::{Device, Tensor};
use serde::{Deserialize, Serialize};

use super::Settings;
use crate::{Error, Result};

/// What a checkpoint knows besides the tensors.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct State {
    /// Steps taken.
    step: u64,
    settings: Settings,
}

/// The folder `checkpoint/` of a run: `weights.safetensors` and `optimizer.safetensors` in f32, `average.safetensors` where
/// a running mean is kept, and `state.json`.
#[derive(Debug, Clone)]
pub struct Checkpoint {
    folder: PathBuf,
}

impl Checkpoint {
    /// The checkpoint of the run in `output`, there or not.
    pub fn of(output: &Path) -> Self {
        Self { folder: output.join("checkpoint") }
    }

    /// Whether there is one.
    pub fn exists(&self) -> bool {
        self.folder.join("state.json").is_file()
    }

    /// The folder it lies in.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// The weights' file.
    pub fn weights_path(&self) -> PathBuf {
        self.folder.join("weights.safetensors")
    }

    /// The file of the weights' running mean, where the run keeps one.
    pub fn average_path(&self) -> PathBuf {
        self.folder.join("average.safetensors")
    }

    /// The weights of the best dev scores so far, beside the checkpoint.
    pub fn best_path(&self) -> PathBuf {
        self.folder.with_file_name("best.safetensors")
    }

    /// Removes the checkpoint of an earlier run and its best weights, if there are any.
    ///
    /// # Errors
    /// They cannot be removed.
    pub fn forget(&self) -> Result<()> {
        for folder in [&self.folder, &self.aside(), &self.partial()] {
            remove(folder)?;
        }
        let path = self.best_path();
        match std::fs::remove_file(&path) {
            Err(e) if e.kind() != std::io::ErrorKind::NotFound => Err(Error::io("remove the best weights", &path, e)),
            _ => Ok(()),
        }
    }

    /// Where a new one is written.
    fn partial(&self) -> PathBuf {
        self.folder.with_extension("partial")
    }

    /// Where the old one waits until the new one is in place.
    fn aside(&self) -> PathBuf {
        self.folder.with_extension("old")
    }

    /// Replaces the checkpoint, whole or not at all: it is written beside the old one, which makes way when it is on the
    /// disk. `weights` writes the weights' files into the checkpoint it is given.
    ///
    /// # Errors
    /// A file cannot be written.
    pub fn save(
        &self,
        step: u64,
        settings: &Settings,
        optimizer: &HashMap<String, Tensor>,
        weights: impl FnOnce(&Self) -> Result<()>,
    ) -> Result<()> {
        let fresh = Self { folder: self.partial() };
        let io = |action| move |e| Error::io(action, &self.folder, e);
        remove(&fresh.folder)?;
        std::fs::create_dir_all(&fresh.folder).map_err(io("make the checkpoint's folder"))?;
        weights(&fresh)?;
        candle_core::safetensors::save(optimizer, fresh.folder.join("optimizer.safetensors"))?;
        let state = serde_json::to_vec_pretty(&State { step, settings: settings.clone() })
            .map_err(|e| Error::Internal(e.to_string()))?;
        std::fs::write(fresh.folder.join("state.json"), state).map_err(io("write the checkpoint's state"))?;
        let to_disk = |path: &Path| std::fs::File::open(path).and_then(|file| file.sync_all());
        for file in std::fs::read_dir(&fresh.folder).map_err(io("list the checkpoint's files"))? {
            file.and_then(|file| to_disk(&file.path())).map_err(io("write the checkpoint to disk"))?;
        }
        to_disk(&fresh.folder).map_err(io("write the checkpoint to disk"))?;
        let old = self.aside();
        if self.folder.exists() {
            remove(&old)?; // of a run that died when the new one was in place
            std::fs::rename(&self.folder, &old).map_err(io("put the old checkpoint aside"))?;
        }
        std::fs::rename(&fresh.folder, &self.folder).map_err(io("put the checkpoint in place"))?;
        if let Some(run) = self.folder.parent() {
            to_disk(run).map_err(io("write the checkpoint to disk"))?;
        }
        remove(&old)
    }

    /// Steps taken and the optimiser's tensors. A checkpoint that was put aside by a run that died in the middle of
    /// [`Checkpoint::save`] is put back first.
    ///
    /// # Errors
    /// There is none, it cannot be read, or it was made with other settings.
    pub fn load(&self, settings: &Settings) -> Result<(u64, HashMap<String, Tensor>)> {
        let path = self.folder.join("state.json");
        let text = std::fs::read(&path).map_err(|e| Error::io("read the checkpoint", &path, e))?;
        let state: State = serde_json::from_slice(&text)
            .map_err(|e| Error::corrupt(&path, format!("expected the state of a training run: {e}")))?;
        if let Some(name) = difference(&state.settings, settings) {
            return Err(Error::invalid(
                format!("training setting `{name}`"),
                "the value that the checkpoint was made with",
                "another; put it back, or start afresh with `--restart`",
            ));
        }
        let path = self.folder.join("optimizer.safetensors");
        let tensors = candle_core::safetensors::load(&path, &Device::Cpu)
            .map_err(|e| Error::corrupt(&path, format!("expected the optimiser's state: {e}")))?;
        Ok((state.step, tensors))
    }

    /// Puts back the checkpoint that a save cut short had put aside.
    ///
    /// # Errors
    /// The folder cannot be renamed.
    pub fn recover(&self) -> Result<()> {
        let old = self.aside();
        if !self.exists() && old.is_dir() {
            std::fs::rename(&old, &self.folder).map_err(|e| Error::io("put back the checkpoint", &old, e))?;
        }
        Ok(())
    }
}

/// Removes a folder, if it is there.
fn remove(folder: &Path) -> Result<()> {
    match std::fs::remove_dir_all(folder) {
        Err(e) if e.kind() != std::io::ErrorKind::NotFound => Err(Error::io("remove an old checkpoint", folder, e)),
        _ => Ok(()),
    }
}

/// The first setting that decides what the next step computes and that differs.
fn difference(a: &Settings, b: &Settings) -> Option<&'static str> {
    [
        ("model", a.model != b.model),
        ("data", a.data != b.data),
        ("optimizer", a.optimizer != b.optimizer),
        ("loss", a.loss != b.loss),
        ("teacher", a.teacher != b.teacher),
        ("seed", a.seed != b.seed),
    ]
    .into_iter()
    .find_map(|(name, differs)| differs.then_some(name))
}
