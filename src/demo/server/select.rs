//! A plain understanding of `match[]`: a query string in, a filter over the lines of a body out.
//!
//! Bare names and equality matchers are honoured; whatever else is asked for gets everything. This is on purpose not
//! the selector parser of the proxy, so that the one can be tested against the other.

/// The series that a request asks for: the union of its selectors.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Selection {
    /// Empty = everything.
    selectors: Vec<Selector>,
    /// Nothing was asked for, which gives nothing.
    nothing: bool,
}

/// A name and labels that a series must all have.
#[derive(Debug, Default, PartialEq, Eq)]
struct Selector {
    name: Option<String>,
    /// `label="value"`, as the label stands in the line.
    labels: Vec<String>,
}

impl Selection {
    /// Reads the `match[]` of a query string.
    pub(super) fn from_query(query: &str) -> Selection {
        let pairs = form_urlencoded::parse(query.as_bytes());
        let asked: Vec<_> = pairs
            .filter(|(key, _)| key == "match[]")
            .map(|(_, value)| value)
            .collect();
        let selectors = asked
            .iter()
            .map(|text| Selector::read(text))
            .collect::<Option<Vec<_>>>();
        Selection {
            selectors: selectors.unwrap_or_default(),
            nothing: asked.is_empty(),
        }
    }

    /// Whether the body goes out as it is.
    pub(super) fn is_everything(&self) -> bool {
        self.selectors.is_empty() && !self.nothing
    }

    /// The lines of a body that are selected, with the `# TYPE` of their families.
    pub(super) fn filter(&self, body: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        let mut header: &[u8] = &[];
        for line in body.split_inclusive(|&byte| byte == b'\n') {
            if line.starts_with(b"#") {
                header = line;
            } else if self.selectors.iter().any(|selector| selector.matches(line)) {
                out.extend_from_slice(std::mem::take(&mut header));
                out.extend_from_slice(line);
            }
        }
        out
    }
}

impl Selector {
    /// `None` = not understood, or it selects everything.
    fn read(text: &str) -> Option<Selector> {
        let (name, labels) = match text.trim().split_once('{') {
            None => (text.trim(), ""),
            Some((name, rest)) => (name.trim(), rest.strip_suffix('}')?.trim()),
        };
        let mut selector = Selector::default();
        if !name.is_empty() {
            let known = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b':');
            selector.name = Some(name.to_owned()).filter(|name| name.bytes().all(known));
            selector.name.as_ref()?;
        }
        for matcher in labels
            .split(',')
            .map(str::trim)
            .filter(|matcher| !matcher.is_empty())
        {
            if matches!(matcher, r#"__name__=~".+""# | r#"__name__=~".*""#) {
                continue;
            }
            let (label, value) = matcher.split_once('=')?;
            let (label, value) = (
                label.trim(),
                value.trim().strip_prefix('"')?.strip_suffix('"')?,
            );
            if label.ends_with('!') || value.is_empty() || value.contains(['"', '\\']) {
                return None;
            }
            if label == "__name__" {
                selector.name = Some(value.to_owned());
            } else {
                selector.labels.push(format!("{label}=\"{value}\""));
            }
        }
        Some(selector).filter(|selector| *selector != Selector::default())
    }

    fn matches(&self, line: &[u8]) -> bool {
        let brace = memchr::memchr(b'{', line).unwrap_or(line.len());
        let (name, labels) = line.split_at(brace);
        self.name
            .as_ref()
            .is_none_or(|wanted| wanted.as_bytes() == name)
            && self.labels.iter().all(|label| {
                // Whole labels only: `job="x"` is not found in `exported_job="x"`.
                memchr::memmem::find_iter(labels, label.as_bytes())
                    .any(|at| matches!(labels[at - 1], b'{' | b','))
            })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BODY: &str = "# TYPE a untyped\na{job=\"x\"} 1 1\na{exported_job=\"x\",job=\"y\"} 2 1\n# TYPE b:c untyped\nb:c{job=\"x\"} 3 1\n";

    #[test]
    fn selectors_filter_lines_and_keep_headers() {
        fn check(selectors: &[&str], want: &[&str]) {
            let mut query = form_urlencoded::Serializer::new(String::new());
            query.extend_pairs(selectors.iter().map(|selector| ("match[]", selector)));
            let selection = Selection::from_query(&query.finish());
            let all = String::from_utf8(selection.filter(BODY.as_bytes())).unwrap();
            let all = if selection.is_everything() {
                BODY
            } else {
                &all
            };
            assert_eq!(all.lines().collect::<Vec<_>>(), want, "{selectors:?}");
        }
        let whole: Vec<_> = BODY.lines().collect();
        let (type_a, a_x, a_y, type_b, b_x) = (whole[0], whole[1], whole[2], whole[3], whole[4]);
        check(&[], &[]);
        check(&[r#"{__name__=~".+"}"#], &whole);
        check(&[r#"{__name__=~"a|b"}"#], &whole);
        check(&[r#"{job!="x"}"#], &whole);
        check(&["not a selector"], &whole);
        check(&[r#"{__name__="a"}"#], &[type_a, a_x, a_y]);
        check(&["a"], &[type_a, a_x, a_y]);
        check(&["b:c"], &[type_b, b_x]);
        check(&["nosuch"], &[]);
        check(&[r#"{job="x"}"#], &[type_a, a_x, type_b, b_x]);
        check(&[r#"a{ job="x" , exported_job="x" }"#], &[]);
        check(&[r#"a{job="y"}"#], &[type_a, a_y]);
        check(&["b:c", r#"a{job="y"}"#], &[type_a, a_y, type_b, b_x]);
    }
}
