//! The trainer's parsers for fuzz targets.

use std::path::Path;

use super::DataSettings;
use super::groups::Corpus;

/// Reads a file of groups or pairs, whose name ends as the format wants it, and links its groups.
pub fn groups(path: &Path) {
    let pairs = vec![path.to_owned()];
    let settings = DataSettings { pairs, max_overlap: Some(0.9), largest_group: Some(8), ..DataSettings::default() };
    _ = Corpus::read(&settings);
}
