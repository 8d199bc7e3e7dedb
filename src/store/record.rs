//! A question as it lies on disk: protocol buffers, fields by number, so that fields can be added later.

use std::collections::BTreeMap;

/// One question. `vector` of the same id lies beside it.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Record {
    /// The caller's id.
    #[prost(string, tag = "1")]
    pub id: String,
    #[prost(string, tag = "2")]
    pub text: String,
    #[prost(string, optional, tag = "3")]
    pub faq_id: Option<String>,
    #[prost(string, optional, tag = "4")]
    pub answer: Option<String>,
    #[prost(btree_map = "string, message", tag = "5")]
    pub metadata: BTreeMap<String, Value>,
}

/// What of a record a bank keeps in memory. Other fields are passed over, which spares most of the work of opening one.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Outline {
    #[prost(string, tag = "1")]
    pub id: String,
    #[prost(string, optional, tag = "3")]
    pub faq_id: Option<String>,
    #[prost(btree_map = "string, message", tag = "5")]
    pub metadata: BTreeMap<String, Value>,
}

/// One value of the metadata.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Value {
    #[prost(oneof = "value::Kind", tags = "1, 2, 3")]
    pub kind: Option<value::Kind>,
}

/// The kinds of [`Value`].
pub mod value {
    /// What a value is.
    #[derive(Clone, PartialEq, prost::Oneof)]
    pub enum Kind {
        #[prost(bool, tag = "1")]
        Flag(bool),
        #[prost(double, tag = "2")]
        Number(f64),
        #[prost(string, tag = "3")]
        Text(String),
    }
}
