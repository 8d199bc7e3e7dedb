//! A file of settings: TOML, a key for each setting.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use clap::{Arg, ArgAction};
use toml::de::{DeTable, DeValue};

use super::key;
use crate::{Error, Result};

/// Names less alike than this are not offered for one another (Jaro–Winkler, 0 to 1).
const ALIKE: f64 = 0.8;

/// What a file sets.
pub struct File {
    path: PathBuf,
    set: Vec<Set>,
}

struct Set {
    key: String,
    /// From 1.
    line: u64,
    values: Vec<OsString>,
}

impl File {
    /// Reads a file that may set these.
    ///
    /// # Errors
    /// The file cannot be read, is no TOML, or has a key that is none of them.
    pub fn read(path: &Path, settings: &[&Arg]) -> Result<Self> {
        let text = std::fs::read_to_string(path).map_err(|e| Error::io("read the configuration", path, e))?;
        let table = DeTable::parse(&text).map_err(|e| Error::bad_toml(path, &text, &e))?;
        let mut set = Vec::new();
        let mut entries: Vec<_> = table.get_ref().iter().collect();
        entries.sort_by_key(|(name, _)| name.span().start); // a map has them by name
        for (name, value) in entries {
            let start = name.span().start;
            let line = text[..start].matches('\n').count() as u64 + 1;
            let bad = |reason| Error::BadLine { path: path.to_owned(), line, reason };
            let key = name.get_ref().to_string();
            let Some(setting) = settings.iter().find(|arg| super::key(arg) == key) else {
                return Err(bad(unknown(&key, value.get_ref(), settings)));
            };
            let values = match value.get_ref() {
                DeValue::Array(list) if matches!(setting.get_action(), ArgAction::Append) => {
                    list.iter().map(|value| text_of(&key, value.get_ref())).collect::<Result<_, _>>()
                }
                value => text_of(&key, value).map(|text| vec![text]),
            };
            set.push(Set { key, line, values: values.map_err(bad)? });
        }
        Ok(Self { path: path.to_owned(), set })
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Where a setting stands, if it does.
    pub fn line(&self, key: &str) -> Option<u64> {
        self.set.iter().find(|set| set.key == key).map(|set| set.line)
    }

    /// The setting with the file's value as its default.
    pub fn as_default(&self, arg: Arg) -> Arg {
        match self.set.iter().find(|set| super::is_setting(&arg) && set.key == key(&arg)) {
            Some(set) => arg.default_values(set.values.clone()),
            None => arg,
        }
    }
}

/// A value as a flag would have it.
fn text_of(key: &str, value: &DeValue<'_>) -> Result<OsString, String> {
    let text = match value {
        DeValue::String(text) => text.to_string(),
        // Other radices and underscores are TOML's own.
        DeValue::Integer(number) => i128::from_str_radix(number.as_str(), number.radix())
            .map_err(|_| format!("`{key}`: expected a number of at most 64 bits, received `{number}`"))?
            .to_string(),
        DeValue::Float(number) => number.as_str().to_owned(),
        DeValue::Boolean(switch) => switch.to_string(),
        other => return Err(format!("`{key}`: expected one value, received a TOML {}", other.type_str())),
    };
    Ok(text.into())
}

/// What to say about a key that is no setting.
fn unknown(key: &str, value: &DeValue<'_>, settings: &[&Arg]) -> String {
    let likeness = |known: &String| strsim::jaro_winkler(key, known);
    let nearest = settings.iter().map(|arg| super::key(arg)).max_by(|a, b| likeness(a).total_cmp(&likeness(b)));
    match (nearest.filter(|known| likeness(known) >= ALIKE), value) {
        (_, DeValue::Table(_)) => {
            format!(
                "there is no table `{key}`: every setting stands at the top level, by the name of its flag with `_`"
            )
        }
        (Some(known), _) => format!("there is no setting `{key}`; did you mean `{known}`?"),
        (None, _) => format!("there is no setting `{key}`; `simbert serve --print-config` shows all"),
    }
}
