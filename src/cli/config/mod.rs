//! The settings of `simbert serve`: a flag counts before the environment, that before a file, that before the default.
//!
//! clap knows every setting, and nothing else does: what has a long flag under `serve` is a setting. Its key in a file is
//! the flag's name with `_`, its variable `SIMBERT_` and that in capitals, unless it names another. Values of a file
//! become clap's defaults, so they are checked as flags are. What holds between two settings is therefore checked by
//! the server and never by clap (`requires`, `conflicts_with`), which passes over defaults.
//!
//! A setting whose value is a secret says `hide_env_values = true`, and is not shown.

mod file;
mod origin;
mod show;

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use clap::builder::BoolishValueParser;
use clap::error::ContextKind;
use clap::{Arg, ArgAction, ArgMatches, CommandFactory, FromArgMatches};

use crate::Error;
use file::File;
pub use origin::Settings;

/// The command whose flags are settings.
const COMMAND: &str = "serve";
/// Read when no file is named, where there is one.
const FILE: &str = "simbert.toml";
/// Flags of that command that are none.
const NO_SETTINGS: [&str; 4] = ["config", "print_config", "help", "version"];

/// What is wrong with what was given.
pub enum Refusal {
    /// clap's own words; help and version are among them.
    CommandLine(clap::Error),
    /// A file's.
    File(Error),
}

/// Parses a command line, with the settings that the environment and a file add to it.
///
/// # Errors
/// A flag, a variable or a line of the file is wrong, or the file cannot be read.
pub fn parse<C: CommandFactory + FromArgMatches>(arguments: &[OsString]) -> Result<(C, Settings), Refusal> {
    let with_variables = || C::command().mut_subcommand(COMMAND, |command| command.mut_args(with_variable));
    // Without the file first: what is wrong now is wrong with a flag or a variable, and what is wrong later is not.
    let matches = with_variables().try_get_matches_from(arguments).map_err(Refusal::CommandLine)?;
    let Some(("serve", found)) = matches.subcommand() else { return finish(&matches, Settings::default()) };
    let mut command = with_variables();
    command.build(); // an argument has no name to be told by before
    let serve: Vec<&Arg> = command
        .find_subcommand(COMMAND)
        .into_iter()
        .flat_map(|c| c.get_arguments().filter(|arg| is_setting(arg)))
        .collect();
    let Some(path) = found.get_one("config").cloned().or_else(found_by_default) else {
        let settings = Settings::of(&serve, found, None);
        return finish(&matches, settings);
    };
    let file = File::read(&path, &serve).map_err(Refusal::File)?;
    let laid_over = with_variables().mut_subcommand(COMMAND, |command| {
        let config = path.clone().into_os_string();
        command.mut_args(|arg| file.as_default(arg)).mut_arg("config", |arg| arg.default_value(config))
    });
    let matches = laid_over.try_get_matches_from(arguments).map_err(|e| refused(&e, &file, &serve))?;
    let settings = matches.subcommand_matches(COMMAND).map(|found| Settings::of(&serve, found, Some(&file)));
    finish(&matches, settings.unwrap_or_default())
}

fn finish<C: FromArgMatches>(matches: &ArgMatches, settings: Settings) -> Result<(C, Settings), Refusal> {
    Ok((C::from_arg_matches(matches).map_err(Refusal::CommandLine)?, settings))
}

fn found_by_default() -> Option<PathBuf> {
    Path::new(FILE).is_file().then(|| FILE.into())
}

fn is_setting(arg: &Arg) -> bool {
    arg.get_long().is_some() && !NO_SETTINGS.contains(&arg.get_id().as_str())
}

/// The name of a setting in a file.
fn key(arg: &Arg) -> String {
    arg.get_long().unwrap_or_default().replace('-', "_")
}

/// The setting with the variable that sets it. A switch takes a value then: what is on in a file can be turned off.
fn with_variable(arg: Arg) -> Arg {
    if !is_setting(&arg) {
        return arg;
    }
    let arg = match arg.get_action() {
        ArgAction::SetTrue => arg
            .action(ArgAction::Set)
            .num_args(0..=1)
            .require_equals(true)
            .default_missing_value("true")
            .default_value("false")
            .value_parser(BoolishValueParser::new())
            .value_name("true|false")
            .hide_default_value(true)
            .hide_possible_values(true),
        _ => arg,
    };
    match arg.get_env() {
        Some(_) => arg,
        None => {
            let variable = format!("SIMBERT_{}", key(&arg).to_uppercase());
            arg.env(variable)
        }
    }
}

/// clap's words about a value of the file, in the file's terms.
fn refused(error: &clap::Error, file: &File, settings: &[&Arg]) -> Refusal {
    let about = error.get(ContextKind::InvalidArg).map(ToString::to_string).unwrap_or_default();
    let whole = error.to_string();
    let text = whole.trim_start_matches("error: ").split("\n\nFor more").next().unwrap_or_default().trim_end();
    let found =
        settings.iter().find(|arg| arg.to_string() == about).and_then(|arg| file.line(&key(arg)).zip(Some(key(arg))));
    Refusal::File(match found {
        Some((line, key)) => Error::BadLine {
            path: file.path().into(),
            line,
            reason: text.replace(&format!("'{about}'"), &format!("`{key}`")),
        },
        None => Error::invalid(file.path().display().to_string(), "settings of `simbert serve`", text),
    })
}

#[cfg(test)]
mod tests {
    use clap::{Args, Parser, Subcommand};

    use super::*;

    #[derive(Parser)]
    struct Cli {
        #[command(subcommand)]
        command: Command,
    }

    #[derive(Subcommand)]
    enum Command {
        Serve(Serve),
    }

    #[derive(Args)]
    struct Serve {
        #[arg(long)]
        config: Option<PathBuf>,
        #[arg(long, hide_env_values = true)]
        token: Option<String>,
        #[arg(long)]
        origin: Vec<String>,
    }

    #[test]
    fn secrets_are_not_shown_and_lists_are() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(&file, "token = \"hush\"\norigin = [\"a\", \"b\"]\n").unwrap();
        let path = file.path().display().to_string();
        let arguments = ["simbert", "serve", "--config", &path].map(OsString::from);
        let Ok((Cli { command: Command::Serve(serve) }, settings)) = parse::<Cli>(&arguments) else { panic!() };
        assert_eq!((serve.config.is_some(), serve.token.as_deref()), (true, Some("hush")));
        assert_eq!(serve.origin, ["a", "b"]);
        let shown = settings.to_string();
        assert!(!shown.contains("hush"), "{shown}");
        assert!(shown.contains(&format!("# token =  # a secret, not shown: file, {path}:1")), "{shown}");
        assert!(shown.contains(&format!("origin = [\"a\", \"b\"]  # file, {path}:2")), "{shown}");
    }
}
