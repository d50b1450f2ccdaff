//! Identifiers, valid once built: parse them at the edge and trust them after.

use alloc::borrow::ToOwned;
use alloc::string::String;
use core::fmt;

use uuid::Uuid;

/// The longest category, service or site id, in bytes.
pub const MAX_NAME: usize = 32;

/// Why a text is not an identifier.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum IdError {
    /// Not `[a-z][a-z0-9-]{0,31}`.
    Name,
    /// Not `category` or `category:service`.
    Choice,
    /// Not a UUID in its hyphenated form, of version 4 or 7.
    Uuid,
    /// Not 22 characters of base64url with clear trailing bits.
    Base64,
    /// Not a language tag such as `en` or `pt-BR`.
    Language,
}

impl fmt::Display for IdError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Name => "must match [a-z][a-z0-9-]{0,31}",
            Self::Choice => "must be a category or category:service, each matching [a-z][a-z0-9-]{0,31}",
            Self::Uuid => "must be a UUID of version 4 or 7 in its hyphenated form",
            Self::Base64 => "must be 22 characters of base64url",
            Self::Language => "must be a language tag such as en or pt-BR",
        })
    }
}

impl core::error::Error for IdError {}

/// The text before and after the first `separator`, an ASCII character.
///
/// Byte by byte: the texts are short, and the searcher behind `str::split_once` is larger than what the widget would use it for.
pub(crate) fn cut(text: &str, separator: u8) -> Option<(&str, &str)> {
    let at = text.bytes().position(|byte| byte == separator)?;
    Some((text.get(..at)?, text.get(at + 1..)?))
}

/// Sorts ids. The widget's lists are short, and each of the standard library's sorts would be a tenth of it.
pub(crate) fn sort(ids: &mut [ChoiceId]) {
    #[cfg(feature = "evidence")]
    ids.sort_unstable();
    #[cfg(not(feature = "evidence"))]
    for end in 1..ids.len() {
        for at in (0..end).rev() {
            if let Some([before, after]) = ids.get_mut(at..at + 2)
                && before > after
            {
                core::mem::swap(before, after);
            }
        }
    }
}

fn is_name(text: &str) -> bool {
    let bytes = text.as_bytes();
    bytes.len() <= MAX_NAME
        && bytes.first().is_some_and(u8::is_ascii_lowercase)
        && bytes.iter().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || *b == b'-')
}

/// A short name: a site, a category, or a service inside a category. `[a-z][a-z0-9-]{0,31}`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Name(String);

/// The id of a site (a web property).
pub type SiteId = Name;
/// The id of a category: one switch with the purpose it stands for.
pub type CategoryId = Name;

impl Name {
    /// Parses a name.
    ///
    /// # Errors
    /// [`IdError::Name`] if it does not match `[a-z][a-z0-9-]{0,31}`.
    pub fn parse(text: &str) -> Result<Self, IdError> {
        if is_name(text) { Ok(Self(text.to_owned())) } else { Err(IdError::Name) }
    }

    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// What can be granted: a whole `category`, or one `category:service` in it.
///
/// Sorted by its text, so a category comes before its services.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ChoiceId(String);

impl ChoiceId {
    /// Parses `category` or `category:service`.
    ///
    /// # Errors
    /// [`IdError::Choice`] if either part is not a [`Name`].
    pub fn parse(text: &str) -> Result<Self, IdError> {
        if Self::is_valid(text) { Ok(Self(text.to_owned())) } else { Err(IdError::Choice) }
    }

    /// Whether a text is such an id.
    #[inline]
    pub(crate) fn is_valid(text: &str) -> bool {
        match cut(text, b':') {
            Some((category, service)) => is_name(category) && is_name(service),
            None => is_name(text),
        }
    }

    /// The choice that is one service of a category.
    pub fn service_of(category: &CategoryId, service: &Name) -> Self {
        let mut text = category.0.clone();
        text.push(':');
        text.push_str(&service.0);
        Self(text)
    }

    /// The category, or the category that the service belongs to.
    pub fn category(&self) -> &str {
        cut(&self.0, b':').map_or(&*self.0, |(category, _)| category)
    }

    /// The service, if this names one.
    pub fn service(&self) -> Option<&str> {
        cut(&self.0, b':').map(|(_, service)| service)
    }

    /// The choice as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl From<&CategoryId> for ChoiceId {
    fn from(category: &CategoryId) -> Self {
        Self(category.0.clone())
    }
}

impl fmt::Display for ChoiceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A language tag as far as we need it: `en`, `pt-BR`, `zh-Hant`. Compared by its exact text.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Language(String);

impl Language {
    /// Parses a tag of a 2 or 3 letter language and up to two subtags of 2 to 8 letters or digits.
    ///
    /// # Errors
    /// [`IdError::Language`] otherwise.
    ///
    /// # Standards
    /// A subset of BCP 47.
    pub fn parse(text: &str) -> Result<Self, IdError> {
        let mut parts = text.split('-');
        let primary = parts.next().unwrap_or_default();
        let valid = (2..=3).contains(&primary.len())
            && primary.bytes().all(|b| b.is_ascii_lowercase())
            && text.split('-').count() <= 3
            && parts.all(|p| (2..=8).contains(&p.len()) && p.bytes().all(|b| b.is_ascii_alphanumeric()));
        if valid { Ok(Self(text.to_owned())) } else { Err(IdError::Language) }
    }

    /// The tag as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Language {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

macro_rules! uuid_id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(Uuid);

        impl $name {
            /// Parses the hyphenated form, in either case.
            ///
            /// # Errors
            /// [`IdError::Uuid`] if it is not a UUID of version 4 or 7.
            pub fn parse(text: &str) -> Result<Self, IdError> {
                if text.len() != 36 {
                    return Err(IdError::Uuid);
                }
                Uuid::try_parse(text).ok().and_then(|uuid| Self::from_bytes(*uuid.as_bytes())).ok_or(IdError::Uuid)
            }

            /// The id with these 16 bytes, if they are a UUID of version 4 or 7.
            pub fn from_bytes(bytes: [u8; 16]) -> Option<Self> {
                let uuid = Uuid::from_bytes(bytes);
                let known = matches!(uuid.get_version_num(), 4 | 7) && bytes[8] & 0xc0 == 0x80;
                known.then_some(Self(uuid))
            }

            /// A UUID of version 4 from 16 random bytes.
            pub fn from_random(random: [u8; 16]) -> Self {
                Self(uuid::Builder::from_random_bytes(random).into_uuid())
            }

            /// The 16 bytes.
            pub fn as_bytes(&self) -> &[u8; 16] {
                self.0.as_bytes()
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                let mut buffer = Uuid::encode_buffer();
                f.write_str(self.0.hyphenated().encode_lower(&mut buffer))
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(self, f)
            }
        }
    };
}

uuid_id! {
    /// The id of a record, chosen by who makes the decision so that sending it twice is harmless.
    RecordId
}

uuid_id! {
    /// A random pseudonym of a visitor, never a fingerprint; shown to the visitor as their *consent ID*.
    SubjectId
}

impl RecordId {
    /// A UUID of version 7 from the time and 10 random bytes. Time-ordered ids are what keeps a store fast as it grows.
    pub fn at(at: crate::time::UnixMillis, random: &[u8; 10]) -> Self {
        let millis = u64::try_from(at.millis()).unwrap_or(0);
        Self(uuid::Builder::from_unix_timestamp_millis(millis, random).into_uuid())
    }
}

const BASE64URL: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

impl SubjectId {
    /// The 22 base64url characters that the cookie carries.
    pub fn to_base64url(self) -> String {
        let mut text = String::with_capacity(22);
        let (mut bits, mut count) = (0_u32, 0);
        for byte in *self.as_bytes() {
            bits = bits << 8 | u32::from(byte);
            count += 8;
            while count >= 6 {
                count -= 6;
                text.push(char::from(BASE64URL[(bits >> count & 63) as usize]));
            }
        }
        // 128 bits are 21 digits and 2 bits.
        text.push(char::from(BASE64URL[(bits << 4 & 63) as usize]));
        text
    }

    /// Parses the form of the cookie.
    ///
    /// # Errors
    /// [`IdError::Base64`] if it is not 22 characters of base64url, or if bits are set that no 16 bytes have.
    pub fn from_base64url(text: &str) -> Result<Self, IdError> {
        if text.len() != 22 {
            return Err(IdError::Base64);
        }
        let mut bytes = [0; 16];
        let mut free = bytes.iter_mut();
        let (mut bits, mut count) = (0_u32, 0);
        for byte in text.bytes() {
            let digit = match byte {
                b'A'..=b'Z' => byte - b'A',
                b'a'..=b'z' => byte - b'a' + 26,
                b'0'..=b'9' => byte - b'0' + 52,
                b'-' => 62,
                b'_' => 63,
                _ => return Err(IdError::Base64),
            };
            let digit = u32::from(digit);
            bits = bits << 6 | digit;
            count += 6;
            if count >= 8 {
                count -= 8;
                if let Some(byte) = free.next() {
                    *byte = (bits >> count & 0xff) as u8;
                }
            }
        }
        // The last digit stands for 2 bits and 4 that no 16 bytes have.
        if bits & 15 != 0 {
            return Err(IdError::Base64);
        }
        Self::from_bytes(bytes).ok_or(IdError::Base64)
    }
}

#[cfg(feature = "evidence")]
mod serde_text {
    use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error};

    macro_rules! as_text {
        ($($name:ident),*) => {$(
            impl<'de> Deserialize<'de> for super::$name {
                fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                    let text = alloc::borrow::Cow::<'de, str>::deserialize(deserializer)?;
                    Self::parse(&text).map_err(D::Error::custom)
                }
            }
        )*};
    }
    macro_rules! plain {
        ($($name:ident),*) => {$(
            impl Serialize for super::$name {
                fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                    serializer.serialize_str(self.as_str())
                }
            }
        )*};
    }
    macro_rules! uuid {
        ($($name:ident),*) => {$(
            impl Serialize for super::$name {
                fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                    serializer.serialize_str(self.0.hyphenated().encode_lower(&mut uuid::Uuid::encode_buffer()))
                }
            }
        )*};
    }
    plain!(Name, ChoiceId, Language);
    uuid!(RecordId, SubjectId);
    as_text!(Name, ChoiceId, Language, RecordId, SubjectId);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_follow_their_grammar() {
        for good in ["a", "statistics", "a-1", "abcdefghijklmnopqrstuvwxyz012345"] {
            assert!(Name::parse(good).is_ok(), "{good}");
        }
        for bad in ["", "A", "1a", "-a", "a_b", "a b", "é", "abcdefghijklmnopqrstuvwxyz0123456"] {
            assert_eq!(Name::parse(bad), Err(IdError::Name), "{bad}");
        }
    }

    #[test]
    fn choices_name_a_category_or_a_service() {
        let choice = ChoiceId::parse("statistics:counter").unwrap();
        assert_eq!((choice.category(), choice.service()), ("statistics", Some("counter")));
        for bad in ["", ":", "a:", ":a", "a:b:c", "A:b", "a~b"] {
            assert_eq!(ChoiceId::parse(bad), Err(IdError::Choice), "{bad}");
        }
    }

    #[test]
    fn languages_follow_their_grammar() {
        for good in ["en", "de-AT", "zh-Hant-TW", "fil"] {
            assert!(Language::parse(good).is_ok(), "{good}");
        }
        for bad in ["", "e", "EN", "en-", "en_US", "en-a", "en-US-x1-y2", "english"] {
            assert_eq!(Language::parse(bad), Err(IdError::Language), "{bad}");
        }
    }

    proptest::proptest! {
        #[test]
        fn subjects_survive_both_their_forms(random: [u8; 16]) {
            let subject = SubjectId::from_random(random);
            proptest::prop_assert_eq!(SubjectId::from_base64url(&subject.to_base64url()), Ok(subject));
            proptest::prop_assert_eq!(SubjectId::parse(&alloc::format!("{subject}")), Ok(subject));
        }

        #[test]
        fn base64url_has_one_spelling(text in "[A-Za-z0-9_-]{22}") {
            if let Ok(subject) = SubjectId::from_base64url(&text) {
                proptest::prop_assert_eq!(subject.to_base64url(), text);
            }
        }
    }
}
