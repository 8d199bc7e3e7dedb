//! A bank's snapshot; checksums count as right here, or nothing would get past them.

#![no_main]

use libfuzzer_sys::fuzz_target;
use simbert::engine::Engine;
use simbert_fuzz::File;

fuzz_target!(|bytes: &[u8]| drop(Engine::check_snapshot(&File::of("faq.bank", bytes).0, &|_, _| ())));
