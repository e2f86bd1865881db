//! A frozen encoder: from a folder with an ONNX model and a tokenizer to the embeddings of a corpus.

use std::{
    io,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
};

use super::graph::{EncoderGraph, GraphError, OnnxGraph};
use crate::lab::data::corpus::{Corpus, CorpusError, Text};
use crate::{
    encode::{EncodeError, Encoder as TextEncoder},
    model::{Embedder, LoadError, ModelError, Sessions},
    offline,
    router::{MANIFEST, MODEL, Manifest, TOKENIZER},
    runtime::Runtime,
};

/// The tokens that are read of a query when neither the user nor the folder's manifest says.
const MAX_TOKENS: usize = 256;

/// Which encoder, and how much of a query it reads.
#[derive(Debug, Clone, Copy)]
pub struct Wanted<'a> {
    /// The folder with `model.onnx` and `tokenizer.json`.
    pub folder: &'a Path,
    /// The tensor with the embedding; see [`OnnxGraph::find_embedding`].
    pub embedding: Option<&'a str>,
    /// The most tokens of a query, special tokens included [the router's own, else 256].
    pub max_tokens: Option<usize>,
}

/// An encoder's folder that has been read, and makes sense as far as can be seen without running it.
#[derive(Debug)]
pub struct EncoderFiles {
    /// What it is called: by its manifest if it is a router, else like its folder.
    pub name: String,
    /// The most tokens that are to be read of a query.
    pub max_tokens: usize,
    /// The file with its tokenizer.
    pub tokenizer: PathBuf,
    /// The file with its model.
    pub model: PathBuf,
    text_encoder: Arc<TextEncoder>,
    /// Its model, ending in the tensor that was asked for.
    graph: EncoderGraph,
    tensor: String,
}

/// An encoder, ready to embed.
#[derive(Debug)]
pub struct Encoder {
    /// Where it is from.
    pub files: EncoderFiles,
    /// How many numbers an embedding has.
    pub dim: usize,
    /// Its model, ending in the embedding.
    pub graph: EncoderGraph,
    embedders: Vec<Embedder>,
}

/// The embeddings of a corpus, in its rows' order.
#[derive(Debug, Clone, PartialEq)]
pub struct Embeddings {
    /// One after the other.
    pub numbers: Vec<f32>,
    /// How many tokens were read of each query.
    pub tokens: Vec<u32>,
}

/// A folder that is no usable encoder.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum EncoderError {
    /// A file is missing or cannot be read.
    #[error("encoder {folder}: cannot read {file} (an encoder's folder has model.onnx and tokenizer.json)")]
    Read {
        /// The folder.
        folder: PathBuf,
        /// The file's name in it.
        file: &'static str,
        /// Why not.
        source: io::Error,
    },
    /// The model cannot be edited.
    #[error("{path} {problem}")]
    Graph {
        /// The model.
        path: PathBuf,
        /// What is wrong with it.
        problem: GraphError,
    },
    /// The tokenizer cannot be used.
    #[error(transparent)]
    Tokenizer(#[from] EncodeError),
    /// The model cannot be loaded.
    #[error(transparent)]
    Load(#[from] LoadError),
    /// The model cannot read a query as long as it may get.
    #[error("{path} cannot read a query of {max_tokens} tokens (--max-tokens lowers it)")]
    Length {
        /// The model.
        path: PathBuf,
        /// The most tokens of a query.
        max_tokens: usize,
        /// What the runtime says.
        source: ModelError,
    },
    /// The tensor is no embedding.
    #[error(
        "{path}: the tensor {tensor} is {shape:?} for one query, but an embedding is [1, dim], or [1, tokens, dim] before pooling: name another with --embedding"
    )]
    Shape {
        /// The model.
        path: PathBuf,
        /// The tensor.
        tensor: String,
        /// Its shape.
        shape: Vec<i64>,
    },
}

/// A corpus that cannot be embedded.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum EmbedError {
    /// The files.
    #[error(transparent)]
    Corpus(#[from] CorpusError),
    /// A query.
    #[error("{file}, line {line}")]
    Query {
        /// Its file.
        file: PathBuf,
        /// Its line.
        line: usize,
        /// What is wrong.
        source: ModelError,
    },
}

impl EncoderFiles {
    /// Reads a folder and finds the tensor with the embedding.
    ///
    /// # Errors
    /// [`EncoderError`] says which file, and what to do.
    pub fn read(wanted: Wanted<'_>) -> Result<Self, EncoderError> {
        let Wanted { folder, embedding, max_tokens } = wanted;
        let read_error = |file, source| EncoderError::Read { folder: folder.to_owned(), file, source };
        let (model, tokenizer) = (folder.join(MODEL), folder.join(TOKENIZER));
        let file = std::fs::read(&model).map_err(|source| read_error(MODEL, source))?;
        std::fs::metadata(&tokenizer).map_err(|source| read_error(TOKENIZER, source))?;
        // Only a router has one, and only what it says of the encoder counts here.
        let manifest = std::fs::read(folder.join(MANIFEST)).ok().and_then(|json| Manifest::parse(&json).ok());
        let max_tokens = max_tokens.or(manifest.as_ref().map(|manifest| manifest.max_tokens)).unwrap_or(MAX_TOKENS);
        let text_encoder = Arc::new(TextEncoder::open(&tokenizer, max_tokens)?);

        let graph_error = |problem| EncoderError::Graph { path: model.clone(), problem };
        let whole = OnnxGraph::parse(file.into()).map_err(graph_error)?;
        let tensor = whole.find_embedding(embedding).map_err(graph_error)?.to_owned();
        let graph = whole.cut(&tensor).map_err(graph_error)?;
        let called = || Some(folder.canonicalize().ok()?.file_name()?.to_string_lossy().into_owned());
        let name = manifest.map(|manifest| manifest.encoder).or_else(called).unwrap_or_else(|| "encoder".to_owned());
        Ok(Self { name, max_tokens, tokenizer, model, text_encoder, graph, tensor })
    }

    fn sessions(
        &self,
        graph: &EncoderGraph,
        runtime: &Runtime,
        sessions: Sessions,
    ) -> Result<Vec<Embedder>, LoadError> {
        Embedder::load(runtime, &graph.encode(), &self.model, &self.text_encoder, self.max_tokens, sessions)
    }
}

impl Encoder {
    /// Loads an encoder: adds pooling where the tensor still has a row a token, and tries the longest query there can be.
    ///
    /// # Errors
    /// [`EncoderError`] says which file, and what to do.
    pub fn load(files: EncoderFiles, runtime: &Runtime, sessions: Sessions) -> Result<Self, EncoderError> {
        let mut first = files.sessions(&files.graph, runtime, Sessions { count: 1, ..sessions })?;
        let mut shape = longest(&mut first, files.max_tokens).map_err(|source| EncoderError::Length {
            path: files.model.clone(),
            max_tokens: files.max_tokens,
            source,
        })?;
        drop(first);
        let mut graph = files.graph.clone();
        if shape.len() == 3 {
            graph = graph.mean_pooled();
            shape.remove(1);
        }
        let dim = match shape.as_slice() {
            [1, dim] if *dim > 0 => usize::try_from(*dim).unwrap_or_default(),
            _ => {
                let EncoderFiles { model, tensor, .. } = files;
                return Err(EncoderError::Shape { path: model, tensor, shape });
            }
        };
        let embedders = files.sessions(&graph, runtime, sessions)?;
        Ok(Self { files, dim, graph, embedders })
    }

    /// Embeds a corpus, each query by itself; texts are read as they are needed. `seen` gets each text, and `done` is
    /// called, after it was embedded, from several threads.
    ///
    /// # Errors
    /// The first [`EmbedError`]; the rest is not embedded then.
    pub fn embed(&mut self, corpus: &Corpus, seen: impl Fn(Text) + Sync) -> Result<Embeddings, EmbedError> {
        let (dim, rows) = (self.dim, corpus.rows.len());
        let embeddings = Mutex::new(Embeddings { numbers: vec![0.0; rows * dim], tokens: vec![0; rows] });
        let texts = corpus.texts().map(|text| text.map_err(EmbedError::from));
        offline::each(&mut self.embedders, texts, |embedder, text| {
            let fault = |source| EmbedError::Query { file: text.file.clone(), line: text.line, source };
            let embedding = embedder.embed(&text.query).map_err(fault)?;
            if embedding.numbers.len() != dim {
                let (found, expected) = (format!("{} numbers", embedding.numbers.len()), format!("{dim}"));
                return Err(fault(ModelError::Output { found, expected }));
            }
            let mut embeddings = embeddings.lock().unwrap_or_else(PoisonError::into_inner);
            let slots = embeddings.numbers.iter_mut().skip(text.row * dim);
            slots.zip(embedding.numbers).for_each(|(slot, number)| *slot = number);
            if let Some(slot) = embeddings.tokens.get_mut(text.row) {
                *slot = u32::try_from(embedding.tokens).unwrap_or(u32::MAX);
            }
            drop(embeddings);
            seen(text);
            Ok(())
        })?;
        Ok(embeddings.into_inner().unwrap_or_else(PoisonError::into_inner))
    }
}

/// The output's shape for a query that fills the encoder.
fn longest(embedders: &mut [Embedder], max_tokens: usize) -> Result<Vec<i64>, ModelError> {
    let text = "a ".repeat(max_tokens);
    let embedding = embedders.iter_mut().next().map(|embedder| embedder.embed(&text)).transpose()?;
    Ok(embedding.map(|embedding| embedding.shape).unwrap_or_default())
}
