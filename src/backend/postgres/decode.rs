//! Reads records from the columns of a row.

use sqlx::Row;
use sqlx::postgres::PgRow;
use uuid::Uuid;

use super::literal::from_hex;
use super::rows::STORED_ACTION_WIDTH;
use crate::backend::sql::{ACTION, ENTRY, OWNER, corrupt, out_of_place};
use crate::error::StoreError;
use crate::model::codec::{CodecError, Field, Kind, Layout, Record, Value};
use crate::model::{Action, Detail, Incarnation, LogEntry, Owner, OwnerRef, Timestamp};

/// Reads the columns of a row in order.
pub(super) struct Columns<'r> {
    row: &'r PgRow,
    next: usize,
    operation: &'static str,
}

impl<'r> Columns<'r> {
    pub(super) fn new(operation: &'static str, row: &'r PgRow) -> Columns<'r> {
        Columns {
            row,
            next: 0,
            operation,
        }
    }

    /// Leaves columns out.
    pub(super) fn skip(&mut self, columns: usize) {
        self.next += columns;
    }

    fn broken(&self, what: &str) -> StoreError {
        let column = self.next.saturating_sub(1);
        let message = format!("column {column} of a stored row {what}");
        corrupt(self.operation, message)
    }

    fn some<T>(&self, value: Option<T>) -> Result<T, StoreError> {
        value.ok_or_else(|| self.broken("is missing"))
    }

    /// Reads the next column, as PostgreSQL writes it.
    pub(super) fn text_opt(&mut self) -> Result<Option<&'r str>, StoreError> {
        let value = self.row.try_get_raw(self.next);
        self.next += 1;
        let value = value.map_err(|_| self.broken("is missing"))?;
        if sqlx::ValueRef::is_null(&value) {
            return Ok(None);
        }
        let text = value.as_str();
        Ok(Some(text.map_err(|_| self.broken("is not UTF-8"))?))
    }

    pub(super) fn int_opt(&mut self) -> Result<Option<i64>, StoreError> {
        let Some(text) = self.text_opt()? else {
            return Ok(None);
        };
        let number = text.parse();
        Ok(Some(number.map_err(|_| self.broken("is not an integer"))?))
    }

    pub(super) fn int(&mut self) -> Result<i64, StoreError> {
        let int = self.int_opt()?;
        self.some(int)
    }

    /// Reads an array of integers. NULL is an empty one.
    pub(super) fn ints(&mut self) -> Result<Vec<i64>, StoreError> {
        let text = self.text_opt()?.unwrap_or("{}");
        let inside = text
            .strip_prefix('{')
            .and_then(|text| text.strip_suffix('}'));
        let numbers = inside.map(|inside| inside.split_terminator(',').map(str::parse).collect());
        let numbers: Option<Result<Vec<i64>, _>> = numbers;
        match numbers {
            Some(Ok(numbers)) => Ok(numbers),
            _ => Err(self.broken("is not an array of integers")),
        }
    }

    pub(super) fn number<T: TryFrom<i64>>(&mut self) -> Result<T, StoreError> {
        let number = T::try_from(self.int()?);
        number.map_err(|_| self.broken("has an unknown value"))
    }

    pub(super) fn is_true(&mut self) -> Result<bool, StoreError> {
        match self.text_opt()? {
            Some("t") => Ok(true),
            Some("f") => Ok(false),
            _ => Err(self.broken("is not a boolean")),
        }
    }

    pub(super) fn time_opt(&mut self) -> Result<Option<Timestamp>, StoreError> {
        Ok(self.int_opt()?.map(Timestamp::from_micros))
    }

    fn id_opt(&mut self) -> Result<Option<Uuid>, StoreError> {
        let Some(text) = self.text_opt()? else {
            return Ok(None);
        };
        let id = Uuid::try_parse(text);
        Ok(Some(id.map_err(|_| self.broken("is not a UUID"))?))
    }

    pub(super) fn id(&mut self) -> Result<Uuid, StoreError> {
        let id = self.id_opt()?;
        self.some(id)
    }

    pub(super) fn owner(&mut self) -> Result<OwnerRef, StoreError> {
        let name = self.text_opt()?;
        Ok(OwnerRef {
            name: self.some(name)?.into(),
            incarnation: Incarnation::from_uuid(self.id()?),
        })
    }

    fn body(&mut self) -> Result<Vec<u8>, StoreError> {
        let text = self.text_opt()?;
        let digits = self.some(text)?.strip_prefix("\\x");
        let body = digits.and_then(|digits| from_hex(digits.as_bytes()));
        body.ok_or_else(|| self.broken("is not a bytea"))
    }

    /// Returns true if the next columns are all NULL: a row that a LEFT JOIN did not find.
    fn is_absent(&self, columns: usize) -> bool {
        (self.next..self.next + columns).all(|column| {
            let value = self.row.try_get_raw(column);
            value.is_ok_and(|value| sqlx::ValueRef::is_null(&value))
        })
    }

    /// Reads a record: its columns, then its body.
    fn record<R: Record>(
        &mut self,
        layout: Layout<R>,
        decode: impl FnOnce(&[Value<'_>], &[u8]) -> Result<R, CodecError>,
    ) -> Result<R, StoreError> {
        let mut values = Vec::with_capacity(layout.columns().len());
        for column in layout.columns().iter() {
            values.push(match column.kind() {
                Kind::Id => self.id_opt()?.map_or(Value::Null, Value::Id),
                Kind::Text => self.text_opt()?.map_or(Value::Null, Value::Text),
                _ => self.int_opt()?.map_or(Value::Null, Value::Int),
            });
        }
        let body = self.body()?;
        let record = decode(&values, &body);
        record.map_err(|error| StoreError::from_codec(self.operation, error))
    }

    /// Reads a [`STORED_ACTION`](super::rows::STORED_ACTION).
    pub(super) fn action(&mut self, detail: Detail) -> Result<Action, StoreError> {
        if self.is_absent(STORED_ACTION_WIDTH) {
            return Err(out_of_place(self.operation));
        }
        self.record(ACTION, |values, body| match detail {
            Detail::Summary => ACTION.decode_summary(values, body),
            _ => ACTION.decode(values, body),
        })
    }

    /// Reads a [`STORED_ENTRY`](super::rows::STORED_ENTRY): the number of the entry and the entry.
    pub(super) fn entry(&mut self) -> Result<(u64, LogEntry), StoreError> {
        let number = self.number()?;
        Ok((number, self.record(ENTRY, |v, body| ENTRY.decode(v, body))?))
    }

    /// Reads a [`STORED_OWNER`](super::rows::STORED_OWNER): the number of the owner and the owner.
    pub(super) fn owner_record(&mut self) -> Result<(u64, Owner), StoreError> {
        let number = self.number()?;
        Ok((number, self.record(OWNER, |v, body| OWNER.decode(v, body))?))
    }
}
