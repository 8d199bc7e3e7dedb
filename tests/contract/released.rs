//! Nothing that was released goes or changes: a client that was made then works with the server of now.
//!
//! `proto/released.txt` lists what was released; `make contract` adds what is new. Whoever wants to break something
//! makes a package `simbert.v2` beside this one.

use std::collections::{HashMap, HashSet};
use std::path::PathBuf;

use crate::compiled::contract;
use crate::listing::{Entry, entries, read, write};

/// What is written above the list.
const HEAD: &str = "\
# What was released of the contract. Clients rely on every line: none may go or change, new ones may come.
# `make contract` writes this file; `cargo test --test contract` holds proto/ against it.
";

fn path() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("proto/released.txt")
}

/// What was there and is not there any more, each as a sentence.
fn broken(released: &[Entry], now: &[Entry]) -> Vec<String> {
    let there: HashSet<&Entry> = now.iter().collect();
    let by_key: HashMap<&str, &Entry> = now.iter().map(|entry| (entry.key(), entry)).collect();
    let gone = released.iter().filter(|entry| !there.contains(entry));
    gone.map(|entry| match by_key.get(entry.key()) {
        Some(other) if other.line != entry.line => format!("`{}` became `{}`", entry.line, other.line),
        Some(other) => format!("`{}` moved from {} to {}", entry.line, entry.file, other.file),
        None => format!("`{}` is gone", entry.line),
    })
    .collect()
}

#[test]
fn what_was_released_is_still_there() {
    let released = read(&std::fs::read_to_string(path()).unwrap());
    assert!(released.len() > 150, "proto/released.txt lists {} things only", released.len());
    let broken = broken(&released, &entries(&contract()));
    assert!(broken.is_empty(), "clients would break:\n{}", broken.join("\n"));
}

/// Not a test: `make contract` runs it when a release is made.
#[test]
#[ignore = "writes proto/released.txt"]
fn accept_the_contract_as_released() {
    let now = entries(&contract());
    let released = std::fs::read_to_string(path()).map(|text| read(&text)).unwrap_or_default();
    let broken = broken(&released, &now);
    assert!(broken.is_empty(), "nothing was written, since clients would break:\n{}", broken.join("\n"));
    std::fs::write(path(), format!("{HEAD}{}", write(&now))).unwrap();
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::compiled::compile;

    const RELEASED: &str = "syntax = \"proto3\";
        package simbert.v1;
        service BankService {
          rpc GetBank(GetBankRequest) returns (GetBankResponse);
        }
        message GetBankRequest {
          string name = 1;
          repeated string keys = 2;
          oneof which { bool all = 3; Kind kind = 4; }
          map<string, Part> parts = 5;
          optional uint32 size = 6;
          message Part {}
        }
        message GetBankResponse {}
        message Other {}
        enum Kind { KIND_UNSPECIFIED = 0; KIND_OPEN = 1; }";

    fn list(source: &str) -> Vec<Entry> {
        entries(&compile(&[("simbert/v1/bank.proto", source)]))
    }

    /// Asserts what a change of the contract breaks.
    #[track_caller]
    fn breaks(from: &str, to: &str, expected: &[&str]) {
        assert!(RELEASED.contains(from), "{from}");
        assert_eq!(broken(&list(RELEASED), &list(&RELEASED.replace(from, to))), expected);
    }

    #[test]
    fn a_list_survives_its_text() {
        let all = list(RELEASED);
        assert_eq!(read(&format!("{HEAD}{}", write(&all))), all);
        assert!(
            all.iter().any(|e| e.line == "field simbert.v1.GetBankRequest 4 = simbert.v1.Kind kind of oneof which")
        );
        assert!(all.iter().any(|e| e.line == "field simbert.v1.GetBankRequest 6 = optional uint32 size"));
    }

    #[test]
    fn additions_break_nothing() {
        breaks("string name = 1;", "string name = 1; bytes more = 7;", &[]);
        breaks("KIND_OPEN = 1;", "KIND_OPEN = 1; KIND_SHUT = 2;", &[]);
        breaks("message Other {}", "message Other {} message New {} service NewService {}", &[]);
        breaks("bool all = 3;", "bool all = 3; string none = 8;", &[]);
    }

    #[test]
    fn what_goes_is_found() {
        let name = "`field simbert.v1.GetBankRequest 1 = string name`";
        breaks("string name = 1;", "", &[&format!("{name} is gone")]);
        breaks("string name = 1;", "reserved 1; reserved \"name\";", &[&format!("{name} is gone")]);
        breaks("message Other {}", "", &["`message simbert.v1.Other` is gone"]);
        breaks("KIND_OPEN = 1;", "", &["`value simbert.v1.Kind 1 = KIND_OPEN` is gone"]);
        let rpc = "rpc GetBank(GetBankRequest) returns (GetBankResponse);";
        let of = "simbert.v1.BankService.GetBank(simbert.v1.GetBankRequest) returns (simbert.v1.GetBankResponse)";
        breaks(rpc, "", &[&format!("`rpc {of}` is gone")]);
    }

    #[test]
    fn what_changes_is_found() {
        let changed = |from: &str, to: &str, was: &str, is: &str| {
            let field = "field simbert.v1.GetBankRequest";
            breaks(from, to, &[&format!("`{field} {was}` became `{field} {is}`")]);
        };
        changed("string name = 1", "bytes name = 1", "1 = string name", "1 = bytes name");
        changed("string name = 1", "string title = 1", "1 = string name", "1 = string title");
        changed("string name = 1", "optional string name = 1", "1 = string name", "1 = optional string name");
        changed("repeated string keys", "string keys", "2 = repeated string keys", "2 = string keys");
        let json = "1 = string name, `called` in JSON";
        changed("string name = 1", "string name = 1 [json_name = \"called\"]", "1 = string name", json);
        let number = "`field simbert.v1.GetBankRequest 1 = string name` is gone";
        breaks("string name = 1;", "string name = 9;", &[number]);
        let value = "`value simbert.v1.Kind 1 = KIND_OPEN` became `value simbert.v1.Kind 1 = KIND_WIDE`";
        breaks("KIND_OPEN", "KIND_WIDE", &[value]);
        let of = "rpc simbert.v1.BankService.GetBank(simbert.v1.GetBankRequest) returns";
        let became = format!("`{of} (simbert.v1.GetBankResponse)` became `{of} (stream simbert.v1.GetBankResponse)`");
        breaks("returns (GetBankResponse)", "returns (stream GetBankResponse)", &[&became]);
        let became = format!("`{of} (simbert.v1.GetBankResponse)` became `{of} (simbert.v1.Other)`");
        breaks("returns (GetBankResponse)", "returns (Other)", &[&became]);
    }

    #[test]
    fn what_moves_is_found() {
        let (here, there) = (("simbert/v1/a.proto", "message A {}"), ("simbert/v1/b.proto", "message A {}"));
        let all = |file: (&str, &str)| {
            entries(&compile(&[(file.0, &format!("syntax = \"proto3\"; package simbert.v1; {}", file.1))]))
        };
        let moved = "`message simbert.v1.A` moved from simbert/v1/a.proto to simbert/v1/b.proto";
        assert_eq!(broken(&all(here), &all(there)), [moved]);
    }
}
