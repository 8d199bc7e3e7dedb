//! The stamp of an ONNX graph, and that of its weights, as the first byte chooses.

#![no_main]

use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use simbert::model::ModelDirectory;
use simbert::onnx::Stamp;
use simbert_fuzz::folder;

fuzz_target!(|bytes: &[u8]| {
    static MODEL: LazyLock<ModelDirectory> = LazyLock::new(|| {
        let config = r#"{"vocab_size":5,"hidden_size":4,"num_hidden_layers":2,"num_attention_heads":2,
            "intermediate_size":6,"max_position_embeddings":8,"max_tokens":8}"#;
        for (name, bytes) in [("config.json", config), ("tokenizer.json", "{}"), ("model.safetensors", "")] {
            std::fs::write(folder().join(name), bytes).unwrap();
        }
        ModelDirectory::open(folder()).unwrap()
    });
    let Some((kind, bytes)) = bytes.split_first() else { return };
    let (graph, weights) = (MODEL.encoder_path(), MODEL.onnx_weights_path());
    let (to, other) = if kind % 2 == 0 { (&graph, &weights) } else { (&weights, &graph) };
    std::fs::write(to, bytes).unwrap();
    if !other.exists() {
        std::fs::write(other, Stamp::of(&MODEL).unwrap().line()).unwrap();
    }
    _ = Stamp::check(&MODEL, &graph);
});
