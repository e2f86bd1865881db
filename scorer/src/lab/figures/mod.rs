//! Figures: how good a router's ranking is, with intervals, and the calibration table behind a dial.
//!
//! [`sweep`] and [`agreement`] have the figures of one order of the queries, [`evaluate`] their bootstrap intervals and the
//! baselines, [`carried`] those on another pair, [`groups`] parts of the queries, [`calibrate`] the table; [`figure`], [`shares`] and [`measure`] are the statistics
//! that these and training share.

pub mod agreement;
pub mod calibrate;
pub mod carried;
pub mod evaluate;
pub mod figure;
pub mod groups;
pub mod measure;
pub mod ranking;
mod samples;
pub mod shares;
pub mod sweep;
