//! Parquet: flat columns, read row by row.

mod pages;

use std::cell::Cell;
use std::io;
use std::panic::{self, AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Once};

use ::parquet::basic::{LogicalType, Repetition, Type as Physical};
use ::parquet::file::reader::{ChunkReader, FileReader, SerializedFileReader};
use ::parquet::record::reader::RowIter;
use ::parquet::record::{Field, Row};
use ::parquet::schema::types::Type;

use self::pages::CheckedFile;
use super::super::MetadataValue;
use super::table::{Column, columns};
use super::{Fields, Rows};

pub(super) struct ParquetRows {
    rows: RowIter<'static>,
    columns: Vec<Column>,
    /// Rows read so far.
    row: u64,
    progress: Progress,
}

/// Tells rows as a share of the file's bytes.
struct Progress {
    bytes: u64,
    rows: u64,
    read: Arc<AtomicU64>,
}

impl ParquetRows {
    /// Reads from `source`; `read` is told how much of its bytes the rows read so far stand for.
    ///
    /// # Errors
    /// It is not Parquet, or a column is not of a type that its name asks for.
    pub(super) fn new<S: ChunkReader + 'static>(source: S, read: Arc<AtomicU64>) -> io::Result<Self> {
        let bytes = source.len();
        guarded(|| {
            let reader =
                SerializedFileReader::new(source).map_err(|e| invalid(format!("expected a Parquet file: {e}")))?;
            let metadata = reader.metadata().file_metadata();
            let rows = u64::try_from(metadata.num_rows()).unwrap_or(0);
            let fields = metadata.schema().get_fields();
            let names: Vec<&str> = fields.iter().map(|field| field.name()).collect();
            let columns = columns(&names).map_err(invalid)?.ok_or_else(|| {
                invalid(format!("expected a column `question` or `text`, found {}", names.join(", ")))
            })?;
            for (field, column) in fields.iter().zip(&columns) {
                check(field, column).map_err(invalid)?;
            }
            let rows_of = RowIter::from_file_into(Box::new(CheckedFile(reader)));
            Ok(Self { rows: rows_of, columns, row: 0, progress: Progress { bytes, rows, read } })
        })
    }

    fn fields(&self, row: &Row) -> Result<Fields, String> {
        let mut fields = Fields::default();
        for (column, (name, cell)) in self.columns.iter().zip(row.get_column_iter()) {
            let Some(value) = value(cell).map_err(|reason| format!("`{name}`: {reason}"))? else { continue };
            let place = match column {
                Column::Metadata(key) => {
                    fields.metadata.insert(key.clone(), value);
                    continue;
                }
                Column::Id => &mut fields.id,
                Column::Question => &mut fields.text,
                Column::Answer => &mut fields.answer,
                Column::FaqId => &mut fields.faq_id,
            };
            *place = match value {
                MetadataValue::Text(text) => Some(text),
                // An id: the column's type was checked. Whole numbers are written as such.
                MetadataValue::Number(number) => Some(format!("{number}")),
                MetadataValue::Flag(_) => return Err(format!("`{name}`: expected a text")),
            };
        }
        Ok(fields)
    }
}

impl Rows for ParquetRows {
    fn next(&mut self) -> io::Result<Option<(u64, Result<Fields, String>)>> {
        let Some(row) = guarded(|| self.rows.next().transpose().map_err(|e| invalid(e.to_string())))? else {
            return Ok(None);
        };
        self.row += 1;
        let Progress { bytes, rows, read } = &self.progress;
        let share = u128::from(*bytes) * u128::from(self.row.min(*rows)) / u128::from((*rows).max(1));
        read.store(share as u64, Ordering::Relaxed); // at most `bytes`
        Ok(Some((self.row, self.fields(&row))))
    }
}

/// Whether a column holds what its name asks for.
fn check(field: &Type, column: &Column) -> Result<(), String> {
    let info = field.get_basic_info();
    let flat = field.is_primitive() && !(info.has_repetition() && info.repetition() == Repetition::REPEATED);
    let plain = matches!(
        info.logical_type_ref(),
        None | Some(LogicalType::String | LogicalType::Enum | LogicalType::Json | LogicalType::Integer { .. })
    );
    let physical = flat.then(|| field.get_physical_type()).filter(|_| plain && !is_decimal_or_time(field));
    let text = matches!(physical, Some(Physical::BYTE_ARRAY));
    let whole = matches!(physical, Some(Physical::INT32 | Physical::INT64));
    let other = matches!(physical, Some(Physical::BOOLEAN | Physical::FLOAT | Physical::DOUBLE));
    let (fits, expected) = match column {
        Column::Question | Column::Answer => (text, "text"),
        Column::Id | Column::FaqId => (text || whole, "text or whole numbers"),
        Column::Metadata(_) => (text || whole || other, "text, numbers or flags"),
    };
    if fits {
        return Ok(());
    }
    let found = match (field.is_primitive(), info.logical_type_ref()) {
        (false, _) => "a nested column".to_owned(),
        (true, Some(logical)) => format!("{logical:?}"),
        (true, None) => format!("{} ({})", field.get_physical_type(), info.converted_type()),
    };
    Err(format!("column `{}`: expected {expected}, found {found}; leave it out, or convert it", field.name()))
}

/// Dates, times and decimals of files that have no logical types yet.
fn is_decimal_or_time(field: &Type) -> bool {
    use ::parquet::basic::ConvertedType::{
        DATE, DECIMAL, INTERVAL, TIME_MICROS, TIME_MILLIS, TIMESTAMP_MICROS, TIMESTAMP_MILLIS,
    };
    let converted = field.get_basic_info().converted_type();
    [DATE, DECIMAL, INTERVAL, TIME_MICROS, TIME_MILLIS, TIMESTAMP_MICROS, TIMESTAMP_MILLIS].contains(&converted)
}

/// What a cell says; an empty one is no value.
fn value(cell: &Field) -> Result<Option<MetadataValue>, String> {
    let text =
        |text: &str| Some(text.trim()).filter(|text| !text.is_empty()).map(|text| MetadataValue::Text(text.to_owned()));
    Ok(match cell {
        Field::Null => None,
        Field::Str(found) => text(found),
        Field::Bytes(found) => text(std::str::from_utf8(found.data()).map_err(|_| "expected UTF-8 text")?),
        Field::Bool(flag) => Some(MetadataValue::Flag(*flag)),
        Field::Byte(n) => Some(MetadataValue::Number(f64::from(*n))),
        Field::Short(n) => Some(MetadataValue::Number(f64::from(*n))),
        Field::Int(n) => Some(MetadataValue::Number(f64::from(*n))),
        Field::Long(n) => Some(MetadataValue::Number(*n as f64)),
        Field::UByte(n) => Some(MetadataValue::Number(f64::from(*n))),
        Field::UShort(n) => Some(MetadataValue::Number(f64::from(*n))),
        Field::UInt(n) => Some(MetadataValue::Number(f64::from(*n))),
        Field::ULong(n) => Some(MetadataValue::Number(*n as f64)),
        Field::Float(x) => Some(MetadataValue::Number(f64::from(*x))),
        Field::Double(x) => Some(MetadataValue::Number(*x)),
        other => return Err(format!("expected a text, a number or a flag, received {other}")),
    })
}

fn invalid(reason: String) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, reason)
}

/// The parser panics on some damaged files. Such a panic becomes an error, and is not told as one.
fn guarded<T>(read: impl FnOnce() -> io::Result<T>) -> io::Result<T> {
    static QUIETENED: Once = Once::new();
    thread_local!(static READING: Cell<bool> = const { Cell::new(false) });
    QUIETENED.call_once(|| {
        let others = panic::take_hook();
        panic::set_hook(Box::new(move |info| {
            if !READING.get() {
                others(info)
            }
        }));
    });
    READING.set(true);
    let result = catch_unwind(AssertUnwindSafe(read));
    READING.set(false);
    result.unwrap_or_else(|_| Err(invalid("the Parquet file is damaged".to_owned())))
}
