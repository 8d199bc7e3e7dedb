//! A page token, and a deadline.

#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    simbert::fuzzing::page_token(text);
    simbert::fuzzing::timeout(text.as_bytes());
});
