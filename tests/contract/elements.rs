//! All that a file declares, one after the other.

use prost_types::{
    DescriptorProto, EnumDescriptorProto, EnumValueDescriptorProto, FieldDescriptorProto, FileDescriptorProto,
    MethodDescriptorProto, OneofDescriptorProto,
};

/// Something that is declared.
#[derive(Clone, Copy)]
pub enum Kind<'a> {
    Service,
    Rpc(&'a MethodDescriptorProto),
    Message(&'a DescriptorProto),
    /// With the oneof that it is a part of.
    Field(&'a FieldDescriptorProto, Option<&'a OneofDescriptorProto>),
    Oneof,
    Enum(&'a EnumDescriptorProto),
    /// With its enum.
    Value(&'a EnumValueDescriptorProto, &'a EnumDescriptorProto),
}

pub struct Element<'a> {
    /// Its full name, and that of what it is declared in.
    pub name: String,
    pub parent: String,
    /// Where it lies in the descriptor, as `SourceCodeInfo` counts: numbers of fields and places.
    pub path: Vec<i32>,
    pub kind: Kind<'a>,
}

/// What the file declares, outer things before inner ones. Messages that stand for the entries of a map, and oneofs that
/// stand for an optional field, are not declared by anybody.
pub fn elements(file: &FileDescriptorProto) -> Vec<Element<'_>> {
    let mut walk = Walk(Vec::new());
    let package = file.package();
    for (i, service) in file.service.iter().enumerate() {
        let (name, path) = walk.add(package, service.name(), &[6, i as i32], Kind::Service);
        for (j, rpc) in service.method.iter().enumerate() {
            walk.add(&name, rpc.name(), &[path[0], path[1], 2, j as i32], Kind::Rpc(rpc));
        }
    }
    for (i, message) in file.message_type.iter().enumerate() {
        walk.message(package, message, &[4, i as i32]);
    }
    for (i, of) in file.enum_type.iter().enumerate() {
        walk.enumeration(package, of, &[5, i as i32]);
    }
    walk.0
}

struct Walk<'a>(Vec<Element<'a>>);

impl<'a> Walk<'a> {
    fn add(&mut self, parent: &str, name: &str, path: &[i32], kind: Kind<'a>) -> (String, Vec<i32>) {
        let (name, path) = (format!("{parent}.{name}"), path.to_vec());
        self.0.push(Element { name: name.clone(), parent: parent.to_owned(), path: path.clone(), kind });
        (name, path)
    }

    fn message(&mut self, parent: &str, message: &'a DescriptorProto, path: &[i32]) {
        let (name, path) = self.add(parent, message.name(), path, Kind::Message(message));
        let inner = |field: i32, place: usize| [&path[..], &[field, place as i32]].concat();
        let optional =
            |place: usize| message.field.iter().any(|f| f.proto3_optional() && f.oneof_index == Some(place as i32));
        for (i, oneof) in message.oneof_decl.iter().enumerate().filter(|(i, _)| !optional(*i)) {
            self.add(&name, oneof.name(), &inner(8, i), Kind::Oneof);
        }
        for (i, field) in message.field.iter().enumerate() {
            let oneof = field.oneof_index.filter(|_| !field.proto3_optional());
            let oneof = oneof.map(|place| &message.oneof_decl[place as usize]);
            self.add(&name, field.name(), &inner(2, i), Kind::Field(field, oneof));
        }
        for (i, nested) in message.nested_type.iter().enumerate() {
            if !nested.options.as_ref().is_some_and(|options| options.map_entry()) {
                self.message(&name, nested, &inner(3, i));
            }
        }
        for (i, of) in message.enum_type.iter().enumerate() {
            self.enumeration(&name, of, &inner(4, i));
        }
    }

    fn enumeration(&mut self, parent: &str, of: &'a EnumDescriptorProto, path: &[i32]) {
        let (name, path) = self.add(parent, of.name(), path, Kind::Enum(of));
        for (i, value) in of.value.iter().enumerate() {
            self.add(&name, value.name(), &[&path[..], &[2, i as i32]].concat(), Kind::Value(value, of));
        }
    }
}
