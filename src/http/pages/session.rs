//! A request of a browser: whose session it belongs to, and the form it sends.

use axum::body::Body;
use axum::extract::{FromRequest, FromRequestParts, Request};
use axum::http::request::Parts;
use axum::http::{HeaderMap, StatusCode, header};
use maud::{Markup, html};

use super::form_fields::Fields;
use crate::domain::credential::Credential;
use crate::http::auth::{AuthError, Authenticator, session_of};
use crate::http::limits::{self, BodyError};
use crate::operations;
use crate::store::access::sessions::{CsrfCheck, issue_csrf_token};
use crate::store::access::tokens::Caller;
use crate::store::{Operator, Store, StoreError};

/// Whoever looks at a page.
#[derive(Clone, Debug)]
pub struct PageContext {
    pub caller: Caller,
    pub session: Credential,
    store: Store,
}

/// Why a page is not shown, or a form not taken.
pub enum PageError {
    /// There is no session.
    AuthError,
    /// What went wrong, in the frame of the pages.
    Inside(Box<(StatusCode, PageContext, String)>),
    /// What went wrong before it was known whose session it is.
    Early(StatusCode, String),
}

/// Why a request was not sent by one of our own pages.
pub enum Foreign {
    /// Another site did.
    Site,
    /// The browser calls it one of ours, and the host that it names is not the one that arrived here.
    Proxy { browser: String, arrived: String },
}

impl Foreign {
    /// What to tell about it: of another site nothing but this.
    pub fn says(&self, of_another_site: &str) -> String {
        match self {
            Self::Site => of_another_site.to_owned(),
            Self::Proxy { browser, arrived } => format!(
                "Nothing was done: your browser asked {browser}, and {arrived} arrived here as the host. The proxy between \
                 must pass on the header Host as it is (nginx: proxy_set_header Host $http_host)."
            ),
        }
    }
}

/// Was the request sent by one of our own pages? A browser says where it comes from; whatever is no browser has no
/// session that somebody else could use.
pub fn from_here(headers: &HeaderMap) -> Result<(), Foreign> {
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    let site = text("sec-fetch-site");
    if !site.is_none_or(|site| site == "same-origin" || site == "none") {
        return Err(Foreign::Site);
    }
    let Some(origin) = text("origin") else { return Ok(()) };
    match (origin.split_once("://").map(|(_, host)| host), text("host")) {
        (Some(browser), Some(arrived)) if browser == arrived => Ok(()),
        (Some(browser), arrived) if site.is_some() => {
            Err(Foreign::Proxy { browser: browser.to_owned(), arrived: arrived.unwrap_or("none").to_owned() })
        }
        _ => Err(Foreign::Site),
    }
}

impl PageContext {
    /// The session that a request belongs to.
    pub async fn of(gate: &Authenticator, headers: &HeaderMap) -> Result<Self, PageError> {
        let session = session_of(headers).ok_or(PageError::AuthError)?;
        match gate.by_session(&session).await {
            Ok(caller) => Ok(Self { caller, session, store: gate.store().clone() }),
            Err(AuthError::Store(error)) => {
                Err(PageError::Early(StatusCode::SERVICE_UNAVAILABLE, error.to_string()))
            }
            Err(AuthError::Unknown | AuthError::TooMany | AuthError::NotForConsole) => {
                Err(PageError::AuthError)
            }
        }
    }

    /// The account, which is all that a session reaches.
    pub fn account(&self) -> i64 {
        self.caller.account_id
    }

    /// The user as whoever gives an order.
    pub fn user(&self) -> String {
        self.caller.user_id.to_string()
    }

    pub fn operator(&self) -> Operator {
        crate::http::auth::operator(&self.caller)
    }

    /// A form that this session may send to a path, once.
    pub fn form(&self, path: &str, content: &Markup) -> Result<Markup, PageError> {
        let seal = issue_csrf_token(&self.session, path).map_err(|error| self.store_error(&error))?;
        Ok(html! {
            form method="post" action=(path) {
                input type="hidden" name="form" value=(seal);
                (content)
            }
        })
    }

    pub fn error(&self, status: StatusCode, says: impl Into<String>) -> PageError {
        PageError::Inside(Box::new((status, self.clone(), says.into())))
    }

    /// What was typed is not what it must be.
    pub fn bad_request(&self, says: impl Into<String>) -> PageError {
        self.error(StatusCode::BAD_REQUEST, says)
    }

    pub fn store_error(&self, error: &StoreError) -> PageError {
        let status = match error {
            StoreError::Forbidden(_) => StatusCode::FORBIDDEN,
            StoreError::NotFound(_) => StatusCode::NOT_FOUND,
            StoreError::Refused(_) | StoreError::CountMismatch(_) => StatusCode::CONFLICT,
            StoreError::Failed(_) | StoreError::NotSetUp(_) | StoreError::Unsupported(_) => {
                StatusCode::INTERNAL_SERVER_ERROR
            }
            StoreError::Contended(_) | StoreError::TimedOut(_) | StoreError::Unavailable(_) => {
                StatusCode::SERVICE_UNAVAILABLE
            }
        };
        self.error(status, error.to_string())
    }

    pub fn operation_error(&self, error: &operations::Error) -> PageError {
        let status = match error {
            operations::Error::Store(error) => return self.store_error(error),
            operations::Error::Usage(_) => StatusCode::BAD_REQUEST,
            operations::Error::NotFound(_) => StatusCode::NOT_FOUND,
            operations::Error::Refused(_) => StatusCode::CONFLICT,
            operations::Error::Failed(_) | operations::Error::TooLong(_) => StatusCode::SERVICE_UNAVAILABLE,
        };
        self.error(status, error.to_string())
    }
}

/// What a page is asked for in its query.
pub struct PageQuery(pub Fields);

/// A form that was made for this session and this path, and is sent for the first time.
pub struct VerifiedForm {
    pub ctx: PageContext,
    pub fields: Fields,
}

impl<S: Sync> FromRequestParts<S> for PageContext {
    type Rejection = PageError;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, PageError> {
        parts.extensions.get::<Self>().cloned().ok_or(PageError::AuthError)
    }
}

impl<S: Sync> FromRequestParts<S> for PageQuery {
    type Rejection = PageError;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, PageError> {
        Ok(Self(Fields::parse(parts.uri.query().unwrap_or_default().as_bytes())))
    }
}

impl<S: Send + Sync> FromRequest<S> for VerifiedForm {
    type Rejection = PageError;

    async fn from_request(request: Request<Body>, _: &S) -> Result<Self, PageError> {
        let ctx = request.extensions().get::<PageContext>().cloned().ok_or(PageError::AuthError)?;
        if let Err(foreign) = from_here(request.headers()) {
            return Err(ctx.error(StatusCode::FORBIDDEN, foreign.says(FORGED)));
        }
        let path = request.uri().path().to_owned();
        let fields = fields(&request).map_err(|(status, says)| ctx.error(status, says))?;
        let form = fields.text("form").unwrap_or_default();
        let taken = ctx.store.consume_csrf_token(&ctx.session, &path, form).await;
        match taken.map_err(|error| ctx.store_error(&error))? {
            CsrfCheck::Accepted => Ok(Self { ctx, fields }),
            CsrfCheck::Replayed => Err(ctx.error(StatusCode::CONFLICT, SENT_BEFORE)),
            CsrfCheck::Forged => Err(ctx.error(StatusCode::FORBIDDEN, FORGED)),
        }
    }
}

const FORGED: &str = "This form was not made for your session; nothing was done. Open the page anew.";
const SENT_BEFORE: &str =
    "This form was sent before and is taken once; nothing was done now. Open the page anew.";

/// The fields of a form that is sent.
pub fn fields(request: &Request<Body>) -> Result<Fields, (StatusCode, &'static str)> {
    let kind = request.headers().get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok());
    if !kind.is_some_and(|kind| kind.starts_with("application/x-www-form-urlencoded")) {
        return Err((StatusCode::UNSUPPORTED_MEDIA_TYPE, "This is no form."));
    }
    match limits::body_of(request) {
        Ok(body) => Ok(Fields::parse(&body)),
        Err(BodyError::TooLarge) => Err((StatusCode::PAYLOAD_TOO_LARGE, "The form is too large.")),
        Err(BodyError::TooSlow) => Err((StatusCode::REQUEST_TIMEOUT, "The form did not arrive in time.")),
        Err(BodyError::Broken) => Err((StatusCode::BAD_REQUEST, "The form ended too early.")),
    }
}
