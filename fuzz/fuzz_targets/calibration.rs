//! A model's calibration, or its probe for kinds of sentences, as the first byte chooses.

#![no_main]

use libfuzzer_sys::fuzz_target;
use simbert::model::{Calibration, Kinds};
use simbert_fuzz::File;

fuzz_target!(|bytes: &[u8]| {
    let Some((kind, bytes)) = bytes.split_first() else { return };
    if kind % 2 == 0 {
        let Ok(calibration) = Calibration::read(&File::of("calibration.json", bytes).0) else { return };
        let mut before = 0.0;
        for i in -10..=10 {
            let likely = calibration.probability(f64::from(i) / 10.0);
            assert!((0.0..=1.0).contains(&likely) && likely >= before, "{likely} after {before}");
            before = likely;
        }
    } else if let Ok(kinds) = Kinds::read(&File::of("kinds.json", bytes).0) {
        _ = kinds.check_model("");
    }
});
