//! API keys: who calls, and what the key lets them do.
//!
//! | file | its one job |
//! |---|---|
//! | `keys` | the file of keys, and whose a key is |
//! | `key` | a key as its owner has it |
//! | `role` | read, write, admin |
//! | `methods` | the role that each method needs |
//! | `caller` | who calls, and which banks they may use |
//! | `admission` | stands before all services |
//!
//! [`Admission`] looks at the role before any service is asked, and refuses a method that nobody gave one. The bank's name
//! is in the message, so [`Context`](super::context::Context) looks at it: it is the only way to a bank, and it wants to
//! know the caller.

mod admission;
mod caller;
mod key;
mod keys;
mod methods;
mod role;

use std::path::PathBuf;
use std::sync::Arc;

use parking_lot::RwLock;
use tonic::Status;
use tonic::codegen::http::HeaderMap;
use tonic::codegen::http::header::AUTHORIZATION;

use crate::Result;
pub(super) use admission::Admission;
pub(super) use caller::{Caller, admitted};
pub use key::ApiKey;
pub use keys::KeyEntry;
use keys::Keys;
use methods::Need;
pub use role::Role;

/// The scheme of the `authorization` header. Source: RFC 6750, section 2.1.
const SCHEME: &str = "bearer";

/// Who may do what. Cheap to clone; all clones are renewed together.
#[derive(Clone)]
pub(super) struct Access(Option<Arc<Shared>>);

struct Shared {
    path: PathBuf,
    keys: RwLock<Arc<Keys>>,
}

impl Access {
    /// By the keys of a file; without one everybody may do everything.
    ///
    /// # Errors
    /// The file cannot be read, or holds something else.
    pub fn read(path: Option<PathBuf>) -> Result<Self> {
        let Some(path) = path else { return Ok(Self(None)) };
        let keys = RwLock::new(Arc::new(Keys::read(&path)?));
        Ok(Self(Some(Arc::new(Shared { path, keys }))))
    }

    /// Whether it is by keys.
    pub fn is_by_keys(&self) -> bool {
        self.0.is_some()
    }

    /// Reads the file again, for calls to come; returns how many keys there are.
    ///
    /// # Errors
    /// As for [`Access::read`]; the keys of before stay then.
    pub fn read_again(&self) -> Result<usize> {
        let Some(shared) = &self.0 else { return Ok(0) };
        let keys = Keys::read(&shared.path)?;
        let count = keys.len();
        *shared.keys.write() = Arc::new(keys);
        Ok(count)
    }

    /// Who calls the method of this path; nobody where it is open to all. The key leaves the headers, so that nothing
    /// further inside can show it.
    ///
    /// # Errors
    /// UNIMPLEMENTED for a path that no role is known for, UNAUTHENTICATED without a key of the file, PERMISSION_DENIED
    /// where its role is too low.
    pub fn admit(&self, path: &str, headers: &mut HeaderMap) -> Result<Option<Caller>, Status> {
        let presented = headers.remove(AUTHORIZATION);
        let role = match methods::need(path) {
            Some(Need::Role(role)) => role,
            Some(Need::Nothing) => return Ok(None),
            None => return Err(Status::unimplemented(format!("there is no method `{path}`"))),
        };
        let Some(shared) = &self.0 else { return Ok(Some(Caller::anybody())) };
        let Some(presented) = presented else {
            return Err(Status::unauthenticated(
                "this server asks for an API key: send `authorization: Bearer KEY` with every call",
            ));
        };
        let key = presented
            .as_bytes()
            .split_at_checked(SCHEME.len())
            .filter(|(scheme, _)| scheme.eq_ignore_ascii_case(SCHEME.as_bytes()));
        let Some(key) = key.and_then(|(_, rest)| rest.strip_prefix(b" ")) else {
            return Err(Status::unauthenticated("authorization: expected `Bearer KEY`, received something else"));
        };
        let keys = shared.keys.read().clone();
        let Some(caller) = keys.whose(key.trim_ascii()) else {
            return Err(Status::unauthenticated("the API key is none of this server's; its operator makes keys"));
        };
        caller.need(role, path)?;
        Ok(Some(caller))
    }
}

#[cfg(test)]
mod tests {
    use tonic::Code;

    use super::*;

    const SEARCH: &str = "/simbert.v1.SearchService/Search";

    fn by(key: &ApiKey) -> (Access, tempfile::NamedTempFile) {
        let file = tempfile::NamedTempFile::new().unwrap();
        let entry = KeyEntry::new("page", key, Role::Read, None).unwrap();
        std::fs::write(&file, entry.to_string()).unwrap();
        (Access::read(Some(file.path().to_owned())).unwrap(), file)
    }

    fn admit(access: &Access, path: &str, header: &str) -> Result<Option<Caller>, Status> {
        access.admit(path, &mut HeaderMap::from_iter([(AUTHORIZATION, header.parse().unwrap())]))
    }

    #[test]
    fn a_key_is_taken_in_any_spelling_of_its_scheme_and_leaves_the_headers() {
        let key = ApiKey::random().unwrap();
        let (access, _file) = by(&key);
        for scheme in ["Bearer", "bearer", "BEARER "] {
            assert!(admit(&access, SEARCH, &format!("{scheme} {}", key.reveal())).unwrap().is_some());
        }
        let mut headers = HeaderMap::new();
        headers.append(AUTHORIZATION, format!("Bearer {}", key.reveal()).parse().unwrap());
        headers.append(AUTHORIZATION, "another".parse().unwrap());
        access.admit(SEARCH, &mut headers).unwrap();
        assert!(headers.is_empty());
    }

    #[test]
    fn what_is_no_key_is_refused_without_being_quoted() {
        let (access, _file) = by(&ApiKey::random().unwrap());
        let other = ApiKey::random().unwrap();
        for wrong in ["", "Bearer", "Bearer ", "Basic c2VjcmV0", "Bearersecret", &format!("Bearer {}", other.reveal())]
        {
            let status = admit(&access, SEARCH, wrong).unwrap_err();
            assert_eq!(status.code(), Code::Unauthenticated, "{wrong}");
            assert!(!format!("{status:?}").contains("c2VjcmV0") && !format!("{status:?}").contains(other.reveal()));
        }
        let status = access.admit(SEARCH, &mut HeaderMap::new()).unwrap_err();
        assert!(status.message().contains("`authorization: Bearer KEY`"), "{status}");
    }

    #[test]
    fn a_method_without_a_role_is_refused_to_all() {
        let key = ApiKey::random().unwrap();
        let (access, _file) = by(&key);
        for access in [access, Access::read(None).unwrap()] {
            let status =
                admit(&access, "/simbert.v1.BankService/Ruin", &format!("Bearer {}", key.reveal())).unwrap_err();
            assert_eq!(status.code(), Code::Unimplemented);
        }
    }

    #[test]
    fn a_file_that_is_bad_leaves_the_keys_of_before() {
        let key = ApiKey::random().unwrap();
        let (access, file) = by(&key);
        let known = || admit(&access, SEARCH, &format!("Bearer {}", key.reveal())).is_ok();
        std::fs::write(&file, "[[key]]\nname = \"half\"").unwrap();
        assert!(access.read_again().is_err() && known());
        std::fs::write(&file, "").unwrap();
        assert_eq!(access.read_again().unwrap(), 0);
        assert!(!known(), "a file without keys takes all of them away");
    }
}
