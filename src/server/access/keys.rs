//! The file of keys: a name, a hash, a role, and perhaps the banks that it is for.

use std::collections::BTreeSet;
use std::fmt;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use subtle::{ConditionallySelectable, ConstantTimeEq};
use toml::Spanned;

use super::caller::{Caller, Holder};
use super::key::{hash, hex};
use super::{ApiKey, Role};
use crate::engine::BankName;
use crate::{Error, Result};

/// Bytes of a key's name.
const NAME: usize = 64;

/// A key as the server's file has it: everything but the key.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KeyEntry {
    /// Whose it is; in logs and in refusals.
    name: Name,
    role: Role,
    /// The banks that it is for; all when absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    banks: Option<BTreeSet<BankName>>,
    sha256: Hash,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(try_from = "String")]
struct Name(String);

#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
struct Hash([u8; 32]);

/// The file itself, with where each entry stands.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Content {
    #[serde(default)]
    key: Vec<Spanned<KeyEntry>>,
}

impl KeyEntry {
    /// What to put into the file for a key.
    ///
    /// # Errors
    /// The name is empty, too long, or has control characters.
    pub fn new(name: &str, key: &ApiKey, role: Role, banks: Option<BTreeSet<BankName>>) -> Result<Self> {
        let name =
            Name::try_from(name.to_owned()).map_err(|expected| Error::invalid("key name", expected, "another"))?;
        Ok(Self { name, role, banks, sha256: Hash(hash(key.reveal().as_bytes())) })
    }

    /// Adds the entry to a file of keys, which is made, for its owner's eyes only, if there is none.
    ///
    /// # Errors
    /// The file is bad as it is, has a key of this name, or cannot be written.
    pub fn append(&self, path: &Path) -> Result<()> {
        let mut text = self.to_string();
        if path.exists() {
            let (_, there) = entries(path)?;
            if there.iter().any(|entry| entry.get_ref().name.0 == self.name.0) {
                let hint = format!("choose another name, or remove its entry from {}", path.display());
                return Err(Error::AlreadyExists { kind: "key", name: self.name.0.clone(), hint });
            }
            text.insert(0, '\n');
        }
        let mut options = std::fs::OpenOptions::new();
        let opened = options.append(true).create(true).mode(0o600).open(path);
        // In one piece, so that a server that reads meanwhile sees all of it or nothing.
        let written = opened.and_then(|mut file| file.write_all(text.as_bytes()).and_then(|()| file.sync_all()));
        written.map_err(|e| Error::io("add the key", path, e))
    }
}

/// As it stands in the file.
impl fmt::Display for KeyEntry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let entry = toml::to_string(self).map_err(|_| fmt::Error)?;
        write!(f, "[[key]]\n{entry}")
    }
}

impl TryFrom<String> for Name {
    type Error = String;

    fn try_from(name: String) -> Result<Self, String> {
        match (1..=NAME).contains(&name.len()) && !name.chars().any(char::is_control) {
            true => Ok(Self(name)),
            false => Err(format!("a name of 1 to {NAME} bytes without control characters")),
        }
    }
}

impl TryFrom<String> for Hash {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, &'static str> {
        // Not quoted: it may be the key itself.
        const EXPECTED: &str = "`sha256` is 64 hexadecimal digits, the SHA-256 of the key";
        let mut bytes = [0; 32];
        if text.len() != 64 || !text.bytes().all(|digit| digit.is_ascii_hexdigit()) {
            return Err(EXPECTED);
        }
        for (byte, place) in bytes.iter_mut().zip((0..64).step_by(2)) {
            *byte = u8::from_str_radix(&text[place..place + 2], 16).map_err(|_| EXPECTED)?;
        }
        Ok(Self(bytes))
    }
}

impl From<Hash> for String {
    fn from(hash: Hash) -> Self {
        hex(&hash.0)
    }
}

/// All keys of a server.
pub(super) struct Keys(Vec<([u8; 32], Caller)>);

impl Keys {
    /// # Errors
    /// The file cannot be read, holds something else, or has two keys of one name or one hash.
    pub fn read(path: &Path) -> Result<Self> {
        let (text, entries) = entries(path)?;
        let (mut names, mut hashes) = (BTreeSet::new(), BTreeSet::new());
        let mut keys = Vec::with_capacity(entries.len());
        for entry in entries {
            let line = text[..entry.span().start].matches('\n').count() as u64 + 1;
            let bad = |reason: String| Error::BadLine { path: path.to_owned(), line, reason };
            let KeyEntry { name: Name(name), role, banks, sha256: Hash(hash) } = entry.into_inner();
            if !names.insert(name.clone()) {
                return Err(bad(format!("there is another key of the name `{name}`")));
            }
            if !hashes.insert(hash) {
                return Err(bad(format!("key `{name}` is the same as another")));
            }
            keys.push((hash, Caller::holding(Arc::new(Holder { name, role, banks }))));
        }
        Ok(Self(keys))
    }

    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whose key this is. Every entry is compared, and all of it, so that time tells nothing.
    pub fn whose(&self, key: &[u8]) -> Option<Caller> {
        let presented = hash(key);
        let mut found = 0_u64; // the place after the one that fits
        for ((known, _), place) in self.0.iter().zip(1_u64..) {
            found.conditional_assign(&place, known.ct_eq(&presented));
        }
        self.0.get(usize::try_from(found.checked_sub(1)?).ok()?).map(|(_, caller)| caller.clone())
    }
}

fn entries(path: &Path) -> Result<(String, Vec<Spanned<KeyEntry>>)> {
    let text = std::fs::read_to_string(path).map_err(|e| Error::io("read the file of keys", path, e))?;
    let content: Content = toml::from_str(&text).map_err(|e| Error::bad_toml(path, &text, &e))?;
    Ok((text, content.key))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(text: &str) -> tempfile::NamedTempFile {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(&file, text).unwrap();
        file
    }

    fn refused(text: &str) -> String {
        let file = file(text);
        let error = Keys::read(file.path()).err().expect("a refusal").to_string();
        error.replace(&file.path().display().to_string(), "keys.toml")
    }

    #[test]
    fn each_key_is_known_among_many_and_no_other_is() {
        let keys: Vec<ApiKey> = (0..20).map(|_| ApiKey::random().unwrap()).collect();
        let entry = |(i, key)| KeyEntry::new(&format!("k{i}"), key, Role::Write, None).unwrap().to_string();
        let file = file(&keys.iter().enumerate().map(entry).collect::<String>());
        let known = Keys::read(file.path()).unwrap();
        for (i, key) in keys.iter().enumerate() {
            assert_eq!(known.whose(key.reveal().as_bytes()).unwrap().name(), Some(&*format!("k{i}")));
        }
        assert!(known.whose(b"").is_none() && known.whose(ApiKey::random().unwrap().reveal().as_bytes()).is_none());
    }

    #[test]
    fn entries_are_added_to_a_file_that_only_its_owner_reads() {
        use std::os::unix::fs::PermissionsExt;
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("keys.toml");
        let (a, b) = (ApiKey::random().unwrap(), ApiKey::random().unwrap());
        let banks = Some(BTreeSet::from([BankName::new("faq").unwrap()]));
        KeyEntry::new("a \"quoted\"", &a, Role::Read, banks).unwrap().append(&path).unwrap();
        assert_eq!(path.metadata().unwrap().permissions().mode() & 0o777, 0o600);
        std::fs::write(&path, std::fs::read_to_string(&path).unwrap().trim_end()).unwrap();
        let second = KeyEntry::new("b", &b, Role::Admin, None).unwrap();
        second.append(&path).unwrap();
        assert_eq!(Keys::read(&path).unwrap().len(), 2);
        let error = second.append(&path).unwrap_err().to_string();
        assert!(error.starts_with("key `b` already exists; choose another name"), "{error}");
        let text = std::fs::read_to_string(&path).unwrap();
        assert!(text.contains("banks = [\"faq\"]") && !text.contains(a.reveal()), "{text}");
    }

    #[test]
    fn bad_entries_are_refused_with_their_line() {
        let key = ApiKey::random().unwrap();
        let entry = |name: &str| KeyEntry::new(name, &key, Role::Read, None).unwrap().to_string();
        assert_eq!(
            refused(&format!("{}\n{}", entry("a"), entry("a"))),
            "keys.toml:6: there is another key of the name `a`"
        );
        assert_eq!(refused(&format!("{}\n{}", entry("a"), entry("b"))), "keys.toml:6: key `b` is the same as another");
        let secret = entry("a").replace(&hex(&hash(key.reveal().as_bytes())), key.reveal());
        let error = refused(&secret);
        assert!(
            error.contains("keys.toml:4: `sha256` is 64 hexadecimal digits") && !error.contains(key.reveal()),
            "{error}"
        );
        assert!(refused(&entry("a").replace("role = \"read\"", "role = \"root\"")).contains("unknown variant `root`"));
        assert!(refused(&entry("a").replace("role", "rule")).contains("unknown field `rule`"));
        assert!(refused(&format!("{}banks = [\"../x\"]", entry("a"))).contains("bank name: expected"));
        assert!(refused("[[keys]]").contains("unknown field `keys`"));
    }
}
