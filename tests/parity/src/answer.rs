//! Asks the core everything about one case and writes down what it says.

use std::fmt::{Display, Write};

use consent_core::consent::{Act, Consent, View};
use consent_core::cookie::{self, Cookie, Found};
use consent_core::decision::{Answer, Decision, DecisionError, Layer, Method, Signals};
use consent_core::id::{ChoiceId, IdError, RecordId, SubjectId};
use consent_core::outline::{CategoryOutline, Outline};
use consent_core::time::UnixMillis;

use crate::read::{Malformed, Reader};

/// Every answer of the core to an encoded case, as text; what cannot be read is said in it too.
pub fn answer(case: &[u8]) -> Vec<u8> {
    let mut out = String::new();
    if let Err(Malformed(at)) = answer_case(&mut Reader::new(case), &mut out) {
        line(&mut out, "malformed at", at);
    }
    out.into_bytes()
}

/// Notice versions by their place; an id in one may be bad.
type Outlines = Vec<Result<Outline, IdError>>;

fn answer_case(from: &mut Reader, out: &mut String) -> Result<(), Malformed> {
    let outlines = from.list(outline)?;
    for (place, outline) in outlines.iter().enumerate() {
        match outline {
            Ok(outline) => line(out, "version", format_args!("{place} {outline:?}")),
            Err(error) => line(out, "version", format_args!("{place} {error}")),
        }
    }
    let (mut acts, mut consent) = (Vec::new(), Consent::default());
    from.list(|from| step(from, &outlines, &mut acts, &mut consent, out))?;
    line(out, "folded", Consent::fold(&acts) == consent);
    let twice = acts.iter().chain(acts.iter().rev());
    line(out, "folded twice", Consent::fold(twice) == consent);
    from.list(|from| question(from, &outlines, &consent, out))?;
    from.list(|from| cookie(from, &outlines, out))?;
    from.end()
}

fn outline(from: &mut Reader) -> Result<Result<Outline, IdError>, Malformed> {
    let (number, renew_after_days) = (from.u32()?, from.u16()?);
    let mut builder = Outline::builder(number).renew_after_days(renew_after_days);
    let categories = from.list(|from| {
        let (id, flags, since) = (from.text()?, from.u8()?, from.u32()?);
        let services = from.list(|from| Ok((from.text()?, from.u32()?)))?;
        Ok((id, flags, since, services))
    })?;
    for (id, flags, since, services) in categories {
        builder = builder.category(id, flags & 1 != 0, flags & 2 != 0, since);
        for (id, since) in services {
            builder = builder.service(id, since);
        }
    }
    Ok(builder.build())
}

/// One decision: resolved, then applied as the log would, unless its id was there before.
fn step(
    from: &mut Reader,
    outlines: &Outlines,
    acts: &mut Vec<Act>,
    consent: &mut Consent,
    out: &mut String,
) -> Result<(), Malformed> {
    let id = RecordId::from_bytes(from.array()?);
    let prev = match from.u8()? {
        0 => None,
        1 => RecordId::from_bytes(from.array()?),
        _ => consent.last.map(|last| last.id),
    };
    let method = Method::ALL[usize::from(from.u8()?) % Method::ALL.len()];
    let layer = Layer::ALL[usize::from(from.u8()?) % Layer::ALL.len()];
    let granted = choices(from, out)?;
    let version = from.u8()?;
    let (decided_at, recorded_at) = (UnixMillis::new(from.i64()?), UnixMillis::new(from.i64()?));
    let flags = from.u8()?;

    let Some(id) = id else {
        line(out, "step", "an id that is none");
        return Ok(());
    };
    let Some(Ok(outline)) = outlines.get(usize::from(version)) else {
        line(out, "step", "no such version");
        return Ok(());
    };
    let signals = Signals { said: flags & 1 != 0, gpc: flags & 2 != 0, dnt: flags & 4 != 0 };
    let decision = Decision { id, prev, method, layer, granted, decided_at, signals, on_behalf: flags & 8 != 0 };
    line(out, "step", format_args!("{decision:?} signal {}", signals.on()));
    let resolved = decision.resolve(outline, consent, recorded_at);
    tell_resolved(out, &resolved);
    if let Ok(answer) = resolved {
        let act = act(&decision, answer, outline.version, recorded_at);
        if acts.iter().any(|earlier| earlier.id == id) {
            line(out, "repeated", id);
        } else {
            line(out, "effect", consent.apply(&act));
            line(out, "holds", format_args!("{consent:?}"));
        }
        acts.push(act);
    }
    Ok(())
}

fn tell_resolved(out: &mut String, resolved: &Result<Answer, DecisionError>) {
    match resolved {
        Ok(answer) => {
            line(out, "granted", ids(&answer.granted));
            line(out, "denied", ids(&answer.denied));
        }
        Err(error) => line(out, "refused", error),
    }
}

fn act(decision: &Decision, answer: Answer, notice: u32, recorded_at: UnixMillis) -> Act {
    Act {
        id: decision.id,
        prev: decision.prev,
        method: decision.method,
        layer: decision.layer,
        granted: answer.granted,
        denied: answer.denied,
        notice,
        decided_at: decision.decided_at,
        recorded_at,
        said: decision.signals.said,
        on_behalf: decision.on_behalf,
    }
}

/// What holds at a time under a version, and the cookie that says so, read back.
fn question(from: &mut Reader, outlines: &Outlines, consent: &Consent, out: &mut String) -> Result<(), Malformed> {
    let (version, now, signal) = (from.u8()?, UnixMillis::new(from.i64()?), from.u8()? != 0);
    let subject = SubjectId::from_bytes(from.array()?);
    let asked = choices(from, out)?;
    let Some(Ok(outline)) = outlines.get(usize::from(version)) else {
        line(out, "question", "no such version");
        return Ok(());
    };
    line(out, "question", format_args!("version {} at {} signal {signal}", outline.version, now.millis()));
    tell_view(out, &consent.view(outline, now, signal), outline, &asked);
    match consent.to_cookie(outline, subject, now) {
        Some(cookie) => {
            let value = cookie.value();
            line(out, "cookie", &value);
            tell_parsed(out, &value, outline, now, signal);
        }
        None => line(out, "cookie", "none"),
    }
    Ok(())
}

fn tell_view(out: &mut String, view: &View, outline: &Outline, asked: &[ChoiceId]) {
    line(out, "status", view.status());
    line(out, "granted now", ids(&view.granted_ids()));
    line(out, "asked", categories(view.asked()));
    line(out, "withheld", categories(view.withheld()));
    line(out, "decided at", millis(view.decided_at()));
    line(out, "expires at", millis(view.expires_at()));
    line(out, "notice", format_args!("{:?}", view.notice()));
    for category in &outline.categories {
        line(out, "open", format_args!("{} {}", category.id, view.open(category.id.as_str())));
    }
    for id in asked {
        line(out, "may", format_args!("{id} {}", view.granted(id)));
    }
}

fn tell_parsed(out: &mut String, value: &str, outline: &Outline, now: UnixMillis, signal: bool) {
    match Cookie::parse(value) {
        Ok(cookie) => {
            line(out, "read", format_args!("{cookie:?}"));
            line(out, "written", cookie.value());
            let consent = Consent::from_cookie_only(&cookie, outline);
            line(out, "holds", format_args!("{consent:?}"));
            tell_view(out, &consent.view(outline, now, signal), outline, &cookie.granted);
        }
        Err(error) => line(out, "read", error),
    }
}

/// Any header and any value, well-formed or not.
fn cookie(from: &mut Reader, outlines: &Outlines, out: &mut String) -> Result<(), Malformed> {
    let (header, name, value) = (from.text()?, from.text()?, from.text()?);
    let (version, now, signal) = (from.u8()?, UnixMillis::new(from.i64()?), from.u8()? != 0);
    let Some(Ok(outline)) = outlines.get(usize::from(version)) else {
        line(out, "cookie", "no such version");
        return Ok(());
    };
    let found = cookie::find(header, name);
    line(out, "found", format_args!("{found:?}"));
    if let Found::One(found) = found {
        tell_parsed(out, found, outline, now, signal);
    }
    tell_parsed(out, value, outline, now, signal);
    Ok(())
}

/// Ids as they come from outside: those that are none are told and left out.
fn choices(from: &mut Reader, out: &mut String) -> Result<Vec<ChoiceId>, Malformed> {
    let texts = from.list(Reader::text)?;
    let mut choices = Vec::new();
    for text in texts {
        match ChoiceId::parse(text) {
            Ok(choice) => choices.push(choice),
            Err(error) => line(out, "id", format_args!("{text:?} {error}")),
        }
    }
    Ok(choices)
}

fn line(out: &mut String, what: &str, says: impl Display) {
    writeln!(out, "{what}: {says}").expect("a string takes everything");
}

fn ids(ids: &[ChoiceId]) -> String {
    ids.iter().map(ChoiceId::as_str).collect::<Vec<_>>().join(" ")
}

fn categories<'a>(categories: impl Iterator<Item = &'a CategoryOutline>) -> String {
    categories.map(|category| category.id.as_str()).collect::<Vec<_>>().join(" ")
}

fn millis(at: Option<UnixMillis>) -> String {
    at.map_or_else(|| "never".to_owned(), |at| at.millis().to_string())
}
