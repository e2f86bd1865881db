//! One request's way through the filter: wait for the body, ask for the score, send it on, label the response.

use super::Plugin;
use super::proxy;
use super::routes::{Route, RoutePlan};
use crate::api::Api;
use crate::config::Pair;
use crate::decision::{self, Decision, Plan, Reason};
use crate::dial::Dial;
use crate::headers::{self, Overrides};
use crate::policy::Policy;
use crate::score::{self, Reply};
use crate::splice;
use proxy_wasm::hostcalls;
use proxy_wasm::traits::{Context, HttpContext};
use proxy_wasm::types::Action;
use std::cell::RefCell;
use std::ops::Range;
use std::rc::Rc;

/// Where a request is on its way.
enum State {
    /// The filter does nothing (any more) with this request.
    Idle,
    /// The body is arriving and held back.
    Reading { api: Api, asked: Overrides },
    /// The body is held back until the scorer has answered.
    Scoring { dial: Dial, model: Option<Range<usize>> },
    /// On its way; the response is to be labelled.
    Decided(Decision),
}

/// A request on a route that names a pair; shared with the clock, which releases it when its body is late.
pub(super) struct Exchange {
    id: u32,
    plugin: Rc<Plugin>,
    route: RefCell<Option<Rc<Route>>>,
    /// The cluster that the request goes to as things stand.
    cluster: RefCell<Vec<u8>>,
    state: RefCell<State>,
}

impl Exchange {
    pub(super) fn new(id: u32, plugin: Rc<Plugin>) -> Self {
        Self { id, plugin, route: RefCell::default(), cluster: RefCell::default(), state: RefCell::new(State::Idle) }
    }

    /// The headers have arrived: strip forged ones, and decide whether to wait for the body.
    fn begin(self: &Rc<Self>, body_follows: bool) -> Action {
        let head = proxy::request_head();
        for name in &head.forged {
            proxy::set_request_header(name, None);
        }
        let route = head.api.and_then(|api| Some((api, self.plugin.routes.current(&self.plugin.config)?)));
        let Some((api, route)) = route else {
            proxy::settle_route(&head.cluster);
            return Action::Continue;
        };
        self.route.replace(Some(Rc::clone(&route)));
        self.cluster.replace(head.cluster.clone());
        let Some(pair) = route.pair() else {
            proxy::settle_route(&head.cluster);
            route.counters.count(&Decision::fail_open(Reason::RouteConfig));
            return Action::Continue;
        };
        if let Some(reason) = decision::before_body(&self.plugin.config, &head, body_follows) {
            self.send(pair, Decision::fail_open(reason), None);
            return Action::Continue;
        }
        self.state.replace(State::Reading { api, asked: head.overrides });
        let late = self.plugin.now.get() + self.plugin.config.body_timeout_ticks;
        self.plugin.waiting.borrow_mut().insert(self.id, (late, Rc::clone(self)));
        Action::Pause
    }

    /// More of the body has arrived; `size` is what the proxy holds of it.
    fn read(&self, size: usize, complete: bool) -> Action {
        let State::Reading { api, asked } = *self.state.borrow() else { return self.pause_while_scoring() };
        if size > self.plugin.config.max_body_bytes {
            self.stop_waiting();
            self.with_pair(|_, pair| self.send(pair, Decision::fail_open(Reason::BodyTooLarge), None));
            return Action::Continue;
        }
        if !complete {
            return Action::Pause;
        }
        self.stop_waiting();
        let body = proxy::request_body();
        let prompt = api.parse(&body);
        self.with_pair(|plan, pair| {
            let next = match plan {
                RoutePlan::Apply(policy) => decision::before_score(policy, asked, prompt),
                RoutePlan::Broken(_) => decision::without_policy(pair, prompt),
            };
            self.follow(pair, next);
        });
        self.pause_while_scoring()
    }

    /// Does what is planned for a request whose body has been read.
    fn follow(&self, pair: &Pair, plan: Plan<'_>) {
        match plan {
            Plan::PassThrough => {
                self.set_cluster(&pair.large.cluster);
                self.state.replace(State::Idle);
            }
            Plan::Decided(decision, model) => self.send(pair, decision, model.map(|model| model.span)),
            Plan::Ask { query, dial, model } => {
                let model = model.map(|model| model.span);
                match self.ask(&query) {
                    Ok(()) => {
                        self.state.replace(State::Scoring { dial, model });
                    }
                    Err(reason) => self.send(pair, Decision::fail_open(reason), model),
                }
            }
        }
    }

    /// Calls the scorer; its answer arrives in [`Self::scored`].
    fn ask(&self, query: &[&str]) -> Result<(), Reason> {
        let scorer = &self.plugin.config.scorer;
        if !self.plugin.breaker.borrow_mut().allows(scorer.breaker, self.plugin.now.get()) {
            return Err(Reason::BreakerOpen);
        }
        let headers = vec![
            (":method", "POST"),
            (":path", score::PATH),
            (":authority", scorer.cluster.as_str()),
            ("content-type", "application/json"),
        ];
        let body = score::request_body(&scorer.router, query);
        hostcalls::dispatch_http_call(&scorer.cluster, headers, Some(&body), vec![], scorer.timeout)
            .map(|_| ())
            .map_err(|_| Reason::ScorerUnreachable)
    }

    /// The scorer has answered, or the proxy says why it has not.
    fn scored(&self, headers: usize, body_size: usize) {
        let State::Scoring { dial, model } = self.state.replace(State::Idle) else { return };
        // After a reset there is no map of headers, and asking for one would trap the VM.
        let status = if headers == 0 { None } else { proxy::callout_header(":status") };
        let status = status.and_then(|status| std::str::from_utf8(&status).ok()?.parse().ok());
        let body;
        let reply = match status {
            Some(200) => {
                body = proxy::callout_body(body_size);
                Reply::Ok(&body)
            }
            Some(status) => Reply::Other { status, retry_after: proxy::callout_header("retry-after").is_some() },
            None => Reply::Reset,
        };
        let answer = reply.score();
        let mut breaker = self.plugin.breaker.borrow_mut();
        match answer {
            Err(reason) if reply.is_outage(reason) => {
                breaker.failed(self.plugin.config.scorer.breaker, self.plugin.now.get());
            }
            _ => breaker.succeeded(),
        }
        drop(breaker);
        self.with_policy(|policy| self.send(&policy.pair, decision::after_score(policy, dial, answer), model));
        proxy::resume_request();
    }

    /// The body is late: on to large with what there is.
    pub(super) fn release(&self) {
        self.with_pair(|_, pair| self.send(pair, Decision::fail_open(Reason::BodyTimeout), None));
        proxy::resume_request();
    }

    /// Carries a decision out: the cluster, the model's name in the body, the counter.
    fn send(&self, pair: &Pair, decision: Decision, model: Option<Range<usize>>) {
        let target = decision.tier.target(pair);
        if let Some(span) = model {
            let body = proxy::request_body();
            if let Some(spliced) = splice::replace_model(&body, &span, &target.model) {
                proxy::replace_request_body(body.len(), &spliced);
            }
        }
        self.set_cluster(&target.cluster);
        if let Some(route) = &*self.route.borrow() {
            route.counters.count(&decision);
        }
        self.state.replace(State::Decided(decision));
    }

    /// Chooses the cluster.
    fn set_cluster(&self, cluster: &str) {
        if *self.cluster.borrow() == cluster.as_bytes() {
            proxy::settle_route(cluster.as_bytes());
        } else {
            self.cluster.replace(cluster.as_bytes().to_vec());
            proxy::set_request_header(headers::CLUSTER, Some(cluster));
            proxy::clear_route_cache();
        }
    }

    fn label_response(&self) {
        let State::Decided(decision) = &*self.state.borrow() else { return };
        let Some(route) = &*self.route.borrow() else { return };
        let Some(pair) = route.pair() else { return };
        proxy::set_response_header(headers::TIER, decision.tier.as_str());
        proxy::set_response_header(headers::REASON, decision.reason.as_str());
        proxy::set_response_header(headers::MODEL, &decision.tier.target(pair).model);
        if let Some(score) = decision.score {
            proxy::set_response_header(headers::SCORE, &format!("{score:.4}"));
        }
    }

    fn with_policy(&self, then: impl FnOnce(&Policy)) {
        let route = self.route.borrow().clone();
        if let Some(RoutePlan::Apply(policy)) = route.as_deref().map(|route| &route.plan) {
            then(policy);
        }
    }

    fn with_pair(&self, then: impl FnOnce(&RoutePlan, &Pair)) {
        let route = self.route.borrow().clone();
        if let Some((route, pair)) = route.as_deref().and_then(|route| Some((route, route.pair()?))) {
            then(&route.plan, pair);
        }
    }

    fn pause_while_scoring(&self) -> Action {
        match *self.state.borrow() {
            State::Scoring { .. } => Action::Pause,
            _ => Action::Continue,
        }
    }

    fn stop_waiting(&self) {
        self.plugin.waiting.borrow_mut().remove(&self.id);
    }
}

/// The proxy's view of an exchange; `None` where the plugin is not configured.
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
}

impl Drop for Stream {
    fn drop(&mut self) {
        if let Some(exchange) = &self.0 {
            exchange.stop_waiting();
        }
    }
}
