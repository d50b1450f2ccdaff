//! What the cookie says and what is known beyond it, put together. The rules themselves are the core's.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use consent_core::cookie::CookieRef;
use consent_core::id::{ChoiceId, SubjectId};
use consent_core::outline::Outline;
use consent_core::time::UnixMillis;

use crate::visitor::Visitor;

/// What must be known beside a visitor's cookie.
pub trait Knowledge: Send + Sync + 'static {
    /// The notice in force; nothing is granted while it is not known.
    fn notice(&self) -> Option<Arc<Outline>>;

    /// The name of the consent cookie.
    fn cookie_name(&self) -> &str;

    /// The time to judge by.
    fn now(&self) -> UnixMillis;

    /// Whether what a cookie of this value, which was read and names this subject, grants it holds as far as the service knows.
    fn elsewhere(&self, subject: SubjectId, cookie: &str, choice: &ChoiceId) -> Elsewhere;
}

/// What is known of a subject beyond its cookie.
pub enum Elsewhere {
    /// The service grants it.
    Granted,
    /// The service does not: revoked, forgotten, erased, or never recorded.
    Denied,
    /// It has to be asked first; `None` if it cannot be.
    Ask(Pin<Box<dyn Future<Output = Option<bool>> + Send>>),
}

impl std::fmt::Debug for Elsewhere {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Granted => "Granted",
            Self::Denied => "Denied",
            Self::Ask(_) => "Ask",
        })
    }
}

/// Why a category or service may not be used for a visitor.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Denied {
    /// The notice in force is not known yet.
    NoNotice,
    /// The notice in force does not list it.
    UnknownCategory,
    /// There is no consent cookie that can be read: nothing was decided, or two cookies differ.
    NoCookie,
    /// The cookie does not grant it, or not any more, or a signal of the browser says no.
    NotGranted,
    /// The cookie grants it and names no subject, as no cookie of ours does.
    NoSubject,
    /// The service does not grant it: it was revoked, forgotten or erased elsewhere.
    Revoked,
    /// The service could not be asked.
    Unsure,
}

impl Denied {
    /// The reason as a word for programs.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::NoNotice => "no-notice",
            Self::UnknownCategory => "unknown-category",
            Self::NoCookie => "no-cookie",
            Self::NotGranted => "not-granted",
            Self::NoSubject => "no-subject",
            Self::Revoked => "revoked",
            Self::Unsure => "unsure",
        }
    }
}

impl std::fmt::Display for Denied {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::NoNotice => "the site's notice is not known yet",
            Self::UnknownCategory => "the site's notice does not list it",
            Self::NoCookie => "the request carries no readable choice",
            Self::NotGranted => "the visitor has not granted it",
            Self::NoSubject => "the cookie grants it for nobody",
            Self::Revoked => "the visitor's consent does not hold any more",
            Self::Unsure => "the consent service could not be asked",
        })
    }
}

impl std::error::Error for Denied {}

/// What a request's own headers and what is known say.
pub(crate) enum Verdict {
    /// It may be used.
    Granted,
    /// It may not.
    Denied(Denied),
    /// The service has to be asked.
    Ask(Pin<Box<dyn Future<Output = Option<bool>> + Send>>),
}

/// What the answer of the service means.
pub(crate) fn answered(answer: Option<bool>) -> Result<(), Denied> {
    match answer {
        Some(true) => Ok(()),
        Some(false) => Err(Denied::Revoked),
        None => Err(Denied::Unsure),
    }
}

/// Judges without waiting.
pub(crate) fn judge(knowledge: &dyn Knowledge, visitor: &Visitor<'_>, choice: &ChoiceId) -> Verdict {
    match judge_cookie(knowledge, visitor, choice) {
        Ok(None) => Verdict::Granted,
        Ok(Some((subject, cookie))) => match knowledge.elsewhere(subject, cookie, choice) {
            Elsewhere::Granted => Verdict::Granted,
            Elsewhere::Denied => Verdict::Denied(Denied::Revoked),
            Elsewhere::Ask(future) => Verdict::Ask(future),
        },
        Err(denied) => Verdict::Denied(denied),
    }
}

/// The subject for whom the cookie grants it, and the cookie; nobody where it is necessary.
fn judge_cookie<'a>(
    knowledge: &dyn Knowledge,
    visitor: &'a Visitor<'_>,
    choice: &ChoiceId,
) -> Result<Option<(SubjectId, &'a str)>, Denied> {
    let outline = knowledge.notice().ok_or(Denied::NoNotice)?;
    let category = outline.listed(choice).ok_or(Denied::UnknownCategory)?;
    if category.necessary {
        return Ok(None);
    }
    let value = visitor.cookie.as_deref().ok_or(Denied::NoCookie)?;
    let cookie = CookieRef::read(value).map_err(|_| Denied::NoCookie)?;
    if !cookie.grants(&outline, choice, knowledge.now(), visitor.signal) {
        return Err(Denied::NotGranted);
    }
    let subject = cookie.subject.ok_or(Denied::NoSubject)?;
    Ok(Some((subject, value)))
}
