//! The messages of an ONNX file, as far as editing a graph needs them (field numbers from onnx.proto, ONNX 1.23).
//!
//! What is not edited stays bytes: nodes, tensors and types go from file to file as they came, whatever version of ONNX
//! wrote them. To look into one of those, decode it as the message here that names the wanted fields alone.

use bytes::Bytes;
use prost::Message;

/// `TensorProto.DataType.FLOAT`.
pub(super) const FLOAT: i32 = 1;
/// `TensorProto.DataType.FLOAT16`, `DOUBLE` and `BFLOAT16`: numbers that can be made FLOAT.
pub(super) const OTHER_FLOATS: [i32; 3] = [10, 11, 16];
/// `TensorProto.DataType.INT64`.
pub(super) const INT64: i32 = 7;
/// `AttributeProto.AttributeType.INT`.
pub(super) const INT: i32 = 2;
/// `TensorProto.DataLocation.EXTERNAL`.
pub(super) const EXTERNAL: i32 = 1;

/// `ModelProto`.
#[derive(Clone, PartialEq, Message)]
pub(super) struct Model {
    #[prost(int64, optional, tag = "1")]
    pub(super) ir_version: Option<i64>,
    #[prost(string, optional, tag = "2")]
    pub(super) producer_name: Option<String>,
    #[prost(string, optional, tag = "3")]
    pub(super) producer_version: Option<String>,
    #[prost(string, optional, tag = "4")]
    pub(super) domain: Option<String>,
    #[prost(int64, optional, tag = "5")]
    pub(super) model_version: Option<i64>,
    #[prost(string, optional, tag = "6")]
    pub(super) doc_string: Option<String>,
    #[prost(message, optional, tag = "7")]
    pub(super) graph: Option<Graph>,
    #[prost(message, repeated, tag = "8")]
    pub(super) opset_import: Vec<OperatorSet>,
    #[prost(bytes = "bytes", repeated, tag = "14")]
    pub(super) metadata_props: Vec<Bytes>,
    #[prost(bytes = "bytes", repeated, tag = "25")]
    pub(super) functions: Vec<Bytes>,
}

/// `OperatorSetIdProto`.
#[derive(Clone, PartialEq, Message)]
pub(super) struct OperatorSet {
    #[prost(string, optional, tag = "1")]
    pub(super) domain: Option<String>,
    #[prost(int64, optional, tag = "2")]
    pub(super) version: Option<i64>,
}

/// `GraphProto`.
#[derive(Clone, PartialEq, Message)]
pub(super) struct Graph {
    #[prost(bytes = "bytes", repeated, tag = "1")]
    pub(super) node: Vec<Bytes>,
    #[prost(string, optional, tag = "2")]
    pub(super) name: Option<String>,
    #[prost(bytes = "bytes", repeated, tag = "5")]
    pub(super) initializer: Vec<Bytes>,
    #[prost(string, optional, tag = "10")]
    pub(super) doc_string: Option<String>,
    #[prost(bytes = "bytes", repeated, tag = "11")]
    pub(super) input: Vec<Bytes>,
    #[prost(bytes = "bytes", repeated, tag = "12")]
    pub(super) output: Vec<Bytes>,
    #[prost(bytes = "bytes", repeated, tag = "13")]
    pub(super) value_info: Vec<Bytes>,
    #[prost(bytes = "bytes", repeated, tag = "14")]
    pub(super) quantization_annotation: Vec<Bytes>,
    #[prost(bytes = "bytes", repeated, tag = "15")]
    pub(super) sparse_initializer: Vec<Bytes>,
    #[prost(bytes = "bytes", repeated, tag = "16")]
    pub(super) metadata_props: Vec<Bytes>,
}

/// What a `NodeProto` reads and writes, with the graphs inside it, which may read tensors of the graph around them.
#[derive(Clone, PartialEq, Message)]
pub(super) struct NodeNames {
    #[prost(string, repeated, tag = "1")]
    pub(super) input: Vec<String>,
    #[prost(string, repeated, tag = "2")]
    pub(super) output: Vec<String>,
    #[prost(message, repeated, tag = "5")]
    pub(super) attribute: Vec<AttributeGraphs>,
}

/// The graphs and the tensor of an `AttributeProto`.
#[derive(Clone, PartialEq, Message)]
pub(super) struct AttributeGraphs {
    #[prost(message, optional, tag = "5")]
    pub(super) t: Option<TensorHead>,
    #[prost(message, optional, tag = "6")]
    pub(super) g: Option<GraphNames>,
    #[prost(message, repeated, tag = "11")]
    pub(super) graphs: Vec<GraphNames>,
}

/// What a `GraphProto` inside a node reads.
#[derive(Clone, PartialEq, Message)]
pub(super) struct GraphNames {
    #[prost(message, repeated, tag = "1")]
    pub(super) node: Vec<NodeNames>,
    #[prost(message, repeated, tag = "12")]
    pub(super) output: Vec<Named>,
}

/// The first field of `ValueInfoProto` and of `TensorAnnotation`: a tensor's name.
#[derive(Clone, PartialEq, Message)]
pub(super) struct Named {
    #[prost(string, optional, tag = "1")]
    pub(super) name: Option<String>,
}

/// A `TensorProto` without its numbers.
#[derive(Clone, PartialEq, Message)]
pub(super) struct TensorHead {
    #[prost(string, optional, tag = "8")]
    pub(super) name: Option<String>,
    #[prost(int32, optional, tag = "14")]
    pub(super) data_location: Option<i32>,
}

/// A `SparseTensorProto` without its numbers; it is named by its values.
#[derive(Clone, PartialEq, Message)]
pub(super) struct SparseTensorHead {
    #[prost(message, optional, tag = "1")]
    pub(super) values: Option<TensorHead>,
}

/// `NodeProto`, to write one.
#[derive(Clone, PartialEq, Message)]
pub(super) struct Node {
    #[prost(string, repeated, tag = "1")]
    pub(super) input: Vec<String>,
    #[prost(string, repeated, tag = "2")]
    pub(super) output: Vec<String>,
    #[prost(string, optional, tag = "3")]
    pub(super) name: Option<String>,
    #[prost(string, optional, tag = "4")]
    pub(super) op_type: Option<String>,
    #[prost(message, repeated, tag = "5")]
    pub(super) attribute: Vec<IntAttribute>,
}

/// `AttributeProto` with one integer, to write one.
#[derive(Clone, PartialEq, Message)]
pub(super) struct IntAttribute {
    #[prost(string, optional, tag = "1")]
    pub(super) name: Option<String>,
    #[prost(int64, optional, tag = "3")]
    pub(super) i: Option<i64>,
    /// [`INT`].
    #[prost(int32, optional, tag = "20")]
    pub(super) r#type: Option<i32>,
}

/// `TensorProto` with its numbers as raw bytes, little-endian, to write one.
#[derive(Clone, PartialEq, Message)]
pub(super) struct Tensor {
    #[prost(int64, repeated, packed = "false", tag = "1")]
    pub(super) dims: Vec<i64>,
    #[prost(int32, optional, tag = "2")]
    pub(super) data_type: Option<i32>,
    #[prost(string, optional, tag = "8")]
    pub(super) name: Option<String>,
    #[prost(bytes = "bytes", optional, tag = "9")]
    pub(super) raw_data: Option<Bytes>,
}

/// `ValueInfoProto` of a tensor, to write one, or to read its type.
#[derive(Clone, PartialEq, Message)]
pub(super) struct ValueInfo {
    #[prost(string, optional, tag = "1")]
    pub(super) name: Option<String>,
    #[prost(message, optional, tag = "2")]
    pub(super) r#type: Option<Type>,
}

/// `TypeProto` of a tensor.
#[derive(Clone, PartialEq, Message)]
pub(super) struct Type {
    #[prost(message, optional, tag = "1")]
    pub(super) tensor_type: Option<TensorType>,
}

/// `TypeProto.Tensor`.
#[derive(Clone, PartialEq, Message)]
pub(super) struct TensorType {
    #[prost(int32, optional, tag = "1")]
    pub(super) elem_type: Option<i32>,
    /// Left out, the shape is for the runtime to infer.
    #[prost(message, optional, tag = "2")]
    pub(super) shape: Option<Shape>,
}

/// `TensorShapeProto`.
#[derive(Clone, PartialEq, Message)]
pub(super) struct Shape {
    #[prost(message, repeated, tag = "1")]
    pub(super) dim: Vec<Dimension>,
}

/// `TensorShapeProto.Dimension`: a number or a name.
#[derive(Clone, PartialEq, Message)]
pub(super) struct Dimension {
    #[prost(int64, optional, tag = "1")]
    pub(super) dim_value: Option<i64>,
    #[prost(string, optional, tag = "2")]
    pub(super) dim_param: Option<String>,
}
