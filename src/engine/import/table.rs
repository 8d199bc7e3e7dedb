//! Tables with a header, or without.

use std::io::{self, Read};

use csv::{ByteRecord, Reader, ReaderBuilder};

use super::super::MetadataValue;
use super::{Fields, Input, LONGEST, Rows};

/// What a column holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Column {
    Id,
    Question,
    Answer,
    FaqId,
    Metadata(String),
}

pub(super) struct Table {
    reader: Reader<Bounded>,
    /// What columns are without a header, by their number; none where there must be one.
    headerless: &'static [&'static [Column]],
    columns: Option<Vec<Column>>,
    record: ByteRecord,
}

/// What is read for one record: a quote that nobody closes makes one of all that follows.
struct Bounded {
    input: Input,
    left: u64,
}

impl Read for Bounded {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.left == 0 {
            let what = format!("expected a record of at most {LONGEST} bytes; a quote may not be closed");
            return Err(io::Error::new(io::ErrorKind::InvalidData, what));
        }
        let n = (&mut self.input).take(self.left).read(buffer)?;
        self.left -= n as u64;
        Ok(n)
    }
}

impl Table {
    pub(super) fn csv(input: Input) -> Self {
        Self::new(ReaderBuilder::new().flexible(true).has_headers(false), input, &[])
    }

    pub(super) fn tsv(input: Input) -> Self {
        use Column::{Answer, Id, Question};
        let mut builder = ReaderBuilder::new();
        builder.flexible(true).has_headers(false).delimiter(b'\t').quoting(false);
        Self::new(&builder, input, &[&[Question], &[Id, Question], &[Id, Question, Answer]])
    }

    fn new(builder: &ReaderBuilder, input: Input, headerless: &'static [&'static [Column]]) -> Self {
        let reader = builder.from_reader(Bounded { input, left: 0 });
        Self { reader, headerless, columns: None, record: ByteRecord::new() }
    }

    /// The next record's line, unless the table ends.
    fn read(&mut self) -> io::Result<Option<u64>> {
        loop {
            let line = self.reader.position().line();
            self.reader.get_mut().left = LONGEST;
            let more = self.reader.read_byte_record(&mut self.record).map_err(|e| {
                let e = io::Error::from(e);
                io::Error::new(e.kind(), format!("record of line {line}: {e}"))
            });
            if !more? {
                return Ok(None);
            }
            if self.record.iter().any(|cell| !cell.trim_ascii().is_empty()) {
                return Ok(Some(self.record.position().map_or(line, csv::Position::line)));
            }
        }
    }

    /// The cells as text, trimmed.
    fn cells(&self) -> Result<Vec<&str>, String> {
        let cell = |cell| std::str::from_utf8(cell).map(str::trim).map_err(|_| "expected UTF-8 text".to_owned());
        self.record.iter().map(cell).collect()
    }

    /// Columns from the first record, and whether it was a header.
    fn columns(&self) -> Result<(Vec<Column>, bool), String> {
        let cells = self.cells()?;
        if let Some(columns) = columns(&cells)? {
            return Ok((columns, true));
        }
        match cells.len().checked_sub(1).and_then(|n| self.headerless.get(n)) {
            Some(columns) => Ok((columns.to_vec(), false)),
            None => Err("expected a header with a column `question` or `text`".to_owned()),
        }
    }

    fn fields(&self, columns: &[Column]) -> Result<Fields, String> {
        let cells = self.cells()?;
        if cells.len() > columns.len() {
            return Err(format!("expected at most {} columns, received {}", columns.len(), cells.len()));
        }
        let mut fields = Fields::default();
        for (column, cell) in columns.iter().zip(cells).filter(|(_, cell)| !cell.is_empty()) {
            match column {
                Column::Id => fields.id = Some(cell.to_owned()),
                Column::Question => fields.text = Some(cell.to_owned()),
                Column::Answer => fields.answer = Some(cell.to_owned()),
                Column::FaqId => fields.faq_id = Some(cell.to_owned()),
                Column::Metadata(key) => {
                    fields.metadata.insert(key.clone(), MetadataValue::from_cell(cell));
                }
            }
        }
        Ok(fields)
    }
}

/// What columns of these names hold; none when no one is a question's.
///
/// # Errors
/// A name comes twice.
pub(super) fn columns(names: &[&str]) -> Result<Option<Vec<Column>>, String> {
    let named = |wanted: &str| names.iter().any(|name| name.eq_ignore_ascii_case(wanted));
    if !named("question") && !named("text") {
        return Ok(None);
    }
    let columns: Vec<Column> = names.iter().map(|name| column(name, named("question"))).collect();
    match (1..columns.len()).find(|&i| columns[..i].contains(&columns[i])) {
        Some(i) => Err(format!("expected each column once, received `{}` twice", names[i])),
        None => Ok(Some(columns)),
    }
}

/// What a header's cell names. A column `text` beside one named `question` is metadata.
fn column(cell: &str, has_question: bool) -> Column {
    match cell.to_ascii_lowercase().as_str() {
        "id" => Column::Id,
        "question" => Column::Question,
        "text" if !has_question => Column::Question,
        "answer" => Column::Answer,
        "faq_id" => Column::FaqId,
        _ => Column::Metadata(cell.to_owned()),
    }
}

impl Rows for Table {
    fn next(&mut self) -> io::Result<Option<(u64, Result<Fields, String>)>> {
        let Some(mut line) = self.read()? else { return Ok(None) };
        let columns = match self.columns.take() {
            Some(columns) => columns,
            None => match self.columns() {
                Ok((columns, false)) => columns,
                Ok((columns, true)) => {
                    let Some(next) = self.read()? else { return Ok(None) };
                    line = next;
                    columns
                }
                Err(reason) => {
                    // Without columns no line means anything: this is not a bad line among good ones.
                    return Err(io::Error::new(io::ErrorKind::InvalidData, format!("line {line}: {reason}")));
                }
            },
        };
        let fields = self.fields(&columns);
        self.columns = Some(columns);
        Ok(Some((line, fields)))
    }
}
