//! The best loop there is without a server: sessions, token ids, nothing else.

use std::{
    path::Path,
    sync::atomic::{AtomicUsize, Ordering},
    thread,
    time::{Duration, Instant},
};

use hybrid_llm::{
    router::Router,
    runtime::{Provider, Runtime},
};
use ort::{
    session::{Session, SessionInputValue},
    value::TensorRef,
};

use crate::{Failure, mix::Text};

/// Lengths that are run before anything is measured.
const WARM: [usize; 5] = [16, 64, 128, 256, 512];

/// `threads` sessions of one thread, and one session of `threads`.
pub(crate) struct Bare {
    narrow: Vec<Loop>,
    wide: Loop,
}

struct Loop {
    session: Session,
    mask: Vec<i64>,
    types: Option<Vec<i64>>,
}

impl Bare {
    pub(crate) fn load(library: &Path, router: &Router, threads: usize) -> Result<Self, Failure> {
        let runtime = Runtime::load(Some(library), Provider::Cpu)?;
        let longest = router.manifest().max_tokens;
        let open = |intra: usize| -> Result<Loop, Failure> {
            let session = session(&runtime, router, intra)?;
            let types = session.inputs().iter().any(|input| input.name() == "token_type_ids");
            let mut one = Loop { session, mask: vec![1; longest], types: types.then(|| vec![0; longest]) };
            for length in WARM.into_iter().filter(|length| *length <= longest) {
                one.run(&vec![0; length])?;
            }
            Ok(one)
        };
        Ok(Self { narrow: (0..threads).map(|_| open(1)).collect::<Result<_, _>>()?, wide: open(threads)? })
    }

    /// One query, on one thread.
    pub(crate) fn alone(&mut self, text: &Text) -> Result<Duration, Failure> {
        self.narrow.first_mut().ok_or("no session")?.time(text)
    }

    /// One query at a time, on all threads together.
    pub(crate) fn wide(&mut self, texts: &[&Text]) -> Result<Vec<Duration>, Failure> {
        texts.iter().map(|text| self.wide.time(text)).collect()
    }

    /// Queries a second, with all single-threaded sessions at work.
    pub(crate) fn throughput(&mut self, texts: &[&Text]) -> Result<f64, Failure> {
        let next = &AtomicUsize::new(0);
        let started = Instant::now();
        thread::scope(|scope| {
            let work = |one: &mut Loop| -> Result<(), Failure> {
                while let Some(text) = texts.get(next.fetch_add(1, Ordering::Relaxed)) {
                    one.run(&text.ids)?;
                }
                Ok(())
            };
            let threads = self.narrow.iter_mut().map(|one| scope.spawn(move || work(one)));
            let threads: Vec<_> = threads.collect();
            threads.into_iter().try_for_each(|thread| thread.join().map_err(|_| "a thread died")?)
        })?;
        Ok(texts.len() as f64 / started.elapsed().as_secs_f64())
    }
}

fn session(runtime: &Runtime, router: &Router, threads: usize) -> ort::Result<Session> {
    Session::builder(runtime.environment())?
        .with_intra_threads(threads)?
        .with_inter_threads(1)?
        // Only the session that has the machine for itself may spin.
        .with_intra_op_spinning(threads > 1)?
        .commit_from_file(router.model_path())
}

impl Loop {
    fn time(&mut self, text: &Text) -> Result<Duration, Failure> {
        let started = Instant::now();
        self.run(&text.ids)?;
        Ok(started.elapsed())
    }

    fn run(&mut self, ids: &[i64]) -> Result<f32, Failure> {
        let shape = [1, ids.len()];
        let mask = self.mask.get(..ids.len()).ok_or("a text is too long")?;
        let mut inputs: Vec<(&str, SessionInputValue<'_>)> = vec![
            ("input_ids", TensorRef::from_array_view((shape, ids))?.into()),
            ("attention_mask", TensorRef::from_array_view((shape, mask))?.into()),
        ];
        if let Some(types) = self.types.as_ref().and_then(|types| types.get(..ids.len())) {
            inputs.push(("token_type_ids", TensorRef::from_array_view((shape, types))?.into()));
        }
        let outputs = self.session.run(inputs)?;
        let logits = outputs.get("logits").ok_or("no logits")?;
        let (_, logits) = logits.try_extract_tensor::<f32>()?;
        logits.first().copied().ok_or_else(|| "no logit".into())
    }
}
