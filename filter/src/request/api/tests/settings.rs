//! What settings and odd forms of messages need of a model, API by API.

use super::*;

const GEMINI: &str = "/v1beta/models/auto:generateContent";

/// Checks what requests need that have a question and these members besides.
fn check(api: Api, path: &str, question: &str, table: &[(&str, &[&str])]) {
    for (more, want) in table {
        let body = format!("{{{question},{more}}}");
        let request = api.read(path, body.as_bytes()).unwrap_or_else(|Unparsable| panic!("{api:?} {more}"));
        assert_eq!(needs(&request), *want, "{api:?} {more}");
    }
}

const TURNS: &str = r#""messages":[{"role":"user","content":"Why do cats purr?"}]"#;

#[test]
fn in_chat_completions() {
    let table: &[(&str, &[&str])] = &[
        (r#""chat_template_kwargs":{"reasoning_effort":"high"}"#, &["thinking"]),
        (r#""chat_template_kwargs":{"thinking_budget":100}"#, &["thinking"]),
        (r#""chat_template_kwargs":{"enable_thinking":false}"#, &[]),
        (r#""chat_template_kwargs":{"chat_template_kwargs":{"enable_thinking":true}}"#, &[]),
        (r#""extra_body":{"enable_thinking":true}"#, &["thinking"]),
        (r#""extra_body":{"chat_template_kwargs":{"thinking":true}}"#, &["thinking"]),
        (r#""extra_body":{"chat_template_kwargs":{"thinking":false},"top_k":5}"#, &[]),
        (r#""extra_body":{"google":{"thinking_config":{"thinking_budget":9}}}"#, &["thinking"]),
        (r#""prompt_mode":"reasoning""#, &["thinking"]),
        (r#""prompt_mode":null"#, &[]),
        (r#""reasoning":{"exclude":true}"#, &[]),
        (r#""reasoning":{"exclude":true,"max_tokens":2000}"#, &["thinking"]),
        (r#""reasoning_effort":null,"tools":null,"web_search_options":null,"response_format":null"#, &[]),
        (r#""web_search_options":{}"#, &["hosted tools"]),
        (r#""modalities":["text"]"#, &[]),
        (r#""modalities":["text","audio"],"audio":{"voice":"alloy","format":"mp3"}"#, &["audio"]),
        (r#""modalities":["image","text"]"#, &["unknown parts"]),
        (r#""modalities":null"#, &[]),
    ];
    check(Api::OpenAiChat, "", TURNS, table);
}

#[test]
fn in_bedrocks_apis() {
    let reasoning = r#"{"type":"enabled","maxReasoningEffort":"low"}"#;
    let fields = [
        (format!(r#""reasoningConfig":{reasoning}"#), &["thinking"][..]),
        (format!(r#""inferenceConfig":{{"reasoningConfig":{reasoning}}}"#), &["thinking"]),
        (r#""inferenceConfig":{"maxTokens":9,"reasoningConfig":{"type":"disabled"}}"#.to_owned(), &[]),
        (r#""enable_thinking":true"#.to_owned(), &["thinking"]),
        (r#""enable_thinking":false"#.to_owned(), &[]),
        (r#""reasoning_effort":"high""#.to_owned(), &["thinking"]),
        (r#""chat_template_kwargs":{"enable_thinking":true}"#.to_owned(), &["thinking"]),
        (r#""thinking":{"type":"adaptive"},"output_config":{"effort":"low"}"#.to_owned(), &["thinking"]),
        (r#""thinking":null,"tools":null"#.to_owned(), &[]),
        (
            r#""anthropic_beta":["x"],"tools":[{"type":"computer_20250124","name":"computer"}]"#.to_owned(),
            &["tools", "hosted tools"],
        ),
        (r#""tools":[{"type":"custom","name":"f","input_schema":{}}]"#.to_owned(), &["tools"]),
    ];
    for (field, want) in fields {
        check(Api::BedrockInvoke, "/model/auto/invoke", TURNS, &[(&field, want)]);
        let converse = format!(r#""additionalModelRequestFields":{{{field}}}"#);
        let turns = r#""messages":[{"role":"user","content":[{"text":"Why do cats purr?"}]}]"#;
        check(Api::BedrockConverse, "/model/auto/converse", turns, &[(&converse, want)]);
    }
}

#[test]
fn in_gemini() {
    let turns = r#""contents":[{"parts":[{"text":"Why do cats purr?"}]}]"#;
    let table: &[(&str, &[&str])] = &[
        (r#""tools":{"googleSearch":{}}"#, &["tools", "hosted tools"]),
        (r#""tools":{"functionDeclarations":[{"name":"f"}]}"#, &["tools"]),
        (r#""tools":[{"functionDeclarations":[{"name":"f"}],"googleSearch":null,"codeExecution":null}]"#, &["tools"]),
        (r#""generationConfig":{"responseModalities":["TEXT"]}"#, &[]),
        (r#""generationConfig":{"responseModalities":["AUDIO"]}"#, &["audio"]),
        (r#""generationConfig":{"speechConfig":{"voiceConfig":{}}}"#, &["audio"]),
        (r#""generationConfig":{"responseModalities":["TEXT","IMAGE"]}"#, &["unknown parts"]),
        (r#""generation_config":{"response_modalities":["Image"]}"#, &["unknown parts"]),
        (r#""generationConfig":{"imageConfig":{"aspectRatio":"16:9"}}"#, &["unknown parts"]),
        (r#""generationConfig":{"responseFormat":{"audio":{}}}"#, &["audio"]),
        (r#""generationConfig":{"responseFormat":[{"image":{"aspectRatio":"1:1"}}]}"#, &["unknown parts"]),
        (
            r#""generationConfig":{"responseModalities":null,"speechConfig":null,"imageConfig":null,"responseSchema":null}"#,
            &[],
        ),
        (r#""generation_config":{"thinking_config":{"thinking_level":"none","include_thoughts":true}}"#, &[]),
        (
            r#""systemInstruction":{"parts":[{"text":"s"},{"inlineData":{"mimeType":"image/png","data":""}}]}"#,
            &["vision"],
        ),
    ];
    check(Api::Gemini, GEMINI, turns, table);
}

/// What stands in the separate system prompt is read by the model as well.
#[test]
fn in_the_system_prompt() {
    let body = br#"{"contents":[{"parts":[{"text":"hi"}]}],"systemInstruction":{"parts":[{"text":"s"},
        {"fileData":{"mimeType":"application/pdf","fileUri":"x"}}]}}"#;
    let request = Api::Gemini.read(GEMINI, body).unwrap();
    assert_eq!((needs(&request), request.media, request.users.len()), (vec!["files"], 1, 1));
    let body = br#"{"messages":[],"system":[{"guardContent":{"image":{"format":"png"}}},{"json":{"a":1}}]}"#;
    let request = Api::BedrockConverse.read("/model/auto/converse", body).unwrap();
    assert_eq!((needs(&request), request.media, request.texts), (vec!["vision"], 1, vec![&br#"{"a":1}"#[..]]));
}

/// Clients whose objects have all members write null for those that are not set.
#[test]
fn null_members_are_no_content() {
    let question = r#"{"text":"Why do cats purr?","functionResponse":null,"functionCall":null,"inlineData":null,"fileData":null,
        "thoughtSignature":null,"thought":null,"executableCode":null,"somethingNew":null}"#;
    let blocks = r#"{"text":"Why do cats purr?","image":null,"document":null,"toolResult":null,"toolUse":null,
        "reasoningContent":null,"guardContent":null,"somethingNew":null}"#;
    let part = r#"{"text":"Why do cats purr?","image":null,"audio":null}"#;
    let bodies = [
        (Api::Gemini, GEMINI, format!(r#"{{"contents":[{{"role":null,"parts":[{question}]}}],"tools":null}}"#)),
        (
            Api::BedrockConverse,
            "/model/auto/converse",
            format!(r#"{{"messages":[{{"role":"user","content":[{blocks}]}}],"system":null,"toolConfig":null}}"#),
        ),
        (
            Api::BedrockInvoke,
            "/model/auto/invoke",
            format!(r#"{{"messages":[{{"role":"user","content":[{blocks}]}}],"system":null,"model":null}}"#),
        ),
        (
            Api::OpenAiChat,
            "",
            format!(r#"{{"messages":[{{"role":"user","content":[{part}],"tool_calls":null,"audio":null}}]}}"#),
        ),
    ];
    for (api, path, body) in bodies {
        let request = api.read(path, body.as_bytes()).unwrap();
        assert_eq!(QueryPolicy::default().query(&request).unwrap().text, "Why do cats purr?", "{api:?}");
        assert_eq!((needs(&request), request.media), (vec![], 0), "{api:?}");
        assert!(!request.carries_reasoning && request.users_at_result.is_none(), "{api:?}");
    }
    let unsigned = br#"{"contents":[{"role":"model","parts":[{"text":"Hm","thoughtSignature":""}]}]}"#;
    assert!(!Api::Gemini.read(GEMINI, unsigned).unwrap().carries_reasoning);
    let signed = br#"{"contents":[{"role":"model","parts":[{"text":"Hm","thoughtSignature":"c2ln"}]}]}"#;
    assert!(Api::Gemini.read(GEMINI, signed).unwrap().carries_reasoning);
}

#[test]
fn only_words_are_a_prefill() {
    let last = |last: &str| {
        let body = format!(r#"{{"messages":[{{"role":"user","content":"Why?"}},{last}]}}"#);
        Api::AnthropicMessages.read("", body.as_bytes()).unwrap().needs.prefill
    };
    assert!(last(r#"{"role":"assistant","content":"{"}"#));
    assert!(last(r#"{"role":"assistant","content":[{"type":"text","text":"\n"},{"type":"text","text":"In"}]}"#));
    for blank in ["", " ", r"\n\t", r"\u00a0"] {
        assert!(!last(&format!(r#"{{"role":"assistant","content":"{blank}"}}"#)), "{blank:?}");
    }
    assert!(!last(r#"{"role":"assistant","content":"{"},{"role":"system","content":"Be brief."}"#));
}

#[test]
fn a_byte_order_mark_moves_the_model_not() {
    let body = "\u{feff}{\"model\":\"auto\",\"messages\":[{\"role\":\"user\",\"content\":\"hi\"}]}";
    let (_, sent) = rewritten(Api::OpenAiChat, "/v1/chat/completions", body.as_bytes(), "m");
    assert_eq!(String::from_utf8(sent).unwrap(), body.replace("auto", "m"));
    let read = Api::OpenAiChat.model("", "\u{feff}{\"model\":\"auto\"}".as_bytes()).unwrap();
    assert_eq!((read.name.as_ref(), read.place), ("auto", Place::Body(12..18)));
    let path = FieldPath::parse("model").unwrap();
    assert!(any_present(&[path], body.as_bytes()));
}

/// Bedrock's `invoke` takes bodies of models whose own API has the name in it.
#[test]
fn the_model_in_the_body_of_an_invocation() {
    let path = "/model/auto/invoke";
    for body in [r#"{"model":"auto","messages":[]}"#, r#"{"model":"auto","message":"hi"}"#] {
        let model = Api::BedrockInvoke.model(path, body.as_bytes()).unwrap();
        assert_eq!(model.place, Place::Both(7..11, 9..15), "{body}");
    }
    let (path, body) = rewritten(Api::BedrockInvoke, path, br#"{"model":"auto","messages":[]}"#, "m");
    assert_eq!((path.as_str(), &body[..]), ("/model/m/invoke", &br#"{"model":"m","messages":[]}"#[..]));
}
