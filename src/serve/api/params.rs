//! Parameters of a request: a form in the body and the URL's query, merged as Go's `Request.Form` does.
//!
//! Values of the body stand before those of the URL, so the first one wins where only one counts. A body is read only
//! if it says that it is a form and comes with POST; any other is left alone.

use std::time::Duration;

use http::request::Parts;
use http::{Method, Request};
use hyper::body::Incoming;

use super::super::form::{self, FormError};
use super::ApiError;
use super::time::{MAX_MS, MIN_MS, parse_duration, parse_time};
use crate::model::matcher::Matcher;
use crate::promql;
use crate::query::Engine;
use crate::query::budget::Budget;

/// Selectors allowed in one request.
const SELECTORS_MAX: usize = 64;

/// The words before all errors about the form as a whole.
const FORM_ERROR: &str = "error parsing form values";

/// The parameters, in order.
#[derive(Debug, Default)]
pub(super) struct Form {
    pairs: Vec<(String, String)>,
}

/// Reads a form body, if there is one, and the URL's query.
pub(super) async fn read(request: Request<Incoming>) -> Result<(Parts, Form), ApiError> {
    let (head, body) = request.into_parts();
    let mut form = Form::default();
    if head.method == Method::POST && form::is_form(&head.headers) {
        let body = form::read(body, form::PATIENCE)
            .await
            .map_err(|error| match error {
                FormError::TooLarge => "http: POST too large".to_owned(),
                other => other.to_string(),
            });
        form.add(&body.map_err(|why| ApiError::bad_data(format!("{FORM_ERROR}: {why}")))?)?;
    }
    form.add(head.uri.query().unwrap_or_default().as_bytes())?;
    Ok((head, form))
}

impl Form {
    /// Adds the pairs of an encoded text behind those that are there.
    pub(super) fn add(&mut self, text: &[u8]) -> Result<(), ApiError> {
        for pair in text
            .split(|byte| *byte == b'&')
            .filter(|pair| !pair.is_empty())
        {
            if pair.contains(&b';') {
                let why = "invalid semicolon separator in query";
                return Err(ApiError::bad_data(format!("{FORM_ERROR}: {why}")));
            }
            let at = pair.iter().position(|byte| *byte == b'=');
            let (name, value) = at.map_or((pair, &b""[..]), |at| (&pair[..at], &pair[at + 1..]));
            let decoded = text_of(name).and_then(|name| Ok((name, text_of(value)?)));
            self.pairs
                .push(decoded.map_err(|why| ApiError::bad_data(format!("{FORM_ERROR}: {why}")))?);
        }
        Ok(())
    }

    /// The first value, empty where there is none.
    pub(super) fn get(&self, name: &str) -> &str {
        self.all(name).next().unwrap_or_default()
    }

    /// All values.
    pub(super) fn all(&self, name: &str) -> impl Iterator<Item = &str> {
        let wanted = self.pairs.iter().filter(move |(known, _)| known == name);
        wanted.map(|(_, value)| &**value)
    }

    /// A time that must be there, in milliseconds since 1970.
    pub(super) fn time(&self, name: &str) -> Result<i64, ApiError> {
        parse_time(self.get(name)).map_err(|why| ApiError::parameter(name, why))
    }

    /// A time that may be left out.
    pub(super) fn time_or(&self, name: &str, default_ms: i64) -> Result<i64, ApiError> {
        let text = self.get(name);
        if text.is_empty() {
            return Ok(default_ms);
        }
        let wrong = |why| format!("invalid time value for '{name}': {why}");
        parse_time(text).map_err(|why| ApiError::parameter(name, wrong(why)))
    }

    /// `start` and `end`, everything where they are left out.
    pub(super) fn times(&self) -> Result<(i64, i64), ApiError> {
        Ok((self.time_or("start", MIN_MS)?, self.time_or("end", MAX_MS)?))
    }

    /// A duration in nanoseconds that must be there.
    pub(super) fn duration(&self, name: &str) -> Result<i64, ApiError> {
        parse_duration(self.get(name)).map_err(|why| ApiError::parameter(name, why))
    }

    /// A duration that may be left out; a negative one is zero.
    pub(super) fn duration_if_any(&self, name: &str) -> Result<Option<Duration>, ApiError> {
        if self.get(name).is_empty() {
            return Ok(None);
        }
        let nanos = self.duration(name)?;
        Ok(Some(Duration::from_nanos(nanos.max(0).unsigned_abs())))
    }

    /// `limit`; none where it is left out or 0.
    pub(super) fn limit(&self) -> Result<Option<usize>, ApiError> {
        let text = self.get("limit");
        if text.is_empty() {
            return Ok(None);
        }
        let limit = integer(text).map_err(|why| ApiError::parameter("limit", why))?;
        let limit = usize::try_from(limit)
            .map_err(|_| ApiError::parameter("limit", "limit must be non-negative"))?;
        Ok((limit > 0).then_some(limit))
    }

    /// The selectors in `match[]`, each with something that an empty label does not fit.
    pub(super) async fn selectors(&self, engine: &Engine) -> Result<Selectors, ApiError> {
        let texts: Vec<String> = self.all("match[]").map(str::to_owned).collect();
        let is_slow = texts.iter().any(|text| promql::is_slow_to_parse(text));
        let read = move || selectors_of(&texts);
        let sets = engine.pool().run_if(is_slow, read).await??;
        let matchers = sets.iter().flatten();
        let held = engine.hold(matchers.map(Matcher::regex_bytes).sum())?;
        Ok(Selectors { sets, _held: held })
    }
}

/// Selectors. What they take counts among what queries hold.
#[derive(Debug)]
pub(super) struct Selectors {
    /// Each a set of conditions.
    pub(super) sets: Vec<Vec<Matcher>>,
    _held: Budget,
}

fn selectors_of(texts: &[String]) -> Result<Vec<Vec<Matcher>>, ApiError> {
    if texts.len() > SELECTORS_MAX {
        let why = format!(
            "{} match[] parameters, more than {SELECTORS_MAX}",
            texts.len()
        );
        return Err(ApiError::bad_data(why));
    }
    let sets = promql::parse_metric_selectors(texts.iter().map(String::as_str))
        .map_err(|error| ApiError::bad_data(error.to_string()))?;
    let fits_without_labels = |set: &Vec<Matcher>| set.iter().all(|matcher| matcher.matches(""));
    if sets.iter().any(fits_without_labels) {
        let why = "match[] must contain at least one non-empty matcher";
        return Err(ApiError::bad_data(why));
    }
    Ok(sets)
}

/// A whole number; the error is that of Go's `strconv.Atoi`.
pub(super) fn integer(text: &str) -> Result<i64, String> {
    let error = |why: &str| format!("strconv.Atoi: parsing {text:?}: {why}");
    text.parse()
        .map_err(|problem: std::num::ParseIntError| match problem.kind() {
            std::num::IntErrorKind::PosOverflow | std::num::IntErrorKind::NegOverflow => {
                error("value out of range")
            }
            _ => error("invalid syntax"),
        })
}

/// A name or value of a form, decoded. Bytes that are not UTF-8 become U+FFFD, which the parsers refuse in upstream's words
/// for such bytes.
fn text_of(encoded: &[u8]) -> Result<String, String> {
    let text = String::from_utf8(decoded(encoded)?);
    Ok(text.unwrap_or_else(|broken| String::from_utf8_lossy(broken.as_bytes()).into_owned()))
}

/// Undoes the percent encoding; a plus is a space.
fn decoded(text: &[u8]) -> Result<Vec<u8>, String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut at = 0;
    while at < text.len() {
        match text[at] {
            b'%' => {
                let digits = text
                    .get(at + 1..at + 3)
                    .map(|digits| (hex(digits[0]), hex(digits[1])));
                let Some((Some(high), Some(low))) = digits else {
                    let escape = String::from_utf8_lossy(&text[at..text.len().min(at + 3)]);
                    return Err(format!("invalid URL escape {escape:?}"));
                };
                bytes.push(high << 4 | low);
                at += 2;
            }
            b'+' => bytes.push(b' '),
            byte => bytes.push(byte),
        }
        at += 1;
    }
    Ok(bytes)
}

fn hex(byte: u8) -> Option<u8> {
    char::from(byte)
        .to_digit(16)
        .and_then(|digit| u8::try_from(digit).ok())
}

/// A segment of a path, decoded; a plus stays one.
pub(super) fn path_segment(segment: &str) -> Result<String, ApiError> {
    let kept = segment.replace('+', "%2B");
    let bytes = decoded(kept.as_bytes()).map_err(ApiError::bad_data)?;
    String::from_utf8(bytes).map_err(|_| ApiError::bad_data("the path is not UTF-8"))
}

/// A label's name as a path has it: `U__` stands before one whose odd characters are written as `_2e_`, and `_` as `__`
/// (`model.UnescapeName` of prometheus/common). What is written otherwise stays as it is.
pub(super) fn label_name(segment: &str) -> String {
    let unescaped = segment.strip_prefix("U__").and_then(unescaped);
    unescaped.unwrap_or_else(|| segment.to_owned())
}

fn unescaped(text: &str) -> Option<String> {
    let mut name = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('_') {
        name.push_str(&rest[..at]);
        rest = &rest[at + 1..];
        if let Some(behind) = rest.strip_prefix('_') {
            name.push('_');
            rest = behind;
            continue;
        }
        let (code, behind) = rest.split_once('_')?;
        let is_code = code.len() <= 6 && code.bytes().all(|byte| byte.is_ascii_hexdigit());
        let code = if is_code {
            u32::from_str_radix(code, 16).ok()?
        } else {
            return None;
        };
        name.push(char::from_u32(code)?);
        rest = behind;
    }
    name.push_str(rest);
    Some(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn form(text: &str) -> Result<Form, ApiError> {
        let mut form = Form::default();
        form.add(text.as_bytes()).map(|()| form)
    }

    #[test]
    fn forms_are_read_as_go_reads_them() {
        let form = form("a=1+2&&b&a=%C3%A9%2B&=x&c%5B%5D=y=z").unwrap();
        assert_eq!(form.all("a").collect::<Vec<_>>(), ["1 2", "é+"]);
        assert_eq!(
            (form.get("b"), form.get(""), form.get("c[]")),
            ("", "x", "y=z")
        );
        assert_eq!(form.get("missing"), "");
    }

    #[test]
    fn broken_forms_say_what_is_broken() {
        let check = |text: &str, want: &str| {
            let error = form(text).unwrap_err();
            assert_eq!(
                error.text,
                format!("error parsing form values: {want}"),
                "{text}"
            );
        };
        check("a=%zz", "invalid URL escape \"%zz\"");
        check("a=%1", "invalid URL escape \"%1\"");
        check("a=1;b=2", "invalid semicolon separator in query");
    }

    #[test]
    fn limits() {
        let check = |text: &str, want: Result<Option<usize>, &str>| {
            let got = form(&format!("limit={text}")).unwrap().limit();
            let got = got.map_err(|error| error.text);
            assert_eq!(
                got,
                want.map_err(|why| format!("invalid parameter \"limit\": {why}"))
            );
        };
        check("", Ok(None));
        check("0", Ok(None));
        check("7", Ok(Some(7)));
        check("-1", Err("limit must be non-negative"));
        check("x", Err("strconv.Atoi: parsing \"x\": invalid syntax"));
        check(
            "99999999999999999999",
            Err("strconv.Atoi: parsing \"99999999999999999999\": value out of range"),
        );
    }

    #[test]
    fn escaped_label_names() {
        let check = |text: &str, want: &str| assert_eq!(label_name(text), want);
        check("job", "job");
        check("U__http_2e_status", "http.status");
        check("U__a__b", "a_b");
        check("U__caf_e9_", "café");
        check("U___1F600_", "😀");
        check("U__broken_", "U__broken_");
        check("U__no_xyz_", "U__no_xyz_");
        check("U__surrogate_d800_", "U__surrogate_d800_");
        check("U__long_0000041_", "U__long_0000041_");
        check("u__a", "u__a");
    }

    #[test]
    fn selectors_must_select() {
        let check = |text: &str, want: Result<usize, &str>| {
            let form = form(text).unwrap();
            let texts: Vec<String> = form.all("match[]").map(str::to_owned).collect();
            let got = selectors_of(&texts).map(|sets| sets.len());
            assert_eq!(
                got.map_err(|error| error.text),
                want.map_err(str::to_owned),
                "{text}"
            );
        };
        check("", Ok(0));
        check("match[]=up&match[]=%7Bjob%3D%22x%22%7D", Ok(2));
        check(
            "match[]=%7B%7D",
            Err("match[] must contain at least one non-empty matcher"),
        );
        check(
            "match[]=%7Ba%3D~%22.*%22%7D",
            Err("match[] must contain at least one non-empty matcher"),
        );
        check(
            &"match[]=up&".repeat(65),
            Err("65 match[] parameters, more than 64"),
        );
    }
}
