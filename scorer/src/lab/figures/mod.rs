//! Figures: how good a router's ranking is, with intervals, and the calibration table behind a dial.
//!
//! [`sweep`] has the figures of one order of the queries, [`evaluate`] their bootstrap intervals and the baselines,
//! [`calibrate`] the table; [`shares`] and [`measure`] are the statistics that these and training share.

pub mod calibrate;
pub mod evaluate;
pub mod measure;
pub mod shares;
pub mod sweep;
