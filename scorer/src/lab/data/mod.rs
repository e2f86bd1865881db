//! The files that the lab reads and writes, one line in memory at a time.
//!
//! [`lines`] reads lines and [`log`] appends them; [`queries`], [`query_data`] and [`responses`] are what can stand on them.
//! [`corpus`] holds the rows of several files of query data without their texts, [`split`] says what each row is for, and [`sample`]
//! chooses queries that stand for all.

pub mod corpus;
pub mod error;
mod foreign;
pub mod lines;
pub mod log;
pub mod names;
pub mod queries;
pub mod query_data;
pub mod responses;
pub mod sample;
pub mod split;
