//! What a visitor's own request carries.

use std::borrow::Cow;

use consent_core::cookie::{Found, find};
use http::{HeaderMap, header};

/// The consent cookie and the signals of a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Visitor<'a> {
    /// The value under the cookie's name, if there is exactly one.
    pub(crate) cookie: Option<Cow<'a, str>>,
    /// The browser sends GPC or DNT.
    pub(crate) signal: bool,
}

impl<'a> Visitor<'a> {
    pub(crate) fn of(headers: &'a HeaderMap, name: &str) -> Self {
        Self { cookie: cookie(headers, name), signal: signal(headers) }
    }
}

/// Headers that are not UTF-8 are not read: nobody can say what is in them.
fn cookie<'a>(headers: &'a HeaderMap, name: &str) -> Option<Cow<'a, str>> {
    let mut lines = headers.get_all(header::COOKIE).iter().map(|line| std::str::from_utf8(line.as_bytes()));
    let first = lines.next()?.ok()?;
    let Some(second) = lines.next() else {
        return match find(first, name) {
            Found::One(value) => Some(Cow::Borrowed(value)),
            Found::Absent | Found::Differing => None,
        };
    };
    // Several lines are one list (RFC 9113, 8.2.3).
    let mut all = [first, "; ", second.ok()?].concat();
    for line in lines {
        all.push_str("; ");
        all.push_str(line.ok()?);
    }
    match find(&all, name) {
        Found::One(value) => Some(Cow::Owned(value.to_owned())),
        Found::Absent | Found::Differing => None,
    }
}

/// Exactly "1", in any of several lines (Global Privacy Control, 3.1; Tracking Preference Expression, 5.2).
fn signal(headers: &HeaderMap) -> bool {
    ["sec-gpc", "dnt"].iter().any(|name| headers.get_all(*name).iter().any(|value| value == "1"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn visitor(lines: &[(&'static str, &[u8])]) -> (Option<String>, bool) {
        let mut headers = HeaderMap::new();
        for (name, value) in lines {
            headers.append(*name, http::HeaderValue::from_bytes(value).unwrap());
        }
        let visitor = Visitor::of(&headers, "consent");
        (visitor.cookie.map(Cow::into_owned), visitor.signal)
    }

    #[test]
    fn a_request_is_read_as_a_whole() {
        let value = Some("1.1.1.-..".to_owned());
        for (what, lines, want) in [
            ("nothing", vec![], (None, false)),
            ("one line", vec![("cookie", &b"a=1; consent=1.1.1.-.."[..])], (value.clone(), false)),
            (
                "several lines",
                vec![("cookie", b"a=1"), ("cookie", b"b=2"), ("cookie", b"consent=1.1.1.-..")],
                (value.clone(), false),
            ),
            ("differing ones", vec![("cookie", b"consent=1.1.1.-.."), ("cookie", b"consent=1.1.2.-..")], (None, false)),
            ("others' UTF-8", vec![("cookie", "a=é; consent=1.1.1.-..".as_bytes())], (value.clone(), false)),
            ("no UTF-8", vec![("cookie", b"a=\xff; consent=1.1.1.-..")], (None, false)),
            ("no UTF-8 beside", vec![("cookie", b"consent=1.1.1.-.."), ("cookie", b"a=\xff")], (None, false)),
            ("GPC", vec![("sec-gpc", b"1")], (None, true)),
            ("DNT in the second line", vec![("dnt", b"0"), ("dnt", b"1")], (None, true)),
            ("what is no signal", vec![("sec-gpc", b"true"), ("dnt", b"unspecified")], (None, false)),
        ] {
            assert_eq!(visitor(&lines), want, "{what}");
        }
    }
}
