//! The alternative names of a certificate (RFC 5280, 4.2.1.6), which webpki reads but does not hand out: DER in, texts
//! out as Go's `crypto/x509` writes them.
//!
//! The certificate has passed webpki before, or its owner may be anybody. Nothing is trusted all the same: every
//! length is checked, and what is not understood gives no names.

use std::net::IpAddr;

const SEQUENCE: u8 = 0x30;
const OBJECT_IDENTIFIER: u8 = 0x06;
const OCTET_STRING: u8 = 0x04;
/// `[3]` of the certificate's body: its extensions.
const EXTENSIONS: u8 = 0xa3;
/// `id-ce-subjectAltName`, 2.5.29.17.
const SUBJECT_ALT_NAME: [u8; 3] = [0x55, 0x1d, 0x11];
/// The kinds of names: `[1]`, `[2]`, `[6]`, `[7]`.
const EMAIL: u8 = 0x81;
const DNS: u8 = 0x82;
const URI: u8 = 0x86;
const IP: u8 = 0x87;

/// DNS names, e-mail addresses, URIs and IP addresses in the order of the certificate; `None` when it is not DER.
pub(super) fn names(certificate: &[u8]) -> Option<Vec<String>> {
    let body = Items(expect(SEQUENCE, certificate)?).next()?;
    let mut items = Items(expect_item(SEQUENCE, body)?);
    let Some((_, extensions)) = items.find(|(tag, _)| *tag == EXTENSIONS) else {
        return Some(Vec::new());
    };
    let mut found = Vec::new();
    for extension in Items(expect(SEQUENCE, extensions)?) {
        let mut parts = Items(expect_item(SEQUENCE, extension)?);
        if parts.next()? != (OBJECT_IDENTIFIER, &SUBJECT_ALT_NAME[..]) {
            continue;
        }
        // A flag `critical` may stand between.
        let (_, value) = parts.find(|(tag, _)| *tag == OCTET_STRING)?;
        found.extend(Items(expect(SEQUENCE, value)?).filter_map(name));
    }
    Some(found)
}

fn name((tag, bytes): (u8, &[u8])) -> Option<String> {
    match tag {
        EMAIL | DNS | URI => String::from_utf8(bytes.to_vec()).ok(),
        IP => {
            let address = match bytes.len() {
                4 => IpAddr::from(<[u8; 4]>::try_from(bytes).ok()?),
                _ => IpAddr::from(<[u8; 16]>::try_from(bytes).ok()?),
            };
            Some(address.to_canonical().to_string())
        }
        _ => None,
    }
}

/// The content of the first element, which must have this tag.
fn expect(tag: u8, der: &[u8]) -> Option<&[u8]> {
    expect_item(tag, Items(der).next()?)
}

fn expect_item(tag: u8, (found, content): (u8, &[u8])) -> Option<&[u8]> {
    (found == tag).then_some(content)
}

/// The elements that stand behind each other: tag and content. Ends where one is cut.
struct Items<'a>(&'a [u8]);

impl<'a> Iterator for Items<'a> {
    type Item = (u8, &'a [u8]);

    fn next(&mut self) -> Option<Self::Item> {
        let (&[tag, length], rest) = self.0.split_first_chunk()?;
        let (length, rest) = match length {
            0..=0x7f => (usize::from(length), rest),
            // Longer lengths than 4 bytes would be longer than any certificate.
            0x81..=0x84 => {
                let (digits, rest) = rest.split_at_checked(usize::from(length & 0x7f))?;
                let length = digits
                    .iter()
                    .fold(0, |length, digit| length << 8 | usize::from(*digit));
                (length, rest)
            }
            _ => return None,
        };
        let (content, rest) = rest.split_at_checked(length)?;
        self.0 = rest;
        Some((tag, content))
    }
}

#[cfg(test)]
mod tests {
    use rcgen::{CertificateParams, KeyPair, SanType};

    use super::*;

    fn certificate(names: Vec<SanType>) -> Vec<u8> {
        let mut params = CertificateParams::default();
        params.subject_alt_names = names;
        let key = KeyPair::generate().unwrap();
        params.self_signed(&key).unwrap().der().to_vec()
    }

    #[test]
    fn all_kinds_of_names_are_read() {
        fn check(names: Vec<SanType>, want: &[&str]) {
            assert_eq!(super::names(&certificate(names)).unwrap(), want);
        }
        let dns = |name: &str| SanType::DnsName(name.try_into().unwrap());
        let ip = |text: &str| SanType::IpAddress(text.parse().unwrap());
        check(vec![], &[]);
        check(vec![dns("a.example.com")], &["a.example.com"]);
        check(
            vec![
                SanType::Rfc822Name("a@example.com".try_into().unwrap()),
                dns("*.example.com"),
                SanType::URI("spiffe://example.com/x".try_into().unwrap()),
                ip("10.1.2.3"),
                ip("2001:db8:0::1"),
                ip("::ffff:10.1.2.3"),
            ],
            &[
                "a@example.com",
                "*.example.com",
                "spiffe://example.com/x",
                "10.1.2.3",
                "2001:db8::1",
                "10.1.2.3",
            ],
        );
        let many: Vec<String> = (0..2000).map(|n| format!("host-{n}.example.com")).collect();
        let names = many.iter().map(|name| dns(name)).collect();
        assert_eq!(super::names(&certificate(names)).unwrap(), many);
    }

    #[test]
    fn a_certificate_that_is_cut_or_changed_gives_other_names_or_none_and_no_panic() {
        let name = "a.example.com";
        let whole = certificate(vec![SanType::DnsName(name.try_into().unwrap())]);
        for length in 0..whole.len() {
            assert_eq!(names(&whole[..length]), None, "{length}");
        }
        for index in 0..whole.len() {
            for byte in [0, 0x7f, 0x80, 0x84, 0xff] {
                let mut changed = whole.clone();
                changed[index] = byte;
                let _ = names(&changed);
            }
        }
    }
}
