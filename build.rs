//! Compiles `proto/` in pure Rust (protox), so that no `protoc` is needed, and keeps the descriptors for reflection.

use std::error::Error;
use std::path::{Path, PathBuf};

use protox::prost::Message as _;

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo:rerun-if-changed=build.rs");
    println!("cargo:rerun-if-changed=proto");
    let mut files: Vec<PathBuf> =
        std::fs::read_dir("proto/simbert/v1")?.map(|entry| entry.map(|e| e.path())).collect::<Result<_, _>>()?;
    files.retain(|path| path.extension().is_some_and(|extension| extension == "proto"));
    files.sort(); // the same descriptors on every machine
    let descriptors = protox::compile(files, ["proto"])?;
    let out = std::env::var_os("OUT_DIR").ok_or("cargo sets OUT_DIR for build scripts")?;
    std::fs::write(Path::new(&out).join("simbert_descriptors.bin"), descriptors.encode_to_vec())?;
    tonic_prost_build::configure().btree_map(".simbert.v1.Question.metadata").compile_fds(descriptors)?;
    Ok(())
}
