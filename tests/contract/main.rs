//! What `proto/` promises: that it reads as buf's STANDARD and COMMENTS rules want it, and that nothing which was
//! released goes or changes. buf itself is not needed.

mod case;
mod comments;
mod compiled;
mod elements;
mod files;
mod listing;
mod names;
mod packages;
mod released;
mod rpcs;
mod violation;

use compiled::contract;
use violation::Violation;

/// All rules.
fn lint(set: &prost_types::FileDescriptorSet) -> Vec<Violation> {
    let mut found = Vec::new();
    for check in [files::check, packages::check, names::check, rpcs::check, comments::check] {
        check(set, &mut found);
    }
    found
}

#[test]
fn the_contract_keeps_every_rule() {
    let found = lint(&contract());
    let list: Vec<String> = found.iter().map(ToString::to_string).collect();
    assert!(list.is_empty(), "{} rules are broken:\n{}", list.len(), list.join("\n"));
}
