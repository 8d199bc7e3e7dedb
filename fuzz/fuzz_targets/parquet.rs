//! A Parquet file of questions.

#![no_main]

use libfuzzer_sys::fuzz_target;
use simbert::engine::QuestionFormat;
use simbert_fuzz::read;

fuzz_target!(
    // Panics of the format's crate are caught and become errors; only what gets past that may end the process.
    init: std::panic::set_hook(Box::new(|_| ())),
    |bytes: &[u8]| read(bytes, QuestionFormat::Parquet)
);
