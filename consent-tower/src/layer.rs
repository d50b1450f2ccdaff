//! The tower layer: a request goes through where its visitor has granted what it is for.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use consent_core::id::{ChoiceId, IdError};
use http::{HeaderValue, Request, Response, StatusCode, header};
use pin_project_lite::pin_project;
use tower_layer::Layer;
use tower_service::Service;

use crate::judge::{Denied, Knowledge, Verdict, answered, judge};
use crate::visitor::Visitor;

type Answer<R> = Arc<dyn Fn(Denied) -> Response<R> + Send + Sync>;

/// Lets a request through only where its visitor has granted a category; answers the others with 403.
///
/// The answer is a problem (RFC 9457) with `category` and `reason` ([`Denied::as_str`]), not to be stored; [`Self::or_answer`]
/// gives another one, such as a redirect. It carries `Vary: Cookie, Sec-GPC, DNT`; what goes through is the handler's, who has to say
/// the same where a cache may keep it.
pub struct RequireConsent<R> {
    knowledge: Arc<dyn Knowledge>,
    choice: Arc<ChoiceId>,
    answer: Answer<R>,
}

impl<R: From<String>> RequireConsent<R> {
    /// Requires a category, or one `category:service`.
    ///
    /// One that the notice in force does not list is always denied: it may be published later.
    ///
    /// # Errors
    /// [`IdError::Choice`] if the text cannot name either.
    pub fn category(knowledge: Arc<impl Knowledge>, category: &str) -> Result<Self, IdError> {
        let choice = Arc::new(ChoiceId::parse(category)?);
        let told = Arc::clone(&choice);
        let answer: Answer<R> = Arc::new(move |denied| problem(&told, denied));
        Ok(Self { knowledge, choice, answer })
    }
}

impl<R> RequireConsent<R> {
    /// Requires a category, or one `category:service`, and answers for itself where it is denied.
    ///
    /// # Errors
    /// [`IdError::Choice`] if the text cannot name either.
    pub fn or_answer(
        knowledge: Arc<impl Knowledge>,
        category: &str,
        answer: impl Fn(Denied) -> Response<R> + Send + Sync + 'static,
    ) -> Result<Self, IdError> {
        Ok(Self { knowledge, choice: Arc::new(ChoiceId::parse(category)?), answer: Arc::new(answer) })
    }
}

/// An id holds only letters, digits, `-` and `:`, and the reasons are ours: nothing needs escaping.
fn problem<R: From<String>>(choice: &ChoiceId, denied: Denied) -> Response<R> {
    let body = format!(
        "{{\"type\":\"/problems/no-consent\",\"title\":\"No consent\",\"status\":403,\
         \"detail\":\"\\\"{choice}\\\" may not be used: {denied}\",\"category\":\"{choice}\",\"reason\":\"{}\"}}",
        denied.as_str()
    );
    let mut response = Response::new(R::from(body));
    *response.status_mut() = StatusCode::FORBIDDEN;
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(header::VARY, HeaderValue::from_static("Cookie, Sec-GPC, DNT"));
    response
}

impl<R> Clone for RequireConsent<R> {
    fn clone(&self) -> Self {
        Self {
            knowledge: Arc::clone(&self.knowledge),
            choice: Arc::clone(&self.choice),
            answer: Arc::clone(&self.answer),
        }
    }
}

impl<R> fmt::Debug for RequireConsent<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RequireConsent").field("choice", &self.choice).finish_non_exhaustive()
    }
}

impl<I, R> Layer<I> for RequireConsent<R> {
    type Service = Guarded<I, R>;

    fn layer(&self, inner: I) -> Guarded<I, R> {
        Guarded { inner, require: self.clone() }
    }
}

/// A service behind [`RequireConsent`].
pub struct Guarded<I, R> {
    inner: I,
    require: RequireConsent<R>,
}

impl<I: Clone, R> Clone for Guarded<I, R> {
    fn clone(&self) -> Self {
        Self { inner: self.inner.clone(), require: self.require.clone() }
    }
}

impl<I, R> fmt::Debug for Guarded<I, R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Guarded").field("require", &self.require).finish_non_exhaustive()
    }
}

impl<I, B, R> Service<Request<B>> for Guarded<I, R>
where
    I: Service<Request<B>, Response = Response<R>> + Clone,
{
    type Response = Response<R>;
    type Error = I::Error;
    type Future = ResponseFuture<I, B, R>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), I::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, request: Request<B>) -> ResponseFuture<I, B, R> {
        let knowledge = &*self.require.knowledge;
        let visitor = Visitor::of(request.headers(), knowledge.cookie_name());
        let state = match judge(knowledge, &visitor, &self.require.choice) {
            Verdict::Granted => State::Inner { future: self.inner.call(request) },
            Verdict::Denied(denied) => State::Denied { response: Some((self.require.answer)(denied)) },
            Verdict::Ask(asking) => {
                // What was ready is this one; the clone has yet to become so.
                let clone = self.inner.clone();
                let inner = std::mem::replace(&mut self.inner, clone);
                State::Asking { asking, held: Some((inner, request)), answer: Arc::clone(&self.require.answer) }
            }
        };
        ResponseFuture { state }
    }
}

pin_project! {
    /// The answer of a [`Guarded`] service.
    pub struct ResponseFuture<I, B, R>
    where
        I: Service<Request<B>>,
    {
        #[pin]
        state: State<I, B, I::Future, R>,
    }
}

impl<I: Service<Request<B>>, B, R> fmt::Debug for ResponseFuture<I, B, R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ResponseFuture").finish_non_exhaustive()
    }
}

pin_project! {
    #[project = StateProj]
    enum State<I, B, F, R> {
        Inner { #[pin] future: F },
        Denied { response: Option<Response<R>> },
        Asking {
            asking: Pin<Box<dyn Future<Output = Option<bool>> + Send>>,
            held: Option<(I, Request<B>)>,
            answer: Answer<R>,
        },
    }
}

impl<I, B, R> Future for ResponseFuture<I, B, R>
where
    I: Service<Request<B>, Response = Response<R>>,
{
    type Output = Result<Response<R>, I::Error>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let mut state = self.project().state;
        loop {
            let next = match state.as_mut().project() {
                StateProj::Inner { future } => return future.poll(context),
                StateProj::Denied { response } => {
                    return Poll::Ready(Ok(response.take().expect("a future is not polled after it is done")));
                }
                StateProj::Asking { asking, held, answer } => match answered(ready!(asking.as_mut().poll(context))) {
                    Ok(()) => {
                        let (mut inner, request) =
                            held.take().expect("it is taken only here, on the way to another state");
                        State::Inner { future: inner.call(request) }
                    }
                    Err(denied) => State::Denied { response: Some(answer(denied)) },
                },
            };
            state.set(next);
        }
    }
}
