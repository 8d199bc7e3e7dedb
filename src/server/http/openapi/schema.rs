//! Messages as JSON Schema, in the canonical mapping of protocol buffers to JSON.

use std::collections::BTreeMap;

use prost_reflect::{EnumDescriptor, FieldDescriptor, Kind, MessageDescriptor};
use serde_json::{Map, Value, json};

use super::comment;

/// The schemas that were asked for, and those that they refer to.
#[derive(Default)]
pub(super) struct Schemas {
    /// By name; null while one is being made.
    named: BTreeMap<String, Value>,
}

impl Schemas {
    /// All of them, by name.
    pub fn finish(self) -> Value {
        Value::Object(self.named.into_iter().collect())
    }

    /// A reference to the schema of a message, or the schema itself of one that JSON has a form of its own for.
    pub fn message(&mut self, message: &MessageDescriptor) -> Value {
        if message.full_name() == "google.protobuf.Duration" {
            return json!({ "type": "string", "pattern": r"^-?[0-9]+(\.[0-9]{1,9})?s$", "examples": ["0.003s"] });
        }
        self.refer(message.name(), |schemas| {
            let property = |field: FieldDescriptor| (field.json_name().to_owned(), schemas.field(&field));
            let properties: Map<String, Value> = message.fields().map(property).collect();
            json!({ "type": "object", "description": description(message), "properties": properties })
        })
    }

    /// The schema of a field, with its comment.
    pub fn field(&mut self, field: &FieldDescriptor) -> Value {
        let mut schema = match field.kind() {
            Kind::Message(entry) if field.is_map() => {
                json!({ "type": "object", "additionalProperties": self.one(&entry.map_entry_value_field().kind()) })
            }
            kind if field.is_list() => json!({ "type": "array", "items": self.one(&kind) }),
            kind => self.one(&kind),
        };
        let text = comment::of_field(field);
        if !text.is_empty() {
            schema["description"] = text.into();
        }
        schema
    }

    /// The schema of a single value.
    fn one(&mut self, kind: &Kind) -> Value {
        match kind {
            Kind::Double => json!({ "type": "number", "format": "double" }),
            Kind::Float => json!({ "type": "number", "format": "float" }),
            Kind::Int32 | Kind::Sint32 | Kind::Sfixed32 => json!({ "type": "integer", "format": "int32" }),
            Kind::Uint32 | Kind::Fixed32 => json!({ "type": "integer", "minimum": 0, "maximum": u32::MAX }),
            Kind::Int64 | Kind::Sint64 | Kind::Sfixed64 => json!({ "type": "string", "pattern": "^-?[0-9]+$" }),
            Kind::Uint64 | Kind::Fixed64 => json!({ "type": "string", "pattern": "^[0-9]+$" }),
            Kind::Bool => json!({ "type": "boolean" }),
            Kind::String => json!({ "type": "string" }),
            Kind::Bytes => json!({ "type": "string", "contentEncoding": "base64" }),
            Kind::Enum(enumeration) => self.enumeration(enumeration),
            Kind::Message(message) => self.message(message),
        }
    }

    fn enumeration(&mut self, enumeration: &EnumDescriptor) -> Value {
        self.refer(enumeration.name(), |_| {
            let values: Vec<_> = enumeration.values().collect();
            let names: Vec<_> = values.iter().map(|value| value.name()).collect();
            let mut text = comment::of_enum(enumeration);
            for value in &values {
                text += &format!(" `{}`: {}", value.name(), comment::of_value(value));
            }
            json!({ "type": "string", "description": text, "enum": names })
        })
    }

    /// Makes a schema unless it is there, or being made, and refers to it.
    fn refer(&mut self, name: &str, make: impl FnOnce(&mut Self) -> Value) -> Value {
        if !self.named.contains_key(name) {
            self.named.insert(name.to_owned(), Value::Null);
            let schema = make(self);
            self.named.insert(name.to_owned(), schema);
        }
        json!({ "$ref": format!("#/components/schemas/{name}") })
    }
}

/// The comment before a message, and which of its fields exclude each other.
fn description(message: &MessageDescriptor) -> String {
    let mut text = comment::of_message(message);
    for choice in message.oneofs().filter(|choice| !choice.is_synthetic()) {
        let names: Vec<_> = choice.fields().map(|field| format!("`{}`", field.json_name())).collect();
        text += &format!(" At most one of {}.", names.join(", "));
    }
    text.trim_start().to_owned()
}
