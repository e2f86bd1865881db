//! The proxy's calls that the filter uses, with bytes instead of strings: a header that is not UTF-8 must not trap the VM.

use crate::config::HasNull;
use crate::wire::headers::{self, RequestHead};
use proxy_wasm::hostcalls;
use proxy_wasm::types::{BufferType, LogLevel, MapType};

// Results of calls that change something are ignored. They fail where the stream is gone, and then nothing is left to be done; and
// a request whose headers or body could not be changed still goes to the cluster that it had.

pub(super) fn log(level: LogLevel, message: &str) {
    let _ = hostcalls::log(level, message);
}

pub(super) fn request_head() -> RequestHead {
    let headers = hostcalls::get_map_bytes(MapType::HttpRequestHeaders).unwrap_or_default();
    RequestHead::read(headers.iter().map(|(name, value)| (name.as_str(), value.as_slice())))
}

pub(super) fn set_request_header(name: &str, value: Option<&str>) {
    let _ = hostcalls::set_map_value(MapType::HttpRequestHeaders, name, value);
}

pub(super) fn request_header(name: &str) -> Option<Vec<u8>> {
    hostcalls::get_map_value_bytes(MapType::HttpRequestHeaders, name).ok().flatten()
}

/// The values of all lines of a header, with commas between them (RFC 9110, section 5.3): the proxy gives the first line alone.
pub(super) fn request_header_list(name: &str) -> Option<Vec<u8>> {
    // Most requests have none, and all headers are a good deal to copy.
    let first = request_header(name)?;
    let headers = hostcalls::get_map_bytes(MapType::HttpRequestHeaders).unwrap_or_default();
    let lines: Vec<_> = headers.into_iter().filter(|(own, _)| own == name).map(|(_, value)| value).collect();
    Some(if lines.is_empty() { first } else { lines.join(&b',') })
}

/// Removes what an upstream sends under this project's names.
pub(super) fn strip_response_headers() {
    let headers = hostcalls::get_map_bytes(MapType::HttpResponseHeaders).unwrap_or_default();
    for name in headers::forged(headers.iter().map(|(name, _)| name.as_str())) {
        let _ = hostcalls::set_map_value(MapType::HttpResponseHeaders, &name, None);
    }
}

pub(super) fn set_response_header(name: &str, value: &str) {
    let _ = hostcalls::set_map_value(MapType::HttpResponseHeaders, name, Some(value));
}

pub(super) fn callout_header(name: &str) -> Option<Vec<u8>> {
    hostcalls::get_map_value_bytes(MapType::HttpCallResponseHeaders, name).ok().flatten()
}

pub(super) fn request_body() -> Vec<u8> {
    hostcalls::get_buffer(BufferType::HttpRequestBody, 0, usize::MAX).ok().flatten().unwrap_or_default()
}

pub(super) fn callout_body(size: usize) -> Vec<u8> {
    hostcalls::get_buffer(BufferType::HttpCallResponseBody, 0, size).ok().flatten().unwrap_or_default()
}

pub(super) fn request_body_until(end: usize) -> Vec<u8> {
    hostcalls::get_buffer(BufferType::HttpRequestBody, 0, end).ok().flatten().unwrap_or_default()
}

pub(super) fn response_body(size: usize) -> Vec<u8> {
    hostcalls::get_buffer(BufferType::HttpResponseBody, 0, size).ok().flatten().unwrap_or_default()
}

/// Replaces the first `old_len` bytes of a request body of `body_len`, and says the new length in `content-length`.
pub(super) fn replace_body_head(body_len: usize, old_len: usize, head: &[u8]) {
    let replaced = hostcalls::set_buffer(BufferType::HttpRequestBody, 0, old_len, head).is_ok();
    if replaced && old_len != head.len() {
        let len = (body_len + head.len()).saturating_sub(old_len);
        set_request_header("content-length", Some(&len.to_string()));
    }
}

pub(super) fn clear_route_cache() {
    let _ = hostcalls::call_foreign_function("clear_route_cache", None);
}

/// Makes sure that the request's route leads to the cluster that its header names. Envoy reads the header when it chooses
/// the route, before any filter: where the header was set later, by an ordinary filter, the choice has to be made again.
pub(super) fn settle_route(cluster: &[u8]) {
    if !cluster.is_empty() && cluster_name() != cluster {
        clear_route_cache();
    }
}

pub(super) fn resume_request() {
    let _ = hostcalls::resume_http_request();
}

pub(super) fn property(path: &[&str]) -> Option<Vec<u8>> {
    hostcalls::get_property(path.to_vec()).ok().flatten()
}

/// The route's name; empty where it has none.
pub(super) fn route_name() -> Vec<u8> {
    property(&["xds", "route_name"]).unwrap_or_default()
}

/// The cluster that the route leads to; empty where there is none.
pub(super) fn cluster_name() -> Vec<u8> {
    property(&["xds", "cluster_name"]).unwrap_or_default()
}

/// Whether the request has got as far as a server.
pub(super) fn has_upstream() -> bool {
    property(&["upstream", "address"]).is_some()
}

/// A property within the route's metadata, where the proxy can't give what is null or has null in it.
pub(super) fn metadata(path: &[&str]) -> Result<Option<Vec<u8>>, HasNull> {
    hostcalls::get_property(path.to_vec()).map_err(|_| HasNull)
}
