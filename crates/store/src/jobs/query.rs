//! A statement with its arguments, and the rows it gives: the same for both databases.

use std::{borrow::Cow, future::Future, sync::Arc};

use sqlx::{
    Any, AnyConnection, AssertSqlSafe, Column as _, Row as _, TypeInfo as _,
    any::{AnyRow, AnyTypeInfoKind},
};

use crate::StoreError;

/// A statement whose text is a constant. `$1` is its first argument.
pub(super) fn statement(sql: &'static str) -> Query {
    Query { sql: Cow::Borrowed(sql), arguments: Vec::new(), is_kept: true, gives_rows: true }
}

/// A statement whose text was put together, of numbers and ids alone. It is not kept prepared.
pub(super) fn statement_of(sql: String) -> Query {
    Query { sql: Cow::Owned(sql), arguments: Vec::new(), is_kept: false, gives_rows: true }
}

/// Several statements as one, for PostgreSQL: `first`, and if that changed a row, `rest`, each of which ends in a condition. It
/// gives a row then. None sees what another of them writes, and none may write a row that another one writes.
pub(super) fn in_one(first: Query, rest: Vec<Query>) -> Query {
    // As a rule there are as many texts as ways to change a job.
    let is_kept = first.is_kept && rest.iter().all(|query| query.is_kept);
    let mut arguments = first.arguments;
    let mut sql = format!("WITH first AS ({} RETURNING 1 AS done)", first.sql);
    for (number, query) in rest.into_iter().enumerate() {
        let condition = renumbered(&query.sql, arguments.len());
        sql.push_str(&format!(", part_{number} AS ({condition} AND EXISTS (SELECT FROM first))"));
        arguments.extend(query.arguments);
    }
    sql.push_str(" SELECT done FROM first");
    Query { sql: Cow::Owned(sql), arguments, is_kept, gives_rows: true }
}

/// A statement whose arguments come behind so many others.
fn renumbered(sql: &str, before: usize) -> String {
    let mut parts = sql.split('$');
    let mut renumbered = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let digits = part.find(|c: char| !c.is_ascii_digit()).unwrap_or(part.len());
        let number: usize = part[..digits].parse().expect("a statement has a number behind each `$`");
        renumbered.push_str(&format!("${}{}", number + before, &part[digits..]));
    }
    renumbered
}

/// A statement and its arguments.
#[derive(Debug, Clone)]
pub(super) struct Query {
    pub(super) sql: Cow<'static, str>,
    pub(super) arguments: Vec<Value>,
    /// Prepared once for each connection.
    is_kept: bool,
    gives_rows: bool,
}

/// What stands in a column. Nothing has a type, too: PostgreSQL wants to know it.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Value {
    Integer(Option<i64>),
    Real(Option<f64>),
    Text(Option<String>),
    /// Nothing that this program writes.
    Odd,
}

/// What a statement came to.
#[derive(Debug, Default)]
pub(super) struct Outcome {
    pub(super) rows: Vec<SqlRow>,
    /// Rows that it changed, if it gives none.
    pub(super) changed: u64,
}

/// A row of any database.
#[derive(Debug)]
pub(super) struct SqlRow {
    pub(super) columns: Arc<[String]>,
    pub(super) values: Vec<Value>,
}

/// Where statements are run: a transaction, or a connection that reads.
pub(super) trait Run: Send {
    fn run(self, query: Query) -> impl Future<Output = Result<Outcome, StoreError>> + Send;
}

impl Query {
    pub(super) fn bind(mut self, argument: impl Into<Value>) -> Self {
        self.arguments.push(argument.into());
        self
    }

    /// How many rows it changed.
    pub(super) async fn execute(self, on: impl Run) -> Result<u64, StoreError> {
        Ok(on.run(Self { gives_rows: false, ..self }).await?.changed)
    }

    pub(super) async fn fetch_all(self, on: impl Run) -> Result<Vec<SqlRow>, StoreError> {
        Ok(on.run(self).await?.rows)
    }

    pub(super) async fn fetch_optional(self, on: impl Run) -> Result<Option<SqlRow>, StoreError> {
        Ok(self.fetch_all(on).await?.into_iter().next())
    }

    /// The one row that a statement always gives.
    pub(super) async fn fetch_one(self, on: impl Run) -> Result<SqlRow, StoreError> {
        self.fetch_optional(on).await?.ok_or_else(|| sqlx::Error::RowNotFound.into())
    }

    /// Runs it through sqlx, on PostgreSQL.
    pub(super) async fn through_sqlx(self, on: &mut AnyConnection) -> Result<Outcome, StoreError> {
        let mut query = sqlx::query::<Any>(AssertSqlSafe(self.sql.into_owned())).persistent(self.is_kept);
        for argument in self.arguments {
            query = match argument {
                Value::Integer(number) => query.bind(number),
                // sqlx takes a missing double for a missing float and the other way round, and a statement that was
                // prepared for one does not take the other.
                Value::Real(None) => query.bind(None::<f32>),
                Value::Real(number) => query.bind(number),
                Value::Text(text) => query.bind(text),
                Value::Odd => query.bind(None::<String>),
            };
        }
        if !self.gives_rows {
            return Ok(Outcome { rows: Vec::new(), changed: query.execute(on).await?.rows_affected() });
        }
        let rows = query.fetch_all(on).await?;
        let columns = rows.first().map(|row| row.columns().iter().map(|column| column.name().to_owned()).collect());
        let columns: Arc<[String]> = columns.unwrap_or_default();
        let row = |row| Ok::<_, StoreError>(SqlRow { columns: columns.clone(), values: values(row)? });
        Ok(Outcome { rows: rows.iter().map(row).collect::<Result<_, _>>()?, changed: 0 })
    }
}

fn values(row: &AnyRow) -> Result<Vec<Value>, sqlx::Error> {
    let value = |at: usize| {
        let column = row.column(at);
        Ok(match column.type_info().kind() {
            AnyTypeInfoKind::SmallInt | AnyTypeInfoKind::Integer | AnyTypeInfoKind::BigInt => {
                Value::Integer(row.try_get(at)?)
            }
            AnyTypeInfoKind::Bool => Value::Integer(row.try_get::<Option<bool>, _>(at)?.map(i64::from)),
            AnyTypeInfoKind::Real | AnyTypeInfoKind::Double => Value::Real(row.try_get(at)?),
            _ if column.type_info().is_null() => Value::Text(None),
            _ => Value::Text(row.try_get(at)?),
        })
    };
    (0..row.len()).map(value).collect()
}

impl SqlRow {
    /// The value of a column, if it is of this type.
    pub(super) fn get<'r, T: FromValue<'r>>(&'r self, column: &str) -> Result<T, &'static str> {
        let at = self.columns.iter().position(|name| name == column).ok_or("there is no such column")?;
        T::from_value(&self.values[at]).ok_or("it is of another type")
    }
}

/// The first columns of rows, so many, and the others.
pub(super) fn split(rows: Vec<SqlRow>, at: usize) -> Vec<(SqlRow, SqlRow)> {
    let columns = rows.first().map(|row| row.columns.split_at(at));
    let (left, right): (Arc<[String]>, Arc<[String]>) =
        columns.map(|(left, right)| (left.into(), right.into())).unwrap_or_default();
    let halves = |mut row: SqlRow| {
        let values = row.values.split_off(at);
        (SqlRow { columns: left.clone(), ..row }, SqlRow { columns: right.clone(), values })
    };
    rows.into_iter().map(halves).collect()
}

/// What can be read out of a column.
pub(super) trait FromValue<'r>: Sized {
    fn from_value(value: &'r Value) -> Option<Self>;
}

impl FromValue<'_> for i64 {
    fn from_value(value: &Value) -> Option<Self> {
        if let Value::Integer(number) = value { *number } else { None }
    }
}

impl FromValue<'_> for f64 {
    fn from_value(value: &Value) -> Option<Self> {
        if let Value::Real(number) = value { *number } else { None }
    }
}

impl<'r> FromValue<'r> for &'r str {
    fn from_value(value: &'r Value) -> Option<Self> {
        if let Value::Text(text) = value { text.as_deref() } else { None }
    }
}

impl FromValue<'_> for String {
    fn from_value(value: &Value) -> Option<Self> {
        <&str>::from_value(value).map(str::to_owned)
    }
}

impl<'r, T: FromValue<'r>> FromValue<'r> for Option<T> {
    fn from_value(value: &'r Value) -> Option<Self> {
        match value {
            Value::Integer(None) | Value::Real(None) | Value::Text(None) => Some(None),
            value => T::from_value(value).map(Some),
        }
    }
}

impl From<i64> for Value {
    fn from(number: i64) -> Self {
        Self::Integer(Some(number))
    }
}

impl From<Option<i64>> for Value {
    fn from(number: Option<i64>) -> Self {
        Self::Integer(number)
    }
}

impl From<f64> for Value {
    fn from(number: f64) -> Self {
        Self::Real(Some(number))
    }
}

impl From<Option<f64>> for Value {
    fn from(number: Option<f64>) -> Self {
        Self::Real(number)
    }
}

impl From<&str> for Value {
    fn from(text: &str) -> Self {
        Self::Text(Some(text.to_owned()))
    }
}

impl From<&String> for Value {
    fn from(text: &String) -> Self {
        text.as_str().into()
    }
}

impl From<String> for Value {
    fn from(text: String) -> Self {
        Self::Text(Some(text))
    }
}

impl From<Option<&str>> for Value {
    fn from(text: Option<&str>) -> Self {
        Self::Text(text.map(str::to_owned))
    }
}

impl From<Option<String>> for Value {
    fn from(text: Option<String>) -> Self {
        Self::Text(text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statements_in_one_keep_their_arguments_apart() {
        let first = statement("UPDATE jobs SET version = $2 WHERE id = $1").bind("job").bind(7);
        let second = statement("UPDATE tasks SET seen_at = $2, ended_at = $2 WHERE id = $1").bind("task").bind(8);
        let third = statement("INSERT INTO outbox (message) SELECT $1 WHERE TRUE").bind("words with $1");
        let one = in_one(first, vec![second, third]);
        assert_eq!(
            one.sql,
            "WITH first AS (UPDATE jobs SET version = $2 WHERE id = $1 RETURNING 1 AS done), \
             part_0 AS (UPDATE tasks SET seen_at = $4, ended_at = $4 WHERE id = $3 AND EXISTS (SELECT FROM first)), \
             part_1 AS (INSERT INTO outbox (message) SELECT $5 WHERE TRUE AND EXISTS (SELECT FROM first)) \
             SELECT done FROM first"
        );
        assert_eq!(one.arguments, ["job".into(), 7.into(), "task".into(), 8.into(), Value::from("words with $1")]);
    }
}
