//! Editing an ONNX encoder: cutting it at the tensor with the embedding, pooling it, and fusing a linear head behind it.
//!
//! Nodes and weights that stay are copied byte for byte, so that what a router computes up to its embedding is what the
//! encoder computed. What is added uses standard operators only, as they have been since opset 13.

mod proto;
#[cfg(test)]
mod tests;

use std::collections::{HashMap, HashSet};

use bytes::Bytes;
use prost::{DecodeError, Message};

use self::proto::{
    Dimension, EXTERNAL, FLOAT, Graph, GraphNames, INT, INT64, IntAttribute, Model, Named, Node, NodeNames,
    OTHER_FLOATS, Shape, SparseTensorHead, Tensor, TensorHead, TensorType, Type, ValueInfo,
};

/// The name that the embedding has in every router that [`EncoderGraph::with_head`] writes: f32 `[batch, dim]`.
pub const EMBEDDING: &str = "sentence_embedding";
/// Where an embedding is looked for when no tensor is named: first the names of what is pooled already, then those that
/// exporters give to `[batch, tokens, dim]`.
const USUAL: [&str; 4] = [EMBEDDING, "embedding", "last_hidden_state", "token_embeddings"];
const INPUT_IDS: &str = "input_ids";
const ATTENTION_MASK: &str = "attention_mask";
const LOGITS: &str = "logits";
/// What every added tensor's name begins with; such names in the file come from an earlier head or pooling.
const PREFIX: &str = "hybrid_llm.";
/// The first opset in which `ReduceSum` and `Unsqueeze` take their axes as an input.
const OPSET: i64 = 13;
/// How many of the last tensors an error lists.
const LISTED: usize = 6;

/// A whole model, as read from a file.
#[derive(Debug, Clone)]
pub struct OnnxGraph {
    model: Model,
    graph: Graph,
    /// What each node reads and writes, in the nodes' order.
    nodes: Vec<NodeNames>,
}

/// A model that ends in its embedding: inputs `input_ids`, `attention_mask` and others the encoder needs.
#[derive(Debug, Clone)]
pub struct EncoderGraph {
    model: Model,
    graph: Graph,
    /// The tensor at which it ends.
    embedding: String,
    /// The names of all its tensors.
    names: HashSet<String>,
}

/// A linear function of the embedding and, where it helps, of the logarithm of the token count.
#[derive(Debug, Clone, PartialEq)]
pub struct LinearHead {
    /// One weight for each number of the embedding.
    pub weights: Vec<f32>,
    /// The weight of ln(1 + tokens), special tokens included.
    pub log_tokens: Option<f32>,
    /// What is added.
    pub bias: f32,
}

/// A model that cannot be edited, and why.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum GraphError {
    /// The bytes are no ONNX model.
    #[error("is not an ONNX model: {0}")]
    Parse(#[from] DecodeError),
    /// There is no graph in it.
    #[error("is not an ONNX model: it has no graph")]
    Empty,
    /// Weights lie in other files.
    #[error("keeps weights in other files (external data): save the model as one file")]
    External,
    /// The operators are too old.
    #[error("uses opset {found} of the standard operators, but must use {OPSET} or later: export it again")]
    Opset {
        /// The opset of the model.
        found: i64,
    },
    /// A needed input is missing.
    #[error("has no input {missing}; its inputs are {inputs}")]
    Input {
        /// The input.
        missing: &'static str,
        /// The inputs there are.
        inputs: String,
    },
    /// There is no tensor of that name.
    #[error(
        "has no tensor {wanted}; its outputs are {outputs}, its last tensors {last}: name the embedding with --embedding"
    )]
    NoTensor {
        /// What was looked for.
        wanted: String,
        /// The outputs there are.
        outputs: String,
        /// The last tensors that are computed.
        last: String,
    },
    /// The encoder itself uses the name that the result must have.
    #[error("computes its embedding from a tensor named {LOGITS}, which must be the name of the result: rename it")]
    LogitsTaken,
}

impl OnnxGraph {
    /// Reads a model's file; what is not looked at is not copied.
    ///
    /// # Errors
    /// [`GraphError`], for what is no model or none that can be edited.
    pub fn parse(file: Bytes) -> Result<Self, GraphError> {
        let mut model = Model::decode(file)?;
        let graph = model.graph.take().ok_or(GraphError::Empty)?;
        let standard =
            model.opset_import.iter().find(|set| matches!(set.domain.as_deref(), None | Some("" | "ai.onnx")));
        let found = standard.and_then(|set| set.version).unwrap_or(1);
        if found < OPSET {
            return Err(GraphError::Opset { found });
        }
        let nodes: Vec<NodeNames> = decode_all(&graph.node)?;
        let tensors: Vec<TensorHead> = decode_all(&graph.initializer)?;
        let constants =
            nodes.iter().flat_map(|node| node.attribute.iter().filter_map(|attribute| attribute.t.as_ref()));
        if tensors.iter().chain(constants).any(|tensor| tensor.data_location == Some(EXTERNAL)) {
            return Err(GraphError::External);
        }
        let inputs = names(&graph.input)?;
        for missing in [INPUT_IDS, ATTENTION_MASK] {
            if !inputs.iter().any(|name| name == missing) {
                return Err(GraphError::Input { missing, inputs: inputs.join(", ") });
            }
        }
        Ok(Self { model, graph, nodes })
    }

    /// The tensor with the embedding: `wanted`, or the first that is there of [`EMBEDDING`] and the names that exporters
    /// give.
    ///
    /// # Errors
    /// [`GraphError::NoTensor`].
    pub fn find_embedding<'a>(&self, wanted: Option<&'a str>) -> Result<&'a str, GraphError> {
        let found = match wanted {
            Some(wanted) => Some(wanted).filter(|name| self.computes(name)),
            None => USUAL.into_iter().find(|name| self.computes(name)),
        };
        found.ok_or_else(|| {
            let computed: Vec<&str> = self.computed().filter(|name| !name.is_empty()).collect();
            let last = computed.get(computed.len().saturating_sub(LISTED)..).unwrap_or_default().join(", ");
            let wanted = wanted.map_or_else(|| USUAL.join(" or "), str::to_owned);
            let outputs = names(&self.graph.output).unwrap_or_default().join(", ");
            GraphError::NoTensor { wanted, outputs, last }
        })
    }

    fn computed(&self) -> impl Iterator<Item = &str> {
        self.nodes.iter().flat_map(|node| node.output.iter().map(String::as_str))
    }

    fn computes(&self, name: &str) -> bool {
        self.computed().any(|output| output == name)
    }

    /// What the file says of a tensor's type and shape.
    fn info(&self, tensor: &str) -> Option<Bytes> {
        let infos = self.graph.output.iter().chain(&self.graph.value_info);
        let named = |info: &&Bytes| {
            let named = Named::decode((*info).clone()).ok();
            named.is_some_and(|named| named.name.as_deref() == Some(tensor))
        };
        infos.into_iter().find(named).cloned()
    }

    /// The part of the model that computes one tensor; nodes, weights and inputs that it does not need are left out. An
    /// embedding in half or double precision is made f32.
    ///
    /// # Errors
    /// [`GraphError::LogitsTaken`], or [`GraphError::NoTensor`] when the tensor is not there.
    pub fn cut(&self, embedding: &str) -> Result<EncoderGraph, GraphError> {
        self.find_embedding(Some(embedding))?;
        let (kept, needed) = self.needed(embedding);
        if needed.contains(LOGITS) {
            return Err(GraphError::LogitsTaken);
        }
        let graph = &self.graph;
        let of_use = |name: &str| needed.contains(name);
        let required = |name: &str| of_use(name) || [INPUT_IDS, ATTENTION_MASK].contains(&name);
        let nodes = graph.node.iter().zip(kept).filter(|(_, kept)| *kept).map(|(node, _)| node.clone());
        let cut = Graph {
            node: nodes.collect(),
            name: graph.name.clone(),
            initializer: keep(&graph.initializer, |tensor: &TensorHead| tensor.name.as_deref(), of_use)?,
            doc_string: None,
            input: keep(&graph.input, |info: &Named| info.name.as_deref(), required)?,
            output: Vec::new(),
            value_info: keep(&graph.value_info, |info: &Named| info.name.as_deref(), of_use)?,
            quantization_annotation: keep(
                &graph.quantization_annotation,
                |annotation: &Named| annotation.name.as_deref(),
                of_use,
            )?,
            sparse_initializer: keep(
                &graph.sparse_initializer,
                |tensor: &SparseTensorHead| tensor.values.as_ref().and_then(|values| values.name.as_deref()),
                of_use,
            )?,
            metadata_props: graph.metadata_props.clone(),
        };
        let names = needed;
        let mut cut = EncoderGraph { model: self.model.clone(), graph: cut, embedding: embedding.to_owned(), names };
        if let Some(info) = self.info(embedding) {
            let element = ValueInfo::decode(info.clone())?.r#type.and_then(|kind| kind.tensor_type?.elem_type);
            if element.is_some_and(|element| OTHER_FLOATS.contains(&element)) {
                // Its type stays known, for whoever cuts the result again.
                if !cut.graph.value_info.contains(&info) {
                    cut.graph.value_info.push(info);
                }
                cut.embedding = cut.op("Cast", &[embedding], "float", &[("to", FLOAT.into())]);
            }
        }
        Ok(cut)
    }

    /// Which nodes compute `tensor`, in the nodes' order, and the names of all tensors that takes.
    fn needed(&self, tensor: &str) -> (Vec<bool>, HashSet<String>) {
        let outputs =
            self.nodes.iter().enumerate().flat_map(|(at, node)| node.output.iter().map(move |name| (name, at)));
        let producers: HashMap<&String, usize> = outputs.filter(|(name, _)| !name.is_empty()).collect();
        let mut kept = vec![false; self.nodes.len()];
        let mut needed = HashSet::new();
        let mut open = vec![tensor.to_owned()];
        while let Some(name) = open.pop() {
            let producer = producers.get(&name).and_then(|at| Some((self.nodes.get(*at)?, kept.get_mut(*at)?)));
            if let Some((node, kept)) = producer.filter(|(_, kept)| !**kept) {
                *kept = true;
                read_by(node, &mut open);
                needed.extend(node.output.iter().cloned());
            }
            needed.insert(name);
        }
        (kept, needed)
    }
}

impl EncoderGraph {
    /// Makes the mean over the tokens that the attention mask keeps the embedding, for an encoder whose tensor is
    /// `[batch, tokens, dim]`.
    #[must_use]
    pub fn mean_pooled(mut self) -> Self {
        let tokens = std::mem::take(&mut self.embedding);
        let mask = self.op("Cast", &[ATTENTION_MASK], "pool.mask", &[("to", FLOAT.into())]);
        let (axis, last) = (self.integer("pool.axis", 1), self.integer("pool.last", 2));
        let column = self.op("Unsqueeze", &[&mask, &last], "pool.column", &[]);
        let masked = self.op("Mul", &[&tokens, &column], "pool.masked", &[]);
        let sum = self.op("ReduceSum", &[&masked, &axis], "pool.sum", &[("keepdims", 0)]);
        let count = self.op("ReduceSum", &[&mask, &axis], "pool.count", &[("keepdims", 1)]);
        self.embedding = self.op("Div", &[&sum, &count], "pool.mean", &[]);
        self
    }

    /// The model whose only output is the embedding.
    pub fn encode(&self) -> Vec<u8> {
        // The shape is for the runtime to infer: it may be [batch, dim] or [batch, tokens, dim].
        self.with_output(&self.embedding, None)
    }

    /// The model of a router: the head behind the embedding, and `logits`, f32 `[batch, 1]`, the only output. The
    /// embedding is in it by the name [`EMBEDDING`], so that another head can be trained on it later.
    pub fn with_head(&self, head: &LinearHead) -> Vec<u8> {
        let mut router = self.clone();
        let embedding = if router.names.contains(EMBEDDING) {
            router.embedding.clone()
        } else {
            router.named("Identity", &[&self.embedding], EMBEDDING, &[])
        };
        let weights = router.floats("head.weight", &[head.weights.len(), 1], &head.weights);
        let bias = router.floats("head.bias", &[1], &[head.bias]);
        let product = router.op("MatMul", &[&embedding, &weights], "head.product", &[]);
        let linear = match head.log_tokens {
            None => product,
            Some(weight) => {
                let mask = router.op("Cast", &[ATTENTION_MASK], "head.mask", &[("to", FLOAT.into())]);
                let (axis, one) = (router.integer("head.axis", 1), router.floats("head.one", &[1], &[1.0]));
                let tokens = router.op("ReduceSum", &[&mask, &axis], "head.tokens", &[("keepdims", 1)]);
                let above = router.op("Add", &[&tokens, &one], "head.tokens.above", &[]);
                let log = router.op("Log", &[&above], "head.tokens.log", &[]);
                let weight = router.floats("head.tokens.weight", &[1], &[weight]);
                let length = router.op("Mul", &[&log, &weight], "head.length", &[]);
                router.op("Add", &[&product, &length], "head.linear", &[])
            }
        };
        let logits = router.named("Add", &[&linear, &bias], LOGITS, &[]);
        let batch = Dimension { dim_value: None, dim_param: Some("batch".to_owned()) };
        let one = Dimension { dim_value: Some(1), dim_param: None };
        router.with_output(&logits, Some(Shape { dim: vec![batch, one] }))
    }

    fn with_output(&self, name: &str, shape: Option<Shape>) -> Vec<u8> {
        let tensor_type = Some(TensorType { elem_type: Some(FLOAT), shape });
        let output = ValueInfo { name: Some(name.to_owned()), r#type: Some(Type { tensor_type }) };
        let mut graph = self.graph.clone();
        graph.output = vec![output.encode_to_vec().into()];
        Model { graph: Some(graph), ..self.model.clone() }.encode_to_vec()
    }

    /// Adds a node whose output has a name of its own, and gives that name.
    fn op(&mut self, kind: &str, inputs: &[&str], name: &str, attributes: &[(&str, i64)]) -> String {
        let name = self.fresh(name);
        self.named(kind, inputs, &name, attributes)
    }

    /// Adds a node with exactly this output.
    fn named(&mut self, kind: &str, inputs: &[&str], output: &str, attributes: &[(&str, i64)]) -> String {
        let attribute = |(name, value): &(&str, i64)| IntAttribute {
            name: Some((*name).to_owned()),
            i: Some(*value),
            r#type: Some(INT),
        };
        let node = Node {
            input: inputs.iter().map(|input| (*input).to_owned()).collect(),
            output: vec![output.to_owned()],
            name: Some(format!("{output}/{kind}")),
            op_type: Some(kind.to_owned()),
            attribute: attributes.iter().map(attribute).collect(),
        };
        self.graph.node.push(node.encode_to_vec().into());
        self.names.insert(output.to_owned());
        output.to_owned()
    }

    fn integer(&mut self, name: &str, value: i64) -> String {
        self.constant(name, INT64, &[1], value.to_le_bytes().to_vec())
    }

    fn floats(&mut self, name: &str, dims: &[usize], values: &[f32]) -> String {
        self.constant(name, FLOAT, dims, values.iter().flat_map(|value| value.to_le_bytes()).collect())
    }

    fn constant(&mut self, name: &str, data_type: i32, dims: &[usize], raw: Vec<u8>) -> String {
        let name = self.fresh(name);
        let dims = dims.iter().map(|dim| i64::try_from(*dim).unwrap_or(i64::MAX)).collect();
        let tensor = Tensor { dims, data_type: Some(data_type), name: Some(name.clone()), raw_data: Some(raw.into()) };
        self.graph.initializer.push(tensor.encode_to_vec().into());
        self.names.insert(name.clone());
        name
    }

    /// A name that no tensor has.
    fn fresh(&self, name: &str) -> String {
        let mut fresh = format!("{PREFIX}{name}");
        while self.names.contains(&fresh) {
            fresh.push('_');
        }
        fresh
    }
}

/// Adds the names that a node reads, with those that the graphs inside it read. Names of their own are among them,
/// which does no harm: ONNX does not let an inner tensor have an outer one's name.
fn read_by(node: &NodeNames, open: &mut Vec<String>) {
    open.extend(node.input.iter().filter(|name| !name.is_empty()).cloned());
    let graphs = node.attribute.iter().flat_map(|attribute| attribute.g.iter().chain(&attribute.graphs));
    for GraphNames { node, output } in graphs {
        node.iter().for_each(|node| read_by(node, open));
        open.extend(output.iter().filter_map(|output| output.name.clone()));
    }
}

fn decode_all<M: Message + Default>(messages: &[Bytes]) -> Result<Vec<M>, DecodeError> {
    messages.iter().map(|message| M::decode(message.clone())).collect()
}

fn names(infos: &[Bytes]) -> Result<Vec<String>, DecodeError> {
    let infos: Vec<Named> = decode_all(infos)?;
    Ok(infos.into_iter().filter_map(|info| info.name).collect())
}

/// The messages whose name is wanted, as they are.
fn keep<M: Message + Default>(
    messages: &[Bytes],
    name: impl Fn(&M) -> Option<&str>,
    wanted: impl Fn(&str) -> bool,
) -> Result<Vec<Bytes>, DecodeError> {
    let mut kept = Vec::new();
    for message in messages {
        if name(&M::decode(message.clone())?).is_some_and(&wanted) {
            kept.push(message.clone());
        }
    }
    Ok(kept)
}
