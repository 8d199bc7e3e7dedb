//! Writes the seeds that fuzzing begins with, each a small input that is taken: `cargo test --test seeds -- --ignored`.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use prost::Message;
use simbert::engine::{
    BankName, BankSettings, Engine, Quantisation, Question, QuestionFile, QuestionFormat, QuestionId, SentenceEncoder,
    Timings,
};
use simbert::index::HnswSettings;
use simbert::model::{Config, Precision, Weights};
use simbert::server::proto::{self, filter::Condition};

fn folder(target: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus").join(target)
}

fn seed(target: &str, name: &str, bytes: impl AsRef<[u8]>) {
    fs::create_dir_all(folder(target)).unwrap();
    fs::write(folder(target).join(name), bytes).unwrap();
}

/// A seed whose first byte says of which kind it is.
fn of_kind(target: &str, name: &str, kind: u8, bytes: impl AsRef<[u8]>) {
    seed(target, name, [&[kind], bytes.as_ref()].concat());
}

fn question() -> proto::Question {
    let value = |kind| proto::MetadataValue { kind: Some(kind) };
    proto::Question {
        id: "q1".to_owned(),
        text: "怎么开户".to_owned(),
        faq_id: Some("open".to_owned()),
        answer: Some("带证件".to_owned()),
        metadata: [
            ("lang".to_owned(), value(proto::metadata_value::Kind::Text("zh".to_owned()))),
            ("n".to_owned(), value(proto::metadata_value::Kind::Number(1.5))),
            ("hot".to_owned(), value(proto::metadata_value::Kind::Flag(true))),
        ]
        .into(),
    }
}

fn filter() -> proto::Filter {
    let of = |condition| proto::Filter { condition: Some(condition) };
    let key = || "k".to_owned();
    let number = proto::MetadataValue { kind: Some(proto::metadata_value::Kind::Number(1.0)) };
    let filters = vec![
        of(Condition::FaqId(proto::FaqIdFilter { faq_ids: vec!["f".to_owned()] })),
        of(Condition::Value(proto::ValueFilter { key: key(), values: vec![number] })),
        of(Condition::Range(proto::RangeFilter { key: key(), min: Some(0.5), max: Some(2.0) })),
        of(Condition::Not(Box::new(of(Condition::Exists(proto::ExistsFilter { key: key() }))))),
    ];
    let any = of(Condition::Any(proto::FilterList { filters: filters.clone() }));
    of(Condition::All(proto::FilterList { filters: [filters, vec![any]].concat() }))
}

fn requests() {
    let query = Some(proto::Query { kind: Some(proto::query::Kind::Text("怎么开户".to_owned())) });
    let read_mask = Some(prost_types::FieldMask { paths: vec!["text".to_owned()] });
    let options = Some(proto::SearchOptions {
        k: Some(5),
        filter: Some(filter()),
        min_score: Some(0.5),
        read_mask: read_mask.clone(),
        ..Default::default()
    });
    let sampling =
        Some(proto::Sampling { samples: Some(10), temperature: Some(0.9), seed: Some(1), ..Default::default() });
    let search = proto::SearchRequest { bank: "faq".to_owned(), query, options: options.clone() };
    of_kind("request", "search", 0, search.encode_to_vec());
    let vector = proto::query::Kind::Vector(proto::Vector { values: vec![0.6, 0.8] });
    let by_vector = proto::SearchRequest { query: Some(proto::Query { kind: Some(vector) }), ..search };
    of_kind("request", "vector", 0, by_vector.encode_to_vec());
    let fusion = proto::expanded_search_request::Fusion::ReciprocalRank(proto::ReciprocalRankFusion { k: Some(60.0) });
    let expand = proto::ExpandedSearchRequest {
        bank: "faq".to_owned(),
        text: "怎么开户".to_owned(),
        options,
        phrases: Some(4),
        sampling,
        fusion: Some(fusion),
    };
    of_kind("request", "expand", 1, expand.encode_to_vec());
    let generate =
        proto::GenerateRequest { text: "怎么开户".to_owned(), k: Some(3), sampling, min_score: Some(0.1) };
    of_kind("request", "generate", 2, generate.encode_to_vec());
    of_kind("request", "question", 3, question().encode_to_vec());
    let upsert = proto::UpsertQuestionsRequest { bank: "faq".to_owned(), questions: vec![question(); 2] };
    of_kind("request", "upsert", 4, upsert.encode_to_vec());
    let get = proto::GetQuestionsRequest { bank: "faq".to_owned(), ids: vec!["q1".to_owned()], read_mask };
    of_kind("request", "get", 5, get.encode_to_vec());
    let create = proto::CreateBankRequest { name: "faq".to_owned(), quantisation: 3, ..Default::default() };
    of_kind("request", "create", 6, create.encode_to_vec());
    of_kind("request", "filter", 7, filter().encode_to_vec());
}

fn texts() {
    seed("token", "text", "q1");
    seed("token", "timeout", "50m");
    for (name, text) in
        [("is", "lang=zh|en"), ("not", "n!=7"), ("range", "n>=1.5"), ("quoted", "k=\"a|b\""), ("no", "!k")]
    {
        seed("filter", name, text);
    }
    let csv =
        "\u{feff}id,question,answer,faq_id,lang\r\n1,怎么开户,\"带证件, \"\"去\"\"\n网点\",open,zh\r\n,怎么销户,,,\r\n";
    of_kind("questions", "csv", 0, csv);
    of_kind("questions", "tsv", 1, "id\tquestion\tn\n1\t怎么开户\t7\n");
    of_kind("questions", "headless", 1, "1\t怎么开户\t带证件\n");
    let json = "{\"id\": 7, \"text\": \"怎么开户\", \"faq_id\": \"open\", \"metadata\": {\"n\": 1e3, \"ok\": false}, \"x\": null}\n";
    of_kind("questions", "json", 2, json);
    of_kind("questions", "text", 3, "怎么开户\n\n怎么销户\n");
    of_kind(
        "groups",
        "json",
        0,
        "{\"text\": \"甲\", \"synonyms\": [\"乙\", \"丙\"], \"negatives\": [\"丁\"], \"domain\": \"d\"}\n{\"text\": \"戊\", \"synonyms\": [\"己\"]}\n",
    );
    of_kind("groups", "tsv", 1, "甲\t乙\td\n丙\t丁\td\n");
    of_kind("groups", "labelled", 2, "甲\t乙\t1\n丙\t丁\t0.5\n");
    of_kind("groups", "standard", 3, "1\t怎么开户\t带证件\n");
    of_kind("groups", "queries", 4, "怎么开户呀\t1\n");
    let settings = "output = \"out\"\n[model]\nbase = \"base\"\npooling = \"mean\"\n[data]\npairs = [\"a.tsv\"]\n\
        [optimizer]\nsteps = 10\nbatch_pairs = 4\nlearning_rate = 1e-5\n[loss]\nscale = 20.0\n\
        [[dev]]\npath = \"dev.tsv\"\nevery = 5\n";
    seed("settings", "small.toml", settings);
    let config = include_str!("../data/model/config.json");
    seed("config", "bundled.json", config);
    let calibration = r#"{"format":1,"fingerprint":"f","curve":{"method":"isotonic","knots":[[0.2,0.4],[0.6,0.8]]},
        "fitted":{"pairs":100,"base_rate":0.25,"prior":0.1,"files":["pairs.tsv"]}}"#;
    of_kind("calibration", "isotonic", 0, calibration);
    let platt =
        calibration.replace(r#""isotonic","knots":[[0.2,0.4],[0.6,0.8]]"#, r#""platt","slope":12.3,"intercept":-9.8"#);
    of_kind("calibration", "platt", 0, platt);
    let kinds = r#"{"format":1,"fingerprint":"f","fitted":{"lines":100,"accuracy":0.9,"log_loss":0.2,"file":"l.txt"},
        "probe":{"weights":[0.1,-6.7],"bias":1.5}}"#;
    of_kind("calibration", "kinds", 1, kinds);
}

fn parquet() {
    use ::parquet::data_type::{BoolType, ByteArrayType, Int64Type};
    let schema = "message m { REQUIRED BYTE_ARRAY question (UTF8); REQUIRED INT64 id; OPTIONAL BOOLEAN hot; }";
    let schema = Arc::new(::parquet::schema::parser::parse_message_type(schema).unwrap());
    for (name, compression) in
        [("plain", ::parquet::basic::Compression::UNCOMPRESSED), ("snappy", ::parquet::basic::Compression::SNAPPY)]
    {
        let properties = ::parquet::file::properties::WriterProperties::builder().set_compression(compression).build();
        let mut file =
            ::parquet::file::writer::SerializedFileWriter::new(Vec::new(), schema.clone(), Arc::new(properties))
                .unwrap();
        let mut group = file.next_row_group().unwrap();
        let mut column = group.next_column().unwrap().unwrap();
        column.typed::<ByteArrayType>().write_batch(&["怎么开户".into(), "怎么销户".into()], None, None).unwrap();
        column.close().unwrap();
        let mut column = group.next_column().unwrap().unwrap();
        column.typed::<Int64Type>().write_batch(&[7, 8], None, None).unwrap();
        column.close().unwrap();
        let mut column = group.next_column().unwrap().unwrap();
        column.typed::<BoolType>().write_batch(&[true], Some(&[1, 0]), None).unwrap();
        column.close().unwrap();
        group.close().unwrap();
        seed("parquet", name, file.into_inner().unwrap());
    }
}

/// What of an ONNX model is looked at. Source: onnx.proto, ModelProto and StringStringEntryProto.
#[derive(Clone, PartialEq, prost::Message)]
struct Model {
    #[prost(message, repeated, tag = "14")]
    metadata_props: Vec<Entry>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct Entry {
    #[prost(string, tag = "1")]
    key: String,
    #[prost(string, tag = "2")]
    value: String,
}

fn models() {
    let small = r#"{"vocab_size":5,"hidden_size":4,"num_hidden_layers":2,"num_attention_heads":2,
        "intermediate_size":6,"max_position_embeddings":8,"max_tokens":8}"#;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("config.json");
    fs::write(&path, small).unwrap();
    seed("config", "small.json", small);
    let weights = Weights::random(&Config::from_file(&path).unwrap(), 1, &candle_core::Device::Cpu).unwrap();
    let file = folder.path().join("model.safetensors");
    weights.save(&file, Precision::F16).unwrap();
    seed("weights", "f16", fs::read(&file).unwrap());
    let properties = BTreeMap::from([
        ("simbert.format", "2"),
        ("simbert.fingerprint", "0123456789abcdef"),
        ("simbert.shape", "2 layers"),
        ("simbert.weight_bytes", "77"),
    ]);
    let entry = |(key, value): (&str, &str)| Entry { key: key.to_owned(), value: value.to_owned() };
    let model = Model { metadata_props: properties.into_iter().map(entry).collect() };
    of_kind("stamp", "graph", 0, model.encode_to_vec());
    of_kind("stamp", "weights", 1, "simbert weights, format 2, model 0123456789abcdef, 2 layers\n");
}

/// An encoder that is never asked.
struct Narrow;

impl SentenceEncoder for Narrow {
    fn encode(&self, _: &[String]) -> simbert::Result<(Vec<Vec<f32>>, Timings)> {
        panic!("questions come with their vectors")
    }
    fn dimension(&self) -> usize {
        4
    }
    fn fingerprint(&self) -> &str {
        "narrow"
    }
}

/// A bank's snapshot, and its segments in two quantisations: as the targets want them, 4 wide and number 1.
fn banks() {
    for (name, quantisation) in [("int8", Quantisation::Int8), ("off", Quantisation::Off)] {
        let data = tempfile::tempdir().unwrap();
        let graphs = HnswSettings { freeze_from: 1, links: 4, build_threads: 1, ..HnswSettings::default() };
        let engine = Engine::with_encoder(data.path(), Arc::new(Narrow)).unwrap().with_graphs(graphs);
        let settings = BankSettings { description: "seed".to_owned(), quantisation };
        let bank = engine.create_bank(&BankName::new("faq").unwrap(), settings).unwrap();
        let question = |i: u32| {
            let id = QuestionId::new(format!("q{i}")).unwrap();
            let text = "怎么开户".to_owned();
            let question = Question { id, text, faq_id: None, answer: None, metadata: Default::default() };
            let angle = f64::from(i % 19); // the last ones are twins
            (question, vec![angle.sin() as f32, angle.cos() as f32, (2.0 * angle).sin() as f32, 0.5])
        };
        bank.upsert_with_vectors((0..24).map(question).collect()).unwrap();
        bank.link_now(&|_, _| ()).unwrap();
        let segments = fs::read_dir(data.path().join("banks/faq/segments")).unwrap();
        let file = segments.map(|entry| entry.unwrap().path()).find(|path| path.extension().is_some()).unwrap();
        let mut bytes = fs::read(file).unwrap();
        let number = bytes.len() - 36;
        bytes[number..number + 4].copy_from_slice(&1u32.to_le_bytes());
        seed("segment", name, bytes);
        let snapshot = data.path().join("faq.bank");
        bank.snapshot(&snapshot, true, &|_, _| ()).unwrap();
        seed("snapshot", name, fs::read(snapshot).unwrap());
    }
}

/// Not a test: it writes what `fuzz/corpus` holds.
#[test]
#[ignore = "writes fuzz/corpus"]
fn write() {
    requests();
    texts();
    parquet();
    models();
    banks();
}

#[test]
fn the_seeds_are_few_and_small() {
    let mut bytes = 0;
    for target in fs::read_dir(folder("")).unwrap() {
        for file in fs::read_dir(target.unwrap().path()).unwrap() {
            bytes += file.unwrap().metadata().unwrap().len();
        }
    }
    assert!((10_000..200_000).contains(&bytes), "{bytes} bytes");
}

#[test]
fn the_seeds_of_questions_are_read() {
    for (name, format) in [("csv", QuestionFormat::Csv), ("json", QuestionFormat::JsonLines)] {
        let bytes = fs::read(folder("questions").join(name)).unwrap();
        let source = Box::new(std::io::Cursor::new(bytes[1..].to_vec()));
        assert!(QuestionFile::new(source, Path::new(name), format).unwrap().all(|question| question.is_ok()), "{name}");
    }
}
