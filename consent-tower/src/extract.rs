//! The extractor for axum.

use std::borrow::Cow;
use std::convert::Infallible;
use std::fmt;
use std::sync::Arc;

use axum_core::extract::{FromRef, FromRequestParts};
use consent_core::id::ChoiceId;
use http::request::Parts;

use crate::judge::{Denied, Knowledge, Verdict, answered, judge};
use crate::visitor::Visitor;

/// What the visitor of a request has granted. Never rejects: for pages that are there for everybody and have an optional part.
///
/// The application's state holds the `Arc<K>` of a [`Knowledge`], by `FromRef` where it holds other things too. An answer that depends
/// on it must not be kept by a cache for others: say `Vary: Cookie, Sec-GPC, DNT` or `Cache-Control: private`.
pub struct ConsentView<K> {
    knowledge: Arc<K>,
    cookie: Option<String>,
    signal: bool,
}

impl<K: Knowledge> ConsentView<K> {
    /// Whether a category, or one `category:service`, may be used for this visitor now.
    ///
    /// Waits only where the service has to be asked.
    pub async fn granted(&self, category: &str) -> bool {
        self.check(category).await.is_ok()
    }

    /// As [`Self::granted`], saying why not.
    ///
    /// # Errors
    /// [`Denied`]; a text that can name no category is an unknown one.
    pub async fn check(&self, category: &str) -> Result<(), Denied> {
        let choice = ChoiceId::parse(category).map_err(|_| Denied::UnknownCategory)?;
        let visitor = Visitor { cookie: self.cookie.as_deref().map(Cow::Borrowed), signal: self.signal };
        match judge(&*self.knowledge, &visitor, &choice) {
            Verdict::Granted => Ok(()),
            Verdict::Denied(denied) => Err(denied),
            Verdict::Ask(asking) => answered(asking.await),
        }
    }
}

impl<K> fmt::Debug for ConsentView<K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ConsentView").finish_non_exhaustive()
    }
}

impl<S, K> FromRequestParts<S> for ConsentView<K>
where
    S: Send + Sync,
    K: Knowledge,
    Arc<K>: FromRef<S>,
{
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Infallible> {
        let knowledge = Arc::<K>::from_ref(state);
        let visitor = Visitor::of(&parts.headers, knowledge.cookie_name());
        let (cookie, signal) = (visitor.cookie.map(Cow::into_owned), visitor.signal);
        Ok(Self { knowledge, cookie, signal })
    }
}
