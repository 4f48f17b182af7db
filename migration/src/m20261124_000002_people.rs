//! Groups, blocks, direct messages by user, read marks, and entries that change others.

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
        run(
            manager,
            &[
                "DROP INDEX message_by_target",
                "ALTER TABLE message DROP COLUMN target",
                "DROP INDEX topic_by_deletion",
                "ALTER TABLE topic DROP COLUMN deleted_at",
                "DROP INDEX joined_by_ended_topic",
                "ALTER TABLE joined DROP COLUMN ended_seq",
                "DROP TABLE read_mark",
                "DROP TABLE dm",
                "DROP TABLE block",
                "DROP TABLE group_member",
                "DROP TABLE \"group\"",
            ],
        )
        .await
    }
}

const SCHEMA: &[&str] = &[
    "CREATE TABLE \"group\" (
        id {uuid} PRIMARY KEY,
        topic_id BIGINT NOT NULL UNIQUE,
        name TEXT NOT NULL,
        search_name {key} NOT NULL,
        description TEXT NOT NULL,
        open BOOLEAN NOT NULL,
        max_members INTEGER NOT NULL,
        members INTEGER NOT NULL,
        created_at BIGINT NOT NULL
    )",
    "CREATE INDEX group_by_name ON \"group\" (search_name, id)",
    "CREATE TABLE group_member (
        group_id {uuid} NOT NULL,
        user_id {key} NOT NULL,
        standing SMALLINT NOT NULL,
        since BIGINT NOT NULL,
        PRIMARY KEY (group_id, user_id)
    ) {clustered}",
    "CREATE INDEX group_member_by_standing ON group_member (group_id, standing, user_id)",
    "CREATE INDEX group_member_by_user ON group_member (user_id, group_id)",
    "CREATE TABLE block (
        blocker_id {key} NOT NULL,
        blocked_id {key} NOT NULL,
        created_at BIGINT NOT NULL,
        PRIMARY KEY (blocker_id, blocked_id)
    ) {clustered}",
    "CREATE TABLE dm (
        user_id {key} NOT NULL,
        topic_id BIGINT NOT NULL,
        PRIMARY KEY (user_id, topic_id)
    ) {clustered}",
    "INSERT INTO dm (user_id, topic_id) SELECT {dm_first}, id FROM topic WHERE name >= 'dm:' AND name < 'dm;'",
    "INSERT INTO dm (user_id, topic_id) SELECT {dm_second}, id FROM topic WHERE name >= 'dm:' AND name < 'dm;'",
    "CREATE TABLE read_mark (
        user_id {key} NOT NULL,
        topic_id BIGINT NOT NULL,
        seq BIGINT NOT NULL,
        PRIMARY KEY (user_id, topic_id)
    ) {clustered}",
    "ALTER TABLE joined ADD COLUMN ended_seq BIGINT",
    "CREATE INDEX joined_by_ended_topic ON joined (topic_id) WHERE ended IS NOT NULL",
    "ALTER TABLE topic ADD COLUMN deleted_at BIGINT",
    "CREATE INDEX topic_by_deletion ON topic (deleted_at) WHERE deleted_at IS NOT NULL",
    "ALTER TABLE message ADD COLUMN target BIGINT",
    "CREATE INDEX message_by_target ON message (topic_id, target) WHERE target IS NOT NULL",
];
