//! The engine and its banks.

use std::path::PathBuf;
use std::sync::Arc;

use super::{BankName, ExpandRequest, Expansion, Question, QuestionId, SearchRequest, SearchResponse, Timings};
use crate::Result;
use crate::generate::{GenerateRequest, Paraphrase};

/// Where an engine finds its data and its model.
#[derive(Debug, Clone)]
pub struct EngineOptions {
    /// Folder of all banks; made if missing.
    pub data: PathBuf,
    /// Model directory with exported graphs.
    pub model: PathBuf,
    /// The ONNX Runtime library; searched for when absent.
    pub onnxruntime: Option<PathBuf>,
    /// Threads for inference; 0 for one for each core.
    pub threads: usize,
}

/// A model and the banks encoded by it. Cheap to clone; all methods block, so call them off the async runtime.
#[derive(Clone)]
pub struct Engine {
    shared: Arc<()>,
}

/// One bank. Cheap to clone.
#[derive(Clone)]
pub struct Bank {
    shared: Arc<()>,
}

/// What is chosen when a bank is made.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct BankSettings {
    pub description: String,
}

/// What a bank is and holds.
#[derive(Debug, Clone, PartialEq)]
pub struct BankStatus {
    pub name: BankName,
    pub settings: BankSettings,
    pub questions: u64,
    pub faqs: u64,
    pub dimension: usize,
    pub model_fingerprint: String,
    pub bytes_on_disk: u64,
}

/// What an upsert did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct UpsertOutcome {
    pub inserted: u64,
    pub updated: u64,
}

#[expect(unused_variables, reason = "skeleton")]
impl Engine {
    /// Opens the model and the folder of banks; each bank is opened when first used.
    pub fn open(options: EngineOptions) -> Result<Self> {
        todo!()
    }
    pub fn create_bank(&self, name: &BankName, settings: BankSettings) -> Result<Bank> {
        todo!()
    }
    pub fn bank(&self, name: &BankName) -> Result<Bank> {
        todo!()
    }
    /// Closes the bank and removes it from disk.
    pub fn delete_bank(&self, name: &BankName) -> Result<()> {
        todo!()
    }
    pub fn banks(&self) -> Result<Vec<BankStatus>> {
        todo!()
    }
    /// Unit vectors of `texts`, `[texts][dimension]`.
    pub fn embed(&self, texts: &[String]) -> Result<(Vec<Vec<f32>>, Timings)> {
        todo!()
    }
    pub fn generate(&self, request: &GenerateRequest) -> Result<(Vec<Paraphrase>, Timings)> {
        todo!()
    }
    pub fn dimension(&self) -> usize {
        todo!()
    }
    pub fn fingerprint(&self) -> &str {
        todo!()
    }
    /// Flushes every open bank.
    pub fn close(&self) -> Result<()> {
        todo!()
    }
}

#[expect(unused_variables, reason = "skeleton")]
impl Bank {
    /// Encodes and commits the questions in one atomic batch; on the disk when this returns.
    /// The last of several questions with one id wins.
    pub fn upsert(&self, questions: Vec<Question>) -> Result<UpsertOutcome> {
        todo!()
    }
    /// Removes questions; returns how many were there.
    pub fn delete(&self, ids: &[QuestionId]) -> Result<u64> {
        todo!()
    }
    pub fn get(&self, ids: &[QuestionId]) -> Result<Vec<Option<Question>>> {
        todo!()
    }
    /// Up to `limit` questions in the order of their ids, after `after`.
    pub fn list(&self, after: Option<&QuestionId>, limit: usize) -> Result<Vec<Question>> {
        todo!()
    }
    pub fn search(&self, request: &SearchRequest) -> Result<SearchResponse> {
        todo!()
    }
    pub fn search_batch(&self, requests: &[SearchRequest]) -> Result<Vec<SearchResponse>> {
        todo!()
    }
    pub fn expand(&self, request: &ExpandRequest) -> Result<Expansion> {
        todo!()
    }
    pub fn status(&self) -> Result<BankStatus> {
        todo!()
    }
}
