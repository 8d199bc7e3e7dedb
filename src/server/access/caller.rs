//! Who calls, and which banks they may use.

use std::collections::BTreeSet;
use std::sync::Arc;

use tonic::{Request, Status};

use super::Role;
use crate::Error;
use crate::engine::BankName;
use crate::server::refused::At as _;

/// Who calls. It lies in the extensions of every request that was admitted. Cheap to clone.
#[derive(Debug, Clone)]
pub(in crate::server) struct Caller(Option<Arc<Holder>>);

/// Whoever has a key.
#[derive(Debug)]
pub(super) struct Holder {
    pub name: String,
    pub role: Role,
    /// All when absent.
    pub banks: Option<BTreeSet<BankName>>,
}

/// Takes a request apart.
///
/// # Errors
/// Nobody was admitted with it: it came past the door.
pub(in crate::server) fn admitted<T>(mut request: Request<T>) -> Result<(Caller, T), Status> {
    let caller = request.extensions_mut().remove::<Caller>();
    let caller = caller.ok_or_else(|| Error::Internal("a call came past the check of its key".to_owned()))?;
    Ok((caller, request.into_inner()))
}

impl Caller {
    /// Where there are no keys.
    pub(super) fn anybody() -> Self {
        Self(None)
    }

    pub(super) fn holding(key: Arc<Holder>) -> Self {
        Self(Some(key))
    }

    /// The name of the key.
    pub fn name(&self) -> Option<&str> {
        self.0.as_ref().map(|key| &*key.name)
    }

    /// # Errors
    /// PERMISSION_DENIED when the role is lower than what the method needs.
    pub(super) fn need(&self, role: Role, path: &str) -> Result<(), Status> {
        match &self.0 {
            Some(key) if key.role < role => {
                let method = path.rsplit('/').next().unwrap_or_default();
                let has = format!("the key `{}` has the role `{}`", key.name, key.role);
                Err(Status::permission_denied(format!("{method} needs a key with the role `{role}`; {has}")))
            }
            _ => Ok(()),
        }
    }

    /// Whether the caller may use a bank, and know of it.
    pub fn may_use(&self, bank: &BankName) -> bool {
        self.0.as_ref().and_then(|key| key.banks.as_ref()).is_none_or(|banks| banks.contains(bank))
    }

    /// The bank of this name, which a request has in `field`, and for which there may be none.
    ///
    /// # Errors
    /// INVALID_ARGUMENT when it is no name, PERMISSION_DENIED when the key is for other banks.
    pub fn bank(&self, field: &str, name: String) -> Result<BankName, Status> {
        let name = BankName::new(name).at(field)?;
        match self.may_use(&name) {
            true => Ok(name),
            false => Err(Status::permission_denied(format!(
                "the key `{}` is for other banks than `{name}`",
                self.name().unwrap_or_default()
            ))),
        }
    }

    /// The bank of this name, or any if it is empty.
    ///
    /// # Errors
    /// As for [`Caller::bank`]; and PERMISSION_DENIED for any when the key is for some.
    pub fn bank_or_any(&self, name: String) -> Result<Option<BankName>, Status> {
        match &self.0 {
            _ if !name.is_empty() => self.bank("name", name).map(Some),
            Some(key) if key.banks.is_some() => Err(Status::permission_denied(format!(
                "the key `{}` is for some banks only, so name the bank: the snapshot's own name does not count",
                key.name
            ))),
            _ => Ok(None),
        }
    }
}

#[cfg(test)]
mod tests {
    use tonic::Code;

    use super::*;

    #[test]
    fn a_request_that_nobody_admitted_is_not_served() {
        let status = admitted(Request::new(())).unwrap_err();
        assert_eq!(status.code(), Code::Internal);
        let mut request = Request::new(7);
        request.extensions_mut().insert(Caller::anybody());
        assert_eq!(admitted(request).unwrap().1, 7);
    }

    #[test]
    fn a_role_may_do_what_is_below_it() {
        let caller = |role| Caller::holding(Arc::new(Holder { name: "page".to_owned(), role, banks: None }));
        let roles = [Role::Read, Role::Write, Role::Admin];
        for (has, needs) in roles.into_iter().flat_map(|has| roles.map(|needs| (has, needs))) {
            assert_eq!(caller(has).need(needs, "/x/y").is_ok(), has >= needs, "{has} {needs}");
            Caller::anybody().need(needs, "/x/y").unwrap();
        }
        let status = caller(Role::Read).need(Role::Admin, "/simbert.v1.BankService/CreateBank").unwrap_err();
        assert_eq!(
            status.message(),
            "CreateBank needs a key with the role `admin`; the key `page` has the role `read`"
        );
    }
}
