//! Public answers in every encoding, compressed once.

use std::collections::HashMap;
use std::io::Write;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use brotli::enc::BrotliEncoderParams;
use brotli::enc::backward_references::BrotliEncoderMode;
use data_encoding::BASE64URL_NOPAD;
use sha2::{Digest, Sha256};
use tokio::sync::watch;

/// A text in every encoding.
struct Encoded {
    etag: String,
    raw: Vec<u8>,
    gzip: Vec<u8>,
    brotli: Vec<u8>,
}

impl Encoded {
    fn new(text: String) -> Self {
        let digest = Sha256::digest(text.as_bytes());
        Self {
            etag: format!("\"{}\"", BASE64URL_NOPAD.encode(&digest[..16])),
            gzip: gzip(text.as_bytes()),
            brotli: brotli(text.as_bytes()),
            raw: text.into_bytes(),
        }
    }
}

/// What an answer is made from: the site's number, the notice version, the site's settings, and what it is, with the language.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Key {
    pub(super) site: i64,
    pub(super) version: u32,
    /// A change of settings changes answers too.
    pub(super) settings: String,
    pub(super) what: String,
}

/// What was made and compressed before, or is being compressed.
#[derive(Default)]
pub struct Compressed {
    kept: Mutex<HashMap<Key, Made>>,
    /// Held while something is compressed, which takes a core and much memory: one thing at a time.
    turn: Arc<tokio::sync::Mutex<()>>,
}

/// Where the answer will be: whoever asks meanwhile waits for the same one.
type Made = watch::Receiver<Option<Arc<Encoded>>>;

/// The most answers kept: sites times languages times kinds, bounded.
const MOST: usize = 4096;

impl Compressed {
    async fn of(&self, key: Key, make: impl FnOnce() -> String) -> Arc<Encoded> {
        let known = self.kept().get(&key).cloned();
        let mut made = known.unwrap_or_else(|| {
            let text = make();
            let mut kept = self.kept();
            if kept.len() >= MOST {
                kept.clear();
            }
            kept.entry(key).or_insert_with(|| self.compress(text)).clone()
        });
        let made = made.wait_for(Option::is_some).await.expect("compressing does not panic");
        made.clone().expect("it was waited for")
    }

    fn kept(&self) -> MutexGuard<'_, HashMap<Key, Made>> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Compresses on a thread where no other request waits. It goes on when who asked has gone, so that the next finds it done.
    fn compress(&self, text: String) -> Made {
        let (done, made) = watch::channel(None);
        let turn = Arc::clone(&self.turn);
        tokio::spawn(async move {
            let _turn = turn.lock().await;
            let encoded = tokio::task::spawn_blocking(|| Encoded::new(text)).await;
            done.send_replace(encoded.ok().map(Arc::new));
        });
        made
    }

    /// Answers with what `make` makes, compressed; with 304 to who has it already.
    pub(super) async fn answer(
        &self,
        headers: &HeaderMap,
        key: Key,
        kind: &'static str,
        cache: &'static str,
        make: impl FnOnce() -> String,
    ) -> Response {
        let made = self.of(key, make).await;
        let same = headers
            .get(header::IF_NONE_MATCH)
            .and_then(|value| value.to_str().ok())
            .is_some_and(|tags| tags.split(',').any(|tag| tag.trim().trim_start_matches("W/") == made.etag));
        let mut response = if same {
            let mut response = send(Vec::new(), None, kind, cache);
            *response.status_mut() = StatusCode::NOT_MODIFIED;
            response
        } else {
            let (body, encoding) = choose(headers, &made.raw, &made.gzip, &made.brotli);
            send(body.to_vec(), encoding, kind, cache)
        };
        if let Ok(etag) = HeaderValue::from_str(&made.etag) {
            response.headers_mut().insert(header::ETAG, etag);
        }
        response
    }
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    encoder.write_all(bytes).and_then(|()| encoder.finish()).expect("writing to memory does not fail")
}

/// The smallest of what brotli's models make of the bytes; they are sent to every visitor and made once.
fn brotli(bytes: &[u8]) -> Vec<u8> {
    let modes = [
        BrotliEncoderMode::BROTLI_MODE_GENERIC,
        BrotliEncoderMode::BROTLI_MODE_TEXT,
        BrotliEncoderMode::BROTLI_MODE_FONT,
    ];
    let made = modes.into_iter().flat_map(|mode| [16, 22].map(|lgwin| (mode, lgwin))).map(|(mode, lgwin)| {
        let mut out = Vec::new();
        let settings = BrotliEncoderParams { quality: 11, lgwin, mode, size_hint: bytes.len(), ..Default::default() };
        brotli::BrotliCompress(&mut &bytes[..], &mut out, &settings).expect("writing to memory does not fail");
        out
    });
    made.min_by_key(Vec::len).expect("there is more than one model")
}

/// The encodings that a client takes.
fn accepts(headers: &HeaderMap, encoding: &str) -> bool {
    let accepted = headers.get(header::ACCEPT_ENCODING).and_then(|value| value.to_str().ok()).unwrap_or_default();
    accepted.split(',').any(|part| {
        let mut part = part.split(';').map(str::trim);
        part.next() == Some(encoding) && !part.any(|parameter| parameter == "q=0")
    })
}

/// The smallest form that the client takes.
pub(super) fn choose<'a>(
    headers: &HeaderMap,
    raw: &'a [u8],
    gzip: &'a [u8],
    brotli: &'a [u8],
) -> (&'a [u8], Option<&'static str>) {
    if accepts(headers, "br") {
        (brotli, Some("br"))
    } else if accepts(headers, "gzip") {
        (gzip, Some("gzip"))
    } else {
        (raw, None)
    }
}

pub(super) fn send(body: Vec<u8>, encoding: Option<&'static str>, kind: &'static str, cache: &'static str) -> Response {
    let mut response = body.into_response();
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static(cache));
    headers.append(header::VARY, HeaderValue::from_static("Accept-Encoding"));
    // Pages of other origins load these; there is nothing in them that is not public.
    headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*"));
    headers.insert("cross-origin-resource-policy", HeaderValue::from_static("cross-origin"));
    if let Some(encoding) = encoding {
        headers.insert(header::CONTENT_ENCODING, HeaderValue::from_static(encoding));
    }
    response
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;
    use std::future::poll_fn;
    use std::pin::pin;
    use std::task::Poll;

    use super::*;

    #[test]
    fn who_asks_at_once_waits_for_one_compression_and_keeps_nobody_else_waiting() {
        let runtime = tokio::runtime::Builder::new_current_thread().max_blocking_threads(1).build().unwrap();
        let (free, freed) = std::sync::mpsc::channel::<()>();
        let (compressed, headers, made) = (Compressed::default(), HeaderMap::new(), Cell::new(0));
        let ask = || {
            let make = || {
                made.set(made.get() + 1);
                "a text".repeat(1000)
            };
            let key = Key { site: 1, version: 1, settings: String::new(), what: String::new() };
            compressed.answer(&headers, key, "text/plain", "no-store", make)
        };
        runtime.block_on(async {
            // The one thread for such work has other work: an answer that is there all the same was made where all are answered.
            let busy = tokio::task::spawn_blocking(move || freed.recv());
            let (mut one, mut two) = (pin!(ask()), pin!(ask()));
            for _ in 0..3 {
                let waiting = poll_fn(|context| {
                    Poll::Ready(one.as_mut().poll(context).is_pending() && two.as_mut().poll(context).is_pending())
                });
                assert!(waiting.await);
                tokio::task::yield_now().await;
            }
            free.send(()).unwrap();
            let (one, two, _) = tokio::join!(one, two, busy);
            assert_eq!([one.status(), two.status()], [StatusCode::OK; 2]);
        });
        assert_eq!(made.get(), 1);
    }
}
