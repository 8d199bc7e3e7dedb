//! Finds and loads the ONNX Runtime library, once for each process.

use std::path::{Path, PathBuf};

use ort::environment::Environment;
use parking_lot::Mutex;

use super::failed;
use crate::{Error, Result};

/// The variable that keeps ONNX Runtime from reporting to its makers. It reads it when it is loaded, and what
/// its API can turn off later does not stop its first report, nor the id and the queue that it keeps in the user's
/// cache folder. A program sets it before it has a second thread, as the `simbert` command does.
pub const DISABLE_TELEMETRY: &str = "ORT_DISABLE_TELEMETRY";

/// Held for good: ONNX Runtime allows one environment for each process and never a second one.
static LOADED: Mutex<Option<Loaded>> = Mutex::new(None);

struct Loaded {
    path: PathBuf,
    environment: Environment,
}

/// Loads the library and returns its environment. Looked for in this order: `explicit`, the `ORT_DYLIB_PATH`
/// variable, beside the running binary, `vendor/onnxruntime/` in the working directory, in the binary's folder, and in
/// the folders above either.
///
/// # Errors
/// The library is nowhere, is too old or not ONNX Runtime, or another one is loaded already.
pub fn environment(explicit: Option<&Path>) -> Result<Environment> {
    let mut loaded = LOADED.lock();
    if let Some(loaded) = &*loaded {
        return match explicit {
            Some(path) if !same_file(path, &loaded.path) => Err(Error::Runtime {
                action: format!("load `{}`", path.display()),
                message: format!("`{}` is loaded already, and a process holds one library", loaded.path.display()),
            }),
            _ => Ok(loaded.environment.clone()),
        };
    }
    let path = find(explicit)?;
    if std::env::var_os(DISABLE_TELEMETRY).is_none() {
        tracing::warn!(
            "ONNX Runtime may report to its makers; set {DISABLE_TELEMETRY}=1 for this process to prevent it"
        );
    }
    let action = || format!("load `{}`", path.display());
    // `init_from` and not `init`, which panics when there is no library.
    let builder = ort::init_from(&path).map_err(|e| Error::Runtime { action: action(), message: e.to_string() })?;
    let environment = builder.with_name("simbert").with_telemetry(false).build().map_err(failed(action()))?;
    tracing::debug!(path = %path.display(), "loaded ONNX Runtime");
    *loaded = Some(Loaded { path, environment: environment.clone() });
    Ok(environment)
}

fn find(explicit: Option<&Path>) -> Result<PathBuf> {
    let variable = std::env::var_os("ORT_DYLIB_PATH").filter(|path| !path.is_empty()).map(PathBuf::from);
    if let Some(path) = explicit.map(Path::to_owned).or(variable) {
        // An absolute path, because the loader looks beside the binary first for a relative one.
        return std::path::absolute(&path).ok().filter(|path| path.is_file()).ok_or_else(|| not_found(&path));
    }
    let binary = std::env::current_exe().ok().and_then(|path| path.parent().map(Path::to_owned));
    let working = std::env::current_dir().ok();
    let above = |folder: &Option<PathBuf>| {
        let folders = folder.iter().flat_map(|folder| folder.ancestors());
        folders.map(|folder| folder.join("vendor/onnxruntime")).collect::<Vec<_>>()
    };
    let mut folders: Vec<PathBuf> = binary.iter().cloned().collect();
    folders.extend(above(&working));
    folders.extend(above(&binary));
    folders
        .iter()
        .find_map(|folder| library_in(folder))
        .ok_or_else(|| not_found(Path::new("vendor/onnxruntime").join(file_name()).as_path()))
}

fn not_found(path: &Path) -> Error {
    Error::NotFound {
        kind: "ONNX Runtime library",
        name: path.display().to_string(),
        hint: "run `make vendor`, or name the library with `--onnxruntime` or `ORT_DYLIB_PATH`".to_owned(),
    }
}

/// `libonnxruntime.so` here, or the highest `libonnxruntime.so.1.2.3`.
fn library_in(folder: &Path) -> Option<PathBuf> {
    let entries = std::fs::read_dir(folder).ok()?;
    let versions = |path: &PathBuf| -> Vec<u64> {
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        name.split(|c: char| !c.is_ascii_digit()).filter_map(|part| part.parse().ok()).collect()
    };
    entries
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|path| path.is_file() && path.file_name().is_some_and(|name| is_library(&name.to_string_lossy())))
        .max_by_key(versions)
}

fn file_name() -> String {
    format!("{}onnxruntime{}", std::env::consts::DLL_PREFIX, std::env::consts::DLL_SUFFIX)
}

/// The plain name, or the name with a version before (macOS) or after (Linux) its suffix.
fn is_library(name: &str) -> bool {
    let versioned = |text: &str| text.chars().all(|c| c.is_ascii_digit() || c == '.');
    let stem = format!("{}onnxruntime", std::env::consts::DLL_PREFIX);
    let Some((before, after)) = name.strip_prefix(&stem).and_then(|rest| rest.split_once(std::env::consts::DLL_SUFFIX))
    else {
        return false;
    };
    versioned(before) && versioned(after)
}

fn same_file(a: &Path, b: &Path) -> bool {
    let canonical = |path: &Path| path.canonicalize().ok();
    canonical(a).is_some() && canonical(a) == canonical(b)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_the_library() {
        if cfg!(target_os = "linux") {
            assert!(is_library("libonnxruntime.so"));
            assert!(is_library("libonnxruntime.so.1.32.0"));
            assert!(!is_library("libonnxruntime_providers_shared.so"));
            assert!(!is_library("libonnxruntime.so.debug"));
        }
    }

    #[test]
    fn the_highest_version_is_taken() {
        if cfg!(target_os = "linux") {
            let folder = tempfile::tempdir().unwrap();
            for name in ["libonnxruntime.so.1.9.0", "libonnxruntime.so.1.32.0", "libother.so.2.0.0"] {
                std::fs::write(folder.path().join(name), []).unwrap();
            }
            assert!(library_in(folder.path()).unwrap().ends_with("libonnxruntime.so.1.32.0"));
        }
    }

    #[test]
    fn a_missing_library_says_what_to_do() {
        let error = find(Some(Path::new("/nowhere/libonnxruntime.so"))).unwrap_err().to_string();
        assert!(error.contains("/nowhere/libonnxruntime.so") && error.contains("make vendor"), "{error}");
    }
}
