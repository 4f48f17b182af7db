//! Users, sessions, topics and their log.

use sea_orm_migration::prelude::*;

use crate::types::run;

#[derive(Debug, DeriveMigrationName)]
pub(crate) struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        run(manager, SCHEMA).await
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let tables = ["message", "generation", "joined", "topic", "session", "\"user\"", "node", "meta"];
        let drops = tables.map(|table| format!("DROP TABLE {table}"));
        run(manager, &drops.each_ref().map(String::as_str)).await
    }
}

/// Plain SQL: a schema builder cannot express partial indexes, collations and clustering.
const SCHEMA: &[&str] = &[
    "CREATE TABLE meta (name {key} PRIMARY KEY, value TEXT NOT NULL)",
    "CREATE TABLE node (id {uuid} PRIMARY KEY, lease_until BIGINT NOT NULL)",
    "CREATE TABLE \"user\" (
        id {key} PRIMARY KEY,
        username TEXT NOT NULL,
        device_hash {key} UNIQUE,
        created_at BIGINT NOT NULL
    )",
    "CREATE TABLE session (
        id {uuid} PRIMARY KEY,
        user_id {key} NOT NULL,
        created_at BIGINT NOT NULL,
        expires_at BIGINT NOT NULL,
        ended_at BIGINT,
        generation BIGINT NOT NULL,
        stream BIGINT NOT NULL,
        node {uuid},
        online_since BIGINT NOT NULL,
        online_until BIGINT NOT NULL,
        next_slot INTEGER NOT NULL,
        joins BIGINT NOT NULL,
        resume_generation BIGINT,
        resume_moved {bytes}
    )",
    "CREATE INDEX session_by_user ON session (user_id, id)",
    "CREATE INDEX session_by_expiry ON session (expires_at)",
    "CREATE INDEX session_by_node ON session (node) WHERE node IS NOT NULL",
    "CREATE TABLE topic (
        id {serial},
        name {key} NOT NULL UNIQUE,
        last_seq BIGINT NOT NULL,
        last_at BIGINT NOT NULL,
        created_at BIGINT NOT NULL
    )",
    "CREATE TABLE joined (
        session_id {uuid} NOT NULL,
        topic_id BIGINT NOT NULL,
        slot INTEGER NOT NULL,
        position BIGINT NOT NULL,
        hidden BOOLEAN NOT NULL,
        ended SMALLINT,
        PRIMARY KEY (session_id, topic_id)
    ) {clustered}",
    "CREATE INDEX joined_by_topic ON joined (topic_id, session_id) WHERE ended IS NULL",
    "CREATE TABLE generation (
        session_id {uuid} NOT NULL,
        number BIGINT NOT NULL,
        next_slot INTEGER NOT NULL,
        positions {bytes} NOT NULL,
        PRIMARY KEY (session_id, number)
    ) {clustered}",
    "CREATE TABLE message (
        topic_id BIGINT NOT NULL,
        seq BIGINT NOT NULL,
        id {uuid} NOT NULL UNIQUE,
        code SMALLINT NOT NULL,
        sender_id {key} NOT NULL,
        sender_name TEXT NOT NULL,
        content TEXT,
        created_at BIGINT NOT NULL,
        edited_at BIGINT,
        removed_at BIGINT,
        idempotency_key {key},
        body_hash {bytes},
        PRIMARY KEY (topic_id, seq)
    ) {clustered}",
    "CREATE UNIQUE INDEX message_by_idempotency_key ON message (topic_id, sender_id, idempotency_key)
        WHERE idempotency_key IS NOT NULL",
];
