//! A file of questions, of a format that the first byte chooses.

#![no_main]

use libfuzzer_sys::fuzz_target;
use simbert::engine::QuestionFormat;
use simbert_fuzz::read;

fuzz_target!(|bytes: &[u8]| {
    let Some((format, bytes)) = bytes.split_first() else { return };
    let formats = [QuestionFormat::Csv, QuestionFormat::Tsv, QuestionFormat::JsonLines, QuestionFormat::Text];
    read(bytes, formats[usize::from(*format) % formats.len()]);
});
