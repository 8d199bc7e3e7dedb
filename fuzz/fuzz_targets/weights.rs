//! A model's weights, for a network of two layers.

#![no_main]

use std::sync::LazyLock;

use candle_core::Device;
use libfuzzer_sys::fuzz_target;
use simbert::model::{Config, Weights};
use simbert_fuzz::File;

fuzz_target!(|bytes: &[u8]| {
    static CONFIG: LazyLock<Config> = LazyLock::new(|| {
        let config = r#"{"vocab_size":5,"hidden_size":4,"num_hidden_layers":2,"num_attention_heads":2,
            "intermediate_size":6,"max_position_embeddings":8,"max_tokens":8}"#;
        Config::from_file(&File::of("config.json", config.as_bytes()).0).unwrap()
    });
    _ = Weights::load(&File::of("model.safetensors", bytes).0, &CONFIG, &Device::Cpu);
});
