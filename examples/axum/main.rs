//! A backend on axum: `CONSENT_SERVICE=http://127.0.0.1:8080 CONSENT_SITE=shop CONSENT_KEY=… PORT=3000 cargo run -p examples --example axum`.

use std::env::var;
use std::sync::Arc;

use anyhow::Context;
use axum::Router;
use axum::extract::State;
use axum::http::header;
use axum::response::IntoResponse;
use axum::routing::get;
use consent_tower::{ConsentView, Follower, RequireConsent, Settings};

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let [service, site, key] = ["CONSENT_SERVICE", "CONSENT_SITE", "CONSENT_KEY"].map(|name| var(name).context(name));
    let follower = Arc::new(Follower::start(Settings::new(service?, site?, key?))?);

    let app = Router::new()
        .route("/statistics", get(count).route_layer(RequireConsent::category(Arc::clone(&follower), "statistics")?))
        .route("/marketing", get(count).route_layer(RequireConsent::category(Arc::clone(&follower), "marketing")?))
        .route("/", get(page))
        .route("/health", get(health))
        .with_state(follower);

    let port = var("PORT").unwrap_or_else(|_| "0".to_owned());
    let listener = tokio::net::TcpListener::bind(format!("127.0.0.1:{port}")).await?;
    println!("http://{}", listener.local_addr()?);
    Ok(axum::serve(listener, app).await?)
}

/// Reached only with consent: whatever happens here may use what was granted.
async fn count() -> &'static str {
    "counted"
}

/// There for everybody, with a part that is not. A cache must keep it for nobody else.
async fn page(consent: ConsentView<Follower>) -> impl IntoResponse {
    let statistics = if consent.granted("statistics").await { "on" } else { "off" };
    ([(header::CACHE_CONTROL, "private, no-store")], format!("statistics: {statistics}"))
}

/// What an operator's probe asks. Without the service everything is denied, which nobody notices by itself.
async fn health(State(follower): State<Arc<Follower>>) -> String {
    follower.trouble().unwrap_or_else(|| "well".to_owned())
}
