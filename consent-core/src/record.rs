//! Records and their one canonical byte encoding, the leaf.
//!
//! A leaf is the canonical JSON (RFC 8785) of a record. It holds no free text, no name and no identifier of a person in the clear:
//! the subject is an HMAC under a key that erasing destroys, and evidence, actor and target are HMACs of texts kept beside that key.
//! The grammar is fixed: version 1 has all its fields from the first day, and what is not in it is not a leaf.

use hmac::{Hmac, KeyInit, Mac};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};
use sha2::Sha256;

use crate::consent::{Act, Consent, Effect};
use crate::decision::{Control, Layer, Method, Signals, Source, text_enum};
use crate::id::{CategoryId, ChoiceId, Language, RecordId, SiteId, SubjectId};
use crate::time::{AHEAD_AFTER, UnixMillis};

/// The only version of the grammar.
pub const VERSION: u8 = 1;

text_enum! {
    /// What happened.
    Kind {
        /// A person decided.
        Decision = "decision",
        /// The link between a person and their records was destroyed.
        Erasure = "erasure",
        /// A notice version was published.
        Notice = "notice",
        /// An officer or admin logged in or out, read or exported records.
        Access = "access",
        /// An API key was made or revoked, or the log's own key changed.
        Key = "key",
        /// The site was created or its settings changed.
        Site = "site",
        /// A subject was linked to an account.
        Account = "account",
        /// A user was made, changed or removed.
        User = "user",
        /// Something happened to the log itself, such as a restored back-up.
        Log = "log",
    }
}

text_enum! {
    /// What was done, for kinds that are not a decision.
    Action {
        /// Made or published.
        Create = "create",
        /// Changed.
        Update = "update",
        /// Ended.
        Revoke = "revoke",
        /// Replaced by a new one.
        Rotate = "rotate",
        /// Read on a page or by the API.
        Read = "read",
        /// Exported.
        Export = "export",
        /// Erased.
        Erase = "erase",
        /// Restored.
        Restore = "restore",
        /// Logged in.
        Login = "login",
        /// Logged out.
        Logout = "logout",
        /// Kept out for a while, after too many wrong passwords.
        Lock = "lock",
    }
}

text_enum! {
    /// How an odd claimed time is odd. It is kept as claimed and never extends validity.
    Clock {
        /// More than five minutes later than the log's clock.
        Ahead = "ahead",
        /// Earlier than the notice that it answers was published.
        Behind = "behind",
    }
}

/// 32 bytes, written as 64 lowercase hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Hex32(pub [u8; 32]);

impl core::fmt::Display for Hex32 {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        let mut text = [0; 64];
        data_encoding::HEXLOWER.encode_mut(&self.0, &mut text);
        f.write_str(core::str::from_utf8(&text).expect("hexadecimal digits are ASCII"))
    }
}

impl core::fmt::Debug for Hex32 {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        core::fmt::Display::fmt(self, f)
    }
}

impl Hex32 {
    /// Parses 64 lowercase hexadecimal digits.
    pub fn parse(text: &str) -> Option<Self> {
        let mut bytes = [0; 32];
        let length = data_encoding::HEXLOWER.decode_len(text.len()).ok()?;
        if length != 32 {
            return None;
        }
        data_encoding::HEXLOWER.decode_mut(text.as_bytes(), &mut bytes).ok()?;
        Some(Self(bytes))
    }
}

impl Serialize for Hex32 {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Hex32 {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        Self::parse(&text).ok_or_else(|| D::Error::custom("must be 64 lowercase hexadecimal digits"))
    }
}

/// A notice version with the SHA-256 of its canonical JSON.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NoticeRef {
    /// SHA-256 of the notice's canonical bytes.
    pub sha256: Hex32,
    /// Its number, from 1.
    pub version: u32,
}

/// One record of the log.
///
/// The fields are declared in the order of their names and hold only ASCII text, whole numbers below 2^53 and booleans, so that what
/// serde_json writes is the canonical form; a property test holds it against an RFC 8785 canonicalizer. A field that does not apply
/// is absent. Which ones apply to which [`Kind`] is checked by [`Leaf::parse`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Leaf {
    /// What was done (kinds other than decision).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub action: Option<Action>,
    /// Who did it, as HMAC-SHA256(o, text).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub actor: Option<Hex32>,
    /// The claimed time is odd.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub clock: Option<Clock>,
    /// The control that was used.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub control: Option<Control>,
    /// When, by the clock of who decided.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub decided_at: Option<UnixMillis>,
    /// What was asked and is not granted, sorted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub denied: Option<Vec<ChoiceId>>,
    /// What the record did to the consent of its subject.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub effect: Option<Effect>,
    /// HMAC-SHA256(k, "erased") of the key that was destroyed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub erased: Option<Hex32>,
    /// The evidence text of a decision made on a person's behalf, as HMAC-SHA256(o, text).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub evidence: Option<Hex32>,
    /// What is granted, sorted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub granted: Option<Vec<ChoiceId>>,
    /// The id of the record.
    pub id: RecordId,
    /// What happened.
    pub kind: Kind,
    /// The language of the texts that were shown.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub language: Option<Language>,
    /// Where the decision was made.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub layer: Option<Layer>,
    /// The categories for which a published notice is material, sorted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub material: Option<Vec<CategoryId>>,
    /// By which act.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub method: Option<Method>,
    /// The notice that was shown, or published.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub notice: Option<NoticeRef>,
    /// The last decision that the browser knew for this subject.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prev: Option<RecordId>,
    /// When, by the clock of the log; never earlier than the leaf before.
    pub recorded_at: UnixMillis,
    /// 32 random bytes where there is no subject, so that a leaf cannot be guessed from its hash.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub salt: Option<Hex32>,
    /// The browser's signals.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub signals: Option<Signals>,
    /// The site that the log belongs to.
    pub site: SiteId,
    /// How the controller learnt of the decision.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<Source>,
    /// The subject, as [`Opening::subject`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subject: Option<Hex32>,
    /// On what it was done, as HMAC-SHA256(o, text).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub target: Option<Hex32>,
    /// The version of this grammar: 1.
    pub v: u8,
    /// SHA-256 of the widget's build that asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub widget: Option<Hex32>,
}

/// Why bytes are not a leaf.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum LeafError {
    /// Not the JSON of a leaf.
    #[error("not a record: {0}")]
    Json(String),
    /// Another version of the grammar: it cannot be judged, and is never guessed.
    #[error("version {0} of the record grammar is not known")]
    Version(u64),
    /// The same record, but not in its canonical form.
    #[error("the record is not in its canonical form (RFC 8785)")]
    NotCanonical,
    /// A field that its kind must have is missing.
    #[error("a record of kind {0} must have {1}")]
    Missing(Kind, &'static str),
    /// A field that its kind cannot have is there.
    #[error("a record of kind {0} cannot have {1}")]
    Unexpected(Kind, &'static str),
    /// Ids are not sorted, or one is there twice.
    #[error("the ids in {0} are not sorted")]
    Unsorted(&'static str),
    /// Only what was taken over from an earlier system can lack its proof.
    #[error("effect unproven needs source import")]
    Unproven,
}

impl Leaf {
    /// The canonical bytes: what the tree hashes.
    pub fn to_bytes(&self) -> Vec<u8> {
        serde_json::to_vec(self).expect("a leaf has only string keys and its values always serialize")
    }

    /// Parses canonical bytes and checks them against the grammar.
    ///
    /// # Errors
    /// [`LeafError`] saying what is wrong with them.
    ///
    /// # Standards
    /// RFC 8785.
    pub fn parse(bytes: &[u8]) -> Result<Self, LeafError> {
        let leaf: Self = serde_json::from_slice(bytes).map_err(|error| Self::explain(bytes, &error))?;
        leaf.check()?;
        if leaf.to_bytes() == bytes { Ok(leaf) } else { Err(LeafError::NotCanonical) }
    }

    fn explain(bytes: &[u8], error: &serde_json::Error) -> LeafError {
        #[derive(Deserialize)]
        struct Version {
            v: u64,
        }
        match serde_json::from_slice::<Version>(bytes) {
            Ok(Version { v }) if v != u64::from(VERSION) => LeafError::Version(v),
            _ => LeafError::Json(error.to_string()),
        }
    }

    /// Checks that the fields are those of the kind, and that lists are sorted.
    ///
    /// # Errors
    /// [`LeafError`] naming the field.
    pub fn check(&self) -> Result<(), LeafError> {
        use Kind::{Access, Account, Decision, Erasure, Key, Log, Notice, Site, User};
        if self.v != VERSION {
            return Err(LeafError::Version(u64::from(self.v)));
        }
        let kind = self.kind;
        let decision = kind == Decision;
        let acts = matches!(kind, Access | Key | Site | User | Log | Notice | Erasure);
        let subject = matches!(kind, Decision | Account);
        // (name, is it there, must it be, may it be)
        let fields = [
            ("action", self.action.is_some(), !decision, !decision),
            ("actor", self.actor.is_some(), acts, true),
            ("clock", self.clock.is_some(), false, decision),
            ("control", self.control.is_some(), false, decision),
            ("decided_at", self.decided_at.is_some(), decision, decision),
            ("denied", self.denied.is_some(), decision, decision),
            ("effect", self.effect.is_some(), decision, decision),
            ("erased", self.erased.is_some(), kind == Erasure, kind == Erasure),
            ("evidence", self.evidence.is_some(), false, decision),
            ("granted", self.granted.is_some(), decision, decision),
            ("language", self.language.is_some(), decision, decision),
            ("layer", self.layer.is_some(), decision, decision),
            ("material", self.material.is_some(), kind == Notice, kind == Notice),
            ("method", self.method.is_some(), decision, decision),
            ("notice", self.notice.is_some(), decision || kind == Notice, decision || kind == Notice),
            ("prev", self.prev.is_some(), false, decision),
            ("salt", self.salt.is_some(), !subject, !subject),
            ("signals", self.signals.is_some(), decision, decision),
            ("source", self.source.is_some(), false, decision),
            ("subject", self.subject.is_some(), subject, subject),
            ("target", self.target.is_some(), false, !decision),
            ("widget", self.widget.is_some(), false, decision),
        ];
        for (name, there, must, may) in fields {
            if must && !there {
                return Err(LeafError::Missing(kind, name));
            }
            if there && !may {
                return Err(LeafError::Unexpected(kind, name));
            }
        }
        let ascending = |ids: &Option<Vec<ChoiceId>>| ids.iter().flatten().is_sorted_by(|a, b| a < b);
        if !ascending(&self.denied) {
            return Err(LeafError::Unsorted("denied"));
        }
        if !ascending(&self.granted) {
            return Err(LeafError::Unsorted("granted"));
        }
        if !self.material.iter().flatten().is_sorted_by(|a, b| a < b) {
            return Err(LeafError::Unsorted("material"));
        }
        if self.effect == Some(Effect::Unproven) && self.source != Some(Source::Import) {
            return Err(LeafError::Unproven);
        }
        Ok(())
    }

    /// A record of something that was done to no subject: fill in what its kind adds.
    pub fn of_act(
        kind: Kind,
        action: Action,
        id: RecordId,
        site: SiteId,
        recorded_at: UnixMillis,
        salt: [u8; 32],
        actor: Hex32,
    ) -> Self {
        Self {
            action: Some(action),
            actor: Some(actor),
            clock: None,
            control: None,
            decided_at: None,
            denied: None,
            effect: None,
            erased: None,
            evidence: None,
            granted: None,
            id,
            kind,
            language: None,
            layer: None,
            material: None,
            method: None,
            notice: None,
            prev: None,
            recorded_at,
            salt: Some(Hex32(salt)),
            signals: None,
            site,
            source: None,
            subject: None,
            target: None,
            v: VERSION,
            widget: None,
        }
    }

    /// Folds a decision into the consent of its subject, and notes what it did. `shown`: the text that the person was shown lies
    /// beside the record (or the person was seen to read it, for everything but an import).
    ///
    /// # Panics
    /// If it is no decision.
    pub fn take_effect(&mut self, consent: &mut Consent, shown: bool) -> Effect {
        let grants = self.granted.as_ref().is_some_and(|granted| !granted.is_empty());
        let unproven = grants && !self.source.is_none_or(|source| source.can_grant(shown));
        self.effect = Some(if unproven { Effect::Unproven } else { Effect::Applied });
        let did = consent.apply(&self.act().expect("a decision's leaf says what it did"));
        let effect = if unproven { Effect::Unproven } else { did };
        self.effect = Some(effect);
        effect
    }

    /// What the record says to the fold of its subject, if it is a decision. What is unproven says its refusals and no grant.
    pub fn act(&self) -> Option<Act> {
        let unproven = (self.effect == Some(Effect::Unproven)).then(Vec::new);
        Some(Act {
            id: self.id,
            prev: self.prev,
            method: self.method?,
            layer: self.layer?,
            granted: unproven.or_else(|| self.granted.clone())?,
            denied: self.denied.clone()?,
            notice: self.notice?.version,
            decided_at: self.decided_at?,
            recorded_at: self.recorded_at,
            said: self.signals?.said,
            on_behalf: self.source.is_some(),
        })
    }
}

/// How a claimed time is odd, if it is.
pub fn clock_of(decided_at: UnixMillis, recorded_at: UnixMillis, published_at: UnixMillis) -> Option<Clock> {
    if decided_at.millis() > recorded_at.millis().saturating_add(AHEAD_AFTER) {
        Some(Clock::Ahead)
    } else if decided_at < published_at {
        Some(Clock::Behind)
    } else {
        None
    }
}

pub(crate) fn hmac(key: &[u8; 32], parts: &[&[u8]]) -> [u8; 32] {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).expect("HMAC takes a key of any length");
    for part in parts {
        mac.update(part);
    }
    mac.finalize().into_bytes().into()
}

fn length(part: &[u8]) -> [u8; 4] {
    u32::try_from(part.len()).expect("the parts are ids of at most 36 bytes").to_be_bytes()
}

/// A subject's random key, k. It never leaves the store; erasing destroys it.
#[derive(Clone, Copy)]
pub struct SubjectKey(pub [u8; 32]);

impl core::fmt::Debug for SubjectKey {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("SubjectKey(***)")
    }
}

impl SubjectKey {
    /// The opening of one record: HMAC-SHA256(k, "open" ‖ the 16 bytes of the record's id).
    pub fn open(&self, id: &RecordId) -> Opening {
        Opening(hmac(&self.0, &[b"open", id.as_bytes()]))
    }

    /// What an erasure record holds of the key: HMAC-SHA256(k, "erased").
    pub fn erased(&self) -> Hex32 {
        Hex32(hmac(&self.0, &[b"erased"]))
    }
}

/// Opens one record, and no other: whoever holds it can check whose record it is and the texts beside it.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Opening(pub [u8; 32]);

impl core::fmt::Debug for Opening {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("Opening(***)")
    }
}

impl Opening {
    /// The subject as the leaf holds it: HMAC-SHA256(o, ...) over "consent-subject-v1", the site and the 16 bytes of the subject's
    /// UUID, each behind its length as four bytes, big-endian.
    pub fn subject(&self, site: &SiteId, subject: &SubjectId) -> Hex32 {
        let (label, site, subject) = (&b"consent-subject-v1"[..], site.as_str().as_bytes(), &subject.as_bytes()[..]);
        Hex32(hmac(&self.0, &[&length(label), label, &length(site), site, &length(subject), subject]))
    }

    /// A text beside the record (evidence, actor, target) as the leaf holds it: HMAC-SHA256(o, text).
    pub fn commit(&self, text: &str) -> Hex32 {
        Hex32(hmac(&self.0, &[text.as_bytes()]))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn decision() -> impl Strategy<Value = Leaf> {
        let ids = || {
            proptest::collection::btree_set("[a-z][a-z0-9-]{0,5}(:[a-z][a-z0-9-]{0,5})?", 0..4)
                .prop_map(|ids| ids.iter().map(|id| ChoiceId::parse(id).unwrap()).collect::<Vec<_>>())
        };
        (
            (any::<[u8; 16]>(), proptest::option::of(any::<[u8; 16]>()), ids(), ids()),
            (
                proptest::sample::select(Method::ALL),
                proptest::sample::select(Layer::ALL),
                proptest::option::of(proptest::sample::select(Control::ALL)),
            ),
            (any::<[u8; 32]>(), any::<u32>(), any::<(bool, bool, bool)>(), 0..4_000_000_000_000i64),
            (
                proptest::option::of(proptest::sample::select(Source::ALL)),
                proptest::option::of(proptest::sample::select(Clock::ALL)),
                proptest::option::of(any::<[u8; 32]>()),
            ),
        )
            .prop_map(
                |(
                    (id, prev, granted, denied),
                    (method, layer, control),
                    (bytes, version, (dnt, gpc, said), at),
                    (source, clock, widget),
                )| {
                    Leaf {
                        action: None,
                        actor: widget.map(Hex32),
                        clock,
                        control,
                        decided_at: Some(UnixMillis::new(at)),
                        denied: Some(denied),
                        effect: Some(Effect::Applied),
                        evidence: widget.map(Hex32),
                        granted: Some(granted),
                        language: Some(Language::parse("pt-BR").unwrap()),
                        layer: Some(layer),
                        method: Some(method),
                        notice: Some(NoticeRef { sha256: Hex32(bytes), version }),
                        prev: prev.map(RecordId::from_random),
                        salt: None,
                        signals: Some(Signals { dnt, gpc, said }),
                        source,
                        subject: Some(Hex32(bytes)),
                        widget: widget.map(Hex32),
                        ..Leaf::of_act(
                            Kind::Decision,
                            Action::Create,
                            RecordId::from_random(id),
                            SiteId::parse("demo").unwrap(),
                            UnixMillis::new(at),
                            bytes,
                            Hex32(bytes),
                        )
                    }
                },
            )
            .prop_map(|leaf| Leaf { action: None, ..leaf })
    }

    proptest! {
        #[test]
        fn what_is_written_is_canonical_and_read_back(leaf in decision()) {
            let bytes = leaf.to_bytes();
            prop_assert_eq!(&bytes, &serde_json_canonicalizer::to_vec(&leaf).unwrap());
            prop_assert_eq!(Leaf::parse(&bytes).unwrap(), leaf);
        }

        #[test]
        fn any_changed_byte_is_another_leaf_or_none(leaf in decision(), place: prop::sample::Index, bit in 0..8u8) {
            let bytes = leaf.to_bytes();
            let mut changed = bytes.clone();
            let place = place.index(bytes.len());
            changed[place] ^= 1 << bit;
            if let Ok(other) = Leaf::parse(&changed) {
                prop_assert_ne!(other, leaf);
            }
        }

        #[test]
        fn no_bytes_make_the_parser_panic(bytes: Vec<u8>) {
            let _ = Leaf::parse(&bytes);
        }
    }

    /// The bytes of version 1: if this test must change, every log that exists becomes unverifiable.
    #[test]
    fn the_bytes_of_version_1_are_fixed() {
        let key = SubjectKey([7; 32]);
        let site = SiteId::parse("demo").unwrap();
        let id = RecordId::parse("0190163d-8694-739b-aea5-966c26f8ad91").unwrap();
        let subject = SubjectId::parse("8c5a64d7-3f0b-4c5e-9b38-0f3b6a0a5d11").unwrap();
        let at = UnixMillis::new(1_767_225_600_123);
        let mut leaf = Leaf::of_act(Kind::Decision, Action::Create, id, site.clone(), at, [0; 32], Hex32([0; 32]));
        (leaf.action, leaf.actor, leaf.salt) = (None, None, None);
        leaf.control = Some(Control::Save);
        leaf.decided_at = Some(UnixMillis::new(1_767_225_599_000));
        leaf.denied = Some(vec![ChoiceId::parse("marketing").unwrap()]);
        leaf.effect = Some(Effect::Applied);
        leaf.granted = Some(vec![ChoiceId::parse("statistics").unwrap()]);
        leaf.language = Some(Language::parse("en").unwrap());
        leaf.layer = Some(Layer::Settings);
        leaf.method = Some(Method::Save);
        leaf.notice = Some(NoticeRef { sha256: Hex32([1; 32]), version: 1 });
        leaf.signals = Some(Signals::default());
        leaf.subject = Some(key.open(&id).subject(&site, &subject));
        let one = "01".repeat(32);
        let want = format!(
            r#"{{"control":"save","decided_at":"2025-12-31T23:59:59.000Z","denied":["marketing"],"effect":"applied","granted":["statistics"],"id":"0190163d-8694-739b-aea5-966c26f8ad91","kind":"decision","language":"en","layer":"settings","method":"save","notice":{{"sha256":"{one}","version":1}},"recorded_at":"2026-01-01T00:00:00.123Z","signals":{{"dnt":false,"gpc":false,"said":false}},"site":"demo","subject":"{}","v":1}}"#,
            leaf.subject.unwrap()
        );
        assert_eq!(String::from_utf8(leaf.to_bytes()).unwrap(), want);
        assert_eq!(Leaf::parse(want.as_bytes()), Ok(leaf));
        for (bad, why) in [
            (want.replace(r#""v":1"#, r#""v":2"#), LeafError::Version(2)),
            (want.replace(r#""v":1"#, r#""v": 1"#), LeafError::NotCanonical),
            (want.replace(r#""effect":"applied","#, ""), LeafError::Missing(Kind::Decision, "effect")),
            (
                want.replace(r#""site""#, &format!(r#""salt":"{one}","site""#)),
                LeafError::Unexpected(Kind::Decision, "salt"),
            ),
        ] {
            assert_eq!(Leaf::parse(bad.as_bytes()), Err(why));
        }
        assert!(Leaf::parse(want.replace(r#""v":1"#, r#""ip":"::1","v":1"#).as_bytes()).is_err());
    }

    #[test]
    fn what_was_taken_over_without_its_text_refuses_and_grants_nothing() {
        let ids = |ids: &[&str]| ids.iter().map(|id| ChoiceId::parse(id).unwrap()).collect::<Vec<_>>();
        let leaf = |source, granted: &[&str], denied: &[&str]| {
            let at = UnixMillis::new(1_767_225_600_123);
            let (id, site) = (RecordId::from_random([1; 16]), SiteId::parse("demo").unwrap());
            let act = Leaf::of_act(Kind::Decision, Action::Create, id, site, at, [0; 32], Hex32([0; 32]));
            Leaf {
                action: None,
                salt: None,
                decided_at: Some(at),
                denied: Some(ids(denied)),
                granted: Some(ids(granted)),
                language: Some(Language::parse("en").unwrap()),
                layer: Some(Layer::None),
                method: Some(Method::Api),
                notice: Some(NoticeRef { sha256: Hex32([1; 32]), version: 1 }),
                signals: Some(Signals::default()),
                source,
                subject: Some(Hex32([2; 32])),
                ..act
            }
        };
        for (source, shown, granted, want, holds) in [
            (Some(Source::Import), false, &["statistics"][..], Effect::Unproven, false),
            (Some(Source::Import), true, &["statistics"], Effect::Applied, true),
            (Some(Source::Import), false, &[], Effect::Applied, false),
            (Some(Source::Phone), false, &["statistics"], Effect::Applied, true),
            (None, true, &["statistics"], Effect::Applied, true),
        ] {
            let mut leaf = leaf(source, granted, &["marketing"]);
            let mut consent = Consent::default();
            assert_eq!(leaf.take_effect(&mut consent, shown), want, "{source:?} {shown}");
            assert_eq!(leaf.effect, Some(want));
            assert!(consent.choice("marketing").is_some(), "a refusal always counts");
            assert_eq!(consent.choice("statistics").is_some(), holds, "{source:?} {shown}");
            assert_eq!(consent.identified, holds);
            let read = Leaf::parse(&leaf.to_bytes()).unwrap();
            assert_eq!(Consent::fold([&read.act().unwrap()]), consent, "the leaf alone says the same");
            assert_eq!(read.granted, Some(ids(granted)), "it is kept as it was claimed");
        }
        let mut odd = leaf(Some(Source::Phone), &["statistics"], &[]);
        odd.effect = Some(Effect::Unproven);
        assert_eq!(odd.check(), Err(LeafError::Unproven));
        // What was written before there was such an effect is what it was.
        let mut old = leaf(Some(Source::Import), &["statistics"], &[]);
        old.effect = Some(Effect::Applied);
        assert_eq!(Leaf::parse(&old.to_bytes()).unwrap().act().unwrap().granted, ids(&["statistics"]));
    }

    proptest! {
        /// However it came about and whatever it says: without the text nothing is granted that was not granted before.
        #[test]
        fn no_import_without_its_text_grants(before in decision(), after in decision()) {
            let mut consent = Consent::default();
            let mut before = Leaf { source: None, ..before };
            before.take_effect(&mut consent, true);
            let held = consent.clone();
            let mut after = Leaf { source: Some(Source::Import), ..after };
            let effect = after.take_effect(&mut consent, false);
            prop_assert_eq!(effect == Effect::Unproven, after.granted.iter().flatten().next().is_some());
            for choice in &consent.choices {
                let kept = held.choices.contains(choice);
                prop_assert!(kept || choice.granted == crate::consent::Granted::Nothing, "{choice:?}");
            }
        }
    }

    #[test]
    fn an_opening_opens_one_record_only() {
        let (key, site) = (SubjectKey([7; 32]), SiteId::parse("demo").unwrap());
        let subject = SubjectId::from_random([3; 16]);
        let (one, two) = (RecordId::from_random([1; 16]), RecordId::from_random([2; 16]));
        assert_ne!(key.open(&one), key.open(&two));
        assert_ne!(key.open(&one).subject(&site, &subject), key.open(&two).subject(&site, &subject));
        let other = SiteId::parse("demos").unwrap();
        assert_ne!(key.open(&one).subject(&site, &subject), key.open(&one).subject(&other, &subject));
    }
}
