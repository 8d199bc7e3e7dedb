//! A contract as a list that people can read and compare: a line for each thing that a client may rely on.

use std::fmt::Write as _;

use prost_types::field_descriptor_proto::{Label, Type};
use prost_types::{FieldDescriptorProto, FileDescriptorSet, OneofDescriptorProto};

use crate::compiled::ours;
use crate::elements::{Kind, elements};

/// One line of a list.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Entry {
    /// The file that declares it: generated code is named after that.
    pub file: String,
    /// What it is, and everything about it that matters.
    pub line: String,
}

impl Entry {
    /// What stays the same when it is changed: the call, the number of the field or of the value.
    pub fn key(&self) -> &str {
        self.line.split(['(', '=']).next().unwrap_or_default().trim_end()
    }
}

/// What a contract offers.
pub fn entries(set: &FileDescriptorSet) -> Vec<Entry> {
    let mut list = Vec::new();
    for file in ours(set) {
        for element in elements(file) {
            let (name, parent) = (&element.name, &element.parent);
            let line = match element.kind {
                Kind::Service => format!("service {name}"),
                Kind::Rpc(rpc) => {
                    let of = |name: &str, stream| {
                        format!("{}{}", if stream { "stream " } else { "" }, name.trim_start_matches('.'))
                    };
                    let request = of(rpc.input_type(), rpc.client_streaming());
                    format!("rpc {name}({request}) returns ({})", of(rpc.output_type(), rpc.server_streaming()))
                }
                Kind::Message(_) => format!("message {name}"),
                Kind::Field(field, oneof) => field_line(parent, field, oneof),
                Kind::Oneof => format!("oneof {name}"),
                Kind::Enum(_) => format!("enum {name}"),
                Kind::Value(value, _) => format!("value {parent} {} = {}", value.number(), value.name()),
            };
            list.push(Entry { file: file.name().to_owned(), line });
        }
    }
    list
}

/// Number, name, kind, and how often it is there.
fn field_line(message: &str, field: &FieldDescriptorProto, oneof: Option<&OneofDescriptorProto>) -> String {
    let kind = match field.r#type() {
        Type::Message | Type::Enum | Type::Group => field.type_name().trim_start_matches('.').to_owned(),
        scalar => scalar.as_str_name().trim_start_matches("TYPE_").to_ascii_lowercase(),
    };
    let often = match field.label() {
        Label::Repeated => "repeated ",
        _ if field.proto3_optional() => "optional ",
        _ => "",
    };
    let mut line = format!("field {message} {} = {often}{kind} {}", field.number(), field.name());
    if let Some(oneof) = oneof {
        line.push_str(&format!(" of oneof {}", oneof.name()));
    }
    if field.json_name() != camel(field.name()) {
        line.push_str(&format!(", `{}` in JSON", field.json_name()));
    }
    line
}

/// The name in JSON, unless another one is given. Source: the language's guide, section JSON Mapping.
fn camel(name: &str) -> String {
    let mut words = name.split('_');
    let mut camel = words.next().unwrap_or_default().to_owned();
    for word in words {
        let mut letters = word.chars();
        camel.extend(letters.next().map(|first| first.to_ascii_uppercase()));
        camel.push_str(letters.as_str());
    }
    camel
}

/// The list as text: files in their order, each above its lines.
pub fn write(entries: &[Entry]) -> String {
    let mut files: Vec<&str> = entries.iter().map(|entry| entry.file.as_str()).collect();
    files.sort_unstable();
    files.dedup();
    let mut text = String::new();
    for file in files {
        _ = writeln!(text, "{file}");
        for entry in entries.iter().filter(|entry| entry.file == file) {
            _ = writeln!(text, "  {}", entry.line);
        }
    }
    text
}

/// The list of a text; lines that begin with `#` are not of it.
pub fn read(text: &str) -> Vec<Entry> {
    let mut file = "";
    let mut list = Vec::new();
    for line in text.lines().filter(|line| !line.starts_with('#') && !line.trim().is_empty()) {
        match line.strip_prefix("  ") {
            Some(line) => list.push(Entry { file: file.to_owned(), line: line.to_owned() }),
            None => file = line,
        }
    }
    list
}
