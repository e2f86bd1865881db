//! The name of the model that a request asks for, and the places where another is put.

use std::borrow::Cow;
use std::ops::Range;

/// The name of a model and where it stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ModelName<'a> {
    /// The name, unescaped.
    pub name: Cow<'a, str>,
    /// Where to put another.
    pub place: Place,
}

/// Where a model's name stands in a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    /// Byte range of the JSON string in the body, quotes included.
    Body(Range<usize>),
    /// Byte range of the segment, or of its part, in the path.
    Path(Range<usize>),
    /// It stands in both: the range in the path, and that in the body.
    Both(Range<usize>, Range<usize>),
}

impl Place {
    /// A copy of the body up to the end of the model's name, where that stands near the beginning, as most clients write it. It
    /// costs less to keep than to read from the proxy again.
    #[must_use]
    pub fn head(&self, body: &[u8]) -> Option<Vec<u8>> {
        const NEAR: usize = 4096;
        let (Self::Body(span) | Self::Both(_, span)) = self else { return None };
        body.get(..span.end).filter(|head| head.len() <= NEAR).map(<[u8]>::to_vec)
    }

    /// The range in the path and the one in the body.
    #[must_use]
    pub fn spans(self) -> (Option<Range<usize>>, Option<Range<usize>>) {
        match self {
            Self::Body(span) => (None, Some(span)),
            Self::Path(span) => (Some(span), None),
            Self::Both(in_path, in_body) => (Some(in_path), Some(in_body)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::request::api::{Api, Unparsable};

    #[test]
    fn the_model_and_its_place() {
        let body = r#"{"metadata":{"model":"no"},"model" : "a\u0075to","messages":[]}"#;
        let model = Api::OpenAiChat.read("", body.as_bytes()).unwrap().model.unwrap();
        assert_eq!(model.name, "auto");
        let Place::Body(span) = model.place else { panic!("in the body") };
        assert_eq!(&body[span], r#""a\u0075to""#);
        for body in [r#"{"messages":[],"model":null}"#, r#"{"messages":[]}"#] {
            assert_eq!(Api::OpenAiChat.read("", body.as_bytes()).unwrap().model, None);
        }
        for body in [r#"{"messages":[],"model":5}"#, r#"{"messages":[],"model":["m"]}"#] {
            assert_eq!(Api::OpenAiChat.read("", body.as_bytes()), Err(Unparsable));
        }
        // A model in the body of an API that has it in the path is none of our business.
        let gemini = Api::Gemini.read("/v1/models/auto:generateContent", br#"{"model":"x","contents":[]}"#).unwrap();
        assert_eq!(gemini.model.unwrap().place, Place::Path(11..15));
    }

    /// A request that is not of the path's API still has its model replaced.
    #[test]
    fn the_model_of_another_apis_body() {
        let model = |api: Api, path: &str, body: &str| {
            api.model(path, body.as_bytes()).map(|model| (model.name.into_owned(), model.place))
        };
        let in_body = |body| model(Api::OpenAiChat, "/v1/chat/completions", body);
        let of_responses = r#"{"model" : "a\u0075to","input":[{"role":"user"}]}"#;
        assert_eq!(Api::OpenAiChat.read("/v1/chat/completions", of_responses.as_bytes()), Err(Unparsable));
        assert_eq!(in_body(of_responses), Some(("auto".to_owned(), Place::Body(11..22))));
        assert_eq!(in_body(r#"{"messages":"hi","model":"auto"}"#), Some(("auto".to_owned(), Place::Body(25..31))));
        let others = [
            "",
            "{",
            "[]",
            "null",
            r#"{"messages":[]}"#,
            r#"{"model":null}"#,
            r#"{"model":5}"#,
            r#"{"model":"auto""#,
            r#"{"model":"auto"}x"#,
            r#"{"model":"auto","model":"auto"}"#,
            r#"[{"model":"auto"}]"#,
            r#"{"a":{"model":"auto"}}"#,
            "{\"model\":\"\u{0}\"}",
        ];
        for body in others {
            assert_eq!(in_body(body), None, "{body}");
        }
        let path = "/v1beta/models/auto:generateContent";
        for body in ["{", r#"{"model":"x","messages":[]}"#] {
            assert_eq!(model(Api::Gemini, path, body), Some(("auto".to_owned(), Place::Path(15..19))), "{body}");
        }
        // Where both name it, both are replaced.
        let path = "/publishers/mistralai/models/auto:rawPredict";
        let both = Place::Both(29..33, 9..15);
        assert_eq!(
            model(Api::OpenAiChat, path, r#"{"model":"auto","input":5}"#),
            Some(("auto".to_owned(), both.clone()))
        );
        assert_eq!(model(Api::OpenAiChat, path, "{"), Some(("auto".to_owned(), Place::Path(29..33))));
        let read = Api::OpenAiChat.read(path, br#"{"model":"auto","messages":[]}"#).unwrap();
        assert_eq!(read.model.map(|model| model.place), Some(both));
    }
}
