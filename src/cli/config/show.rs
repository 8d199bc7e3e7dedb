//! Settings as a file that sets them: `--print-config`.

use std::ffi::OsString;
use std::fmt;

use super::origin::{Setting, Settings, Value};

/// Where a comment's line ends.
const WIDTH: usize = 100;

impl fmt::Display for Settings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "# Settings of `simbert serve`, and what each came from: flag, environment, file or default.")?;
        let mut headings: Vec<&str> = Vec::new(); // in the order in which they come first
        for setting in &self.0 {
            if !headings.contains(&&*setting.heading) {
                headings.push(&setting.heading);
            }
        }
        for heading in headings {
            if !heading.is_empty() {
                write!(f, "\n## {heading}\n")?;
            }
            self.0.iter().filter(|setting| setting.heading == heading).try_for_each(|setting| setting.fmt(f))?;
        }
        Ok(())
    }
}

impl fmt::Display for Setting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { key, help, origin, .. } = self;
        writeln!(f)?;
        comment(f, help)?;
        match &self.value {
            Value::Unset => writeln!(f, "# {key} =  # not set"),
            Value::Secret => writeln!(f, "# {key} =  # a secret, not shown: {origin}"),
            Value::Bare(value) => writeln!(f, "{key} = {value}  # {origin}"),
            Value::Text(text) => match quoted(text) {
                Some(text) => writeln!(f, "{key} = {text}  # {origin}"),
                None => not_utf8(f, key, origin),
            },
            Value::List(texts) => match texts.iter().map(quoted).collect::<Option<Vec<_>>>() {
                Some(texts) => writeln!(f, "{key} = [{}]  # {origin}", texts.join(", ")),
                None => not_utf8(f, key, origin),
            },
        }
    }
}

fn not_utf8(f: &mut fmt::Formatter<'_>, key: &str, origin: &impl fmt::Display) -> fmt::Result {
    writeln!(f, "# {key} =  # not shown, as it is no UTF-8 and no TOML can hold it: {origin}")
}

fn quoted(text: &OsString) -> Option<String> {
    text.to_str().map(|text| toml::Value::from(text).to_string())
}

/// A text as comment lines, broken between words.
fn comment(f: &mut fmt::Formatter<'_>, text: &str) -> fmt::Result {
    let mut width = 0;
    for word in text.split_whitespace() {
        let wide = word.chars().count() + 1;
        if width == 0 || width + wide > WIDTH {
            f.write_str(if width == 0 { "#" } else { "\n#" })?;
            width = 1;
        }
        write!(f, " {word}")?;
        width += wide;
    }
    if width > 0 { writeln!(f) } else { Ok(()) }
}
