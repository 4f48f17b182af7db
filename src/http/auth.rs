//! The caller of a request, from its session token. A handler takes [`Claims`] where the action itself checks that the
//! session is alive, [`Caller`] where the session must be alive before the handler runs.

use axum::extract::FromRequestParts;
use axum::http::request::Parts;

use super::extract::BearerToken;
use super::problem::Problem;
use super::state::Shared;
use crate::chat::{Caller, Claims};

/// Verified once per request, and counted once as a call of the session: the request keeps them for the extractors that
/// follow.
impl FromRequestParts<Shared> for Claims {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, shared: &Shared) -> Result<Self, Problem> {
        if let Some(claims) = parts.extensions.get::<Self>() {
            return Ok(claims.clone());
        }
        let claims = verify(parts, shared).await?;
        shared.rates.check_call(claims.session)?;
        parts.extensions.insert(claims.clone());
        Ok(claims)
    }
}

impl FromRequestParts<Shared> for Caller {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, shared: &Shared) -> Result<Self, Problem> {
        let claims = Claims::from_request_parts(parts, shared).await?;
        Ok(shared.chat.caller(&claims).await?)
    }
}

/// A caller whose call is not counted and never refused by a rate limit: signing out must always be possible.
pub(crate) struct UnlimitedCaller(pub(crate) Caller);

impl FromRequestParts<Shared> for UnlimitedCaller {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, shared: &Shared) -> Result<Self, Problem> {
        let claims = verify(parts, shared).await?;
        Ok(Self(shared.chat.caller(&claims).await?))
    }
}

async fn verify(parts: &mut Parts, shared: &Shared) -> Result<Claims, Problem> {
    let token = <BearerToken as FromRequestParts<Shared>>::from_request_parts(parts, shared).await?;
    Ok(shared.chat.claims(token.as_str())?)
}
