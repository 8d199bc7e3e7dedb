//! One question a line: JSON objects, or the text itself.

use std::io::{self, BufRead, Read};

use serde_json::{Map, Value};

use super::super::MetadataValue;
use super::{Fields, Input, LONGEST, Rows};

pub(super) struct Lines {
    input: Input,
    line: u64,
    fields: fn(&str) -> Result<Fields, String>,
}

impl Lines {
    pub(super) fn json(input: Input) -> Self {
        Self { input, line: 0, fields: from_json }
    }

    pub(super) fn text(input: Input) -> Self {
        let fields = |line: &str| Ok(Fields { text: Some(line.to_owned()), ..Fields::default() });
        Self { input, line: 0, fields }
    }
}

impl Rows for Lines {
    fn next(&mut self) -> io::Result<Option<(u64, Result<Fields, String>)>> {
        loop {
            let mut bytes = Vec::new();
            if (&mut self.input).take(LONGEST).read_until(b'\n', &mut bytes)? == 0 {
                return Ok(None);
            }
            self.line += 1;
            if bytes.len() as u64 == LONGEST && !bytes.ends_with(b"\n") {
                self.input.skip_until(b'\n')?;
                return Ok(Some((self.line, Err(format!("expected a line of less than {LONGEST} bytes")))));
            }
            let fields = match std::str::from_utf8(&bytes).map(str::trim) {
                Ok("") => continue,
                Ok(line) => (self.fields)(line),
                Err(_) => Err("expected UTF-8 text".to_owned()),
            };
            return Ok(Some((self.line, fields)));
        }
    }
}

fn from_json(line: &str) -> Result<Fields, String> {
    let mut object: Map<String, Value> =
        serde_json::from_str(line).map_err(|e| format!("expected a JSON object: {e}"))?;
    let mut fields = Fields {
        id: name(&mut object, "id")?,
        faq_id: name(&mut object, "faq_id")?,
        answer: text(&mut object, "answer")?,
        text: text(&mut object, "question")?,
        ..Fields::default()
    };
    if fields.text.is_none() {
        fields.text = text(&mut object, "text")?;
    }
    match object.remove("metadata") {
        None | Some(Value::Null) => {}
        Some(Value::Object(metadata)) => object.extend(metadata),
        Some(_) => return Err("`metadata`: expected an object".to_owned()),
    }
    for (key, value) in object {
        let value = match value {
            Value::Null => continue,
            Value::Bool(flag) => MetadataValue::Flag(flag),
            Value::String(text) => MetadataValue::Text(text),
            Value::Number(number) => match number.as_f64() {
                Some(number) => MetadataValue::Number(number),
                None => return Err(format!("`{key}`: expected a number of 64 bits")),
            },
            Value::Array(_) | Value::Object(_) => {
                return Err(format!("`{key}`: expected a text, a number or a flag"));
            }
        };
        fields.metadata.insert(key, value);
    }
    Ok(fields)
}

fn text(object: &mut Map<String, Value>, key: &str) -> Result<Option<String>, String> {
    match object.remove(key) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) => Ok(Some(text)),
        Some(_) => Err(format!("`{key}`: expected a text")),
    }
}

/// A text; an integer is taken for one.
fn name(object: &mut Map<String, Value>, key: &str) -> Result<Option<String>, String> {
    match object.get(key) {
        Some(Value::Number(number)) if number.is_i64() || number.is_u64() => {
            let name = number.to_string();
            object.remove(key);
            Ok(Some(name))
        }
        _ => text(object, key),
    }
}
