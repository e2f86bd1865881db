//! Recognises files that are neither text nor JSONL, and says how to convert them. Messages quote nothing but the names of
//! columns and keys.

use std::path::Path;

use serde_json::Value;

/// What a file begins with that is no text, what that is, and what to do.
const BEGINNINGS: [(&[u8], &str); 14] = [
    (b"\xff\xfe\0\0", "is UTF-32: convert it with iconv -f UTF-32 -t UTF-8"),
    (b"\0\0\xfe\xff", "is UTF-32: convert it with iconv -f UTF-32 -t UTF-8"),
    (b"\xff\xfe", "is UTF-16: convert it with iconv -f UTF-16 -t UTF-8"),
    (b"\xfe\xff", "is UTF-16: convert it with iconv -f UTF-16 -t UTF-8"),
    (b"\x1f\x8b", "is compressed with gzip: decompress it with gunzip first"),
    (b"\x28\xb5\x2f\xfd", "is compressed with zstd: decompress it with unzstd first"),
    (b"\xfd7zXZ\0", "is compressed with xz: decompress it with unxz first"),
    (b"BZh91AY", "is compressed with bzip2: decompress it with bunzip2 first"),
    (b"PK\x03\x04", "is a ZIP archive or a spreadsheet: unzip it, or save it as JSONL"),
    (
        b"PAR1",
        "is Parquet: convert it to JSONL, for instance with pandas.read_parquet(FILE).to_json(OUT, orient=\"records\", lines=True)",
    ),
    (
        b"ARROW1",
        "is Arrow: convert it to JSONL, for instance with pandas.read_feather(FILE).to_json(OUT, orient=\"records\", lines=True)",
    ),
    (b"Obj\x01", "is Avro: convert it to JSONL"),
    (b"SQLite format 3\0", "is an SQLite database: export it as JSONL"),
    (b"%PDF-", "is a PDF: it must be text or JSONL"),
];
/// What queries are called in files of others.
const QUERIES: [&str; 11] = [
    "query",
    "prompt",
    "question",
    "text",
    "instruction",
    "input",
    "message",
    "content",
    "user",
    "request",
    "messages",
];
/// Writes an array of objects or texts as JSONL.
const ARRAY: &str = r#"jq -c '.[] | if type == "string" then {query: .} else . end'"#;
/// Writes CSV as JSONL.
const CSV: &str = r#"python3 -c 'import csv, json, sys; [print(json.dumps(row)) for row in csv.DictReader(open(sys.argv[1], newline="", encoding="utf-8-sig"))]'"#;

/// What a file is whose first bytes these are, if it is no text.
pub(super) fn binary(start: &[u8]) -> Option<&'static str> {
    let known = BEGINNINGS.iter().find(|(beginning, _)| start.starts_with(beginning));
    // UTF-16 without a mark has a zero beside each ASCII letter.
    let zeros = || {
        start.contains(&0).then_some("contains zero bytes: if it is UTF-16, convert it with iconv -f UTF-16LE -t UTF-8")
    };
    known.map(|(_, what)| *what).or_else(zeros)
}

/// What a file is whose first line this is, if it has no object or query a line, and what to do. `lines` is whether any text is
/// a line of it, so that only what is surely something else counts.
pub(super) fn text(line: &str, file: &Path, lines: bool) -> Option<String> {
    let line = line.trim();
    let parsed = serde_json::from_str::<Value>(line).ok();
    let array = match &parsed {
        Some(Value::Array(items)) => items.first().is_some_and(|item| item.is_object() || item.is_string()),
        _ => line == "[" || line == "[{" || line.starts_with("[{\""),
    };
    if array {
        return Some(format!("is one JSON array, but must have one JSON object per line: convert it with {ARRAY}"));
    }
    if line == "{" {
        return Some(
            "is JSON over several lines, but must have one JSON object per line: convert it with jq -c . (or jq -c '.data[]', if the \
             objects are in a list named data)"
                .to_owned(),
        );
    }
    if let Some((key, _)) = parsed.as_ref().and_then(Value::as_object).and_then(|object| {
        let lists =
            |(_, value): &(&String, &Value)| value.get(0).is_some_and(|item| item.is_object() || item.is_string());
        let wrapped = !QUERIES.iter().any(|name| object.contains_key(*name));
        object.iter().filter(|_| wrapped).find(lists)
    }) {
        let key = if key.chars().all(|c| c.is_ascii_alphanumeric() || c == '_') { key.as_str() } else { "LIST" };
        let inner = ARRAY.replacen(".[]", &format!(".{key}[]"), 1);
        return Some(format!(
            "is one JSON object with a list in it, but must have one JSON object per line: convert it with {inner}"
        ));
    }
    table(line, file, lines)
}

/// Tables with a separator: by the names of their columns, or, where any text is a line, by the file's name too.
fn table(line: &str, file: &Path, lines: bool) -> Option<String> {
    let called = |end: &str| file.extension().is_some_and(|found| found.eq_ignore_ascii_case(end));
    let named =
        [("csv", "CSV"), ("tsv", "TSV")].into_iter().find(|(end, _)| lines && called(end)).map(|(_, kind)| kind);
    let separator = [(',', "CSV"), ('\t', "TSV"), (';', "CSV")].into_iter().find(|(separator, _)| {
        let columns: Vec<&str> = line.split(*separator).map(unquoted).collect();
        columns.len() > 1
            && columns.iter().all(|column| is_name(column))
            && columns.iter().any(|column| QUERIES.contains(&column.to_ascii_lowercase().as_str()))
    });
    let kind = separator.map(|(_, kind)| kind).or(named)?;
    let columns = match separator {
        Some((separator, _)) => {
            let columns: Vec<&str> = line.split(separator).map(unquoted).collect();
            format!(" with the columns {}", columns.join(", "))
        }
        None => " by its name".to_owned(),
    };
    let delimiter = match separator {
        Some(('\t', _)) => r#", delimiter="\t""#,
        Some((';', _)) => r#", delimiter=";""#,
        _ if kind == "TSV" => r#", delimiter="\t""#,
        _ => "",
    };
    let program = CSV.replace("\"utf-8-sig\"))", &format!("\"utf-8-sig\"){delimiter})"));
    let rename = if columns.split([' ', ',']).any(|word| word == "query") {
        ""
    } else {
        " (rename the column with the queries to query)"
    };
    Some(format!("is {kind}{columns}, but must have one JSON object per line: convert it with {program} FILE{rename}"))
}

fn unquoted(column: &str) -> &str {
    column.strip_prefix('"').and_then(|column| column.strip_suffix('"')).unwrap_or(column)
}

/// Whether this can be the name of a column: a word, or a few with marks between them.
fn is_name(column: &str) -> bool {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.' | ' ');
    column.len() <= 40 && column.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_') && column.chars().all(plain)
}

/// JSON in which each half of a surrogate pair that stands alone has become U+FFFD, which is as long; `None` where there is none.
pub(super) fn whole_characters(json: &[u8]) -> Option<Vec<u8>> {
    let mut fixed = json.to_vec();
    let (mut at, mut lone) = (0, false);
    while let Some(byte) = json.get(at) {
        let escape = |at: usize| {
            let digits = json.get(at..at + 6)?.strip_prefix(b"\\u")?;
            u16::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()
        };
        at += match (byte, escape(at)) {
            (_, Some(0xd800..0xdc00)) if matches!(escape(at + 6), Some(0xdc00..0xe000)) => 12,
            (_, Some(0xd800..0xe000)) => {
                if let Some(place) = fixed.get_mut(at..at + 6) {
                    place.copy_from_slice(b"\\ufffd");
                }
                lone = true;
                6
            }
            (b'\\', _) => 2,
            _ => 1,
        };
    }
    lone.then_some(fixed)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(line: &str) -> Option<String> {
        text(line, Path::new("queries.jsonl"), true)
    }

    #[test]
    fn other_kinds_of_files_are_recognised_and_say_what_to_do() {
        insta::assert_snapshot!(of("id,query").unwrap(), @r#"is CSV with the columns id, query, but must have one JSON object per line: convert it with python3 -c 'import csv, json, sys; [print(json.dumps(row)) for row in csv.DictReader(open(sys.argv[1], newline="", encoding="utf-8-sig"))]' FILE"#);
        insta::assert_snapshot!(of("\"id\"\t\"prompt\"").unwrap(), @r#"is TSV with the columns id, prompt, but must have one JSON object per line: convert it with python3 -c 'import csv, json, sys; [print(json.dumps(row)) for row in csv.DictReader(open(sys.argv[1], newline="", encoding="utf-8-sig"), delimiter="\t")]' FILE (rename the column with the queries to query)"#);
        insta::assert_snapshot!(of("id;question;answer").unwrap(), @r#"is CSV with the columns id, question, answer, but must have one JSON object per line: convert it with python3 -c 'import csv, json, sys; [print(json.dumps(row)) for row in csv.DictReader(open(sys.argv[1], newline="", encoding="utf-8-sig"), delimiter=";")]' FILE (rename the column with the queries to query)"#);
        insta::assert_snapshot!(text("1,What is it?", Path::new("a.CSV"), true).unwrap(), @r#"is CSV by its name, but must have one JSON object per line: convert it with python3 -c 'import csv, json, sys; [print(json.dumps(row)) for row in csv.DictReader(open(sys.argv[1], newline="", encoding="utf-8-sig"))]' FILE (rename the column with the queries to query)"#);
        insta::assert_snapshot!(of("[{\"query\": \"secret\"}]").unwrap(), @r#"is one JSON array, but must have one JSON object per line: convert it with jq -c '.[] | if type == "string" then {query: .} else . end'"#);
        insta::assert_snapshot!(of("{").unwrap(), @r#"is JSON over several lines, but must have one JSON object per line: convert it with jq -c . (or jq -c '.data[]', if the objects are in a list named data)"#);
        insta::assert_snapshot!(of("{\"data\": [{\"query\": \"secret\"}], \"version\": 1}").unwrap(), @r#"is one JSON object with a list in it, but must have one JSON object per line: convert it with jq -c '.data[] | if type == "string" then {query: .} else . end'"#);
        for array in ["[", "[{", "[\"secret\", \"more\"]", " [{\"query\": \"a\"},"] {
            assert!(of(array).unwrap().starts_with("is one JSON array"), "{array}");
        }
        assert!(text("1,2", Path::new("a.csv"), false).is_none(), "where lines must be JSON, that is told otherwise");
    }

    #[test]
    fn texts_are_left_alone() {
        for line in [
            "What is the capital of Peru?",
            "text, input, and what else?",
            "hello,world",
            "[INST] Hi [/INST]",
            "[1, 2, 3]",
            "[]",
            "{\"query\": \"a\", \"tags\": [\"b\"]}",
            "{\"messages\": [{\"role\": \"user\"}]}",
            "query",
            "",
        ] {
            assert_eq!(of(line), None, "{line}");
        }
    }

    #[test]
    fn bytes_of_other_kinds_are_recognised() {
        let utf_16: Vec<u8> = "a b".encode_utf16().flat_map(u16::to_le_bytes).collect();
        assert!(binary(&[b"\xff\xfe", &utf_16[..]].concat()).unwrap().starts_with("is UTF-16"));
        assert!(binary(&utf_16).unwrap().starts_with("contains zero bytes"));
        assert!(binary(b"\x1f\x8b\x08\0").unwrap().starts_with("is compressed with gzip"));
        assert_eq!(binary("\u{feff}{\"query\": \"é\"}".as_bytes()), None);
        assert_eq!(binary(b""), None);
    }

    #[test]
    fn half_a_pair_becomes_a_replacement_and_whole_ones_stay() {
        let fixed = |json: &str| whole_characters(json.as_bytes()).map(|json| String::from_utf8(json).unwrap());
        assert_eq!(fixed(r#""\ud83d""#).as_deref(), Some(r#""\ufffd""#));
        assert_eq!(
            fixed(r#""\uDE00\ud83d\ud83d\ude00\ud83d""#).as_deref(),
            Some(r#""\ufffd\ufffd\ud83d\ude00\ufffd""#)
        );
        for whole in [r#""\ud83d\ude00""#, r#""\\ud83d""#, r#""\u00e9 é""#, r#""\u12"#, ""] {
            assert_eq!(fixed(whole), None, "{whole}");
        }
    }
}
