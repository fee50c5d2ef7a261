//! Labels of lines that Tributary wrote itself (`expose::text`), line after line: what is known of such lines need not be
//! checked again, and most of it stood in the line before.

use std::borrow::Cow;

use memchr::{memchr, memchr2};

use crate::model::labels::METRIC_NAME;

/// A label of a line.
#[derive(Debug)]
pub struct Label<'a> {
    /// `__name__` for the metric's name.
    pub name: Cow<'a, str>,
    /// UTF-8, never empty. As bytes: to make it a `str` costs more than all else that is done with most values.
    pub value: Cow<'a, [u8]>,
    /// Where all of a line is plain, bytes from here to the next label that has a value: of `metric{`, `name="value",` or
    /// `name="value",empty=""}`.
    len: usize,
    /// Where among them the value begins.
    value_at: usize,
}

/// Reads the labels of lines, one line after the other.
///
/// Lines mostly stand sorted by family, so the next one has the same labels and, but for a few, the same values: those
/// are compared with what stood there before, which takes a fraction of reading them.
#[derive(Debug, Default)]
pub struct LabelReader<'a> {
    /// The labels of the last line, and where all of it is plain the text of them.
    labels: Vec<Label<'a>>,
    text: &'a [u8],
    /// Whether none of them has quotes around its name or escapes, so that the next line can be compared with them.
    is_plain: bool,
    /// Whether the last line had the same names as the one before it, and which values it had not.
    is_alike: bool,
    changed: Vec<usize>,
}

impl<'a> LabelReader<'a> {
    /// Reads the labels of the next line; false if they cannot be read.
    pub fn read(&mut self, line: &'a [u8]) -> bool {
        self.is_alike = self.is_plain && self.compare(line);
        if self.is_alike {
            return true;
        }
        self.labels.clear();
        self.is_plain = true;
        let is_read = std::str::from_utf8(line).is_ok_and(|line| self.read_any(line).is_some());
        self.is_plain &= is_read;
        is_read
    }

    /// The labels of the last line, if it could be read, that have a value, in the order in which they stand, the
    /// metric's name as `__name__` before all others.
    pub fn labels(&self) -> &[Label<'a>] {
        &self.labels
    }

    /// Which of the labels have another value than in the line before, rising; `None` if that one had other names, or
    /// they stood otherwise.
    pub fn changed(&self) -> Option<&[usize]> {
        self.is_alike.then_some(&self.changed)
    }

    /// Whether a line has the names of the one before. Notes its values then, and else may have noted some.
    fn compare(&mut self, line: &'a [u8]) -> bool {
        self.changed.clear();
        let before = self.text;
        let is_ascii = line.iter().fold(0, |all, byte| all | byte).is_ascii();
        // Where the next label begins in both.
        let (mut old, mut new) = (0, 0);
        let mut at = 0;
        loop {
            let mut same = common_len(&before[old..], &line[new..]);
            while let Some(label) = self.labels.get(at)
                && let Some(left) = same.checked_sub(label.len)
            {
                (old, new) = (old + label.len, new + label.len);
                (same, at) = (left, at + 1);
            }
            let Some(label) = self.labels.get_mut(at) else {
                self.text = &line[..new];
                return true;
            };
            let len = label.len;
            if !label.change(&before[old..old + len], &line[new..], same, is_ascii) {
                return false;
            }
            self.changed.push(at);
            (old, new) = (old + len, new + label.len);
            at += 1;
        }
    }

    fn read_any(&mut self, line: &'a str) -> Option<()> {
        let name_end = memchr2(b'{', b' ', line.as_bytes())?;
        let mut at = name_end + 1;
        if name_end > 0 {
            self.labels.push(Label {
                name: METRIC_NAME.into(),
                value: line.as_bytes()[..name_end].into(),
                len: at,
                value_at: 0,
            });
            if line.as_bytes()[name_end] == b' ' {
                self.text = &line.as_bytes()[..at];
                return Some(());
            }
        } else {
            self.is_plain = false;
            let (value, behind) = quoted(&line[at..]).filter(|(value, _)| !value.is_empty())?;
            self.labels.push(Label {
                name: METRIC_NAME.into(),
                value: into_bytes(value),
                len: 0,
                value_at: 0,
            });
            at = line.len() - behind.strip_prefix(',').unwrap_or(behind).len();
        }
        while !line[at..].starts_with('}') {
            at = self.read_label(line, at)?;
        }
        self.text = &line.as_bytes()[..=at];
        // Else a comma stands behind the last one, or nothing is in the braces.
        let len: usize = self.labels.iter().map(|label| label.len).sum();
        self.is_plain &= len == self.text.len();
        Some(())
    }

    /// Reads the label at a place of the line; returns the place behind it and its comma.
    fn read_label(&mut self, line: &'a str, at: usize) -> Option<usize> {
        let rest = &line[at..];
        let (name, value, behind) = if let Some((name, value, behind)) = plain_label(rest) {
            (name.into(), value.as_bytes().into(), behind)
        } else {
            self.is_plain = false;
            let (name, value, behind) = any_label(rest)?;
            (name, into_bytes(value), behind)
        };
        self.is_plain &= behind.starts_with([',', '}']);
        let len = rest.len() - behind.len() + 1;
        if !value.is_empty() {
            self.labels.push(Label {
                value_at: name.len() + 2,
                name,
                value,
                len,
            });
        } else if let Some(before) = self.labels.last_mut() {
            before.len += len;
        }
        Some(line.len() - behind.strip_prefix(',').unwrap_or(behind).len())
    }
}

impl<'a> Label<'a> {
    /// Takes another value from the front of a line, if all else is the same. `before` is what stood here before; so many
    /// bytes at the front are the same.
    fn change(&mut self, before: &[u8], line: &'a [u8], same: usize, is_ascii: bool) -> bool {
        let value_end = self.value_at + self.value.len();
        let from = same.min(value_end);
        if from < self.value_at {
            return false;
        }
        let end = if self.value_at == 0 {
            memchr2(b'{', b' ', &line[from..])
        } else {
            memchr2(b'"', b'\\', &line[from..])
        };
        let tail = &before[value_end..];
        let end = end.map(|end| from + end);
        // Mostly two bytes: to compare them one by one takes less than to call for it.
        let has_tail = |end: &usize| {
            let behind = &line[*end..];
            behind.len() >= tail.len() && behind.iter().zip(tail).all(|(a, b)| a == b)
        };
        let Some(end) = end.filter(has_tail) else {
            return false;
        };
        let value = &line[self.value_at..end];
        if value.is_empty() || !(is_ascii || std::str::from_utf8(value).is_ok()) {
            return false;
        }
        self.value = Cow::Borrowed(value);
        self.len = end + tail.len();
        true
    }
}

/// How many bytes at the front are the same.
fn common_len(one: &[u8], other: &[u8]) -> usize {
    let (blocks, others) = (one.as_chunks::<32>().0, other.as_chunks::<32>().0);
    let same = blocks.iter().zip(others).take_while(|(a, b)| a == b);
    let mut len = 32 * same.count();
    let (words, others) = (one[len..].as_chunks().0, other[len..].as_chunks().0);
    for (word, other) in words.iter().zip(others) {
        let differing = u64::from_le_bytes(*word) ^ u64::from_le_bytes(*other);
        if differing != 0 {
            return len + differing.trailing_zeros() as usize / 8;
        }
        len += 8;
    }
    let rest = one[len..].iter().zip(&other[len..]);
    len + rest.take_while(|(a, b)| a == b).count()
}

fn into_bytes(text: Cow<'_, str>) -> Cow<'_, [u8]> {
    match text {
        Cow::Borrowed(text) => text.as_bytes().into(),
        Cow::Owned(text) => text.into_bytes().into(),
    }
}

/// Name and value of any label at the front, and what stands behind it.
#[cold]
fn any_label(text: &str) -> Option<(Cow<'_, str>, Cow<'_, str>, &str)> {
    let (name, behind) = if text.starts_with('"') {
        quoted(text)?
    } else {
        let (name, behind) = text.split_at(memchr(b'=', text.as_bytes())?);
        (name.into(), behind)
    };
    let (value, behind) = quoted(behind.strip_prefix('=')?)?;
    Some((name, value, behind))
}

/// Name and value of a label at the front, and what stands behind it, if neither the name has quotes nor the value
/// escapes.
#[inline]
fn plain_label(text: &str) -> Option<(&str, &str, &str)> {
    let name_end = memchr2(b'=', b'"', text.as_bytes())?;
    let (name, behind) = text.split_at(name_end);
    let value = behind.strip_prefix("=\"")?;
    let value_end = memchr2(b'"', b'\\', value.as_bytes())?;
    let (value, behind) = value.split_at(value_end);
    Some((name, value, behind.strip_prefix('"')?))
}

/// The text between quotes at the front, and what stands behind them.
fn quoted(text: &str) -> Option<(Cow<'_, str>, &str)> {
    let text = text.strip_prefix('"')?;
    let end = memchr2(b'"', b'\\', text.as_bytes())?;
    if text.as_bytes()[end] == b'"' {
        return Some((text[..end].into(), &text[end + 1..]));
    }
    let mut unescaped = text[..end].to_owned();
    let mut characters = text[end..].char_indices();
    while let Some((at, character)) = characters.next() {
        match character {
            '"' => return Some((unescaped.into(), &text[end + at + 1..])),
            '\\' => unescaped.push(match characters.next()?.1 {
                'n' => '\n',
                other => other,
            }),
            other => unescaped.push(other),
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Name and value of each label, if the reader can read the line.
    fn labels<'r>(reader: &'r LabelReader<'_>) -> Vec<(&'r str, &'r str)> {
        let value = |value| std::str::from_utf8(value).expect("UTF-8");
        let labels = reader.labels().iter();
        labels
            .map(|label| (&*label.name, value(&label.value)))
            .collect()
    }

    #[test]
    fn labels_of_finished_lines() {
        let mut after_others = LabelReader::default();
        let mut check = |line: &'static str, want: &[(&str, &str)]| {
            let mut reader = LabelReader::default();
            assert!(reader.read(line.as_bytes()), "{line}");
            assert_eq!((labels(&reader), reader.changed()), (want.to_vec(), None));
            assert!(after_others.read(line.as_bytes()), "{line}");
            assert_eq!(labels(&after_others), want, "{line}");
        };
        check("up 1 2\n", &[("__name__", "up")]);
        check(r#"up{a="b"} 1 2"#, &[("__name__", "up"), ("a", "b")]);
        check(r#"up{a="",b="}"} 1"#, &[("__name__", "up"), ("b", "}")]);
        check(
            r#"{"a.b","c d"="e\"f\\\n",g="="} 1"#,
            &[("__name__", "a.b"), ("c d", "e\"f\\\n"), ("g", "=")],
        );
        check(r#"{"a.b"} 1"#, &[("__name__", "a.b")]);
        for other in ["", "up", "\n", "{}", "up{a=\"b", "up{a=b} 1", "up{a} 1"] {
            assert!(!LabelReader::default().read(other.as_bytes()), "{other}");
        }
        assert!(!LabelReader::default().read(b"up{a=\"\xff\"} 1"));
    }

    #[test]
    fn a_line_is_compared_with_the_one_before() {
        let lines: [(&str, Option<&[usize]>); 29] = [
            (r#"m{a="1",b="2"} 1"#, None),
            (r#"m{a="1",b="2"} 2"#, Some(&[])),
            (r#"m{a="11",b="2"} 2"#, Some(&[1])),
            (r#"n_total{a="1",b=","} 2"#, Some(&[0, 1, 2])),
            (r#"n{a="1",b=",",c="3"} 2"#, None),
            (r#"n{a="1",b=","} 2"#, None),
            (r#"n{a="1",bb=","} 2"#, None),
            (r#"n{a="1",bb="\""} 2"#, None),
            (r#"n{a="1",bb="\\"} 2"#, None),
            (r#"n{a="1",bb="ü"} 2"#, None),
            (r#"n{a="1",bb="üü"} 2"#, Some(&[2])),
            (r#"n{a="1",bb=""} 2"#, None),
            (r#"n{a="2",bb=""} 2"#, Some(&[1])),
            (r#"o{a="2",bb=""} 2"#, Some(&[0])),
            (r#"o{a="2",bb="1"} 2"#, None),
            (r#"o{x="",a="2",y="",z="",b="1"} 2"#, None),
            (r#"o{x="",a="3",y="",z="",b="2"} 2"#, Some(&[1, 2])),
            (r#"p{x="",a="3",y="",z="",b="2"} 2"#, Some(&[0])),
            (r#"p{a="3",y="",z="",b="2"} 2"#, None),
            (r#"p{a="3",y="",z="1",b="2"} 2"#, None),
            (r#"p{a="3",y="",z="1",b="2",} 2"#, None),
            (r#"p{a="3",y="",z="1",b="2",} 2"#, None),
            ("p{} 2", None),
            ("p{} 2", None),
            (r#"{"n",a="1",bb="1"} 2"#, None),
            (r#"{"n",a="1",bb="2"} 2"#, None),
            ("n 2", None),
            ("n 3", Some(&[])),
            (r#"n{a="2"} 2"#, None),
        ];
        let mut reader = LabelReader::default();
        for (line, changed) in lines {
            assert!(reader.read(line.as_bytes()), "{line}");
            assert_eq!(reader.changed(), changed, "{line}");
            let mut alone = LabelReader::default();
            alone.read(line.as_bytes());
            assert_eq!(labels(&reader), labels(&alone), "{line}");
        }
        for bad in [
            &b"n{a=\"\xff\"} 2"[..],
            b"n{a=\"2",
            b"n{a=\"2\"",
            b"n{a=2} 2",
            b"",
        ] {
            let mut reader = LabelReader::default();
            assert!(reader.read(b"n{a=\"2\"} 2") && !reader.read(bad), "{bad:?}");
            assert!(reader.read(b"n{a=\"2\"} 2") && reader.changed().is_none());
        }
    }

    proptest::proptest! {
        #[test]
        fn a_line_reads_the_same_after_any_other(
            lines in proptest::collection::vec(
                concat!(
                    r#"(m|mm|m_total)( 1|\{"#,
                    r#"((a|aa|ab)="(1|12|2|ü|üü|\\n|1\\"|long_value_1|long_value_2)?"[,é]){0,4}b="(1|22|)",?\} 1)"#,
                ),
                1..12,
            ),
        ) {
            let mut reader = LabelReader::default();
            let mut before: Vec<(String, String)> = Vec::new();
            for line in &lines {
                let mut alone = LabelReader::default();
                proptest::prop_assert_eq!(reader.read(line.as_bytes()), alone.read(line.as_bytes()));
                proptest::prop_assert_eq!(labels(&reader), labels(&alone));
                let owned = |(name, value): (&str, &str)| (name.to_owned(), value.to_owned());
                let now: Vec<_> = labels(&alone).into_iter().map(owned).collect();
                if let Some(changed) = reader.changed() {
                    let mut pairs = before.iter().zip(&now);
                    proptest::prop_assert!(before.len() == now.len() && pairs.all(|(a, b)| a.0 == b.0));
                    let differ = |at: &usize| before[*at].1 != now[*at].1;
                    let wanted: Vec<usize> = (0..now.len()).filter(differ).collect();
                    proptest::prop_assert_eq!(changed, wanted);
                }
                before = now;
            }
        }
    }
}
