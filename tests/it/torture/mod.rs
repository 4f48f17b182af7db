//! The same guarantees under load, cuts and kills.

mod crowd;
mod cuts;
mod instances;
mod kills;
mod many_topics;
mod random_ops;
mod senders;
mod slow_reader;
