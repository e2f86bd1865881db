//! Training: from query data to a router folder.
//!
//! [`label`] makes the labels. [`encoder`] turns queries into embeddings with a frozen encoder, [`head`] fits a logistic
//! regression on them, [`train`] does both, and [`publish`] writes the router folder: one ONNX graph ([`graph`]) and its
//! manifest.

pub mod encoder;
pub mod folder;
pub mod graph;
pub mod head;
pub mod label;
pub mod minimise;
pub mod publish;
pub mod train;
