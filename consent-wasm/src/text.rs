//! Small readers and writers for the texts that cross the border.
//!
//! By hand and by bytes: what `str::split`, `str::parse` and `format!` bring along is a fifth of the module.

use alloc::string::String;
use alloc::vec::Vec;

use consent_core::id::ChoiceId;

/// Takes the text up to the first `separator` (ASCII), or all of it, off the front of `rest`.
pub(crate) fn take<'a>(rest: &mut &'a str, separator: u8) -> &'a str {
    let text = *rest;
    let end = text.bytes().position(|byte| byte == separator).unwrap_or(text.len());
    *rest = text.get(end + 1..).unwrap_or_default();
    text.get(..end).unwrap_or_default()
}

/// Decimal digits; 0 for anything else, which as a version or a time makes an answer old, never new.
pub(crate) fn number(text: &str) -> i64 {
    let mut value: i64 = 0;
    for byte in text.bytes() {
        if !byte.is_ascii_digit() {
            return 0;
        }
        value = value.saturating_mul(10).saturating_add(i64::from(byte - b'0'));
    }
    value
}

/// Ids joined by `~`, as in the cookie. `None` if one of them is no id.
pub(crate) fn ids(mut text: &str) -> Option<Vec<ChoiceId>> {
    let mut ids = Vec::new();
    while !text.is_empty() {
        ids.push(ChoiceId::parse(take(&mut text, b'~')).ok()?);
    }
    Some(ids)
}

/// Bytes from hexadecimal digits in lower case; hyphens between them are passed over.
pub(crate) fn from_hex<const N: usize>(text: &str) -> Option<[u8; N]> {
    let mut bytes = [0; N];
    let mut digits = text.bytes().filter(|byte| *byte != b'-');
    for byte in &mut bytes {
        for _ in 0..2 {
            let digit = match digits.next()? {
                digit @ b'0'..=b'9' => digit - b'0',
                digit @ b'a'..=b'f' => digit - b'a' + 10,
                _ => return None,
            };
            *byte = *byte << 4 | digit;
        }
    }
    digits.next().is_none().then_some(bytes)
}

/// Appends the hyphenated form of 16 bytes.
pub(crate) fn push_uuid(text: &mut String, bytes: &[u8; 16]) {
    for (i, byte) in bytes.iter().enumerate() {
        if matches!(i, 4 | 6 | 8 | 10) {
            text.push('-');
        }
        for digit in [byte >> 4, byte & 15] {
            text.push(char::from(if digit < 10 { b'0' + digit } else { b'a' - 10 + digit }));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_taken_from_the_front() {
        let mut rest = "a b  c";
        let fields: Vec<_> = core::iter::from_fn(|| (!rest.is_empty()).then(|| take(&mut rest, b' '))).collect();
        assert_eq!(fields, ["a", "b", "", "c"]);
        assert_eq!(take(&mut rest, b' '), "");
    }

    #[test]
    fn numbers_are_digits() {
        for (text, want) in [("0", 0), ("1795504832000", 1_795_504_832_000), ("", 0), ("-1", 0), ("1e9", 0)] {
            assert_eq!(number(text), want, "{text}");
        }
        assert_eq!(number("99999999999999999999999"), i64::MAX);
    }

    #[test]
    fn uuids_go_there_and_back() {
        let text = "0193a5b0-7f3c-7abc-8def-0123456789ab";
        let mut written = String::new();
        push_uuid(&mut written, &from_hex(text).unwrap());
        assert_eq!(written, text);
        for bad in ["", "0193a5b0", "0193a5b0-7f3c-7abc-8def-0123456789ag", "0193a5b0-7f3c-7abc-8def-0123456789abcd"] {
            assert_eq!(from_hex::<16>(bad), None, "{bad}");
        }
    }

    #[test]
    fn one_bad_id_spoils_the_list() {
        assert_eq!(ids("").unwrap(), []);
        assert_eq!(ids("statistics~a:b").unwrap().len(), 2);
        assert_eq!(ids("statistics~A"), None);
    }
}
