//! The filter in its second role, behind the first and run only where the route taken leads to another cluster than the decided one:
//! it gives the request the name of a model which that cluster has. It decides nothing else.

use super::{Plugin, proxy};
use crate::decision;
use crate::request::api::{Api, ModelName, Unparsable};
use crate::wire::splice;
use proxy_wasm::traits::{Context, HttpContext};
use proxy_wasm::types::Action;
use std::rc::Rc;

/// The plugin's root id in this role.
pub(super) const ROOT_ID: &str = "hybrid_llm_verify";

/// A request whose body is to be looked at.
struct Reading {
    api: Api,
    path: String,
    decided: Vec<u8>,
    taken: Vec<u8>,
}

pub(super) struct Verify {
    plugin: Rc<Plugin>,
    /// `None` where there is nothing (more) to do.
    reading: Option<Reading>,
}

impl Verify {
    pub(super) fn new(plugin: Rc<Plugin>) -> Self {
        Self { plugin, reading: None }
    }

    /// The name to put in the place of `model`.
    fn name(&self, reading: &Reading, model: &str) -> Option<String> {
        let pairs = self.plugin.config.pairs.values().map(|pair| &**pair);
        decision::name_for(pairs, &reading.decided, &reading.taken, model).map(str::to_owned)
    }

    fn rename_in_body(&self, reading: &Reading) {
        let body = proxy::request_body();
        let model = match reading.api.read(&reading.path, &body) {
            Ok(request) => request.model,
            Err(Unparsable) => reading.api.model(&reading.path, &body),
        };
        let Some(ModelName { name, place }) = model else { return };
        let (Some(span), Some(name)) = (place.spans().1, self.name(reading, &name)) else { return };
        let head = body.get(..span.end).unwrap_or_default();
        if let Some(spliced) = splice::replace_in_body(head, &span, &name) {
            proxy::replace_body_head(body.len(), head.len(), &spliced);
        }
    }

    fn rename_in_path(&self, reading: &Reading) {
        let Some(model) = reading.api.model_in_path(&reading.path) else { return };
        let (Some(span), Some(name)) = (model.place.spans().0, self.name(reading, &model.name)) else { return };
        if let Some(path) = splice::replace_in_path(&reading.path, &span, &name) {
            proxy::set_request_header(":path", Some(&path));
        }
    }
}

impl Context for Verify {}

impl HttpContext for Verify {
    fn on_http_request_headers(&mut self, _count: usize, end_of_stream: bool) -> Action {
        let head = proxy::request_head();
        let taken = proxy::cluster_name();
        let Some(api) = head.api.filter(|_| !taken.is_empty() && taken != head.cluster) else {
            return Action::Continue;
        };
        let reading = Reading { api, path: head.path, decided: head.cluster, taken };
        self.rename_in_path(&reading);
        // What the first role has not read still has the name that the client sent.
        if decision::before_body(&self.plugin.config, head.body, !end_of_stream).is_some() {
            return Action::Continue;
        }
        self.reading = Some(reading);
        Action::Pause
    }

    fn on_http_request_body(&mut self, size: usize, end_of_stream: bool) -> Action {
        if self.reading.is_some() && size <= self.plugin.config.max_body_bytes && !end_of_stream {
            return Action::Pause;
        }
        if let Some(reading) = self.reading.take().filter(|_| size <= self.plugin.config.max_body_bytes) {
            self.rename_in_body(&reading);
        }
        Action::Continue
    }

    fn on_http_request_trailers(&mut self, _count: usize) -> Action {
        if let Some(reading) = self.reading.take() {
            self.rename_in_body(&reading);
        }
        Action::Continue
    }
}
