//! The widget's decisions in the browser: one pure function over text, and nothing else.
//!
//! A page tells [`judge`] what it knows (the notice's outline, its cookies, what waits to be sent) and what a person did, and is told
//! what holds, what to store and what to show. The rules are in `consent-core`; [`state`] applies them to one browser.
//!
//! One function with one text in and one out, since each further export, each kind of argument and each object costs a hundred
//! bytes and more on both sides of the border (ARCHITECTURE.md, "What the widget carries").
#![cfg_attr(target_arch = "wasm32", no_std)]

extern crate alloc;

pub mod state;
mod text;

use alloc::string::String;
use alloc::vec::Vec;

use consent_core::decision::{DecisionError, Layer, Method};
use consent_core::id::{Name, SubjectId};
use consent_core::outline::{CategoryOutline, MAX_RENEW_AFTER_DAYS, Outline, ServiceOutline};
use consent_core::time::UnixMillis;
use wasm_bindgen::prelude::wasm_bindgen;

use state::{Device, Request, Show};
use text::{from_hex, ids, number, push_uuid, take};

/// Small rather than fast: the module allocates a few hundred times in the life of a page.
#[cfg(target_arch = "wasm32")]
#[global_allocator]
static ALLOCATOR: lol_alloc::LockedAllocator<lol_alloc::FreeListAllocator> =
    lol_alloc::LockedAllocator::new(lol_alloc::FreeListAllocator::new());

/// A trap, which JavaScript sees as an exception: everything optional stays denied.
#[cfg(target_arch = "wasm32")]
#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    core::arch::wasm32::unreachable()
}

/// Judges. Lines in, in this order, fields separated by one space:
///
/// - `n VERSION DAYS SIGNAL IDR NOW`: the notice in force, how long an answer holds, whether the browser sends a signal, whether
///   refusals carry an ID, the time. `1` is yes; times are milliseconds since 1970.
/// - `c ID NECESSARY SIGNALS SINCE`, `s ID SINCE`: its categories, each followed by its services.
/// - `k NAME COOKIES`: the name of the cookie and all of `document.cookie`.
/// - `q AT SAID METHOD LAYER GRANTED SUBJECT VERSION`, any number: decisions that are not confirmed yet, oldest first. Ids are
///   joined by `~` as in the cookie.
/// - at most one of `a AT SAID METHOD LAYER GRANTED RANDOM`: a new decision, with 26 random bytes in hexadecimal; and
///   `f STATUS DENIED`: what the server says.
///
/// One line out, fields separated by one space: the id of the record to send (empty where there is none), or `!` and why the
/// decision is refused (`!id`, `!all`, `!act`); status; optional ids granted; all ids that may be used; `ask`, `again` or `reopen`;
/// `1` if a signal denies what was granted before it; the cookie's value, empty where there must be none; the consent ID; `1` if
/// what is under the cookie's name now is damaged.
///
/// What makes no sense is passed over: what is not known to be granted is denied.
#[wasm_bindgen]
pub fn judge(mut lines: &str) -> String {
    let mut device = Device::new(Outline { version: 0, renew_after_days: 0, categories: Vec::new() });
    let mut now = UnixMillis::new(0);
    let mut damaged = false;
    let mut out = String::new();
    while !lines.is_empty() {
        let mut line = take(&mut lines, b'\n');
        match take(&mut line, b' ') {
            "n" => {
                device.outline.version = version(take(&mut line, b' '));
                let days = u16::try_from(number(take(&mut line, b' '))).unwrap_or(0);
                device.outline.renew_after_days = days.min(MAX_RENEW_AFTER_DAYS);
                device.signal = take(&mut line, b' ') == "1";
                device.id_for_refusals = take(&mut line, b' ') == "1";
                now = UnixMillis::new(number(line));
            }
            "c" => {
                if let Ok(id) = Name::parse(take(&mut line, b' ')) {
                    let necessary = take(&mut line, b' ') == "1";
                    let signals = take(&mut line, b' ') == "1";
                    let since = version(line);
                    device.outline.categories.push(CategoryOutline {
                        id,
                        necessary,
                        signals,
                        since,
                        services: Vec::new(),
                    });
                }
            }
            "s" => {
                let id = Name::parse(take(&mut line, b' '));
                if let (Ok(id), Some(category)) = (id, device.outline.categories.last_mut()) {
                    category.services.push(ServiceOutline { id, since: version(line) });
                }
            }
            "k" => {
                let name = take(&mut line, b' ');
                damaged = device.read(line, name);
            }
            "q" => {
                if let Some(request) = request(&mut line) {
                    let subject = from_hex(take(&mut line, b' ')).and_then(SubjectId::from_bytes);
                    device.replay(subject, version(line), &request);
                }
            }
            "a" => {
                let decided = match request(&mut line) {
                    Some(request) => from_hex(line).map(|random| device.decide(&request, &random)),
                    None => None,
                };
                match decided {
                    Some(Ok(Some(id))) => push_uuid(&mut out, id.as_bytes()),
                    Some(Ok(None)) => {}
                    Some(Err(DecisionError::NotAll)) => out.push_str("!all"),
                    Some(Err(DecisionError::Unknown(_))) | None => out.push_str("!id"),
                    Some(Err(_)) => out.push_str("!act"),
                }
            }
            "f" => {
                let status = take(&mut line, b' ');
                if let Some(denied) = ids(line) {
                    device.follow(status, &denied);
                }
            }
            _ => {}
        }
    }
    answer(&mut out, &device, now);
    out.push_str(if damaged { " 1" } else { " " });
    out
}

fn answer(out: &mut String, device: &Device, now: UnixMillis) {
    out.push(' ');
    out.push_str(device.status(now).as_str());
    out.push(' ');
    device.granted(now, out);
    out.push(' ');
    device.allowed(now, out);
    out.push_str(match device.show(now) {
        Show::Ask => " ask ",
        Show::AskAgain => " again ",
        Show::Reopen => " reopen ",
    });
    out.push_str(if device.withheld(now) { "1 " } else { " " });
    if let Some(cookie) = device.cookie(now) {
        out.push_str(&cookie);
    }
    out.push(' ');
    if let Some(subject) = device.subject {
        push_uuid(out, subject.as_bytes());
    }
}

/// The fields that a queued and a new decision share.
fn request(line: &mut &str) -> Option<Request> {
    let at = UnixMillis::new(number(take(line, b' ')));
    let said = take(line, b' ') == "1";
    let method = Method::parse(take(line, b' '))?;
    let layer = Layer::parse(take(line, b' '))?;
    let granted = ids(take(line, b' '))?;
    Some(Request { method, layer, granted, at, said })
}

fn version(text: &str) -> u32 {
    u32::try_from(number(text)).unwrap_or(0)
}
