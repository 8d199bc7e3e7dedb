//! What each method needs. One that is not here is refused, so a new method does not work until it is.

use super::Role::{self, Admin, Read, Write};

/// What a method needs of its caller.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Need {
    /// Not even a key.
    Nothing,
    Role(Role),
}

/// Services that say nothing of what is in a bank: a load balancer asks after health without a key, and reflection is
/// the contract, which is public.
const OPEN: [&str; 2] = ["/grpc.health.v1.Health/", "/grpc.reflection.v1.ServerReflection/"];

/// Every method of `proto/simbert/v1`, in its order there.
const METHODS: [(&str, Role); 19] = [
    ("/simbert.v1.BankService/CreateBank", Admin),
    ("/simbert.v1.BankService/GetBank", Read),
    ("/simbert.v1.BankService/ListBanks", Read),
    ("/simbert.v1.BankService/DeleteBank", Admin),
    ("/simbert.v1.BankService/MapBank", Read),
    ("/simbert.v1.BankService/TakeSnapshot", Admin),
    ("/simbert.v1.BankService/RestoreBank", Admin),
    ("/simbert.v1.EmbeddingService/Embed", Read),
    ("/simbert.v1.EmbeddingService/GetModel", Read),
    ("/simbert.v1.ParaphraseService/Generate", Read),
    ("/simbert.v1.ParaphraseService/GenerateMany", Read),
    ("/simbert.v1.QuestionService/UpsertQuestions", Write),
    ("/simbert.v1.QuestionService/BulkUpsertQuestions", Write),
    ("/simbert.v1.QuestionService/DeleteQuestions", Write),
    ("/simbert.v1.QuestionService/GetQuestions", Read),
    ("/simbert.v1.QuestionService/ListQuestions", Read),
    ("/simbert.v1.SearchService/Search", Read),
    ("/simbert.v1.SearchService/BatchSearch", Read),
    ("/simbert.v1.SearchService/ExpandedSearch", Read),
];

/// What the method of this path needs, if anybody has said so.
pub(super) fn need(path: &str) -> Option<Need> {
    if OPEN.iter().any(|service| path.starts_with(service)) {
        return Some(Need::Nothing);
    }
    METHODS.iter().find(|(method, _)| *method == path).map(|(_, role)| Need::Role(*role))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::server::contract;

    #[test]
    fn every_method_of_the_contract_has_a_role_and_nothing_else_has() {
        let pool = contract::ours().unwrap();
        let contract: BTreeSet<String> = contract::methods(&pool).map(|method| contract::path(&method)).collect();
        let known: BTreeSet<String> = METHODS.iter().map(|(method, _)| (*method).to_owned()).collect();
        assert_eq!(known, contract, "a method of the contract needs a role here");
        assert_eq!(known.len(), METHODS.len());
    }

    #[test]
    fn only_whole_paths_are_known() {
        assert_eq!(need("/grpc.health.v1.Health/Watch"), Some(Need::Nothing));
        assert_eq!(need("/simbert.v1.BankService/DeleteBank"), Some(Need::Role(Admin)));
        for unknown in [
            "",
            "/",
            "/simbert.v1.BankService",
            "/simbert.v1.BankService/DeleteBank/",
            "//simbert.v1.BankService/GetBank",
            "/grpc.health.v1.Health",
        ] {
            assert_eq!(need(unknown), None, "{unknown}");
        }
    }
}
