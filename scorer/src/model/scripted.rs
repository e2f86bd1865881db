//! A model for tests that does what the text says, and can be held in the middle of a batch.

use std::sync::{Arc, Condvar, Mutex};

use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

use super::{Model, ModelError};
use crate::encode::EncodeError;

/// A token a byte. A text that holds a number (`query 0.25`) scores it, others 0.5; `fail`, `panic`, `garble` (cannot
/// be encoded) and `hold` (until [`Stage::release`]) do what they say.
#[derive(Debug, Clone)]
pub(crate) struct ScriptedModel {
    stage: Arc<Shared>,
    held: UnboundedSender<()>,
}

#[derive(Debug, Default)]
struct Shared {
    /// How many held batches may continue.
    permits: Mutex<usize>,
    released: Condvar,
    batches: Mutex<Vec<Vec<String>>>,
}

/// The test's side of a [`ScriptedModel`].
#[derive(Debug)]
pub(crate) struct Stage {
    shared: Arc<Shared>,
    held: UnboundedReceiver<()>,
}

impl ScriptedModel {
    pub(crate) fn new() -> (Self, Stage) {
        let (sender, held) = unbounded_channel();
        let shared = Arc::new(Shared::default());
        let model = Self { stage: Arc::clone(&shared), held: sender };
        (model, Stage { shared, held })
    }
}

impl Stage {
    /// Waits until a batch is held.
    pub(crate) async fn held(&mut self) {
        self.held.recv().await.unwrap();
    }

    /// Lets one held batch continue.
    pub(crate) fn release(&self) {
        *self.shared.permits.lock().unwrap() += 1;
        self.shared.released.notify_all();
    }

    /// The texts of the batches so far, warm-up left out.
    pub(crate) fn batches(&self) -> Vec<Vec<String>> {
        self.shared.batches.lock().unwrap().clone()
    }
}

impl Model for ScriptedModel {
    fn encode(&self, text: &str) -> Result<Vec<i64>, ModelError> {
        if text.starts_with("garble") {
            return Err(EncodeError::Text.into());
        }
        Ok(text.bytes().map(i64::from).collect())
    }

    fn score(&mut self, rows: &[&[i64]]) -> Result<Vec<f64>, ModelError> {
        let text = |row: &&[i64]| String::from_utf8(row.iter().map(|id| u8::try_from(*id).unwrap()).collect()).unwrap();
        let texts: Vec<String> = rows.iter().map(text).collect();
        if texts.iter().any(|text| text.starts_with('\0')) {
            return Ok(vec![0.5; texts.len()]);
        }
        self.stage.batches.lock().unwrap().push(texts.clone());
        if texts.iter().any(|text| text.starts_with("hold")) {
            self.held.send(()).ok();
            let permits = self.stage.permits.lock().unwrap();
            let mut permits = self.stage.released.wait_while(permits, |permits| *permits == 0).unwrap();
            *permits -= 1;
        }
        if texts.iter().any(|text| text.starts_with("panic")) {
            panic!("as the text said");
        }
        if texts.iter().any(|text| text.starts_with("fail")) {
            return Err(ModelError::Output { found: "nothing".to_owned(), expected: "something".to_owned() });
        }
        let number = |text: &String| text.split(' ').find_map(|word| word.parse().ok());
        Ok(texts.iter().map(|text| number(text).unwrap_or(0.5)).collect())
    }
}
