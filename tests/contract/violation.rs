//! A broken rule.

use std::fmt;

/// Which rule is broken where, and what it wants.
#[derive(Debug)]
pub struct Violation {
    /// The rule's name in buf.
    pub rule: &'static str,
    /// Full name of an element, or a file.
    pub at: String,
    /// As a sentence.
    pub wanted: String,
}

impl Violation {
    pub fn new(rule: &'static str, at: impl Into<String>, wanted: impl Into<String>) -> Self {
        Self { rule, at: at.into(), wanted: wanted.into() }
    }
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({}): {}", self.at, self.rule, self.wanted)
    }
}

/// Asserts that the rules find exactly this in a contract of these files: names of rules, in any order.
#[track_caller]
pub fn assert_found(sources: &[(&str, &str)], rules: &[&str]) {
    let found = crate::lint(&crate::compiled::compile(sources));
    let mut names: Vec<&str> = found.iter().map(|violation| violation.rule).collect();
    let mut expected = rules.to_vec();
    names.sort_unstable();
    expected.sort_unstable();
    assert_eq!(names, expected, "{found:#?}");
}

/// Asserts what the rules find in one file of the package `simbert.v1`, given without its head and its comments: every
/// line that opens or declares something gets one.
#[track_caller]
pub fn assert_found_in(body: &str, rules: &[&str]) {
    let mut source = "syntax = \"proto3\";\npackage simbert.v1;\n".to_owned();
    for line in body.lines() {
        if line.ends_with(['{', ';']) && !line.trim_start().starts_with("option") {
            source.push_str("// What it is.\n");
        }
        source.push_str(line);
        source.push('\n');
    }
    assert_found(&[("simbert/v1/test.proto", &source)], rules);
}
