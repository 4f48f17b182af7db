//! Sessions: open, refresh and end them, and find the caller of a token.

use uuid::Uuid;

use super::caller::Caller;
use super::error::ChatError;
use super::service::Chat;
use super::tokens::{Claims, device_hash};
use super::users::checked_username;
use crate::live::{Format, Stream, StreamError};
use crate::model::event_id::{EventId, IdTag};
use crate::model::text::{USERNAME_MAX, is_name};
use crate::model::{Millis, SessionId, UserId};
use crate::store::{NewSession, Resume, SessionRow};

/// A session with its tokens.
#[derive(Clone)]
pub(crate) struct OpenedSession {
    /// The row of the session.
    pub session: SessionRow,
    /// The token for every call.
    pub token: String,
    /// The token that opens the stream and nothing else.
    pub stream_token: String,
}

impl Chat {
    /// Opens a session of the built-in account of a device. The account is created on first use.
    ///
    /// # Errors
    /// [`ChatError::Forbidden`] if built-in accounts are off, [`ChatError::Invalid`] for a device id or a username that
    /// is out of its bounds, or a failure of the database.
    pub(crate) async fn open_device_session(
        &self,
        device_id: &str,
        username: Option<&str>,
    ) -> Result<OpenedSession, ChatError> {
        if !self.inner.settings.device_accounts {
            return Err(ChatError::Forbidden("accounts by device_id are off here: open the session with a user token"));
        }
        if !(16..=128).contains(&device_id.chars().count()) || device_id.chars().any(char::is_control) {
            return Err(ChatError::invalid("device_id takes 16 to 128 characters and no control characters"));
        }
        let id = Uuid::from_bytes(self.inner.clock.random_bytes()).simple().to_string();
        let username = match username {
            Some(name) => checked_username(name)?.to_owned(),
            None => format!("guest-{}", &id[..6]),
        };
        let new_id = UserId::parse(&format!("~{id}")).ok_or(ChatError::Unavailable)?;
        let hash = device_hash(&self.inner.device_key, device_id);
        self.open_session(NewSession::Device { hash, new_id, username }).await
    }

    /// Opens a session of the user that a user token names.
    ///
    /// # Errors
    /// [`ChatError::Unauthenticated`] if the token is not valid, [`ChatError::Unavailable`] if the issuer's keys have
    /// never been fetched, or a failure of the database.
    pub(crate) async fn open_issued_session(&self, user_token: &str) -> Result<OpenedSession, ChatError> {
        let user = self.inner.user_tokens.verify(user_token, self.inner.clock.now()).await?;
        let username = user.name.unwrap_or_else(|| user.user_id.as_str().chars().take(USERNAME_MAX).collect());
        debug_assert!(is_name(&username, USERNAME_MAX));
        self.open_session(NewSession::Issued { id: user.user_id, username }).await
    }

    async fn open_session(&self, new: NewSession) -> Result<OpenedSession, ChatError> {
        let id = SessionId(self.inner.clock.uuid());
        let session = self.store().open_session(id, new, self.inner.settings.session_ttl).await?;
        Ok(self.with_tokens(session))
    }

    fn with_tokens(&self, session: SessionRow) -> OpenedSession {
        let tokens = &self.inner.session_tokens;
        let user = &session.user.user_id;
        OpenedSession {
            token: tokens.session_token(session.id, user, session.expires_at),
            stream_token: tokens.stream_token(session.id, user),
            session,
        }
    }

    /// Verifies a session token without reading its session, for calls that check the session themselves.
    ///
    /// # Errors
    /// [`ChatError::Unauthenticated`] if the token is not valid, or has expired.
    pub(crate) fn claims(&self, token: &str) -> Result<Claims, ChatError> {
        self.inner.session_tokens.verify_session(token, self.inner.clock.now())
    }

    /// Verifies a session token that may have expired. This authorizes nothing: it only finds the session.
    ///
    /// # Errors
    /// [`ChatError::Unauthenticated`] if the token is not a session token of this service.
    pub(crate) fn claims_of_any_age(&self, token: &str) -> Result<Claims, ChatError> {
        self.inner.session_tokens.verify_session(token, Millis(i64::MIN))
    }

    /// Verifies a stream token. The opening of the stream checks the session.
    ///
    /// # Errors
    /// [`ChatError::Unauthenticated`] if the token is not a stream token of this service.
    pub(crate) fn stream_claims(&self, token: &str) -> Result<Claims, ChatError> {
        self.inner.session_tokens.verify_stream(token)
    }

    /// Reads the session of a verified token, and records the call, which keeps the session online.
    ///
    /// # Errors
    /// [`ChatError::Unauthenticated`] if the session has ended or expired, or a failure of the database.
    pub(crate) async fn caller(&self, claims: &Claims) -> Result<Caller, ChatError> {
        let row = self.store().session(claims.session).await?;
        let valid = row.filter(|row| !row.ended && row.expires_at > self.store().now());
        let row = valid.ok_or_else(ChatError::session_ended)?;
        let streaming = row.is_streaming(self.store().now());
        self.record_call(row.id, (!streaming).then_some(row.online_until));
        Ok(Caller { session: row.id, user: row.user.clone(), row })
    }

    /// Records a call, if the session would be offline in less than half of the grace period. `online_until` is the time
    /// that the database holds, or `None` while a stream keeps the session online.
    pub(super) fn record_call(&self, session: SessionId, online_until: Option<Millis>) {
        let now = self.store().now();
        if online_until.is_some_and(|until| until < now.plus(self.inner.hub.grace() / 2)) {
            self.inner.recent_calls.record(session, now);
        }
    }

    /// Extends the session from now on, and returns new tokens for it. The user of an issuer passes a new user token.
    ///
    /// # Errors
    /// [`ChatError::Forbidden`] for a token of another user, [`ChatError::Invalid`] if the token is missing,
    /// [`ChatError::Unauthenticated`] if the token is not valid or the session has ended, [`ChatError::Unavailable`] if
    /// the issuer's keys have never been fetched, or a failure of the database.
    pub(crate) async fn refresh(&self, caller: &Caller, user_token: Option<&str>) -> Result<OpenedSession, ChatError> {
        match user_token {
            Some(token) => {
                let user = self.inner.user_tokens.verify(token, self.inner.clock.now()).await?;
                if user.user_id != caller.user.user_id {
                    return Err(ChatError::Forbidden("user_token is another user's: bring one of the session's user"));
                }
            }
            None if caller.user.user_id.is_built_in() => {}
            None => {
                return Err(ChatError::invalid("user_token is missing: bring a fresh token of the issuer"));
            }
        }
        let row = self.store().refresh_session(caller.session, self.inner.settings.session_ttl).await?;
        row.map(|row| self.with_tokens(row)).ok_or_else(ChatError::session_ended)
    }

    /// Lists up to `limit` valid sessions of the caller on all devices, the oldest first, starting after `after`.
    ///
    /// # Errors
    /// A failure of the database.
    pub(crate) async fn sessions(
        &self,
        caller: &Caller,
        after: Option<Uuid>,
        limit: u64,
    ) -> Result<Vec<SessionRow>, ChatError> {
        Ok(self.store().sessions_of(&caller.user.user_id, after, limit).await?)
    }

    /// Reports whether a session's stream is open.
    pub(crate) fn is_streaming(&self, session: &SessionRow) -> bool {
        session.is_streaming(self.store().now())
    }

    /// Ends one of the caller's sessions: it leaves every topic, its stream ends, and its tokens are not valid any more.
    ///
    /// # Errors
    /// [`ChatError::NotFound`] if the caller has no such session, or a failure of the database.
    pub(crate) async fn end_session(&self, caller: &Caller, session: SessionId) -> Result<(), ChatError> {
        let owner = caller.user.user_id.clone();
        self.run_to_completion(|chat| async move {
            let topics = chat.store().end_session(session, owner).await?.ok_or(ChatError::NotFound("session"))?;
            chat.inner.hub.session_ended(session);
            chat.inner.hub.presence_changed(&topics);
            Ok(())
        })
        .await
    }

    /// Returns the tag that ties event ids to this session.
    pub(crate) fn id_tag(&self, session: SessionId) -> IdTag {
        self.inner.hub.tag(session)
    }

    /// Decodes an event id of this session. Returns `None` for any other text.
    pub(crate) fn event_id(&self, session: SessionId, text: &str) -> Option<EventId> {
        EventId::decode(self.id_tag(session), text)
    }

    /// Opens the session's stream.
    ///
    /// # Errors
    /// The session has ended, or the database is unavailable or refuses.
    pub(crate) async fn open_stream(
        &self,
        claims: &Claims,
        resume: Resume,
        format: Format,
    ) -> Result<Stream, StreamError> {
        Stream::open(&self.inner.hub, claims.session, claims.user.clone(), resume, format).await
    }
}
