//! A model's configuration; one that is taken has a shape that can be reckoned with.

#![no_main]

use libfuzzer_sys::fuzz_target;
use simbert::model::Config;
use simbert_fuzz::File;

fuzz_target!(|bytes: &[u8]| {
    if let Ok(config) = Config::from_file(&File::of("config.json", bytes).0) {
        assert_eq!(config.head_size() * config.num_attention_heads, config.hidden_size);
        let layer = config.hidden_size.checked_mul(config.intermediate_size).unwrap();
        let table = config.hidden_size.checked_mul(config.vocab_size.max(config.max_position_embeddings)).unwrap();
        layer.checked_mul(config.num_hidden_layers).and_then(|all| all.checked_add(table)).unwrap();
    }
});
