//! What `proto/` says of a thing: the comment before it.

use prost_reflect::{
    DescriptorPool, EnumDescriptor, EnumValueDescriptor, FieldDescriptor, FileDescriptor, MessageDescriptor,
    MethodDescriptor,
};

use crate::server::http::route::PACKAGE;

pub(super) fn of_service(pool: &DescriptorPool, name: &str) -> String {
    let service = pool.get_service_by_name(&format!("{PACKAGE}.{name}"));
    service.map(|service| find(&service.parent_file(), service.path())).unwrap_or_default()
}

pub(super) fn of_method(method: &MethodDescriptor) -> String {
    find(&method.parent_service().parent_file(), method.path())
}

pub(super) fn of_message(message: &MessageDescriptor) -> String {
    find(&message.parent_file(), message.path())
}

pub(super) fn of_field(field: &FieldDescriptor) -> String {
    find(&field.parent_message().parent_file(), field.path())
}

pub(super) fn of_enum(enumeration: &EnumDescriptor) -> String {
    find(&enumeration.parent_file(), enumeration.path())
}

pub(super) fn of_value(value: &EnumValueDescriptor) -> String {
    find(&value.parent_enum().parent_file(), value.path())
}

/// The comment before what lies at `path` of a file, as one line; empty when there is none.
fn find(file: &FileDescriptor, path: &[i32]) -> String {
    let locations = file.file_descriptor_proto().source_code_info.as_ref().map(|info| &info.location[..]);
    let location = locations.unwrap_or_default().iter().find(|location| location.path == path);
    let comment = location.map(|location| location.leading_comments()).unwrap_or_default();
    comment.split_whitespace().collect::<Vec<_>>().join(" ")
}
