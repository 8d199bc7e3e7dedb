//! A segment's file with its graph, which is searched; checksums count as right here.

#![no_main]

use libfuzzer_sys::fuzz_target;
use simbert_fuzz::File;

fuzz_target!(|bytes: &[u8]| simbert::fuzzing::segment(&File::of("1.seg", bytes).0));
