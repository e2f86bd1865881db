//! One request's way through the filter: wait for the body, ask for the score, send it on, label the response.

use super::Plugin;
use super::memory::Memory;
use super::proxy;
use super::routes::{Route, RoutedPair};
use super::sent::{Sent, StoredAnswer};
use crate::config::{Affinity, Dial, Explore, OverrideNote, RequestedOverrides};
use crate::decision::conversation::{Key, Keys, Record};
use crate::decision::{self, Conversation, Decision, Lookup, Plan};
use crate::request::api::{Api, ModelName, Place, Request, Unparsable};
use crate::terms::Reason;
use crate::wire::headers::{self, RequestHead};
use crate::wire::response_id::ResponseId;
use crate::wire::scorer::{self, Reply};
use crate::wire::splice;
use proxy_wasm::hostcalls;
use proxy_wasm::types::Action;
use std::cell::{Cell, RefCell};
use std::rc::Rc;

/// The state of a request.
enum State {
    /// The filter does nothing (any more) with this request.
    Idle,
    /// The body is arriving and held back.
    Reading { api: Api, requested: RequestedOverrides },
    /// The body is held back until the scorer has answered.
    Scoring { held: Held, dial: Dial },
    /// On its way; the response is to be labelled.
    Sent(Sent),
}

/// What is kept of a request that has been read.
struct Held {
    routed: Rc<RoutedPair>,
    /// Where the model's name stands.
    place: Option<Place>,
    body_len: usize,
    note: Option<OverrideNote>,
    /// The body up to the end of the model's name, where that is short.
    head: Option<Vec<u8>>,
    /// Under which to remember where it goes.
    keys: Keys,
    /// The upstream is to store the conversation, under an id that its answer tells.
    will_be_stored: bool,
}

/// A request of an LLM API; shared with the clock, which releases it when its body is late, and looks where it has gone.
pub(super) struct Exchange {
    id: u32,
    plugin: Rc<Plugin>,
    /// The tick at which it is released, as long as its body is arriving.
    due: Cell<u64>,
    route: RefCell<Option<Rc<Route>>>,
    path: RefCell<String>,
    /// The cluster that the request goes to as things stand.
    cluster: RefCell<Vec<u8>>,
    state: RefCell<State>,
}

impl Exchange {
    pub(super) fn new(id: u32, plugin: Rc<Plugin>) -> Self {
        Self {
            id,
            plugin,
            due: Cell::default(),
            route: RefCell::default(),
            path: RefCell::default(),
            cluster: RefCell::default(),
            state: RefCell::new(State::Idle),
        }
    }

    /// The headers have arrived: strip forged ones, and decide whether to wait for the body.
    pub(super) fn begin(self: &Rc<Self>, body_follows: bool) -> Action {
        let head = proxy::request_head();
        for name in &head.forged {
            proxy::set_request_header(name, None);
        }
        let config = &self.plugin.config;
        let api = head.api.filter(|_| config.reads(&head.path));
        let Some(api) = api else {
            proxy::settle_route(&head.cluster);
            return Action::Continue;
        };
        let Some(route) = self.plugin.routes.current(config) else {
            proxy::settle_route(&head.cluster);
            self.state.replace(State::Sent(Sent::left_alone(None)));
            return Action::Continue;
        };
        if route.error.is_some() {
            self.plugin.tell_invalid(&route, &proxy::route_name());
        }
        self.plugin.open.borrow_mut().insert(self.id, Rc::clone(self));
        self.route.replace(Some(Rc::clone(&route)));
        self.cluster.replace(head.cluster.clone());
        self.path.replace(head.path.clone());
        if route.first().is_none() {
            proxy::settle_route(&head.cluster);
            self.state.replace(State::Sent(Sent::left_alone(Some(Decision::fail_open(Reason::RouteConfig)))));
            return Action::Continue;
        }
        let model = api.model_in_path(&head.path);
        if let Some(model) = model.as_ref().filter(|model| route.pair_for(Some(&model.name)).is_none()) {
            self.pass_through(&route, Some(&model.name));
            return Action::Continue;
        }
        if let Some(reason) = decision::before_body(config, head.body, body_follows) {
            self.fail_open_unread(api, &route, head.requested, reason);
            return Action::Continue;
        }
        self.wait(api, &head);
        Action::Pause
    }

    fn wait(&self, api: Api, head: &RequestHead) {
        self.state.replace(State::Reading { api, requested: head.requested });
        self.due.set(self.plugin.now.get() + self.plugin.config.body_timeout_ticks);
    }

    /// More of the body has arrived; `size` is what the proxy holds of it.
    pub(super) fn read(&self, size: usize, complete: bool) -> Action {
        let State::Reading { api, requested } = *self.state.borrow() else { return self.pause_while_scoring() };
        let Some(route) = self.route.borrow().clone() else { return Action::Continue };
        if size > self.plugin.config.max_body_bytes {
            self.release_as(Reason::BodyTooLarge);
            return Action::Continue;
        }
        if !complete {
            return Action::Pause;
        }
        let (path, body) = (self.path.borrow().clone(), proxy::request_body());
        match api.read(&path, &body) {
            Ok(request) => self.plan(&route, requested, &request),
            Err(Unparsable) => self.release_unparsable(&route, requested, api.model(&path, &body), body.len()),
        }
        self.pause_while_scoring()
    }

    /// Does what is to be done with a request that has been read.
    fn plan(&self, route: &Route, requested: RequestedOverrides, request: &Request<'_>) {
        let model = request.model.as_ref();
        let Some(routed) = route.pair_for(model.map(|model| model.name.as_ref())) else {
            return self.pass_through(route, model.map(|model| model.name.as_ref()));
        };
        let place = model.map(|model| model.place.clone());
        let will_be_stored = request.is_stored;
        let (body_len, head) = (request.body.len(), place.as_ref().and_then(|place| place.head(request.body)));
        let held = |note, keys| Held { routed: Rc::clone(routed), place, body_len, head, note, keys, will_be_stored };
        let Some(policy) = &routed.policy else {
            return self.send(held(None, Keys::default()), Decision::fail_open(Reason::RouteConfig));
        };
        let (asked, note) = requested.granted(policy);
        let lookup = Memory(self.plugin.config.memory);
        let planned = Conversation::of(policy, request, &lookup).and_then(|conversation| {
            let keys = conversation.keys;
            Ok((keys, decision::before_score(policy, asked, request, conversation, &lookup)?))
        });
        match planned {
            Ok((keys, Plan::Decided(decision))) => self.send(held(note, keys), decision),
            Ok((keys, Plan::Ask { query, dial })) => match self.ask(&query) {
                Ok(()) => drop(self.state.replace(State::Scoring { held: held(note, keys), dial })),
                Err(reason) => self.send(held(note, keys), Decision::fail_open(reason)),
            },
            Err(Unparsable) => self.send(held(note, Keys::default()), Decision::fail_open(Reason::Unparsable)),
        }
    }

    /// Releases a request that is not one of its API. An alias becomes the large model's name all the same, where it was found,
    /// and a model that is no alias is left alone.
    fn release_unparsable(
        &self,
        route: &Route,
        requested: RequestedOverrides,
        model: Option<ModelName<'_>>,
        body_len: usize,
    ) {
        let name = model.as_ref().map(|model| model.name.as_ref());
        match route.pair_for(name) {
            None if name.is_some() => self.pass_through(route, name),
            routed => {
                if let Some(routed) = routed.or(route.first()) {
                    let place = model.as_ref().map(|model| model.place.clone());
                    self.fail_open(routed, requested, Reason::Unparsable, place, body_len);
                }
            }
        }
    }

    /// Calls the scorer; its answer arrives in [`Self::scored`].
    fn ask(&self, query: &str) -> Result<(), Reason> {
        let scorer = &self.plugin.config.scorer;
        if !self.plugin.breaker.borrow_mut().allows(scorer.breaker, self.plugin.now.get()) {
            return Err(Reason::BreakerOpen);
        }
        let headers = vec![
            (":method", "POST"),
            (":path", scorer::PATH),
            (":authority", scorer.cluster.as_str()),
            ("content-type", "application/json"),
        ];
        let body = scorer::request_body(&scorer.router, query, scorer.max_query_characters);
        hostcalls::dispatch_http_call(&scorer.cluster, headers, Some(&body), vec![], scorer.timeout)
            .map(|_| ())
            .map_err(|_| Reason::ScorerUnreachable)
    }

    /// The scorer has answered, or the proxy says why it has not.
    pub(super) fn scored(&self, headers: usize, body_size: usize) {
        let State::Scoring { held, dial } = self.state.replace(State::Idle) else { return };
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
        if let Some(policy) = &held.routed.policy {
            let explores = policy.pair.explore != Explore::default();
            let id = explores.then(|| proxy::request_header("x-request-id")).flatten().unwrap_or_default();
            let decision = decision::after_score(policy, dial, answer, &id);
            self.send(held, decision);
        }
        proxy::resume_request();
    }

    /// Whether a tick is of any use to the request.
    pub(super) fn is_due(&self, now: u64) -> bool {
        match &*self.state.borrow() {
            State::Reading { .. } => self.due.get() <= now,
            State::Sent(sent) => !sent.is_settled,
            State::Idle | State::Scoring { .. } => false,
        }
    }

    /// A tick: releases a request whose body is late, to large with what there is, and looks where one that is sent has gone.
    pub(super) fn tick(&self) {
        if matches!(*self.state.borrow(), State::Reading { .. }) {
            self.release_as(Reason::BodyTimeout);
            proxy::resume_request();
        } else {
            self.settle(false);
        }
    }

    /// On to large unread.
    fn release_as(&self, reason: Reason) {
        let State::Reading { api, requested } = *self.state.borrow() else { return };
        if let Some(route) = self.route.borrow().clone() {
            self.fail_open_unread(api, &route, requested, reason);
        }
    }

    /// On to large unread: of the pair that the path's model belongs to, or else the route's first.
    fn fail_open_unread(&self, api: Api, route: &Route, requested: RequestedOverrides, reason: Reason) {
        let path = self.path.borrow().clone();
        let model = api.model_in_path(&path);
        let routed = model.as_ref().and_then(|model| route.pair_for(Some(&model.name)));
        if let Some(routed) = routed.or(route.first()) {
            self.fail_open(routed, requested, reason, model.map(|model| model.place), 0);
        }
    }

    /// On to a pair's large model, whose name is put where the model's is.
    fn fail_open(
        &self,
        routed: &Rc<RoutedPair>,
        requested: RequestedOverrides,
        reason: Reason,
        place: Option<Place>,
        body_len: usize,
    ) {
        let held = Held {
            routed: Rc::clone(routed),
            place,
            body_len,
            head: None,
            note: routed.policy.as_ref().and_then(|policy| requested.granted(policy).1),
            keys: Keys::default(),
            will_be_stored: false,
        };
        self.send(held, Decision::fail_open(reason));
    }

    /// Carries a decision out: the model's name, the cluster, the counter, the memory.
    fn send(&self, held: Held, decision: Decision) {
        let Held { routed, place, body_len, head, note, keys, will_be_stored } = held;
        let target = routed.pair.target(decision.tier);
        let (in_path, in_body) = place.map(Place::spans).unwrap_or_default();
        if let Some(span) = in_body {
            let head = head.unwrap_or_else(|| proxy::request_body_until(span.end));
            if let Some(spliced) = splice::replace_in_body(&head, &span, &target.model) {
                proxy::replace_body_head(body_len, head.len(), &spliced);
            }
        }
        if let Some(path) = in_path.and_then(|span| splice::replace_in_path(&self.path.borrow(), &span, &target.model))
        {
            proxy::set_request_header(":path", Some(&path));
        }
        self.set_cluster(&target.cluster);
        let stored = self.remember(&routed, keys, &decision).filter(|_| will_be_stored).map(StoredAnswer::new);
        let note = note.map(|note| note.after(decision.reason));
        if stored.is_some() {
            // In a compressed answer no id is found.
            proxy::set_request_header("accept-encoding", Some("identity"));
        }
        self.state.replace(State::Sent(Sent::decided(routed, decision, note, stored)));
    }

    /// Notes where the conversation went; `None` where that is not worth it.
    fn remember(&self, routed: &RoutedPair, keys: Keys, decision: &Decision) -> Option<Record> {
        let (memory, policy) = (Memory(self.plugin.config.memory), routed.policy.as_ref()?);
        keys.remembered().next()?;
        let keeps_tier = policy.pair.affinity != Affinity::Off;
        let before = keys.of_affinity().filter(|_| keeps_tier).and_then(|key| memory.record(key));
        let record = decision::record(policy, decision, before);
        for key in keys.remembered() {
            memory.remember(key, record, keys.is_stored());
        }
        Some(record)
    }

    /// Passes a request for a model that is no alias through unchanged.
    fn pass_through(&self, route: &Route, model: Option<&str>) {
        if let Some(target) = decision::pass_through(route.pairs.iter().map(|routed| &*routed.pair), model) {
            self.set_cluster(&target.cluster);
            self.state.replace(State::Idle);
        }
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

    /// The response's headers have arrived: they say where the request went, and nothing that an upstream made up.
    pub(super) fn label_response(&self) {
        proxy::strip_response_headers();
        self.settle(true);
        if let State::Sent(sent) = &*self.state.borrow() {
            sent.label_response();
        }
    }

    /// Looks where the request has gone, and counts it, once. The proxy knows the route taken as soon as the request has passed
    /// all filters; with `is_final` it will not know better later.
    pub(super) fn settle(&self, is_final: bool) {
        if let State::Sent(sent) = &mut *self.state.borrow_mut() {
            sent.settle(&self.plugin, self.route.borrow().as_ref(), is_final);
            if sent.is_settled {
                self.close();
            }
        }
    }

    /// A piece of the answer has arrived: where the upstream stores the conversation, note the id by which the next request
    /// will name it. The answer is not held back.
    pub(super) fn watch_response(&self, size: usize) {
        let mut state = self.state.borrow_mut();
        let State::Sent(Sent { routed: Some(routed), stored: watched, .. }) = &mut *state else { return };
        let Some(stored) = watched else { return };
        if let Some(id) = stored.id.look_at(&proxy::response_body(size.min(ResponseId::WINDOW))) {
            if let Some(id) = id {
                Memory(self.plugin.config.memory).remember(Key::of_stored(&routed.pair.name, &id), stored.record, true);
            }
            *watched = None;
        }
    }

    fn pause_while_scoring(&self) -> Action {
        match *self.state.borrow() {
            State::Scoring { .. } => Action::Pause,
            _ => Action::Continue,
        }
    }

    /// The clock need not look at it any more.
    pub(super) fn close(&self) {
        self.plugin.open.borrow_mut().remove(&self.id);
    }
}
