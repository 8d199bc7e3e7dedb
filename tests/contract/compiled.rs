//! Contracts as descriptors, with their source.

use prost::Message as _;
use prost_types::{FileDescriptorProto, FileDescriptorSet};
use protox::file::{ChainFileResolver, File, FileResolver, GoogleFileResolver};

/// The contract of this checkout, with what it imports.
pub fn contract() -> FileDescriptorSet {
    FileDescriptorSet::decode(simbert::server::proto::DESCRIPTORS).unwrap()
}

/// A contract of files that are given by name and text, with what it imports.
#[track_caller]
pub fn compile(sources: &[(&str, &str)]) -> FileDescriptorSet {
    let mut resolver = ChainFileResolver::new();
    let owned = sources.iter().map(|(name, text)| ((*name).to_owned(), (*text).to_owned())).collect();
    resolver.add(Sources(owned));
    resolver.add(GoogleFileResolver::new());
    let mut compiler = protox::Compiler::with_file_resolver(resolver);
    compiler.include_source_info(true).include_imports(true);
    compiler.open_files(sources.iter().map(|(name, _)| name)).unwrap();
    compiler.file_descriptor_set()
}

/// Ours among the files, not what they import from others.
pub fn ours(set: &FileDescriptorSet) -> impl Iterator<Item = &FileDescriptorProto> {
    set.file.iter().filter(|file| !file.name().starts_with("google/"))
}

struct Sources(Vec<(String, String)>);

impl FileResolver for Sources {
    fn open_file(&self, name: &str) -> Result<File, protox::Error> {
        match self.0.iter().find(|(known, _)| known == name) {
            Some((_, text)) => File::from_source(name, text),
            None => Err(protox::Error::file_not_found(name)),
        }
    }
}
