//! Rules for calls: each has a request and a response of its own, named after it.

use std::collections::BTreeMap;

use prost_types::FileDescriptorSet;

use crate::compiled::ours;
use crate::elements::{Kind, elements};
use crate::violation::Violation;

pub fn check(set: &FileDescriptorSet, found: &mut Vec<Violation>) {
    let mut users: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for element in ours(set).flat_map(elements) {
        let Kind::Rpc(rpc) = element.kind else { continue };
        let service = element.parent.rsplit('.').next().unwrap_or_default();
        for (of, suffix, rule) in [
            (rpc.input_type(), "Request", "RPC_REQUEST_STANDARD_NAME"),
            (rpc.output_type(), "Response", "RPC_RESPONSE_STANDARD_NAME"),
        ] {
            users.entry(of.to_owned()).or_default().push(element.name.clone());
            let name = of.rsplit('.').next().unwrap_or_default();
            let (short, long) = (format!("{}{suffix}", rpc.name()), format!("{service}{}{suffix}", rpc.name()));
            if name != short && name != long {
                found.push(Violation::new(
                    rule,
                    element.name.clone(),
                    format!("expected `{short}`, received `{name}`"),
                ));
            }
        }
    }
    for (of, users) in users.into_iter().filter(|(_, users)| users.len() > 1) {
        let wanted = format!("expected one use of it, received {}", users.join(", "));
        found.push(Violation::new("RPC_REQUEST_RESPONSE_UNIQUE", of.trim_start_matches('.'), wanted));
    }
}

#[cfg(test)]
mod tests {
    use crate::violation::assert_found_in;

    const MESSAGES: &str = "message GetRequest {\n}\nmessage GetResponse {\n}\nmessage BankServicePutResponse {\n}";

    #[test]
    fn messages_are_named_after_their_call() {
        let service = |line: &str| format!("service BankService {{\n {line}\n}}\n{MESSAGES}");
        assert_found_in(&service("rpc Get(GetRequest) returns (stream GetResponse);"), &[]);
        let swapped = service("rpc Get(GetResponse) returns (GetRequest);");
        assert_found_in(&swapped, &["RPC_REQUEST_STANDARD_NAME", "RPC_RESPONSE_STANDARD_NAME"]);
        let prefixed = service("rpc Put(GetRequest) returns (BankServicePutResponse);");
        assert_found_in(&prefixed, &["RPC_REQUEST_STANDARD_NAME"]);
    }

    #[test]
    fn messages_belong_to_one_call() {
        let twice = format!(
            "service BankService {{\n rpc Get(GetRequest) returns (GetResponse);\n}}\n\
             service OtherService {{\n rpc Get(GetRequest) returns (GetResponse);\n}}\n{MESSAGES}"
        );
        assert_found_in(&twice, &["RPC_REQUEST_RESPONSE_UNIQUE", "RPC_REQUEST_RESPONSE_UNIQUE"]);
    }
}
