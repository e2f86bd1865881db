//! The lab: from graded responses to a router whose quality is known. Serving needs nothing of it.
//!
//! Imports run one way: [`collect`] and [`judge`] use [`endpoint`] and [`data`]; [`report`] uses [`training`] and [`figures`];
//! [`training`] uses [`figures`] and [`data`]. [`pair`], [`price`] and [`thoughts`] are what they share.

pub mod collect;
pub mod data;
pub mod endpoint;
pub mod figures;
pub mod judge;
pub mod pair;
pub mod price;
pub mod report;
pub mod thoughts;
pub mod training;
