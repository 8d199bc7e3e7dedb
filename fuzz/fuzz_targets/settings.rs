//! The settings of a training, alone and over a preset.

#![no_main]

use libfuzzer_sys::fuzz_target;
use simbert::train::Settings;
use simbert_fuzz::File;

fuzz_target!(|bytes: &[u8]| {
    let file = File::of("settings.toml", bytes);
    _ = Settings::from_file(&file.0);
    _ = Settings::from_file_over(&file.0, Some("reference"));
});
