//! The HTTP API: routes, and how connections are served.

mod answers;
mod api;
mod bare;
mod body;
mod caller;
mod connection;
mod cors;
mod docs;
mod encoded;
mod limit;
mod object;
pub mod problem;
mod reading;
mod script;
mod shapes;
mod visitor;

use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::Bytes;
use axum::extract::{MatchedPath, Request, State};
use axum::http::{StatusCode, header};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use hyper::service::{Service, service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use hyper_util::service::TowerToHyperService;
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tower_http::timeout::RequestBodyTimeoutLayer;
use utoipa::OpenApi;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::app::App;
use crate::disk;
use connection::Paced;
use docs::Security;
pub use encoded::Compressed;
use problem::Problem;

/// How long a connection may take to send the head of a request, or the next part of a body.
const HEADER_TIMEOUT: Duration = Duration::from_secs(10);

/// How long the other side of a connection may take nothing of what it asked for.
const WRITE_TIMEOUT: Duration = Duration::from_secs(30);

/// The most a request's head may have, in bytes; it is also what is buffered of an answer that is not taken. Times the connections,
/// this bounds the memory that senders of large heads can take.
const MAX_HEAD: usize = 32 * 1024;

/// Open files that are left to everything but connections: the database, its readers, the logs' keys.
const OTHER_FILES: u64 = 128;

/// How long a shutdown waits for requests that are being answered.
const GRACE: Duration = Duration::from_secs(20);

/// What the description of the API says before its paths.
#[derive(OpenApi)]
#[openapi(
    info(
        title = "Consent",
        description = "GDPR consent: recorded durably, checked in one call, provable offline. Errors are RFC 9457 problem \
                       details. Times are RFC 3339 in UTC with milliseconds."
    ),
    components(schemas(Problem)),
    modifiers(&Security)
)]
struct Description;

/// The check, which is asked most: it writes its whole answer itself and goes through no layer.
fn check() -> OpenApiRouter<Arc<App>> {
    OpenApiRouter::with_openapi(Description::openapi()).routes(routes!(api::check::one))
}

/// Everything else.
fn api() -> OpenApiRouter<Arc<App>> {
    // What a browser asks for from a page, perhaps of another origin.
    let public = OpenApiRouter::new()
        .routes(routes!(api::decisions::record))
        .routes(routes!(api::records::list))
        .routes(routes!(api::records::receipt))
        .routes(routes!(api::notice::notice))
        .routes(routes!(api::notice::script))
        .routes(routes!(api::layers::settings))
        .routes(routes!(api::layers::declaration))
        .routes(routes!(api::judge::judge))
        .layer(middleware::from_fn(cors::answer));
    OpenApiRouter::new()
        .merge(public)
        .routes(routes!(api::layers::banner))
        .routes(routes!(api::layers::settings_page))
        .routes(routes!(api::layers::declaration_page))
        .routes(routes!(api::signals::support))
        .routes(routes!(api::check::many))
        .routes(routes!(api::accounts::link))
        .routes(routes!(api::accounts::consent))
        .routes(routes!(api::authorize::authorize))
        .routes(routes!(api::log::checkpoint))
        .routes(routes!(api::log::tile))
        .routes(routes!(api::log::entries))
        .routes(routes!(api::log::consistency))
        .routes(routes!(api::log::keys))
        .routes(routes!(api::log::keys_page))
        .routes(routes!(api::events::list))
        .routes(routes!(api::export::export))
        .merge(officers())
        .merge(admins())
        .routes(routes!(api::operation::health))
        .routes(routes!(api::operation::ready))
}

/// What officers may ask, and logging in.
fn officers() -> OpenApiRouter<Arc<App>> {
    OpenApiRouter::new()
        .routes(routes!(api::session::login, api::session::logout))
        .routes(routes!(api::audit::records::search))
        .routes(routes!(api::audit::access::log))
        .routes(routes!(api::audit::statistics::count))
        .routes(routes!(api::admin::notices::show))
        .routes(routes!(api::admin::webhooks::deliveries))
}

/// What admins may ask.
fn admins() -> OpenApiRouter<Arc<App>> {
    OpenApiRouter::new()
        .routes(routes!(api::admin::settings::show, api::admin::settings::set))
        .routes(routes!(api::admin::keys::list, api::admin::keys::create))
        .routes(routes!(api::admin::keys::revoke))
        .routes(routes!(api::admin::keys::rotate))
        .routes(routes!(api::admin::notices::list, api::admin::notices::publish))
        .routes(routes!(api::admin::users::list, api::admin::users::create))
        .routes(routes!(api::admin::users::update, api::admin::users::remove))
        .routes(routes!(api::admin::webhooks::list, api::admin::webhooks::create))
        .routes(routes!(api::admin::webhooks::show, api::admin::webhooks::revoke))
        .routes(routes!(api::admin::webhooks::redeliver))
}

/// What the description leaves out, since it is no part of the API. Tests ask for each of these, too.
pub const UNDESCRIBED: [&str; 4] = ["/assets/{name}", "/openapi.json", "/docs", "/docs.css"];

fn undescribed() -> Router<Arc<App>> {
    use axum::routing::get;
    let handlers = [get(script::asset), get(docs::json), get(docs::page), get(docs::css)];
    UNDESCRIBED.into_iter().zip(handlers).fold(Router::new(), |router, (path, handler)| router.route(path, handler))
}

/// The description of the API, as JSON.
pub fn openapi() -> String {
    let mut description = check().merge(api()).into_openapi();
    env!("CARGO_PKG_VERSION").clone_into(&mut description.info.version);
    description.to_pretty_json().expect("the description is made of serializable parts").replace("{*n}", "{n}")
}

/// What a listener serves.
pub struct Routes {
    router: Router,
    /// Of which service the check is answered in front of the router, if it is.
    check: Option<Arc<App>>,
}

impl From<Router> for Routes {
    fn from(router: Router) -> Self {
        Self { router, check: None }
    }
}

/// All routes. `pages` are those of a site that is served beside the API (the demo's).
pub fn router(app: Arc<App>, pages: Option<Router>) -> Routes {
    let (routes, _) = api().split_for_parts();
    let headers = middleware::from_fn(secure);
    let service = routes
        .merge(undescribed())
        // Nothing else below /v1 is a page of the site that is served beside.
        .route("/v1/{*rest}", axum::routing::any(|| async { Problem::not_found("there is nothing at this address") }))
        .with_state(Arc::clone(&app))
        // Before the layers: they must see these answers too, and a preflight is an OPTIONS that no route takes.
        .method_not_allowed_fallback(other_method)
        .layer(middleware::from_fn(problems))
        .layer(middleware::from_fn_with_state(Arc::clone(&app), limit::reads))
        // A body that stops coming must not keep its connection for good.
        .layer(RequestBodyTimeoutLayer::new(HEADER_TIMEOUT))
        .layer(middleware::from_fn_with_state(Arc::clone(&app), cors::preflight))
        .layer(headers.clone())
        .layer(middleware::from_fn_with_state(Arc::clone(&app), counted));
    let (check, _) = check().split_for_parts();
    let service = service.merge(check.method_not_allowed_fallback(other_method).with_state(Arc::clone(&app)));
    let router = match pages {
        Some(pages) => service.merge(pages.layer(headers)),
        // Bare, so that it can be measured against: the same listener and runtime without anything of ours.
        None => service.route("/", axum::routing::get(|| async { "consent\n" })),
    }
    .fallback(|| async { Problem::not_found("there is nothing at this address") });
    Routes { router, check: Some(app) }
}

/// What operators watch, for an address of its own: nothing of it is for everyone.
pub fn operators(app: Arc<App>) -> Routes {
    use axum::routing::get;
    let router = Router::new()
        .route("/metrics", get(api::operation::metrics))
        .route("/healthz", get(api::operation::health))
        .route("/readyz", get(api::operation::ready))
        .with_state(app)
        .fallback(|| async { Problem::not_found("there is nothing at this address") })
        .layer(middleware::from_fn(secure));
    router.into()
}

/// Counts answers by the route's pattern.
async fn counted(State(app): State<Arc<App>>, request: Request, next: Next) -> Response {
    let begin = Instant::now();
    let route = request.extensions().get::<MatchedPath>().map_or("none", MatchedPath::as_str);
    let route = app.metrics.route(route, request.method().as_str());
    let response = next.run(request).await;
    route.answered(response.status().as_u16(), begin.elapsed());
    response
}

/// What axum refuses by itself, such as a path that is not UTF-8, says so in plain text.
async fn problems(request: Request, next: Next) -> Response {
    let (parts, body) = body::read_out(request, next).await.into_parts();
    let plain = parts.headers.get(header::CONTENT_TYPE).is_some_and(|kind| kind.as_bytes().starts_with(b"text/plain"));
    if !parts.status.is_client_error() || !plain {
        return Response::from_parts(parts, body);
    }
    let detail = axum::body::to_bytes(body, 4096).await.unwrap_or_default();
    Problem::new(parts.status, "malformed", "The request cannot be read", String::from_utf8_lossy(&detail))
        .into_response()
}

async fn other_method() -> Problem {
    Problem::new(StatusCode::METHOD_NOT_ALLOWED, "method", "Another method is needed", "see /docs")
}

/// Headers that no answer is without, unless it has set its own.
async fn secure(request: Request, next: Next) -> Response {
    let mut response = next.run(request).await;
    for (name, value) in bare::DEFAULTS {
        response.headers_mut().entry(name).or_insert(value);
    }
    response
}

/// Serves until `stop` resolves, then finishes what is being answered.
///
/// # Errors
/// If the listener fails for good.
pub async fn serve(
    listener: TcpListener,
    routes: Routes,
    app: &Arc<App>,
    stop: impl Future<Output = ()>,
) -> std::io::Result<()> {
    let app = Arc::clone(app);
    accept(listener, routes, app.config.max_connections, &Arc::clone(&app.metrics.connections), stop).await
}

/// As [`serve`], for something that is not this service: no more than `most` connections, which `open` counts.
///
/// # Errors
/// As [`serve`].
pub async fn accept(
    listener: TcpListener,
    routes: Routes,
    most: u32,
    open: &Arc<AtomicU64>,
    stop: impl Future<Output = ()>,
) -> std::io::Result<()> {
    let connections = GracefulShutdown::new();
    let places = Arc::new(Semaphore::new(places(most)));
    tokio::pin!(stop);
    loop {
        // Whoever finds no place waits in the kernel's queue, and costs nothing here.
        let place = tokio::select! {
            place = Arc::clone(&places).acquire_owned() => place.expect("the places are never closed"),
            () = &mut stop => break,
        };
        let (stream, peer) = tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok(accepted) => accepted,
                Err(error) => {
                    // Out of file descriptors, or the peer has gone: neither is a reason to stop serving the others.
                    tracing::warn!(%error, "a connection was not accepted");
                    tokio::time::sleep(Duration::from_millis(20)).await;
                    continue;
                }
            },
            () = &mut stop => break,
        };
        if let Err(error) = stream.set_nodelay(true) {
            tracing::debug!(%error, "no TCP_NODELAY");
        }
        let service = front::<hyper::body::Incoming>(&routes);
        let connection = hyper::server::conn::http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(HEADER_TIMEOUT)
            .max_buf_size(MAX_HEAD)
            .serve_connection(TokioIo::new(Paced::new(stream, WRITE_TIMEOUT)), service);
        let connection = limit::PEER.scope(peer, connections.watch(connection));
        let open = Arc::clone(open);
        tokio::spawn(async move {
            open.fetch_add(1, Ordering::Relaxed);
            if let Err(error) = connection.await {
                tracing::debug!(%error, "a connection ended early");
            }
            open.fetch_sub(1, Ordering::Relaxed);
            drop(place);
        });
    }
    drop(listener);
    if tokio::time::timeout(GRACE, connections.shutdown()).await.is_err() {
        tracing::warn!("some connections did not end in time");
    }
    Ok(())
}

/// What answers a request: the router, behind the one route that is asked so often that finding it costs more than answering.
pub fn front<B>(
    routes: &Routes,
) -> impl Service<
    Request<B>,
    Response = Response,
    Error = Infallible,
    Future = impl Future<Output = Result<Response, Infallible>> + Send + use<B>,
> + use<B>
where
    B: http_body::Body<Data = Bytes> + Send + 'static,
    B::Error: Into<axum::BoxError>,
{
    let (router, check) = (TowerToHyperService::new(routes.router.clone()), routes.check.clone());
    service_fn(move |request: Request<B>| {
        // Both before the answer is awaited: what is not routed is answered at once, and the future holds no request.
        let answer = check.as_ref().and_then(|app| api::check::plain(app, &request));
        let routed = if answer.is_none() { Some(router.call(request)) } else { None };
        async move {
            match (answer, routed) {
                (None, Some(routed)) => routed.await,
                (answer, _) => Ok(answer.unwrap_or_default()),
            }
        }
    })
}

/// How many connections can be open: as many as are configured, if there are files for them.
fn places(wanted: u32) -> usize {
    let wanted = u64::from(wanted);
    let files = disk::raise_open_files().map_or(u64::MAX, |files| files.saturating_sub(OTHER_FILES).max(1));
    if files < wanted {
        tracing::warn!(
            "max_connections is {wanted}, but there are files for {files} only: raise the limit of open files"
        );
    }
    usize::try_from(wanted.min(files)).unwrap_or(usize::MAX).min(Semaphore::MAX_PERMITS)
}
