//! Black-box tests of the service over HTTP, named after the rules of its contract: one file for each noun of it.
//!
//! `PARLOUR_TEST_DATABASE` chooses the database: `sqlite` (the default) or `postgres`, which the tests start
//! themselves. On PostgreSQL, `PARLOUR_TEST_BUS` (`postgres` or `nats`) makes each service two instances, and sends
//! every call to either of them.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking, and the panic names the line")]
#![expect(clippy::cloned_ref_to_slice_refs, reason = "a list of one reads as the list that is expected")]

mod activity;
mod architecture;
mod block_edits;
mod blocks;
mod browser;
mod change_races;
mod changes;
mod command_line;
mod content;
mod crowds;
mod cursors;
mod deploy;
mod direct_messages;
mod docs;
mod edits;
mod errors;
mod examples;
mod gaps;
mod goodbyes;
mod group_access;
mod group_edits;
mod group_inbox;
mod group_members;
mod group_races;
mod group_revocations;
mod group_roles;
mod groups;
mod history;
mod idempotency;
mod inbox;
mod instances;
mod integrators;
mod long_poll;
mod messages;
mod migrations;
mod presence;
mod pruning;
mod races;
mod rate_limits;
mod read_marks;
mod recovery;
mod removals;
mod resume;
mod service;
mod sessions;
mod stream;
mod support;
mod topics;
mod torture;
mod typing;
mod users;
mod vanish;
mod web;
