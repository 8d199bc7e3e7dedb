//! The settings of `simbert serve`: which of flag, environment, file and default counts, and what is said of wrong ones.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::{Command, Output};

use insta::assert_snapshot;
use tempfile::TempDir;

/// `simbert serve` in a folder of its own, with nothing from this process's environment.
struct Serve {
    folder: TempDir,
    variables: Vec<(&'static str, &'static str)>,
}

impl Serve {
    fn new() -> Self {
        Self { folder: TempDir::new().unwrap(), variables: Vec::new() }
    }

    /// With a `simbert.toml`.
    fn with_file(text: &str) -> Self {
        let serve = Self::new();
        serve.write("simbert.toml", text);
        serve
    }

    fn and(mut self, variable: &'static str, value: &'static str) -> Self {
        self.variables.push((variable, value));
        self
    }

    fn write(&self, name: &str, text: &str) {
        std::fs::write(self.folder.path().join(name), text).unwrap();
    }

    fn run(&self, arguments: &[&str]) -> Output {
        let mut command = Command::new(env!("CARGO_BIN_EXE_simbert"));
        command.arg("serve").args(arguments).current_dir(self.folder.path());
        command.env_clear().envs(self.variables.iter().copied()).output().unwrap()
    }

    /// What `--print-config` prints.
    fn printed(&self, arguments: &[&str]) -> String {
        let output = self.run(&[arguments, &["--print-config"]].concat());
        assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    }

    /// The line of `--print-config` that sets this.
    fn line(&self, arguments: &[&str], key: &str) -> String {
        let printed = self.printed(arguments);
        let found = printed.lines().find(|line| line.trim_start_matches("# ").starts_with(&format!("{key} =")));
        found.unwrap_or_else(|| panic!("no {key} in {printed}")).to_owned()
    }

    /// What is said of settings that are wrong.
    fn refused(&self, arguments: &[&str]) -> String {
        let output = self.run(arguments);
        assert_eq!(output.status.code(), Some(2), "{output:?}");
        assert!(output.stdout.is_empty());
        String::from_utf8(output.stderr).unwrap()
    }
}

#[test]
fn a_flag_counts_before_the_environment_that_before_the_file_and_that_before_the_default() {
    let nothing = Serve::new();
    assert_eq!(nothing.line(&[], "grace"), "grace = 20  # default");
    let file = Serve::with_file("max_waiting = 1\n\ngrace = 1\n");
    assert_eq!(file.line(&[], "grace"), "grace = 1  # file, simbert.toml:3");
    let both = Serve::with_file("grace = 1").and("SIMBERT_GRACE", "2");
    assert_eq!(both.line(&[], "grace"), "grace = 2  # environment, SIMBERT_GRACE");
    assert_eq!(both.line(&["--grace", "3"], "grace"), "grace = 3  # flag");
}

#[test]
fn a_switch_is_turned_on_and_off_everywhere() {
    assert_eq!(Serve::new().line(&["--int8"], "int8"), "int8 = true  # flag");
    let on = Serve::with_file("int8 = true");
    assert_eq!(on.line(&[], "int8"), "int8 = true  # file, simbert.toml:1");
    assert_eq!(on.line(&["--int8=false"], "int8"), "int8 = false  # flag");
    assert_eq!(on.and("SIMBERT_INT8", "no").line(&[], "int8"), "int8 = false  # environment, SIMBERT_INT8");
}

#[test]
fn the_file_is_named_by_a_flag_or_a_variable_or_lies_in_the_folder() {
    let serve = Serve::with_file("grace = 1").and("SIMBERT_CONFIG", "b.toml");
    serve.write("b.toml", "grace = 2");
    serve.write("c.toml", "grace = 3");
    assert_eq!(serve.line(&[], "grace"), "grace = 2  # file, b.toml:1");
    assert_eq!(serve.line(&["--config", "c.toml"], "grace"), "grace = 3  # file, c.toml:1");
    assert_snapshot!(serve.refused(&["--config", "d.toml"]).replace("error: d", "d"), @"d.toml: cannot read the configuration: No such file or directory (os error 2)");
}

/// Keys and values of a file that was printed.
fn settings(printed: &str) -> BTreeMap<String, toml::Value> {
    toml::from_str::<toml::Table>(printed).unwrap().into_iter().collect()
}

#[test]
fn what_is_printed_sets_the_same_when_it_is_given_back() {
    let odd = "模型 \"a\\b\"\nc";
    let file = format!("model = {}\nmax_waiting = 0x1_0\nint8 = true\n", toml::Value::from(odd));
    let serve = Serve::with_file(&file).and("SIMBERT_THREADS", "+3");
    let arguments = ["--listen", "[::1]:0", "--log", "info,h2=off", "--data", "007", "--max-concurrent", "5"];
    let printed = serve.printed(&arguments);
    let found = settings(&printed);
    assert_eq!((&found["model"], &found["max_waiting"]), (&odd.into(), &16.into()));
    assert_eq!((&found["data"], &found["int8"]), (&"007".into(), &true.into()));
    assert_eq!((&found["listen"], &found["max_concurrent"]), (&"[::1]:0".into(), &5.into()));
    let again = Serve::new();
    again.write("printed.toml", &printed);
    let reprinted = again.printed(&["--config", "printed.toml"]);
    assert_eq!(settings(&reprinted), found);
    assert!(!reprinted.contains("# flag") && !reprinted.contains("# environment"), "{reprinted}");
}

#[test]
fn every_setting_has_its_variable_and_its_key() {
    let help = Serve::new().run(&["--help"]).stdout;
    let help = String::from_utf8(help).unwrap();
    let printed = Serve::new().printed(&[]);
    let flags = help.lines().filter_map(|line| line.trim_start().strip_prefix("--")).map(|line| {
        let end = line.find(|c: char| !c.is_ascii_alphanumeric() && c != '-').unwrap_or(line.len());
        line[..end].replace('-', "_")
    });
    let flags: Vec<String> = flags.filter(|name| !["config", "print_config"].contains(&&**name)).collect();
    assert!(flags.len() > 14, "{help}");
    for key in flags {
        assert!(printed.contains(&format!("\n{key} = ")) || printed.contains(&format!("\n# {key} = ")), "{key}");
        let variable =
            if key == "onnxruntime" { "ORT_DYLIB_PATH".into() } else { format!("SIMBERT_{}", key.to_uppercase()) };
        assert!(help.contains(&format!("[env: {variable}=")), "{variable}");
    }
}

#[test]
fn keys_that_nobody_knows_are_refused_with_the_nearest() {
    let refused = |text| Serve::with_file(text).refused(&["--print-config"]);
    assert_snapshot!(refused("grace = 1\n\nmax-waiting = 3\n").trim_end(), @"error: simbert.toml:3: there is no setting `max-waiting`; did you mean `max_waiting`?");
    assert_snapshot!(refused("lisen = \"127.0.0.1:1\"\nmax_wait = 1").trim_end(), @"error: simbert.toml:1: there is no setting `lisen`; did you mean `listen`?");
    assert_snapshot!(refused("print_config = true").trim_end(), @"error: simbert.toml:1: there is no setting `print_config`; `simbert serve --print-config` shows all");
    assert_snapshot!(refused("[limits]\ngrace = 1").trim_end(), @"error: simbert.toml:1: there is no table `limits`: every setting stands at the top level, by the name of its flag with `_`");
}

#[test]
fn wrong_values_are_refused_with_their_line() {
    let refused = |text| Serve::with_file(text).refused(&[]);
    assert_snapshot!(refused("# how many\nmax_concurrent = 0").trim_end(), @"error: simbert.toml:2: invalid value '0' for `max_concurrent`: 0 is not in 1..=4096");
    assert_snapshot!(refused("listen = \"localhost\"").trim_end(), @"error: simbert.toml:1: invalid value 'localhost' for `listen`: invalid socket address syntax");
    assert_snapshot!(refused("int8 = 3").trim_end(), @"error: simbert.toml:1: invalid value '3' for `int8`: value was not a boolean");
    assert_snapshot!(refused("grace = [1, 2]").trim_end(), @"error: simbert.toml:1: `grace`: expected one value, received a TOML array");
    assert_snapshot!(refused("grace = 1\ngrace = 2").trim_end(), @"error: simbert.toml:2: duplicate key");
    assert_snapshot!(refused("a = 1\ngrace = \n").trim_end(), @"error: simbert.toml:2: string values must be quoted, expected literal string");
    assert_snapshot!(refused("log = \"loud=very\"").trim_end(), @r#"error: simbert.toml:1: invalid value 'loud=very' for `log`: error parsing level filter: expected one of "off", "error", "warn", "info", "debug", "trace", or a number 0-5"#);
}

#[test]
fn a_wrong_value_that_does_not_count_is_wrong_all_the_same_where_it_is_read() {
    // A flag is looked at first, and what it sets in its place is not read at all.
    let serve = Serve::with_file("grace = \"long\"").and("SIMBERT_MAX_WAITING", "few");
    assert!(serve.refused(&["--grace", "1"]).contains("invalid value 'few' for '--max-waiting <N>'"));
    let serve = Serve::with_file("grace = \"long\"");
    assert_eq!(serve.line(&["--grace", "1"], "grace"), "grace = 1  # flag");
}

#[test]
fn other_commands_read_no_file() {
    let folder = TempDir::new().unwrap();
    std::fs::write(folder.path().join("simbert.toml"), "nonsense").unwrap();
    let list = |folder: &Path| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_simbert"));
        command.args(["bank", "list"]).current_dir(folder).env_clear().output().unwrap()
    };
    assert_eq!(list(folder.path()).status.code(), Some(0));
}
