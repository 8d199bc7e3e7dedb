//! Rules for packages: their names, and where their files lie.

use std::collections::{BTreeMap, BTreeSet};

use prost_types::FileDescriptorSet;

use crate::case::lower_snake;
use crate::compiled::ours;
use crate::violation::Violation;

pub fn check(set: &FileDescriptorSet, found: &mut Vec<Violation>) {
    let mut folders: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    let mut packages: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    let mut options: BTreeMap<&str, BTreeSet<String>> = BTreeMap::new();
    for file in ours(set) {
        let (package, folder) = (file.package(), file.name().rsplit_once('/').map_or("", |(folder, _)| folder));
        folders.entry(package).or_default().insert(folder);
        packages.entry(folder).or_default().insert(package);
        options.entry(package).or_default().insert(languages(file));
        let mut broken = |rule, wanted: String| found.push(Violation::new(rule, file.name(), wanted));
        if package.is_empty() {
            broken("PACKAGE_DEFINED", "expected a package".to_owned());
            continue;
        }
        if folder.replace('/', ".") != package {
            broken("PACKAGE_DIRECTORY_MATCH", format!("expected the folder {}", package.replace('.', "/")));
        }
        if !package.split('.').all(lower_snake) {
            broken("PACKAGE_LOWER_SNAKE_CASE", format!("expected a package `like.this`, received `{package}`"));
        }
        if !versioned(package) {
            broken("PACKAGE_VERSION_SUFFIX", format!("expected a package `{package}.v1`"));
        }
    }
    for (package, folders) in folders.iter().filter(|(_, folders)| folders.len() > 1) {
        found.push(Violation::new("PACKAGE_SAME_DIRECTORY", *package, format!("expected one folder, not {folders:?}")));
    }
    for (folder, packages) in packages.iter().filter(|(_, packages)| packages.len() > 1) {
        found.push(Violation::new(
            "DIRECTORY_SAME_PACKAGE",
            *folder,
            format!("expected one package, not {packages:?}"),
        ));
    }
    for (package, options) in options.iter().filter(|(_, options)| options.len() > 1) {
        let wanted = format!("expected the same file options in each file, not {options:?}");
        found.push(Violation::new("PACKAGE_SAME_OPTIONS", *package, wanted));
    }
}

/// Whether the last part is `v1`, `v2beta1` and the like.
fn versioned(package: &str) -> bool {
    let Some(version) = package.rsplit('.').next().and_then(|last| last.strip_prefix('v')) else { return false };
    let number = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit()) && !text.starts_with('0');
    let unstable = ["alpha", "beta"].iter().find_map(|stage| version.split_once(stage));
    unstable.map_or_else(|| number(version), |(major, minor)| number(major) && (minor.is_empty() || number(minor)))
}

/// What a file says to generators of code: buf wants it alike within a package, one rule for each option.
fn languages(file: &prost_types::FileDescriptorProto) -> String {
    let Some(options) = &file.options else { return String::new() };
    format!(
        "{:?}",
        (
            (&options.csharp_namespace, &options.go_package, &options.java_package, options.java_multiple_files),
            (&options.php_namespace, &options.ruby_package, &options.swift_prefix),
        )
    )
}

#[cfg(test)]
mod tests {
    use crate::violation::assert_found;

    fn file(package: &str) -> String {
        format!("syntax = \"proto3\"; {package}")
    }

    #[test]
    fn the_folder_is_the_package() {
        assert_found(&[("simbert/v1/a.proto", &file("package simbert.v1;"))], &[]);
        assert_found(&[("simbert/v2beta1/a.proto", &file("package simbert.v2beta1;"))], &[]);
        assert_found(&[("simbert/a.proto", &file("package simbert.v1;"))], &["PACKAGE_DIRECTORY_MATCH"]);
        assert_found(&[("simbert/a.proto", &file("package simbert;"))], &["PACKAGE_VERSION_SUFFIX"]);
        assert_found(&[("simbert/version1/a.proto", &file("package simbert.version1;"))], &["PACKAGE_VERSION_SUFFIX"]);
        assert_found(&[("Simbert/v1/a.proto", &file("package Simbert.v1;"))], &["PACKAGE_LOWER_SNAKE_CASE"]);
        assert_found(&[("a.proto", &file(""))], &["PACKAGE_DEFINED"]);
    }

    #[test]
    fn a_package_is_in_one_folder_and_alone_there() {
        let (here, there) = (file("package simbert.v1;"), file("package simbert.v2;"));
        let rules = ["PACKAGE_DIRECTORY_MATCH", "PACKAGE_SAME_DIRECTORY"];
        assert_found(&[("simbert/v1/a.proto", &here), ("elsewhere/b.proto", &here)], &rules);
        let rules = ["PACKAGE_DIRECTORY_MATCH", "DIRECTORY_SAME_PACKAGE"];
        assert_found(&[("simbert/v1/a.proto", &here), ("simbert/v1/b.proto", &there)], &rules);
    }

    #[test]
    fn options_for_languages_are_alike() {
        let with = file("package simbert.v1; option go_package = \"simbert\";");
        let files = [("simbert/v1/a.proto", file("package simbert.v1;")), ("simbert/v1/b.proto", with)];
        assert_found(&files.each_ref().map(|(name, text)| (*name, text.as_str())), &["PACKAGE_SAME_OPTIONS"]);
    }
}
