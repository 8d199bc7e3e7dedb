//! A request of a caller, of a kind that the first byte chooses.

#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| simbert::fuzzing::request(bytes));
