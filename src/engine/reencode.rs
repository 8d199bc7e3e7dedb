//! A bank of another model, encoded anew.

use super::snapshot::reported;
use super::{BankName, BankStatus, Engine};
use crate::index::{Progress, check_unit};
use crate::store::{BankFacts, FORMAT, Record, Store};
use crate::{Error, Result};

impl Engine {
    /// Encodes the questions of a bank of another model with this engine's. The new bank takes the place of the old one
    /// in one step, or gets the name `output`, and the old one stays. Description and settings stay as they are. A run
    /// that was interrupted leaves the old bank as it was. `progress` is told of questions encoded.
    ///
    /// # Errors
    /// There is no such bank, it is open, it is this model's already, a question is damaged, the model or the disk
    /// fails, or there is a bank of the name `output`.
    pub fn reencode(&self, name: &BankName, output: Option<&BankName>, progress: &Progress<'_>) -> Result<BankStatus> {
        let banks = &self.shared.banks;
        let old = banks.facts(name.as_str())?;
        if old.model_fingerprint == self.fingerprint() {
            let received = format!("{}, which is loaded", self.fingerprint());
            return Err(Error::invalid(
                format!("model of bank `{name}`"),
                "another than the one that is loaded",
                received,
            ));
        }
        let (store, _) = Store::open(banks, name.as_str(), &old.model_fingerprint)?;
        let facts = BankFacts {
            format: FORMAT,
            model_fingerprint: self.fingerprint().to_owned(),
            dimension: self.dimension(),
            ..old
        };
        let mut vectors = |records: &[Record]| {
            let texts: Vec<String> = records.iter().map(|record| record.text.clone()).collect();
            let (vectors, _) = self.embed(&texts)?;
            vectors.iter().try_for_each(|vector| check_unit(vector, self.dimension()))?;
            Ok(vectors)
        };
        let output = output.unwrap_or(name);
        banks.rebuild(store, output.as_str(), &facts, &mut vectors, &reported(progress))?;
        self.status(output.clone())
    }
}
