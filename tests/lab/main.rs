//! The lab with ONNX Runtime and the default router's encoder, through its command line.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod measure;
mod outside;
mod pick;
mod place;
mod train;
