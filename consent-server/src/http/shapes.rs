//! The forms of texts, for the description of the API: taken from where they are parsed, so that the description cannot be another.

use consent_core::decision::{Control, Layer, Method, Source};
use consent_core::record::Kind;
use utoipa::openapi::RefOr;
use utoipa::openapi::schema::{ObjectBuilder, Schema, SchemaType, Type};
use utoipa::{PartialSchema, ToSchema};

use crate::keys::Role;

/// A type for the description only: the words that are allowed.
macro_rules! words {
    ($($(#[$doc:meta])* $name:ident = $all:expr;)*) => {$(
        $(#[$doc])*
        pub(super) struct $name;

        impl PartialSchema for $name {
            fn schema() -> RefOr<Schema> {
                let words: Vec<&str> = $all.iter().map(|word| word.as_str()).collect();
                ObjectBuilder::new().schema_type(SchemaType::new(Type::String)).enum_values(Some(words)).into()
            }
        }

        impl ToSchema for $name {}
    )*};
}

words! {
    /// The act of a decision.
    MethodWord = Method::ALL;
    /// Where a decision was made.
    LayerWord = Layer::ALL;
    /// The control that was used.
    ControlWord = Control::ALL;
    /// How a controller learnt of a decision.
    SourceWord = Source::ALL;
    /// What happened.
    KindWord = Kind::ALL;
    /// What a key may do.
    RoleWord = Role::ALL;
    /// What a user may do.
    UserRoleWord = [Role::Officer, Role::Admin];
}

/// A type for the description only: the pattern that a text has.
macro_rules! patterns {
    ($($(#[$doc:meta])* $name:ident = $pattern:literal;)*) => {$(
        $(#[$doc])*
        pub(super) struct $name;

        impl PartialSchema for $name {
            fn schema() -> RefOr<Schema> {
                ObjectBuilder::new().schema_type(SchemaType::new(Type::String)).pattern(Some($pattern)).into()
            }
        }

        impl ToSchema for $name {}

        #[cfg(test)]
        impl $name {
            const PATTERN: &str = $pattern;
        }
    )*};
}

patterns! {
    /// A UUID of version 4 or 7.
    Uuid = "^[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-[47][0-9a-fA-F]{3}-[89abAB][0-9a-fA-F]{3}-[0-9a-fA-F]{12}$";
    /// A subject: a UUID of version 4 or 7, or the 22 characters of the cookie.
    Subject = "^([0-9a-fA-F]{8}-[0-9a-fA-F]{4}-[47][0-9a-fA-F]{3}-[89abAB][0-9a-fA-F]{3}-[0-9a-fA-F]{12}|[A-Za-z0-9_-]{22})$";
    /// A site or category.
    Name = "^[a-z][a-z0-9-]{0,31}$";
    /// A category, or `category:service`.
    Choice = "^[a-z][a-z0-9-]{0,31}(:[a-z][a-z0-9-]{0,31})?$";
    /// A language tag.
    Tag = "^[a-z]{2,3}(-[A-Za-z0-9]{2,8}){0,2}$";
}

/// The browser's signals.
#[derive(ToSchema)]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "for the description only")]
pub(super) struct SignalsShown {
    /// `DNT: 1`.
    #[serde(default)]
    dnt: bool,
    /// `Sec-GPC: 1`.
    #[serde(default)]
    gpc: bool,
    /// The banner said that a signal was on.
    #[serde(default)]
    said: bool,
}

#[cfg(test)]
mod tests {
    use consent_core::id::{ChoiceId, Language, RecordId, SiteId};

    use super::*;

    /// The patterns are as narrow as the parsers: this holds their places and lengths against each other.
    #[test]
    fn patterns_say_what_the_parsers_take() {
        assert!(Uuid::PATTERN.contains("[47]") && Subject::PATTERN.contains("{22}"));
        assert!(
            Name::PATTERN.contains("{0,31}") && Choice::PATTERN.contains("{0,31}") && Tag::PATTERN.contains("{0,2}")
        );
        let (longest, longer) = ("a".repeat(32), "a".repeat(33));
        assert!(SiteId::parse(&longest).is_ok() && SiteId::parse(&longer).is_err());
        assert!(
            ChoiceId::parse(&format!("{longest}:{longest}")).is_ok()
                && ChoiceId::parse(&format!("a:{longer}")).is_err()
        );
        assert!(Language::parse("abc-12345678-12").is_ok() && Language::parse("abc-12-12-12").is_err());
        assert!(RecordId::parse("01234567-89ab-7def-bcde-0123456789AB").is_ok());
        for bad in ["01234567-89ab-6def-bcde-0123456789ab", "01234567-89ab-7def-0cde-0123456789ab"] {
            assert!(RecordId::parse(bad).is_err(), "{bad}");
        }
    }
}
