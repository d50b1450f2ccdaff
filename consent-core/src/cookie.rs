//! The consent cookie: six fields that a person can read in developer tools and a loader in a few bytes.
//!
//! `1.<notice version>.<decided at, unix seconds>.<subject or ->.<granted ids joined by ~>.<flags>`

use alloc::string::String;
use alloc::vec::Vec;
use core::fmt::{self, Write};

use crate::consent::{Choice, Consent, Granted};
use crate::id::{ChoiceId, SubjectId};
use crate::outline::Outline;
use crate::time::UnixMillis;

/// The longest value, in bytes.
pub const MAX_LENGTH: usize = 1024;

/// A readable consent cookie.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cookie {
    /// The notice version that was answered.
    pub notice: u32,
    /// When, in whole seconds.
    pub decided_at: UnixMillis,
    /// Who; nobody who has only ever refused.
    pub subject: Option<SubjectId>,
    /// The optional ids that are granted, sorted.
    pub granted: Vec<ChoiceId>,
    /// Flag `s`: the banner said that a signal was on when this was decided.
    pub said: bool,
}

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
    for pair in header.split(';') {
        let Some((key, value)) = pair.split_once('=') else { continue };
        if key.trim() != name {
            continue;
        }
        let value = value.trim();
        match found {
            Found::Absent => found = Found::One(value),
            Found::One(first) if first == value => {}
            _ => return Found::Differing,
        }
    }
    found
}

/// Decimal digits without sign, space or leading zero.
fn number(text: &str) -> Result<u64, CookieError> {
    let digits = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    if !digits || (text.len() > 1 && text.starts_with('0')) {
        return Err(CookieError);
    }
    text.parse().map_err(|_| CookieError)
}

impl Cookie {
    /// Parses a value: exactly six fields, at most [`MAX_LENGTH`] bytes, one spelling for each meaning but the order of the ids.
    ///
    /// # Errors
    /// [`CookieError`] for anything else.
    pub fn parse(value: &str) -> Result<Self, CookieError> {
        if value.len() > MAX_LENGTH {
            return Err(CookieError);
        }
        let mut fields = value.split('.');
        let mut next = || fields.next().ok_or(CookieError);
        let (version, notice, decided_at, subject, granted, flags) =
            (next()?, next()?, next()?, next()?, next()?, next()?);
        if version != "1" || fields.next().is_some() {
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
            granted: parse_granted(granted)?,
            said: match flags {
                "" => false,
                "s" => true,
                _ => return Err(CookieError),
            },
        })
    }
}

fn parse_granted(text: &str) -> Result<Vec<ChoiceId>, CookieError> {
    let mut granted = Vec::new();
    if !text.is_empty() {
        for id in text.split('~') {
            granted.push(ChoiceId::parse(id).map_err(|_| CookieError)?);
        }
    }
    granted.sort();
    let before = granted.len();
    granted.dedup();
    if granted.len() == before { Ok(granted) } else { Err(CookieError) }
}

impl fmt::Display for Cookie {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "1.{}.{}.", self.notice, self.decided_at.seconds())?;
        match self.subject {
            Some(subject) => f.write_str(&subject.to_base64url())?,
            None => f.write_char('-')?,
        }
        f.write_char('.')?;
        for (i, id) in self.granted.iter().enumerate() {
            if i > 0 {
                f.write_char('~')?;
            }
            f.write_str(id.as_str())?;
        }
        f.write_str(if self.said { ".s" } else { "." })
    }
}

impl Consent {
    /// What a cookie says, under the notice in force: each optional category that its version could answer has its answer, granted
    /// if listed and denied if not. Ids that the notice does not know are ignored. The latest record is not in a cookie.
    pub fn from_cookie(cookie: &Cookie, outline: &Outline) -> Self {
        let mut choices: Vec<Choice> = outline
            .optional()
            .map(|category| Choice {
                category: category.id.clone(),
                granted: Granted::of(&cookie.granted, category.id.as_str()),
                at: cookie.decided_at,
                notice: cookie.notice,
                said: cookie.said,
                explicit: true,
            })
            .collect();
        choices.sort_by(|a, b| a.category.cmp(&b.category));
        Self { last: None, forgotten: false, identified: cookie.subject.is_some(), choices }
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
        let listed = || outline.optional().filter_map(|category| Some((category, self.choice(category.id.as_str())?)));
        let complete = view.asked().next().is_none();
        let versions = listed().map(|(_, choice)| choice.notice);
        let notice = if complete { versions.max() } else { versions.min() }?;
        let mut granted = Vec::new();
        let mut marked = 0;
        let mut said = 0;
        for (category, choice) in listed() {
            let whole = ChoiceId::from(&category.id);
            // A service that this answer never saw must not be granted by naming the category beside a newer version.
            let newer = category.services.iter().any(|s| s.since > choice.notice && s.since <= notice);
            match &choice.granted {
                // An answer to a version that is not in force yet here reads as denied; under an older number it would not.
                _ if choice.notice > outline.version => continue,
                Granted::Nothing => continue,
                Granted::Whole if !newer => granted.push(whole),
                Granted::Whole => granted.extend(
                    category
                        .services
                        .iter()
                        .filter(|s| s.since <= choice.notice)
                        .map(|s| ChoiceId::service_of(&category.id, &s.id)),
                ),
                Granted::Services(services) => {
                    granted.extend(services.iter().map(|s| ChoiceId::service_of(&category.id, s)));
                }
            }
            if category.signals {
                marked += 1;
                said += u32::from(choice.said);
            }
        }
        granted.sort();
        Some(Cookie {
            notice,
            decided_at: UnixMillis::from_seconds(listed().map(|(_, choice)| choice.at).min()?.seconds().max(0)),
            subject,
            granted,
            said: marked > 0 && marked == said,
        })
    }
}

impl Cookie {
    /// The value to write.
    pub fn value(&self) -> String {
        alloc::format!("{self}")
    }
}
