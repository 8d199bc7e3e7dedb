//! Files of groups, pairs and labelled questions, of a kind that the first byte chooses.

#![no_main]

use libfuzzer_sys::fuzz_target;
use simbert::text::{read_pairs, read_queries, read_standard};
use simbert_fuzz::File;

fuzz_target!(|bytes: &[u8]| {
    let Some((kind, bytes)) = bytes.split_first() else { return };
    match kind % 5 {
        0 => simbert::fuzzing::groups(&File::of("groups.jsonl", bytes).0),
        1 => simbert::fuzzing::groups(&File::of("pairs.tsv", bytes).0),
        2 => _ = read_pairs(&File::of("pairs.tsv", bytes).0),
        3 => _ = read_standard(&File::of("standard.tsv", bytes).0),
        _ => _ = read_queries(&File::of("queries.tsv", bytes).0),
    }
});
