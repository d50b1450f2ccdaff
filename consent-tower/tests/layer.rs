//! The layer and the extractor over a knowledge that is told what it knows.

use std::future::ready;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::routing::get;
use consent_core::id::{ChoiceId, SubjectId};
use consent_core::outline::Outline;
use consent_core::time::UnixMillis;
use consent_tower::{ConsentView, Denied, Elsewhere, Knowledge, RequireConsent};
use http::{Request, Response, StatusCode};
use tower::util::ServiceExt;

const NOW: i64 = 1_700_000_000;
const GRANTED: u8 = 1;
const REVOKED: u8 = 2;
const ASKED_YES: u8 = 3;
const ASKED_NO: u8 = 4;
const AWAY: u8 = 5;

/// Knows subjects by their first byte.
struct Told {
    notice: Option<Arc<Outline>>,
    asked: AtomicU32,
}

impl Knowledge for Told {
    fn notice(&self) -> Option<Arc<Outline>> {
        self.notice.clone()
    }

    fn cookie_name(&self) -> &'static str {
        "consent"
    }

    fn now(&self) -> UnixMillis {
        UnixMillis::from_seconds(NOW)
    }

    fn elsewhere(&self, subject: SubjectId, cookie: &str, _: &ChoiceId) -> Elsewhere {
        assert!(cookie.contains(&subject.to_base64url()), "the cookie that names it: {cookie}");
        self.asked.fetch_add(1, Ordering::Relaxed);
        match subject.as_bytes()[0] {
            GRANTED => Elsewhere::Granted,
            REVOKED => Elsewhere::Denied,
            ASKED_YES => Elsewhere::Ask(Box::pin(ready(Some(true)))),
            ASKED_NO => Elsewhere::Ask(Box::pin(ready(Some(false)))),
            _ => Elsewhere::Ask(Box::pin(async {
                tokio::task::yield_now().await;
                None
            })),
        }
    }
}

fn told() -> Arc<Told> {
    let outline = Outline::builder(2)
        .category("functional", true, false, 1)
        .category("statistics", false, false, 1)
        .category("marketing", false, true, 1)
        .service("ads", 1)
        .service("pixel", 2)
        .category("media", false, false, 2)
        .build()
        .unwrap();
    Arc::new(Told { notice: Some(Arc::new(outline)), asked: AtomicU32::new(0) })
}

fn app(told: &Arc<Told>) -> Router {
    let mut app = Router::new();
    for id in ["functional", "statistics", "marketing", "marketing:ads", "marketing:pixel", "media", "unknown"] {
        let require = RequireConsent::category(Arc::clone(told), id).unwrap();
        app = app.route(&format!("/{id}"), get(async || "done").route_layer(require));
    }
    let redirect = |denied: Denied| {
        let answer =
            Response::builder().status(StatusCode::SEE_OTHER).header("location", format!("/why?{}", denied.as_str()));
        answer.body(Body::empty()).unwrap()
    };
    let require = RequireConsent::or_answer(Arc::clone(told), "statistics", redirect).unwrap();
    app = app.route("/redirect", get(async || "done").route_layer(require));
    let page = async |view: ConsentView<Told>| {
        format!("{:?} {}", view.check("statistics").await.map_err(Denied::as_str), view.granted("marketing:ads").await)
    };
    app.route("/page", get(page)).with_state(Arc::clone(told))
}

async fn send(app: &Router, path: &str, headers: &[(&str, &str)]) -> (StatusCode, http::HeaderMap, String) {
    let mut request = Request::builder().uri(path);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let response = app.clone().oneshot(request.body(Body::empty()).unwrap()).await.unwrap();
    let (parts, body) = response.into_parts();
    let body = to_bytes(body, 1 << 16).await.unwrap();
    (parts.status, parts.headers, String::from_utf8(body.to_vec()).unwrap())
}

fn cookie(subject: u8, granted: &str, flags: &str) -> String {
    let subject = if subject == 0 { "-".to_owned() } else { SubjectId::from_random([subject; 16]).to_base64url() };
    format!("theme=dark; consent=1.2.{}.{subject}.{granted}.{flags}", NOW - 60)
}

#[tokio::test]
async fn only_a_clear_yes_goes_through() {
    let (told, gpc) = (told(), ("sec-gpc", "1"));
    let app = app(&told);
    let old = |version, at: i64| {
        format!("consent=1.{version}.{at}.{}.statistics~media.", SubjectId::from_random([GRANTED; 16]).to_base64url())
    };
    for (what, path, cookie, signal, want) in [
        ("granted", "/statistics", cookie(GRANTED, "statistics", ""), false, "done"),
        ("granted, asked first", "/statistics", cookie(ASKED_YES, "statistics", ""), false, "done"),
        ("revoked elsewhere", "/statistics", cookie(REVOKED, "statistics", ""), false, "revoked"),
        ("revoked elsewhere, asked first", "/statistics", cookie(ASKED_NO, "statistics", ""), false, "revoked"),
        ("nobody to ask", "/statistics", cookie(AWAY, "statistics", ""), false, "unsure"),
        ("refused", "/statistics", cookie(0, "", ""), false, "not-granted"),
        ("another one granted", "/statistics", cookie(GRANTED, "marketing", ""), false, "not-granted"),
        ("granted for nobody", "/statistics", cookie(0, "statistics", ""), false, "no-subject"),
        ("nothing", "/statistics", String::new(), false, "no-cookie"),
        ("nonsense", "/statistics", "consent=yes".to_owned(), false, "no-cookie"),
        ("expired", "/statistics", old(2, NOW - 181 * 86_400), false, "not-granted"),
        ("from the future", "/statistics", old(2, NOW + 600), false, "not-granted"),
        ("before the change", "/media", old(1, NOW - 60), false, "not-granted"),
        ("before another's change", "/statistics", old(1, NOW - 60), false, "done"),
        ("of a version to come", "/statistics", old(3, NOW - 60), false, "not-granted"),
        ("a signal", "/marketing", cookie(GRANTED, "marketing", ""), true, "not-granted"),
        ("a signal that was told of", "/marketing", cookie(GRANTED, "marketing", "s"), true, "done"),
        ("a signal that is not about it", "/statistics", cookie(GRANTED, "statistics", ""), true, "done"),
        ("one service", "/marketing:ads", cookie(GRANTED, "marketing:ads", ""), false, "done"),
        ("another service", "/marketing:pixel", cookie(GRANTED, "marketing:ads", ""), false, "not-granted"),
        ("a service is not all", "/marketing", cookie(GRANTED, "marketing:ads", ""), false, "not-granted"),
        ("necessary", "/functional", String::new(), false, "done"),
        ("unknown", "/unknown", cookie(GRANTED, "unknown", ""), false, "unknown-category"),
    ] {
        let mut headers = vec![("cookie", &*cookie)];
        headers.extend(signal.then_some(gpc));
        let (status, headers, body) = send(&app, path, &headers).await;
        if want == "done" {
            assert_eq!((status, &*body), (StatusCode::OK, "done"), "{what}");
            continue;
        }
        assert_eq!(status, StatusCode::FORBIDDEN, "{what}");
        let problem: serde_json::Value = serde_json::from_str(&body).unwrap();
        assert_eq!(problem["reason"], want, "{what}");
        assert_eq!((&problem["status"], &problem["category"]), (&403.into(), &path[1..].into()), "{what}");
        assert_eq!(headers["content-type"], "application/problem+json", "{what}");
        assert_eq!(
            (&headers["cache-control"], &headers["vary"]),
            (&"no-store".parse().unwrap(), &"Cookie, Sec-GPC, DNT".parse().unwrap())
        );
    }
}

#[tokio::test]
async fn nobody_is_asked_about_what_the_cookie_does_not_grant() {
    let told = told();
    let app = app(&told);
    for cookie in [cookie(GRANTED, "marketing", ""), cookie(0, "", ""), String::new(), "consent=1.2.3".to_owned()] {
        send(&app, "/statistics", &[("cookie", &cookie)]).await;
    }
    assert_eq!(told.asked.load(Ordering::Relaxed), 0);
}

#[tokio::test]
async fn nothing_is_granted_before_the_notice_is_known() {
    let app = app(&Arc::new(Told { notice: None, asked: AtomicU32::new(0) }));
    for path in ["/statistics", "/functional"] {
        let (status, _, body) = send(&app, path, &[("cookie", &cookie(GRANTED, "statistics", ""))]).await;
        assert_eq!(status, StatusCode::FORBIDDEN);
        assert!(body.contains("no-notice"), "{body}");
    }
}

#[tokio::test]
async fn the_answer_can_be_ones_own() {
    let app = app(&told());
    let (status, headers, _) = send(&app, "/redirect", &[]).await;
    assert_eq!((status, &headers["location"]), (StatusCode::SEE_OTHER, &"/why?no-cookie".parse().unwrap()));
    assert!(RequireConsent::<String>::category(told(), "Not an id").is_err());
}

#[tokio::test]
async fn a_page_is_there_for_everybody() {
    let app = app(&told());
    for (cookie, want) in [
        (cookie(GRANTED, "marketing:ads~statistics", ""), "Ok(()) true"),
        (cookie(ASKED_YES, "statistics", ""), "Ok(()) false"),
        (cookie(AWAY, "marketing:ads~statistics", ""), "Err(\"unsure\") false"),
        (cookie(0, "", ""), "Err(\"not-granted\") false"),
        (String::new(), "Err(\"no-cookie\") false"),
    ] {
        let (status, _, body) = send(&app, "/page", &[("cookie", &cookie)]).await;
        assert_eq!((status, &*body), (StatusCode::OK, want), "{cookie}");
    }
}
