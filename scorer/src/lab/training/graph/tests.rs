//! Graphs built of the same messages, cut and put together again. That ONNX Runtime reads the results is tested with it.

use super::{
    proto::{AttributeGraphs, OperatorSet},
    *,
};

fn node(kind: &str, inputs: &[&str], outputs: &[&str]) -> Bytes {
    let list = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
    Node { input: list(inputs), output: list(outputs), op_type: Some(kind.to_owned()), ..Node::default() }
        .encode_to_vec()
        .into()
}

fn info(name: &str) -> Bytes {
    Named { name: Some(name.to_owned()) }.encode_to_vec().into()
}

fn tensor(name: &str) -> Bytes {
    let raw_data = Some(Bytes::from_static(&[0; 4]));
    Tensor { dims: vec![1], data_type: Some(FLOAT), name: Some(name.to_owned()), raw_data }.encode_to_vec().into()
}

/// words = Gather(table, input_ids); last_hidden_state = Add(words, shift); an old head of it, and an unused branch.
fn graph() -> Graph {
    Graph {
        node: vec![
            node("Gather", &["table", "input_ids"], &["words"]),
            node("Add", &["words", "shift"], &["last_hidden_state"]),
            node("MatMul", &["last_hidden_state", "old"], &["scores"]),
            node("Identity", &["token_type_ids"], &["unused"]),
        ],
        name: Some("g".to_owned()),
        initializer: vec![tensor("table"), tensor("shift"), tensor("old")],
        input: vec![info("input_ids"), info("attention_mask"), info("token_type_ids")],
        output: vec![info("scores"), info("unused")],
        value_info: vec![info("words"), info("unused")],
        ..Graph::default()
    }
}

fn file(graph: Graph) -> Bytes {
    let opset_import = vec![OperatorSet { domain: None, version: Some(17) }];
    Model { ir_version: Some(8), opset_import, graph: Some(graph), ..Model::default() }.encode_to_vec().into()
}

fn decoded(model: &[u8]) -> (Graph, Vec<Node>) {
    let graph = Model::decode(model).unwrap().graph.unwrap();
    let nodes = decode_all(&graph.node).unwrap();
    (graph, nodes)
}

fn kinds(nodes: &[Node]) -> Vec<&str> {
    nodes.iter().map(|node| node.op_type.as_deref().unwrap()).collect()
}

fn fault(graph: Graph) -> String {
    OnnxGraph::parse(file(graph)).unwrap_err().to_string()
}

#[test]
fn a_cut_leaves_what_the_tensor_needs_byte_for_byte() {
    let whole = graph();
    let parsed = OnnxGraph::parse(file(whole.clone())).unwrap();
    let tensor = parsed.find_embedding(None).unwrap();
    assert_eq!(tensor, "last_hidden_state");
    let (cut, _) = decoded(&parsed.cut(tensor).unwrap().encode());
    assert_eq!(cut.node, whole.node[..2]);
    assert_eq!(cut.initializer, whole.initializer[..2]);
    assert_eq!(cut.input, whole.input[..2]);
    assert_eq!(cut.value_info, whole.value_info[..1]);
    assert_eq!(names(&cut.output).unwrap(), ["last_hidden_state"]);
}

#[test]
fn graphs_inside_nodes_keep_what_they_read() {
    let mut whole = graph();
    let branch = GraphNames {
        node: vec![NodeNames { input: vec!["old".to_owned()], output: vec!["inner".to_owned()], attribute: vec![] }],
        output: vec![Named { name: Some("inner".to_owned()) }],
    };
    let attribute = vec![AttributeGraphs { g: Some(branch), ..AttributeGraphs::default() }];
    let choice = NodeNames { input: vec!["shift".to_owned()], output: vec!["words".to_owned()], attribute };
    whole.node[0] = choice.encode_to_vec().into();
    let cut = OnnxGraph::parse(file(whole)).unwrap().cut("last_hidden_state").unwrap();
    assert_eq!(names_of_tensors(&cut.graph), ["shift", "old"]);
}

fn names_of_tensors(graph: &Graph) -> Vec<String> {
    decode_all::<TensorHead>(&graph.initializer).unwrap().into_iter().filter_map(|tensor| tensor.name).collect()
}

#[test]
fn pooling_and_head_stand_behind_the_encoder_and_logits_is_the_only_output() {
    let encoder = OnnxGraph::parse(file(graph())).unwrap().cut("last_hidden_state").unwrap().mean_pooled();
    let head = LinearHead { weights: vec![1.0, -2.0], log_tokens: Some(0.5), bias: 3.0 };
    let (router, nodes) = decoded(&encoder.with_head(&head));
    assert_eq!(
        kinds(&nodes),
        [
            "Gather",
            "Add",
            "Cast",
            "Unsqueeze",
            "Mul",
            "ReduceSum",
            "ReduceSum",
            "Div",
            "Identity",
            "MatMul",
            "Cast",
            "ReduceSum",
            "Add",
            "Log",
            "Mul",
            "Add",
            "Add"
        ]
    );
    assert_eq!(names(&router.output).unwrap(), [LOGITS]);
    let tensors: Vec<Tensor> = decode_all(&router.initializer).unwrap();
    let weight = tensors.iter().find(|tensor| tensor.name.as_deref() == Some("hybrid_llm.head.weight")).unwrap();
    assert_eq!(weight.dims, [2, 1]);
    assert_eq!(weight.raw_data.as_deref().unwrap(), [1.0_f32.to_le_bytes(), (-2.0_f32).to_le_bytes()].concat());
}

/// What a file says of a tensor of this type.
fn typed(name: &str, element: i32) -> Bytes {
    let tensor_type = Some(TensorType { elem_type: Some(element), shape: None });
    ValueInfo { name: Some(name.to_owned()), r#type: Some(Type { tensor_type }) }.encode_to_vec().into()
}

#[test]
fn an_embedding_in_half_precision_is_made_single_and_so_again() {
    const FLOAT16: i32 = 10;
    let cast = |element: i32, place: fn(&mut Graph) -> &mut Vec<Bytes>| {
        let mut whole = graph();
        place(&mut whole).push(typed("last_hidden_state", element));
        let (cut, nodes) = decoded(&OnnxGraph::parse(file(whole)).unwrap().cut("last_hidden_state").unwrap().encode());
        (names(&cut.output).unwrap().remove(0), kinds(&nodes).concat())
    };
    let single = ("hybrid_llm.float".to_owned(), "GatherAddCast".to_owned());
    assert_eq!(cast(FLOAT16, |graph| &mut graph.output), single);
    assert_eq!(cast(FLOAT16, |graph| &mut graph.value_info), single);
    assert_eq!(cast(FLOAT, |graph| &mut graph.output), ("last_hidden_state".to_owned(), "GatherAdd".to_owned()));

    let mut whole = graph();
    whole.node[1] = node("Add", &["words", "shift"], &[EMBEDDING]);
    whole.output.push(typed(EMBEDDING, FLOAT16));
    let head = LinearHead { weights: vec![1.0], log_tokens: None, bias: 0.0 };
    let router = OnnxGraph::parse(file(whole)).unwrap().cut(EMBEDDING).unwrap().with_head(&head);
    let (_, nodes) = decoded(&router);
    assert_eq!(kinds(&nodes), ["Gather", "Add", "Cast", "MatMul", "Add"]);
    let again = OnnxGraph::parse(router.clone().into()).unwrap().cut(EMBEDDING).unwrap().with_head(&head);
    assert_eq!(router, again);
}

#[test]
fn a_router_can_be_cut_again_and_gets_a_new_head_in_place_of_the_old_one() {
    let head = |bias| LinearHead { weights: vec![1.0], log_tokens: None, bias };
    let first = OnnxGraph::parse(file(graph())).unwrap().cut("words").unwrap().with_head(&head(1.0));
    let again = OnnxGraph::parse(first.clone().into()).unwrap();
    assert_eq!(again.find_embedding(None).unwrap(), EMBEDDING);
    let second = again.cut(EMBEDDING).unwrap().with_head(&head(2.0));
    let third = OnnxGraph::parse(second.clone().into()).unwrap().cut(EMBEDDING).unwrap().with_head(&head(1.0));
    assert_eq!(first, third);
    assert_ne!(first, second);
    assert_eq!(first.len(), second.len());
}

#[test]
fn added_names_never_meet_those_of_the_file() {
    let mut whole = graph();
    whole.node[0] = node("Gather", &["hybrid_llm.pool.mask", "input_ids"], &["words"]);
    whole.initializer[0] = tensor("hybrid_llm.pool.mask");
    let (_, nodes) = decoded(&OnnxGraph::parse(file(whole)).unwrap().cut("words").unwrap().mean_pooled().encode());
    assert_eq!(nodes[1].output, ["hybrid_llm.pool.mask_"]);
}

#[test]
fn faults_say_what_there_is() {
    let parsed = OnnxGraph::parse(file(graph())).unwrap();
    insta::assert_snapshot!(parsed.find_embedding(Some("pooled")).unwrap_err(), @"has no tensor pooled; its outputs are scores, unused, its last tensors words, last_hidden_state, scores, unused: name the embedding with --embedding");
    let mut whole = graph();
    whole.node.remove(1);
    insta::assert_snapshot!(OnnxGraph::parse(file(whole)).unwrap().find_embedding(None).unwrap_err(), @"has no tensor sentence_embedding or embedding or last_hidden_state or token_embeddings; its outputs are scores, unused, its last tensors words, scores, unused: name the embedding with --embedding");
    let mut whole = graph();
    whole.input.remove(1);
    insta::assert_snapshot!(fault(whole), @"has no input attention_mask; its inputs are input_ids, token_type_ids");
    let mut whole = graph();
    let external = TensorHead { name: Some("table".to_owned()), data_location: Some(EXTERNAL) };
    whole.initializer[0] = external.encode_to_vec().into();
    insta::assert_snapshot!(fault(whole), @"keeps weights in other files (external data): save the model as one file");
    let old = Model { graph: Some(graph()), ..Model::default() }.encode_to_vec();
    insta::assert_snapshot!(OnnxGraph::parse(old.into()).unwrap_err(), @"uses opset 1 of the standard operators, but must use 13 or later: export it again");
    insta::assert_snapshot!(OnnxGraph::parse(Bytes::new()).unwrap_err(), @"is not an ONNX model: it has no graph");
    insta::assert_snapshot!(OnnxGraph::parse(Bytes::from_static(b"not a model")).unwrap_err(), @"is not an ONNX model: failed to decode Protobuf message: invalid wire type value: 6");
    let mut whole = graph();
    whole.node[1] = node("Add", &["words", "logits"], &["last_hidden_state"]);
    insta::assert_snapshot!(OnnxGraph::parse(file(whole)).unwrap().cut("last_hidden_state").unwrap_err(), @"computes its embedding from a tensor named logits, which must be the name of the result: rename it");
}
