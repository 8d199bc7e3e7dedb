//! buf's COMMENTS: everything that is declared says what it is.

use prost_types::FileDescriptorSet;

use crate::compiled::ours;
use crate::elements::{Kind, elements};
use crate::violation::Violation;

pub fn check(set: &FileDescriptorSet, found: &mut Vec<Violation>) {
    for file in ours(set) {
        let locations = file.source_code_info.as_ref().map_or(&[][..], |info| &info.location);
        for element in elements(file) {
            let location = locations.iter().find(|location| location.path == element.path);
            if location.is_some_and(|location| !location.leading_comments().trim().is_empty()) {
                continue;
            }
            let rule = match element.kind {
                Kind::Service => "COMMENT_SERVICE",
                Kind::Rpc(_) => "COMMENT_RPC",
                Kind::Message(_) => "COMMENT_MESSAGE",
                Kind::Field(..) => "COMMENT_FIELD",
                Kind::Oneof => "COMMENT_ONEOF",
                Kind::Enum(_) => "COMMENT_ENUM",
                Kind::Value(..) => "COMMENT_ENUM_VALUE",
            };
            found.push(Violation::new(rule, element.name, "expected a comment above it"));
        }
    }
}

#[test]
fn what_has_no_comment_is_found() {
    let source = "syntax = \"proto3\";
        package simbert.v1;
        service BankService {
          rpc GetBank(GetBankRequest) returns (GetBankResponse);
        }
        message GetBankRequest {
          oneof which {
            string name = 1; // Beside it is not above it.
          }
          map<string, string> labels = 2;
          optional bool all = 3;
        }
        // It has one.
        message GetBankResponse {
          //
          Kind kind = 1;
        }
        enum Kind {
          KIND_UNSPECIFIED = 0;
        }";
    let expected = [
        "COMMENT_SERVICE",
        "COMMENT_RPC",
        "COMMENT_MESSAGE",
        "COMMENT_ONEOF",
        "COMMENT_FIELD",
        "COMMENT_FIELD",
        "COMMENT_FIELD",
        "COMMENT_FIELD",
        "COMMENT_ENUM",
        "COMMENT_ENUM_VALUE",
    ];
    crate::violation::assert_found(&[("simbert/v1/test.proto", source)], &expected);
}
