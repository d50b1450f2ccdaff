//! The consent cookie: six fields that a person can read in developer tools and a loader in a few bytes.
//!
//! `1.<notice version>.<decided at, unix seconds>.<subject or ->.<granted ids joined by ~>.<flags>`

use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;

#[cfg(feature = "backend")]
use crate::consent::lapsed;
use crate::consent::{Choice, Consent, Granted};
use crate::id::{ChoiceId, SubjectId, cut, sort};
use crate::outline::{CategoryOutline, Outline};
use crate::time::UnixMillis;

/// The longest value, in bytes.
pub const MAX_LENGTH: usize = 1024;

/// A readable consent cookie, with ids of its own unless it is a `CookieRef`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cookie<Ids = Vec<ChoiceId>> {
    /// The notice version that was answered.
    pub notice: u32,
    /// When, in whole seconds.
    pub decided_at: UnixMillis,
    /// Who; nobody who has only ever refused.
    pub subject: Option<SubjectId>,
    /// The optional ids that are granted: sorted, or as the cookie lists them.
    pub granted: Ids,
    /// Flag `s`: the banner said that a signal was on when this was decided.
    pub said: bool,
}

/// A cookie still in the header that it came in: for a backend that asks at each request whether one thing is granted.
// The widget leaves it out: a function with a second caller is not inlined into the first, which alone is 50 bytes of it.
#[cfg(feature = "backend")]
pub type CookieRef<'a> = Cookie<Listed<'a>>;

/// Valid and different ids as a cookie lists them, joined by `~`.
#[cfg(feature = "backend")]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Listed<'a>(&'a str);

/// The value is not a consent cookie; it reads as if it were absent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CookieError;

impl fmt::Display for CookieError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("not a consent cookie of version 1")
    }
}

impl core::error::Error for CookieError {}

/// What a `Cookie` header or `document.cookie` holds under a name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Found<'a> {
    /// Nothing.
    Absent,
    /// One value, perhaps several times.
    One(&'a str),
    /// Values that differ, set for different domains or paths: nobody can say which one holds, so none does.
    Differing,
}

/// Looks a cookie up by its exact name. Does not allocate.
pub fn find<'a>(header: &'a str, name: &str) -> Found<'a> {
    let mut found = Found::Absent;
    let others = Others::than(name);
    let mut rest = others.skip(header);
    while !rest.is_empty() {
        let (pair, after) = cut(rest, b';').unwrap_or((rest, ""));
        rest = others.skip(after);
        let Some((key, value)) = cut(pair, b'=') else { continue };
        if key.trim_ascii() != name {
            continue;
        }
        let value = value.trim_ascii();
        match found {
            Found::Absent => found = Found::One(value),
            Found::One(first) if first == value => {}
            _ => return Found::Differing,
        }
    }
    found
}

/// Passes over others' cookies. A backend reads headers that are full of them at every request, so it searches many bytes at once;
/// the widget has no need to.
#[cfg(feature = "backend")]
struct Others<'a>(memchr::memmem::Finder<'a>);

#[cfg(feature = "backend")]
impl<'a> Others<'a> {
    fn than(name: &'a str) -> Self {
        Self(memchr::memmem::Finder::new(name))
    }

    /// The cookies from the first one on that has the name anywhere in it.
    fn skip<'b>(&self, cookies: &'b str) -> &'b str {
        let Some(at) = self.0.find(cookies.as_bytes()) else { return "" };
        let begin = memchr::memrchr(b';', &cookies.as_bytes()[..at]).map_or(0, |semicolon| semicolon + 1);
        &cookies[begin..]
    }
}

#[cfg(not(feature = "backend"))]
struct Others;

#[cfg(not(feature = "backend"))]
impl Others {
    fn than(_: &str) -> Self {
        Self
    }

    fn skip<'b>(&self, cookies: &'b str) -> &'b str {
        cookies
    }
}

/// Decimal digits without sign, space or leading zero.
fn number(text: &str) -> Result<u64, CookieError> {
    if text.is_empty() || (text.len() > 1 && text.starts_with('0')) {
        return Err(CookieError);
    }
    let mut number: u64 = 0;
    for byte in text.bytes() {
        let digit = byte.checked_sub(b'0').filter(|digit| *digit < 10).ok_or(CookieError)?;
        number = number.checked_mul(10).and_then(|n| n.checked_add(digit.into())).ok_or(CookieError)?;
    }
    Ok(number)
}

fn push_number(text: &mut String, number: u64) {
    if number > 9 {
        push_number(text, number / 10);
    }
    text.push(char::from(b'0' + (number % 10) as u8));
}

impl<Ids> Cookie<Ids> {
    /// The grammar of all but the ids.
    fn of<'a>(value: &'a str, ids: impl FnOnce(&'a str) -> Result<Ids, CookieError>) -> Result<Self, CookieError> {
        if value.len() > MAX_LENGTH {
            return Err(CookieError);
        }
        let mut rest = value;
        let mut next = || {
            let (field, after) = cut(rest, b'.').ok_or(CookieError)?;
            rest = after;
            Ok(field)
        };
        let (version, notice, decided_at, subject, granted) = (next()?, next()?, next()?, next()?, next()?);
        // What is left is the last field; a seventh would be in it, and no flag has a dot.
        let flags = rest;
        if version != "1" {
            return Err(CookieError);
        }
        let seconds = i64::try_from(number(decided_at)?).map_err(|_| CookieError)?;
        if seconds > UnixMillis::MAX.seconds() {
            return Err(CookieError);
        }
        Ok(Self {
            notice: u32::try_from(number(notice)?).ok().filter(|n| *n > 0).ok_or(CookieError)?,
            decided_at: UnixMillis::from_seconds(seconds),
            subject: match subject {
                "-" => None,
                text => Some(SubjectId::from_base64url(text).map_err(|_| CookieError)?),
            },
            granted: ids(granted)?,
            said: match flags {
                "" => false,
                "s" => true,
                _ => return Err(CookieError),
            },
        })
    }
}

impl Cookie {
    /// Parses a value: exactly six fields, at most [`MAX_LENGTH`] bytes, one spelling for each meaning but the order of the ids.
    ///
    /// # Errors
    /// [`CookieError`] for anything else.
    pub fn parse(value: &str) -> Result<Self, CookieError> {
        Self::of(value, parse_granted)
    }
}

fn parse_granted(text: &str) -> Result<Vec<ChoiceId>, CookieError> {
    let mut granted = Vec::new();
    let mut rest = if text.is_empty() { None } else { Some(text) };
    while let Some(text) = rest {
        let (id, after) = cut(text, b'~').map_or((text, None), |(id, after)| (id, Some(after)));
        rest = after;
        let id = ChoiceId::parse(id).map_err(|_| CookieError)?;
        if granted.contains(&id) {
            return Err(CookieError);
        }
        granted.push(id);
    }
    sort(&mut granted);
    Ok(granted)
}

#[cfg(feature = "backend")]
impl<'a> CookieRef<'a> {
    /// Parses a value as [`Cookie::parse`] does, without allocating.
    ///
    /// # Errors
    /// [`CookieError`] for anything that is not a consent cookie.
    pub fn read(value: &'a str) -> Result<Self, CookieError> {
        Self::of(value, Listed::parse)
    }

    /// Whether this cookie grants a category or service at `now`, while the browser sends a signal or not: what
    /// [`Cookie::grants`] says, without allocating.
    pub fn grants(&self, outline: &Outline, choice: &ChoiceId, now: UnixMillis, signal: bool) -> bool {
        let listed = |id: &str| self.granted.iter().any(|granted| granted == id);
        let Some(category) = outline.listed(choice) else { return false };
        if category.necessary {
            return true;
        }
        if lapsed(self.notice, self.decided_at, category, outline, now).is_some()
            || (signal && category.signals && !self.said)
        {
            return false;
        }
        match choice.service() {
            Some(service) if listed(category.id.as_str()) => {
                category.service(service).is_some_and(|s| s.since <= self.notice)
            }
            _ => listed(choice.as_str()),
        }
    }
}

#[cfg(feature = "backend")]
impl<'a> Listed<'a> {
    fn parse(text: &'a str) -> Result<Self, CookieError> {
        let listed = Self(text);
        for (place, id) in listed.iter().enumerate() {
            if !ChoiceId::is_valid(id) || listed.iter().take(place).any(|earlier| earlier == id) {
                return Err(CookieError);
            }
        }
        Ok(listed)
    }

    /// The ids, in the order of the cookie.
    pub fn iter(&self) -> impl Iterator<Item = &'a str> + use<'a> {
        let ids = if self.0.is_empty() { None } else { Some(self.0.split('~')) };
        ids.into_iter().flatten()
    }
}

impl fmt::Display for Cookie {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.value())
    }
}

impl Consent {
    /// What a cookie says, under the notice in force: each optional category that its version could answer has its answer, granted
    /// if listed and denied if not. Ids that the notice does not know are ignored. The latest record is not in a cookie.
    ///
    /// Only: it proves this device's last act and knows nothing of what was revoked, forgotten or erased elsewhere.
    pub fn from_cookie_only(cookie: &Cookie, outline: &Outline) -> Self {
        let mut consent = Self { identified: cookie.subject.is_some(), ..Self::default() };
        for category in outline.optional() {
            consent.put(cookie.answer(category));
        }
        consent
    }

    /// The cookie that says what holds, or `None` where there must be none: nothing decided, or forgotten.
    ///
    /// One cookie has one version and one date for all categories. It takes the oldest date, so that nothing holds longer, and the
    /// newest version once every category is answered; while one is open the oldest version, so that it stays open.
    pub fn to_cookie(&self, outline: &Outline, subject: Option<SubjectId>, now: UnixMillis) -> Option<Cookie> {
        let view = self.view(outline, now, false);
        if self.forgotten || self.choices.is_empty() {
            return None;
        }
        let (mut oldest, mut newest, mut at) = (u32::MAX, 0, UnixMillis::MAX);
        for category in outline.optional() {
            if let Some(choice) = self.choice(category.id.as_str()) {
                oldest = oldest.min(choice.notice);
                newest = newest.max(choice.notice);
                at = at.min(choice.at);
            }
        }
        if newest == 0 {
            return None;
        }
        let notice = if view.asked().next().is_none() { newest } else { oldest };
        let mut granted = Vec::new();
        let mut marked = 0;
        let mut said = 0;
        for category in outline.optional() {
            let Some(choice) = self.choice(category.id.as_str()) else { continue };
            // A service that this answer never saw must not be granted by naming the category beside a newer version.
            let newer = category.services.iter().any(|s| s.since > choice.notice && s.since <= notice);
            match &choice.granted {
                // An answer to a version that is not in force yet here reads as denied; under an older number it would not.
                _ if choice.notice > outline.version => continue,
                Granted::Nothing => continue,
                Granted::Whole if !newer => granted.push(ChoiceId::from(&category.id)),
                Granted::Whole => {
                    for service in category.services.iter().filter(|s| s.since <= choice.notice) {
                        granted.push(ChoiceId::service_of(&category.id, &service.id));
                    }
                }
                Granted::Services(services) => {
                    for service in services {
                        granted.push(ChoiceId::service_of(&category.id, service));
                    }
                }
            }
            if category.signals {
                marked += 1;
                said += u32::from(choice.said);
            }
        }
        sort(&mut granted);
        Some(Cookie {
            notice,
            decided_at: UnixMillis::from_seconds(at.seconds().max(0)),
            subject,
            granted,
            said: marked > 0 && marked == said,
        })
    }
}

impl Cookie {
    /// The answer to a category.
    fn answer(&self, category: &CategoryOutline) -> Choice {
        Choice {
            category: category.id.clone(),
            granted: Granted::of(&self.granted, category.id.as_str()),
            at: self.decided_at,
            notice: self.notice,
            said: self.said,
            explicit: true,
        }
    }

    /// Whether this cookie grants a category or service at `now`, while the browser sends a signal or not: what
    /// [`Consent::from_cookie_only`] would say, without reading what was not asked for.
    pub fn grants(&self, outline: &Outline, choice: &ChoiceId, now: UnixMillis, signal: bool) -> bool {
        let mut consent = Consent::default();
        if let Some(category) = outline.category(choice.category()) {
            consent.put(self.answer(category));
        }
        consent.view(outline, now, signal).granted(choice)
    }

    /// Whether a visitor's own request may have what needs a category or service: only if its cookie grants it, and the consent
    /// `held` for the cookie's subject, and that of the `account` it is linked to, if it is.
    ///
    /// A cookie proves the last act of its own device; what was revoked elsewhere is known where the records are. A cookie without a
    /// subject, or with one that is not known there, grants nothing. The signal is this device's and says nothing about the account.
    /// What is necessary needs no cookie.
    pub fn authorizes(
        cookie: Option<&Self>,
        held: Option<&Consent>,
        account: Option<&Consent>,
        outline: &Outline,
        choice: &ChoiceId,
        now: UnixMillis,
        signal: bool,
    ) -> bool {
        match (cookie.filter(|cookie| cookie.subject.is_some()), held) {
            (Some(cookie), Some(held)) => {
                cookie.grants(outline, choice, now, signal)
                    && held.view(outline, now, signal).granted(choice)
                    && account.is_none_or(|account| account.view(outline, now, false).granted(choice))
            }
            _ => Consent::default().view(outline, now, signal).granted(choice),
        }
    }

    /// The value to write. Without `write!`, which alone would be a tenth of the widget.
    pub fn value(&self) -> String {
        let mut text = String::from("1.");
        push_number(&mut text, self.notice.into());
        text.push('.');
        push_number(&mut text, self.decided_at.seconds().unsigned_abs());
        text.push('.');
        match self.subject {
            Some(subject) => text.push_str(&subject.to_base64url()),
            None => text.push('-'),
        }
        text.push('.');
        for (i, id) in self.granted.iter().enumerate() {
            if i > 0 {
                text.push('~');
            }
            text.push_str(id.as_str());
        }
        text.push_str(if self.said { ".s" } else { "." });
        text
    }
}
