//! The same promises under load, cuts and kills: what holds for one message must hold for all of them.

mod crowd;
mod cuts;
mod instances;
mod kills;
mod many_topics;
mod random_ops;
mod senders;
mod slow_reader;
