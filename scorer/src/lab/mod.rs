//! The lab: from graded responses to a router whose quality is known. Serving needs nothing of it.

pub mod calibrate;
pub mod collect;
pub mod corpus;
pub mod encoder;
pub mod evaluate;
pub mod figures;
pub mod folder;
pub mod graph;
pub mod head;
pub mod judge;
pub mod label;
pub mod lines;
pub mod log;
pub mod measure;
pub mod minimise;
pub mod openai;
pub mod price;
pub mod publish;
pub mod queries;
pub mod query_data;
pub mod report;
pub mod response;
pub mod shares;
pub mod split;
pub mod train;
