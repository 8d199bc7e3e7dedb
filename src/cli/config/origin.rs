//! Where each setting came from.

use std::any::TypeId;
use std::ffi::OsString;
use std::fmt;
use std::path::PathBuf;

use clap::parser::ValueSource;
use clap::{Arg, ArgAction, ArgMatches};

use super::file::File;
use super::key;

/// All settings of one run, in the order of the help.
#[derive(Default)]
pub struct Settings(pub(super) Vec<Setting>);

/// One of them.
pub(super) struct Setting {
    pub key: String,
    /// The part of the help that it stands under.
    pub heading: String,
    pub help: String,
    pub value: Value,
    pub origin: Origin,
}

/// What a setting is set to.
pub(super) enum Value {
    Unset,
    /// Not to be shown.
    Secret,
    /// A number or a switch, as TOML writes it.
    Bare(String),
    Text(OsString),
    List(Vec<OsString>),
}

/// What set it.
pub(super) enum Origin {
    Flag,
    Environment(String),
    File(PathBuf, u64),
    Default,
}

impl Settings {
    /// Those that clap found, with the file whose values it took for defaults.
    pub(super) fn of(settings: &[&Arg], found: &ArgMatches, file: Option<&File>) -> Self {
        Self(settings.iter().map(|arg| Setting::of(arg, found, file)).collect())
    }
}

impl Setting {
    fn of(arg: &Arg, found: &ArgMatches, file: Option<&File>) -> Self {
        let key = key(arg);
        let origin = match found.value_source(arg.get_id().as_str()) {
            Some(ValueSource::CommandLine) => Origin::Flag,
            Some(ValueSource::EnvVariable) => {
                Origin::Environment(arg.get_env().unwrap_or_default().to_string_lossy().into_owned())
            }
            _ => match file.and_then(|file| file.line(&key).map(|line| (file.path().to_owned(), line))) {
                Some((path, line)) => Origin::File(path, line),
                None => Origin::Default,
            },
        };
        Self {
            heading: arg.get_help_heading().unwrap_or_default().to_owned(),
            help: arg.get_help().map(ToString::to_string).unwrap_or_default(),
            value: value(arg, found),
            origin,
            key,
        }
    }
}

fn value(arg: &Arg, found: &ArgMatches) -> Value {
    let values: Vec<OsString> =
        found.get_raw(arg.get_id().as_str()).into_iter().flatten().map(ToOwned::to_owned).collect();
    if matches!(arg.get_action(), ArgAction::Append) {
        return if arg.is_hide_env_values_set() { Value::Secret } else { Value::List(values) };
    }
    let Some(text) = values.into_iter().next() else { return Value::Unset };
    if arg.is_hide_env_values_set() {
        return Value::Secret;
    }
    let kind = arg.get_value_parser().type_id();
    let numbers =
        [TypeId::of::<u16>(), TypeId::of::<u32>(), TypeId::of::<u64>(), TypeId::of::<usize>(), TypeId::of::<f64>()];
    if kind == TypeId::of::<bool>() {
        let on = found.get_one::<bool>(arg.get_id().as_str()).copied().unwrap_or_default();
        return Value::Bare(on.to_string());
    }
    match text.to_str().filter(|_| numbers.iter().any(|number| kind == *number)).map(str::trim) {
        // `+8` and `08` are numbers to us and none to TOML; a text is both.
        Some(number) if number.parse::<toml::Value>().is_ok() => Value::Bare(number.to_owned()),
        _ => Value::Text(text),
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Flag => f.write_str("flag"),
            Self::Environment(variable) => write!(f, "environment, {variable}"),
            Self::File(path, line) => write!(f, "file, {}:{line}", path.display()),
            Self::Default => f.write_str("default"),
        }
    }
}
