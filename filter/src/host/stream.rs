//! The proxy's view of an exchange.

use super::exchange::Exchange;
use proxy_wasm::traits::{Context, HttpContext};
use proxy_wasm::types::Action;
use std::rc::Rc;

/// One HTTP stream; `None` where the plugin is not configured.
pub(super) struct Stream(pub(super) Option<Rc<Exchange>>);

impl Stream {
    fn action(&self, then: impl FnOnce(&Rc<Exchange>) -> Action) -> Action {
        self.0.as_ref().map_or(Action::Continue, then)
    }
}

impl Context for Stream {
    fn on_http_call_response(&mut self, _token: u32, headers: usize, body_size: usize, _trailers: usize) {
        if let Some(exchange) = &self.0 {
            exchange.scored(headers, body_size);
        }
    }
}

impl HttpContext for Stream {
    fn on_http_request_headers(&mut self, _count: usize, end_of_stream: bool) -> Action {
        self.action(|exchange| exchange.begin(!end_of_stream))
    }

    fn on_http_request_body(&mut self, size: usize, end_of_stream: bool) -> Action {
        self.action(|exchange| exchange.read(size, end_of_stream))
    }

    fn on_http_request_trailers(&mut self, _count: usize) -> Action {
        // Trailers end a body that was not marked complete; the size was checked as it arrived.
        self.action(|exchange| exchange.read(0, true))
    }

    fn on_http_response_headers(&mut self, _count: usize, _end_of_stream: bool) -> Action {
        self.action(|exchange| {
            exchange.label_response();
            Action::Continue
        })
    }

    fn on_http_response_body(&mut self, size: usize, _end_of_stream: bool) -> Action {
        self.action(|exchange| {
            exchange.watch_response(size);
            Action::Continue
        })
    }

    fn on_log(&mut self) {
        // A request that got no response counts too.
        if let Some(exchange) = &self.0 {
            exchange.settle(true);
        }
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        if let Some(exchange) = &self.0 {
            exchange.close();
        }
    }
}
