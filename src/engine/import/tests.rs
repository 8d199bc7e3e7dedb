use super::super::MetadataValue;
use super::*;

fn read(bytes: &[u8], format: QuestionFormat) -> Vec<Result<Question, String>> {
    let file = QuestionFile::new(Box::new(io::Cursor::new(bytes.to_vec())), Path::new("faq"), format).unwrap();
    file.map(|question| question.map_err(|e| e.to_string())).collect()
}

fn good(bytes: &str, format: QuestionFormat) -> Vec<Question> {
    read(bytes.as_bytes(), format).into_iter().map(Result::unwrap).collect()
}

fn shown(question: &Question) -> (&str, &str, Option<&str>, Option<&str>) {
    (question.id.as_str(), &question.text, question.faq_id.as_deref(), question.answer.as_deref())
}

#[test]
fn a_table_with_a_header_names_its_columns() {
    let csv = "\u{feff}ID,Question,answer,faq_id,domain,views,hot,code\r\n\
        1,怎么开户,\"带证件, 去网点\n或手机\",open,bank,1200,true,007\r\n\r\n2,怎么销户,,,,,,\r\n";
    let found = good(csv, QuestionFormat::Csv);
    assert_eq!(shown(&found[0]), ("1", "怎么开户", Some("open"), Some("带证件, 去网点\n或手机")));
    let expected = [
        ("domain", MetadataValue::Text("bank".to_owned())),
        ("views", MetadataValue::Number(1200.0)),
        ("hot", MetadataValue::Flag(true)),
        ("code", MetadataValue::Text("007".to_owned())),
    ];
    assert_eq!(found[0].metadata, expected.map(|(key, value)| (key.to_owned(), value)).into());
    assert_eq!(shown(&found[1]), ("2", "怎么销户", None, None));
    assert!(found[1].metadata.is_empty());
}

#[test]
fn a_tsv_without_a_header_is_read_by_its_width() {
    assert_eq!(shown(&good("a\t\"怎么\t答\nb\t几点\t\n", QuestionFormat::Tsv)[0]), ("a", "\"怎么", None, Some("答")));
    assert_eq!(shown(&good("a\t怎么开户\n", QuestionFormat::Tsv)[0]), ("a", "怎么开户", None, None));
    let alone = good("怎么开户\n怎么销户\n", QuestionFormat::Tsv);
    assert_eq!(alone[1].text, "怎么销户");
    assert_ne!(alone[0].id, alone[1].id);
}

#[test]
fn json_lines_carry_what_export_writes() {
    let lines = r#"{"id": 7, "text": "怎么开户", "faq_id": "open", "metadata": {"n": 1, "ok": false}, "lang": "zh", "x": null}"#;
    let found = good(lines, QuestionFormat::JsonLines);
    assert_eq!(shown(&found[0]), ("7", "怎么开户", Some("open"), None));
    assert_eq!(found[0].metadata.len(), 3);
    let again = good(&serde_json::to_string(&found[0]).unwrap(), QuestionFormat::JsonLines);
    assert_eq!(again, found);
}

#[test]
fn a_number_is_read_to_its_last_bit() {
    let written = "1.1275970294770161e228"; // one unit in the last place off without serde_json's `float_roundtrip`
    let found = good(&format!("{{\"text\": \"x\", \"n\": {written}}}"), QuestionFormat::JsonLines);
    assert_eq!(found[0].metadata["n"], MetadataValue::Number(written.parse().unwrap()));
    assert_eq!(MetadataValue::from_cell(written), MetadataValue::Number(written.parse().unwrap()));
}

#[test]
fn derived_ids_depend_on_the_text_alone() {
    let plain = good("\u{feff}怎么开户\r\n\n  怎么销户 \n", QuestionFormat::Text);
    assert_eq!(plain.len(), 2);
    assert_eq!(plain[1].text, "怎么销户");
    assert_eq!(good("{\"question\": \"怎么销户\"}", QuestionFormat::JsonLines)[0].id, plain[1].id);
    assert!(plain[0].id.as_str().starts_with("q-") && plain[0].id.as_str().len() == 18);
}

#[test]
fn a_bad_line_is_named_and_the_next_is_read() {
    let cases: [(&[u8], QuestionFormat, u64, &str); 6] = [
        (b"question,a\nok,1\none,2,3\nok,\n", QuestionFormat::Csv, 3, "at most 2 columns, received 3"),
        (b"id\tquestion\n1\tok\n2\t\n3\tok\n", QuestionFormat::Tsv, 3, "expected a question"),
        (b"ok\n\xff\xfe\nok\n", QuestionFormat::Text, 2, "UTF-8"),
        (b"question\nok\n\xff\xfe\nok\n", QuestionFormat::Csv, 3, "UTF-8"),
        (
            b"{\"text\": \"ok\"}\n\n{\"text\": 3}\n{\"text\": \"ok\"}",
            QuestionFormat::JsonLines,
            3,
            "`text`: expected a text",
        ),
        (b"{\"text\": \"ok\"}\n[1]\n{\"text\": \"ok\"}", QuestionFormat::JsonLines, 2, "a JSON object"),
    ];
    for (bytes, format, line, fault) in cases {
        let found = read(bytes, format);
        assert_eq!(found.len(), 3, "{format:?}: {found:?}");
        let message = found[1].as_ref().unwrap_err();
        assert!(message.starts_with(&format!("faq:{line}: ")) && message.contains(fault), "{message}");
        assert!(found[0].is_ok() && found[2].is_ok());
    }
}

#[test]
fn a_table_without_meaning_is_refused_as_a_whole() {
    for (bytes, format) in [("a,b\n1,2\n3,4\n", QuestionFormat::Csv), ("a\tb\tc\td\n1\t2\t3\t4\n", QuestionFormat::Tsv)]
    {
        let found = read(bytes.as_bytes(), format);
        assert!(found.len() == 1 && found[0].as_ref().unwrap_err().contains("header"), "{found:?}");
    }
    assert!(read(b"question,text,question\nx,y,z\n", QuestionFormat::Csv)[0].as_ref().unwrap_err().contains("twice"));
}

#[test]
fn empty_files_and_endless_lines_do_no_harm() {
    for format in [QuestionFormat::Csv, QuestionFormat::Tsv, QuestionFormat::JsonLines, QuestionFormat::Text] {
        assert!(read(b"", format).is_empty());
        assert!(read(b"\n\n", format).is_empty());
    }
    assert!(read(b"question\n", QuestionFormat::Csv).is_empty());
    let found = read(&[vec![b'x'; 9 << 20], b"\nok\n".to_vec()].concat(), QuestionFormat::Text);
    assert!(found.len() == 2 && found[0].is_err() && found[1].is_ok());
}

#[test]
fn formats_are_told_by_extension() {
    assert_eq!(QuestionFormat::of(Path::new("a/b.TSV")).unwrap(), QuestionFormat::Tsv);
    assert!(QuestionFormat::of(Path::new("faq.xlsx")).unwrap_err().to_string().contains("--format"));
}

/// A Parquet file of two columns beside the question: rows of question, number and flag.
fn parquet_file(schema: &str, rows: &[(&str, i64, Option<bool>)]) -> Vec<u8> {
    use ::parquet::data_type::{BoolType, ByteArrayType, Int64Type};
    use ::parquet::file::properties::WriterProperties;
    use ::parquet::file::writer::SerializedFileWriter;
    let schema = Arc::new(::parquet::schema::parser::parse_message_type(schema).unwrap());
    let properties = WriterProperties::builder().set_compression(::parquet::basic::Compression::SNAPPY).build();
    let mut file = SerializedFileWriter::new(Vec::new(), schema, Arc::new(properties)).unwrap();
    let mut group = file.next_row_group().unwrap();
    let mut column = group.next_column().unwrap().unwrap();
    let texts: Vec<_> = rows.iter().map(|(text, ..)| (*text).into()).collect();
    column.typed::<ByteArrayType>().write_batch(&texts, None, None).unwrap();
    column.close().unwrap();
    let mut column = group.next_column().unwrap().unwrap();
    let numbers: Vec<_> = rows.iter().map(|&(_, number, _)| number).collect();
    column.typed::<Int64Type>().write_batch(&numbers, None, None).unwrap();
    column.close().unwrap();
    let mut column = group.next_column().unwrap().unwrap();
    let flags: Vec<_> = rows.iter().filter_map(|&(.., flag)| flag).collect();
    let there: Vec<_> = rows.iter().map(|(.., flag)| i16::from(flag.is_some())).collect();
    column.typed::<BoolType>().write_batch(&flags, Some(&there), None).unwrap();
    column.close().unwrap();
    group.close().unwrap();
    file.into_inner().unwrap()
}

#[test]
fn parquet_has_the_columns_of_a_table() {
    let schema = "message m { REQUIRED BYTE_ARRAY Question (UTF8); REQUIRED INT64 id; OPTIONAL BOOLEAN hot; }";
    let file = parquet_file(schema, &[(" 怎么开户 ", 7, Some(true)), ("", 8, None), ("怎么销户", 9, None)]);
    let found = read(&file, QuestionFormat::Parquet);
    assert_eq!(found.len(), 3);
    let first = found[0].as_ref().unwrap();
    assert_eq!(shown(first), ("7", "怎么开户", None, None));
    assert_eq!(first.metadata, [("hot".to_owned(), MetadataValue::Flag(true))].into());
    assert_eq!(found[1].as_ref().unwrap_err(), "faq:2: expected a question, received none");
    assert!(found[2].as_ref().unwrap().metadata.is_empty());

    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("faq.parquet");
    std::fs::write(&path, &file).unwrap();
    let mut opened = QuestionFile::open(&path, None).unwrap();
    assert_eq!(opened.by_ref().filter(Result::is_ok).count(), 2);
    assert_eq!(opened.bytes_read(), file.len() as u64);
}

#[test]
fn a_parquet_column_of_another_type_is_named() {
    let refused = |schema: &str, rows: &[(&str, i64, Option<bool>)]| {
        let bytes = parquet_file(schema, rows);
        let file = QuestionFile::new(Box::new(io::Cursor::new(bytes)), Path::new("faq"), QuestionFormat::Parquet);
        file.err().unwrap().to_string()
    };
    let rows = [("怎么开户", 1, None)];
    let message =
        refused("message m { REQUIRED BYTE_ARRAY a (UTF8); REQUIRED INT64 text; OPTIONAL BOOLEAN b; }", &rows);
    assert!(message.contains("column `text`: expected text, found INT64"), "{message}");
    let message = refused(
        "message m { REQUIRED BYTE_ARRAY text (UTF8); REQUIRED INT64 at (TIMESTAMP_MILLIS); OPTIONAL BOOLEAN b; }",
        &rows,
    );
    assert!(
        message.contains("column `at`: expected text, numbers or flags, found INT64 (TIMESTAMP_MILLIS)"),
        "{message}"
    );
    let message = refused("message m { REQUIRED BYTE_ARRAY a (UTF8); REQUIRED INT64 b; OPTIONAL BOOLEAN c; }", &rows);
    assert!(message.contains("expected a column `question` or `text`, found a, b, c"), "{message}");
}

#[test]
fn damaged_parquet_is_an_error() {
    let schema = "message m { REQUIRED BYTE_ARRAY text (UTF8); REQUIRED INT64 id; OPTIONAL BOOLEAN hot; }";
    let rows: Vec<_> = (0..200).map(|i| ("怎么开户", i, Some(true))).collect();
    let whole = parquet_file(schema, &rows);
    for at in (0..whole.len()).step_by(7) {
        let mut bytes = whole.clone();
        bytes[at] ^= 0x55;
        if let Ok(file) = QuestionFile::new(Box::new(io::Cursor::new(bytes)), Path::new("faq"), QuestionFormat::Parquet)
        {
            assert!(file.count() <= 1000, "byte {at}"); // it ends, and nothing panics
        }
    }
    let cut = whole[..whole.len() / 2].to_vec();
    let refused = QuestionFile::new(Box::new(io::Cursor::new(cut)), Path::new("faq"), QuestionFormat::Parquet);
    assert!(refused.err().unwrap().to_string().contains("expected a Parquet file"));
}

#[test]
fn a_quote_that_is_never_closed_ends_the_reading() {
    let good = "question\n怎么开户\n";
    let open = format!("{good}\"怎么销户\n{}", "几点开门\n".repeat(LONGEST as usize / 13 + 1000));
    let found = read(open.as_bytes(), QuestionFormat::Csv);
    assert_eq!(found.len(), 2, "the good question, and one error");
    let error = found[1].as_ref().unwrap_err();
    assert!(error.contains("record of line 3") && error.contains("quote"), "{error}");
    let many = format!("{good}{}", "几点开门\n".repeat(LONGEST as usize / 13 + 1000));
    assert!(read(many.as_bytes(), QuestionFormat::Csv).iter().all(Result::is_ok), "the bound is of one record");
}
