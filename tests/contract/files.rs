//! Rules for a file as a whole: its name, its syntax, what it imports.

use std::collections::HashSet;

use prost_types::{FileDescriptorProto, FileDescriptorSet};

use crate::case::lower_snake;
use crate::compiled::ours;
use crate::elements::{Kind, elements};
use crate::violation::Violation;

pub fn check(set: &FileDescriptorSet, found: &mut Vec<Violation>) {
    for file in ours(set) {
        let mut broken = |rule, wanted: String| found.push(Violation::new(rule, file.name(), wanted));
        let stem = file.name().rsplit('/').next().and_then(|name| name.strip_suffix(".proto"));
        if !stem.is_some_and(lower_snake) {
            broken("FILE_LOWER_SNAKE_CASE", "expected a name `like_this.proto`".to_owned());
        }
        if file.syntax() != "proto3" {
            broken("SYNTAX_SPECIFIED", "expected `syntax = \"proto3\";`".to_owned());
        }
        for &place in &file.public_dependency {
            let import = &file.dependency[place as usize];
            broken("IMPORT_NO_PUBLIC", format!("expected `import \"{import}\"` without `public`"));
        }
        for &place in &file.weak_dependency {
            broken(
                "IMPORT_NO_WEAK",
                format!("expected `import \"{}\"` without `weak`", file.dependency[place as usize]),
            );
        }
        let used = used(file);
        for import in &file.dependency {
            let imported = set.file.iter().find(|other| other.name() == import);
            if !imported.is_some_and(|other| elements(other).iter().any(|element| used.contains(&element.name))) {
                broken("IMPORT_USED", format!("expected no import of {import}, which is not used"));
            }
        }
    }
}

/// Full names of the types that a file speaks of.
fn used(file: &FileDescriptorProto) -> HashSet<String> {
    let mut names = HashSet::new();
    let mut add = |name: &str| _ = names.insert(name.trim_start_matches('.').to_owned());
    for element in elements(file) {
        match element.kind {
            Kind::Field(field, _) => add(field.type_name()),
            Kind::Rpc(rpc) => [rpc.input_type(), rpc.output_type()].into_iter().for_each(&mut add),
            // The values of a map are fields of its entries.
            Kind::Message(message) => {
                message.nested_type.iter().flat_map(|nested| &nested.field).for_each(|field| add(field.type_name()));
            }
            _ => {}
        }
    }
    names
}

#[cfg(test)]
mod tests {
    use crate::violation::assert_found;

    const OTHER: (&str, &str) = (
        "simbert/v1/other.proto",
        "syntax = \"proto3\";
        package simbert.v1;
        // Some.
        message Other {}",
    );

    #[test]
    fn a_name_and_a_syntax_are_wanted() {
        assert_found(&[("simbert/v1/Bank.proto", OTHER.1)], &["FILE_LOWER_SNAKE_CASE"]);
        let old = OTHER.1.replace("syntax = \"proto3\";", "");
        assert_found(&[("simbert/v1/other.proto", &old)], &["SYNTAX_SPECIFIED"]);
    }

    #[test]
    fn imports_are_plain_and_used() {
        let importing = |how: &str, field: &str| {
            format!(
                "syntax = \"proto3\"; package simbert.v1; import {how} \"simbert/v1/other.proto\";
                // It.
                message It {{
                // One.
                {field} one = 1; }}"
            )
        };
        let found = |how: &str, field: &str, rules: &[&str]| {
            assert_found(&[OTHER, ("simbert/v1/it.proto", &importing(how, field))], rules);
        };
        found("", "Other", &[]);
        found("", "map<string, Other>", &[]);
        found("", "string", &["IMPORT_USED"]);
        found("public", "Other", &["IMPORT_NO_PUBLIC"]);
        found("weak", "Other", &["IMPORT_NO_WEAK"]);
    }
}
