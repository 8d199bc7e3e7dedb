//! A Parquet file of questions.

#![no_main]

use libfuzzer_sys::fuzz_target;
use simbert::engine::QuestionFormat;
use simbert_fuzz::read;

fuzz_target!(|bytes: &[u8]| read(bytes, QuestionFormat::Parquet));
