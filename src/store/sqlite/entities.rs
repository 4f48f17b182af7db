//! SQLite's side of sea-orm: the values that its entities read from a row, and the connection on which migrations run.
//!
//! SQLite has one integer and one blob where an entity has `bool`, `i16`, `i32` and `i64`, `Uuid` and `Vec<u8>`, and
//! sea-orm takes a value only in the variant of the field's type: in another one it counts as null. So each column is
//! read as the entity of its table declares it. What is no column of an entity (a count, a sum) is an `i64`, a text or
//! bytes, as SQLite stores it.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, OnceLock};

use parlour_entity::{
    block, checkpoint, dm, group, group_member, instance, joined, message, meta, read_mark, session, topic, user,
};
use rusqlite::types::ValueRef;
use sea_orm::prelude::async_trait;
use sea_orm::sea_query::ColumnType;
use sea_orm::{
    ColumnTrait as _, Database, DatabaseConnection, DbBackend, DbErr, EntityTrait, IdenStatic as _, Iterable as _,
    ProxyDatabaseTrait, ProxyExecResult, ProxyRow, Statement, Value,
};
use uuid::Uuid;

use super::{Connection, ConnectionThreads};
use crate::store::StoreError;

/// The types that the columns of entities have: by table, then by column.
type Types = HashMap<&'static str, HashMap<&'static str, Type>>;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Type {
    Bool,
    SmallInt,
    Int,
    Uuid,
    /// As SQLite stores it.
    Stored,
}

/// A column of a result.
struct Column {
    name: String,
    /// Sorts before every name, in the order of the result: a [`ProxyRow`] finds a column by its position among its sorted
    /// names, and tuples are read by position.
    position: String,
    kind: Type,
}

impl Connection {
    /// The rows that a statement returns, for entities.
    pub(in crate::store) fn query_entity(&self, sql: &str, values: &[Value]) -> Result<Vec<ProxyRow>, StoreError> {
        self.with(|sqlite| {
            let mut statement = sqlite.prepare_cached(sql)?;
            super::connection::bind(&mut statement, values)?;
            let columns: Vec<_> = statement.columns_with_metadata().iter().enumerate().map(column).collect();
            let mut found = Vec::new();
            let mut rows = statement.raw_query();
            while let Some(row) = rows.next()? {
                let mut values = BTreeMap::new();
                for (at, column) in columns.iter().enumerate() {
                    let value = read(column.kind, row.get_ref(at)?)?;
                    values.insert(column.position.clone(), value.clone());
                    values.insert(column.name.clone(), value);
                }
                found.push(ProxyRow::new(values));
            }
            Ok(found)
        })
    }

    /// Runs a statement for entities.
    pub(in crate::store) fn execute_entity(&self, sql: &str, values: &[Value]) -> Result<ProxyExecResult, StoreError> {
        let rows_affected = self.execute(sql, values)?;
        let last_insert_id = self.with(|sqlite| Ok(sqlite.last_insert_rowid().unsigned_abs()))?;
        Ok(ProxyExecResult { last_insert_id, rows_affected })
    }
}

impl ConnectionThreads {
    /// As a database of sea-orm: for migrations, which run on nothing else.
    pub(in crate::store) async fn database(&self) -> Result<DatabaseConnection, DbErr> {
        Database::connect_proxy(DbBackend::Sqlite, Arc::new(Box::new(self.clone()))).await
    }
}

/// Migrations run on this: each statement alone, without a time limit.
#[async_trait::async_trait]
impl ProxyDatabaseTrait for ConnectionThreads {
    async fn query(&self, statement: Statement) -> Result<Vec<ProxyRow>, DbErr> {
        let values = statement.values.map_or_else(Vec::new, |values| values.0);
        Ok(self.call(move |connection| connection.query_entity(&statement.sql, &values)).await??)
    }

    async fn execute(&self, statement: Statement) -> Result<ProxyExecResult, DbErr> {
        let values = statement.values.map_or_else(Vec::new, |values| values.0);
        Ok(self.call(move |connection| connection.execute_entity(&statement.sql, &values)).await??)
    }
}

fn column((at, column): (usize, &rusqlite::ColumnMetadata<'_>)) -> Column {
    let kind =
        column.table_name().zip(column.origin_name()).and_then(|(table, column)| types().get(table)?.get(column));
    Column {
        name: column.name().to_owned(),
        position: format!("\0{at:03}"),
        kind: kind.copied().unwrap_or(Type::Stored),
    }
}

fn read(kind: Type, value: ValueRef<'_>) -> Result<Value, StoreError> {
    const WRONG: StoreError = StoreError::Corrupt("value of a column");
    Ok(match (kind, value) {
        (_, ValueRef::Null) => Value::String(None),
        (Type::Bool, ValueRef::Integer(value)) => (value != 0).into(),
        (Type::SmallInt, ValueRef::Integer(value)) => i16::try_from(value).map_err(|_| WRONG)?.into(),
        (Type::Int, ValueRef::Integer(value)) => i32::try_from(value).map_err(|_| WRONG)?.into(),
        (Type::Uuid, ValueRef::Blob(bytes)) => Uuid::from_slice(bytes).map_err(|_| WRONG)?.into(),
        (Type::Stored, ValueRef::Integer(value)) => value.into(),
        (Type::Stored, ValueRef::Real(value)) => value.into(),
        (Type::Stored, ValueRef::Text(text)) => str::from_utf8(text).map_err(|_| WRONG)?.into(),
        (Type::Stored, ValueRef::Blob(bytes)) => bytes.into(),
        _ => return Err(WRONG),
    })
}

fn types() -> &'static Types {
    static TYPES: OnceLock<Types> = OnceLock::new();
    TYPES.get_or_init(|| {
        HashMap::from([
            of::<block::Entity>(),
            of::<checkpoint::Entity>(),
            of::<dm::Entity>(),
            of::<group::Entity>(),
            of::<group_member::Entity>(),
            of::<instance::Entity>(),
            of::<joined::Entity>(),
            of::<message::Entity>(),
            of::<meta::Entity>(),
            of::<read_mark::Entity>(),
            of::<session::Entity>(),
            of::<topic::Entity>(),
            of::<user::Entity>(),
        ])
    })
}

/// A table's name and the types of its columns.
fn of<E: EntityTrait>() -> (&'static str, HashMap<&'static str, Type>) {
    let columns = E::Column::iter().map(|column| {
        let kind = match column.def().get_column_type() {
            ColumnType::Boolean => Type::Bool,
            ColumnType::SmallInteger => Type::SmallInt,
            ColumnType::Integer => Type::Int,
            ColumnType::Uuid => Type::Uuid,
            _ => Type::Stored,
        };
        (column.as_str(), kind)
    });
    (E::default().table_name(), columns.collect())
}

#[cfg(test)]
mod tests {
    use std::error::Error;

    use sea_orm::{ActiveModelTrait as _, QuerySelect as _, Set};

    use super::*;
    use crate::store::testing::TestDatabase;

    /// Between them these tables have a column of every type that an entity has, with a value and with null.
    #[tokio::test]
    async fn an_entity_comes_back_as_it_was_inserted() -> Result<(), Box<dyn Error>> {
        let database = TestDatabase::migrated().await?;
        let pools = &database.pools;
        let session = Uuid::from_u128(7);
        let other = Uuid::from_u128(8);
        let topic = topic::ActiveModel {
            name: Set("room:a".into()),
            last_seq: Set(i64::MAX),
            last_at: Set(-1),
            created_at: Set(0),
            ..Default::default()
        };
        let topic = topic.insert(&pools.write).await?;
        assert_eq!(topic.id, 1, "the key that SQLite gave, by RETURNING");
        assert_eq!((topic.last_seq, topic.deleted_at), (i64::MAX, None));
        let ended = joined::Model {
            session_id: session,
            topic_id: 1,
            join_number: i32::MAX,
            position: 1 << 40,
            hidden: true,
            ended: Some(i16::MIN),
            ended_seq: Some(5),
        };
        let open = joined::Model { session_id: other, hidden: false, ended: None, ended_seq: None, ..ended.clone() };
        for model in [&ended, &open] {
            let insert = joined::Entity::insert(joined::ActiveModel::from(model.clone()));
            assert_eq!(insert.exec_without_returning(&pools.write).await?, 1);
        }
        assert_eq!(joined::Entity::find().all(&pools.read).await?, [ended, open]);
        // sixteen bytes, as an id has
        let stored = checkpoint::Model { session_id: session, number: 1, next_join_number: 2, positions: vec![9; 16] };
        assert_eq!(checkpoint::ActiveModel::from(stored.clone()).insert(&pools.write).await?, stored);
        assert_eq!(checkpoint::Entity::find_by_id((session, 1)).one(&pools.read).await?, Some(stored));
        Ok(())
    }

    #[tokio::test]
    async fn tuples_counts_and_updates_are_as_on_postgresql() -> Result<(), Box<dyn Error>> {
        use sea_orm::{ExprTrait as _, PaginatorTrait as _, QueryFilter as _, QueryOrder as _};
        let database = TestDatabase::migrated().await?;
        let pools = &database.pools;
        let marks = [("bea", 3), ("ana", 1), ("ana", 2)].map(|(user, topic)| read_mark::ActiveModel {
            user_id: Set(user.into()),
            topic_id: Set(topic),
            seq: Set(10 * topic),
        });
        assert_eq!(read_mark::Entity::insert_many(marks).exec_without_returning(&pools.write).await?, 3);
        let tuples: Vec<(String, i64, i64)> = read_mark::Entity::find()
            .select_only()
            .columns([read_mark::Column::UserId, read_mark::Column::TopicId, read_mark::Column::Seq])
            .order_by_desc(read_mark::Column::TopicId)
            .limit(2)
            .into_tuple()
            .all(&pools.read)
            .await?;
        assert_eq!(tuples, [("bea".into(), 3, 30), ("ana".into(), 2, 20)]);
        let of_ana = read_mark::Entity::find().filter(read_mark::Column::UserId.eq("ana"));
        assert_eq!(of_ana.clone().count(&pools.read).await?, 2);
        let sum: Option<Option<i64>> =
            of_ana.select_only().expr(read_mark::Column::Seq.max()).into_tuple().one(&pools.read).await?;
        assert_eq!(sum, Some(Some(20)));
        let moved = read_mark::Entity::update_many()
            .col_expr(read_mark::Column::Seq, read_mark::Column::Seq.into_expr().add(1))
            .filter(read_mark::Column::TopicId.gte(2))
            .exec(&pools.write)
            .await?;
        assert_eq!(moved.rows_affected, 2);
        let gone = read_mark::Entity::delete_many().filter(read_mark::Column::Seq.eq(21)).exec(&pools.write).await?;
        assert_eq!((gone.rows_affected, read_mark::Entity::find().count(&pools.read).await?), (1, 2));
        Ok(())
    }

    /// Or a value of the column would be read as what it is not.
    #[tokio::test]
    async fn every_column_is_declared_as_its_entity_says() -> Result<(), Box<dyn Error>> {
        let database = TestDatabase::migrated().await?;
        let pools = &database.pools;
        let tables = types();
        let sql = "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite_%' \
                   AND name <> 'seaql_migrations'";
        for row in crate::store::dialect::rows(&pools.read, sql, vec![]).await? {
            let table: String = row.get("name")?;
            assert!(tables.contains_key(&*table), "{table} has no entity here");
        }
        let mut seen = 0;
        for (table, columns) in tables {
            let sql = format!("SELECT name, type FROM pragma_table_info('{table}')");
            for row in crate::store::dialect::rows(&pools.read, sql, vec![]).await? {
                let name: String = row.get("name")?;
                let declared: String = row.get("type")?;
                let expected: &[&str] = match columns.get(&*name) {
                    Some(Type::Bool) => &["BOOLEAN"],
                    Some(Type::SmallInt) => &["SMALLINT"],
                    Some(Type::Int) => &["INTEGER"],
                    Some(Type::Uuid) => &["BLOB"],
                    Some(Type::Stored) if (*table, &*name) == ("topic", "id") => &["INTEGER"],
                    Some(Type::Stored) => &["BIGINT", "TEXT", "BLOB"],
                    None => return Err(format!("{table}.{name} is in no entity").into()),
                };
                assert!(expected.contains(&&*declared), "{table}.{name} is {declared}");
                seen += 1;
            }
        }
        assert_eq!(seen, tables.values().map(HashMap::len).sum::<usize>());
        Ok(())
    }
}
