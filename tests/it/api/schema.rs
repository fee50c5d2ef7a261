//! Whether a JSON value has the shape that an `OpenAPI` 3.1 document says. Knows the words that Prometheus' document uses
//! and fails on any other, so that nothing is passed over.

use serde_json::Value;

/// Words that say nothing about the shape.
const SILENT: [&str; 4] = ["description", "example", "examples", "default"];

/// All mistakes, each with its place; none where the value fits.
pub(super) fn mistakes(document: &Value, schema: &Value, value: &Value) -> Vec<String> {
    let mut found = Vec::new();
    check(document, schema, value, "$", &mut found);
    found
}

fn check(document: &Value, schema: &Value, value: &Value, at: &str, found: &mut Vec<String>) {
    let words = schema.as_object().unwrap().iter();
    for (word, rule) in words.filter(|(word, _)| !SILENT.contains(&&***word)) {
        let mut wrong = |why: String| found.push(format!("{at}: {why}"));
        match word.as_str() {
            "$ref" => {
                let path = rule.as_str().unwrap().trim_start_matches('#');
                check(document, document.pointer(path).unwrap(), value, at, found);
            }
            "type" => {
                if !is_type(rule.as_str().unwrap(), value) {
                    wrong(format!("is no {rule}: {value}"));
                }
            }
            "enum" => {
                if !rule.as_array().unwrap().contains(value) {
                    wrong(format!("is none of {rule}: {value}"));
                }
            }
            "format" => {
                let text = value.as_str().unwrap_or_default();
                if rule == "date-time" && tributary::serve::api::time::parse_time(text).is_err() {
                    wrong(format!("is no time: {value}"));
                }
            }
            "required" => {
                for name in rule.as_array().unwrap() {
                    if value.get(name.as_str().unwrap()).is_none() {
                        wrong(format!("lacks {name}"));
                    }
                }
            }
            "properties" => {
                for (name, schema) in rule.as_object().unwrap() {
                    if let Some(value) = value.get(name) {
                        check(document, schema, value, &format!("{at}.{name}"), found);
                    }
                }
            }
            "additionalProperties" => others(document, schema, rule, value, at, found),
            "items" => {
                for (index, item) in value.as_array().into_iter().flatten().enumerate() {
                    check(document, rule, item, &format!("{at}[{index}]"), found);
                }
            }
            "minItems" | "maxItems" => {
                let (len, limit) = (
                    value.as_array().unwrap().len() as u64,
                    rule.as_u64().unwrap(),
                );
                if (word == "minItems" && len < limit) || (word == "maxItems" && len > limit) {
                    wrong(format!("has {len} items, {word} is {limit}"));
                }
            }
            "anyOf" | "oneOf" => {
                let tries = rule.as_array().unwrap().iter();
                let tries: Vec<_> = tries
                    .map(|schema| mistakes(document, schema, value))
                    .collect();
                let fit = tries.iter().filter(|mistakes| mistakes.is_empty()).count();
                if fit == 0 || (word == "oneOf" && fit > 1) {
                    wrong(format!("fits {fit} of {word}: {tries:?}"));
                }
            }
            other => panic!("{at}: the document says {other:?}, which is not known here"),
        }
    }
}

fn others(
    document: &Value,
    schema: &Value,
    rule: &Value,
    value: &Value,
    at: &str,
    found: &mut Vec<String>,
) {
    let known = schema.get("properties").and_then(Value::as_object);
    for (name, value) in value.as_object().into_iter().flatten() {
        if known.is_some_and(|known| known.contains_key(name)) {
            continue;
        }
        match rule {
            Value::Bool(true) => {}
            Value::Bool(false) => found.push(format!("{at}: has {name:?} as well")),
            schema => check(document, schema, value, &format!("{at}.{name}"), found),
        }
    }
}

fn is_type(word: &str, value: &Value) -> bool {
    match word {
        "object" => value.is_object(),
        "array" => value.is_array(),
        "string" => value.is_string(),
        "number" => value.is_number(),
        "integer" => value.is_i64() || value.is_u64(),
        "boolean" => value.is_boolean(),
        other => panic!("a type {other:?}"),
    }
}

#[test]
fn wrong_shapes_are_found() {
    use serde_json::json;
    let document = json!({"s": {"type": "string"}});
    let schema = json!({
        "type": "object",
        "properties": {
            "a": {"$ref": "#/s"},
            "b": {"type": "array", "items": {"oneOf": [{"type": "number"}, {"type": "string"}]}, "maxItems": 2},
        },
        "required": ["a"],
        "additionalProperties": false,
    });
    let check = |value: &Value, want: usize| {
        let mistakes = mistakes(&document, &schema, value);
        assert_eq!(mistakes.len(), want, "{value}: {mistakes:?}");
    };
    check(&json!({"a": "x", "b": [1, "2"]}), 0);
    check(&json!({"b": []}), 1);
    check(&json!({"a": 1}), 1);
    check(&json!({"a": "x", "c": 1}), 1);
    check(&json!({"a": "x", "b": [1, 2, true]}), 2);
    check(&json!([]), 2);
}
