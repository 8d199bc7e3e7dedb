//! A filter as people write it.

#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| simbert::fuzzing::filter(text));
