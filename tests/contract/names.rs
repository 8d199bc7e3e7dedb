//! Rules for names, and for enums.

use prost_types::FileDescriptorSet;
use prost_types::field_descriptor_proto::Label;

use crate::case::{lower_snake, pascal, upper_snake, upper_snake_of};
use crate::compiled::ours;
use crate::elements::{Kind, elements};
use crate::violation::Violation;

pub fn check(set: &FileDescriptorSet, found: &mut Vec<Violation>) {
    for element in ours(set).flat_map(elements) {
        let name = element.name.rsplit('.').next().unwrap_or_default().to_owned();
        let mut want = |holds: bool, rule, wanted: &str| {
            if !holds {
                found.push(Violation::new(rule, element.name.clone(), wanted));
            }
        };
        match element.kind {
            Kind::Service => {
                want(pascal(&name), "SERVICE_PASCAL_CASE", "expected a name `LikeThis`");
                want(name.ends_with("Service"), "SERVICE_SUFFIX", "expected a name that ends in `Service`");
            }
            Kind::Rpc(_) => want(pascal(&name), "RPC_PASCAL_CASE", "expected a name `LikeThis`"),
            Kind::Message(_) => want(pascal(&name), "MESSAGE_PASCAL_CASE", "expected a name `LikeThis`"),
            Kind::Field(field, _) => {
                want(lower_snake(&name), "FIELD_LOWER_SNAKE_CASE", "expected a name `like_this`");
                want(field.label() != Label::Required, "FIELD_NOT_REQUIRED", "expected no `required`");
            }
            Kind::Oneof => want(lower_snake(&name), "ONEOF_LOWER_SNAKE_CASE", "expected a name `like_this`"),
            Kind::Enum(of) => {
                want(pascal(&name), "ENUM_PASCAL_CASE", "expected a name `LikeThis`");
                let first = of.value.first();
                let zero = first.is_some_and(|value| value.number() == 0);
                want(zero, "ENUM_FIRST_VALUE_ZERO", "expected its first value to be 0");
                let alias = of.options.as_ref().is_some_and(|options| options.allow_alias());
                want(!alias, "ENUM_NO_ALLOW_ALIAS", "expected one name for each number");
            }
            Kind::Value(value, of) => {
                want(upper_snake(&name), "ENUM_VALUE_UPPER_SNAKE_CASE", "expected a name `LIKE_THIS`");
                let prefix = format!("{}_", upper_snake_of(of.name()));
                let prefixed = name.to_ascii_uppercase().starts_with(&prefix);
                want(prefixed, "ENUM_VALUE_PREFIX", &format!("expected a name that begins with `{prefix}`"));
                let zero = value.number() != 0 || name.to_ascii_uppercase().ends_with("_UNSPECIFIED");
                want(zero, "ENUM_ZERO_VALUE_SUFFIX", "expected the value 0 to end in `_UNSPECIFIED`");
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::violation::{assert_found, assert_found_in};

    #[test]
    fn each_kind_of_name_has_its_case() {
        let rpc = "service BankService {\n rpc NAME(NAMERequest) returns (NAMEResponse);\n}\n\
            message NAMERequest {\n}\nmessage NAMEResponse {\n}";
        assert_found_in(&rpc.replace("NAME", "GetBank"), &[]);
        let bad = ["RPC_PASCAL_CASE", "MESSAGE_PASCAL_CASE", "MESSAGE_PASCAL_CASE"];
        assert_found_in(&rpc.replace("NAME", "getBank"), &bad);
        assert_found_in("service bankService {\n}", &["SERVICE_PASCAL_CASE"]);
        assert_found_in("service Banks {\n}", &["SERVICE_SUFFIX"]);
        assert_found_in("message A {\n string faqId = 1;\n}", &["FIELD_LOWER_SNAKE_CASE"]);
        assert_found_in("message A {\n oneof Kind {\n string a = 1;\n }\n}", &["ONEOF_LOWER_SNAKE_CASE"]);
        assert_found_in("message A {\n message b {\n }\n}", &["MESSAGE_PASCAL_CASE"]);
    }

    #[test]
    fn enums_begin_with_nothing_and_carry_their_name() {
        assert_found_in("enum BankState {\n BANK_STATE_UNSPECIFIED = 0;\n BANK_STATE_OPEN = 1;\n}", &[]);
        assert_found_in("enum BankState {\n BANK_STATE_NONE = 0;\n}", &["ENUM_ZERO_VALUE_SUFFIX"]);
        assert_found_in("enum BankState {\n UNSPECIFIED = 0;\n}", &["ENUM_VALUE_PREFIX", "ENUM_ZERO_VALUE_SUFFIX"]);
        assert_found_in("enum Kind {\n KIND_UNSPECIFIED = 0;\n KIND_Open = 1;\n}", &["ENUM_VALUE_UPPER_SNAKE_CASE"]);
        assert_found_in("enum kind {\n KIND_UNSPECIFIED = 0;\n}", &["ENUM_PASCAL_CASE"]);
        let alias = "enum Kind {\n option allow_alias = true;\n KIND_UNSPECIFIED = 0;\n KIND_A = 1;\n KIND_B = 1;\n}";
        assert_found_in(alias, &["ENUM_NO_ALLOW_ALIAS"]);
    }

    #[test]
    fn what_only_an_older_syntax_has_is_refused() {
        let old = "syntax = \"proto2\"; package simbert.v1;
            // It.
            message It {
              // One.
              required string one = 1;
            }
            // Kind.
            enum Kind {
              // One.
              KIND_ONE = 1;
            }";
        let rules = ["SYNTAX_SPECIFIED", "FIELD_NOT_REQUIRED", "ENUM_FIRST_VALUE_ZERO"];
        assert_found(&[("simbert/v1/it.proto", old)], &rules);
    }
}
