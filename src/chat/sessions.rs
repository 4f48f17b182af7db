//! Sessions: who may open one, and whose call it is.

use uuid::Uuid;

use super::tokens::device_hash;
use super::users::checked_username;
use super::{Chat, ChatError, Claims};
use crate::live::{Format, Stream, StreamError};
use crate::model::event_id::{EventId, IdTag};
use crate::model::text::{USERNAME_MAX, is_name};
use crate::model::{Millis, SessionId, User, UserId};
use crate::store::{NewSession, Resume, SessionRow};

/// What a token of a session that lives no more gets to hear.
pub(super) const ENDED: &str = "the session has ended or expired: open a new one with POST /v1/sessions";

/// A caller with a living session.
#[derive(Clone, Debug)]
pub struct Caller {
    /// Which session calls.
    pub session: SessionId,
    /// Whose it is.
    pub user: User,
    /// The session as a whole.
    pub row: SessionRow,
}

/// A session with its tokens.
#[derive(Clone)]
pub struct OpenedSession {
    /// The session.
    pub session: SessionRow,
    /// For every call.
    pub token: String,
    /// For the stream and nothing else.
    pub stream_token: String,
}

impl Chat {
    /// Opens a session of the built-in account of a device, which is made on first use.
    pub async fn open_device_session(
        &self,
        device_id: &str,
        username: Option<&str>,
    ) -> Result<OpenedSession, ChatError> {
        if !self.inner.rules.device_accounts {
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

    /// Opens a session of the user whom an issuer vouches for.
    pub async fn open_issued_session(&self, user_token: &str) -> Result<OpenedSession, ChatError> {
        let user = self.inner.user_tokens.verify(user_token, self.inner.clock.now()).await?;
        let username = user.name.unwrap_or_else(|| user.user_id.as_str().chars().take(USERNAME_MAX).collect());
        debug_assert!(is_name(&username, USERNAME_MAX));
        self.open_session(NewSession::Issued { id: user.user_id, username }).await
    }

    async fn open_session(&self, whose: NewSession) -> Result<OpenedSession, ChatError> {
        let id = SessionId(self.inner.clock.uuid());
        let session = self.store().open_session(id, whose, self.inner.rules.session_ttl).await?;
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

    /// What a session token says, without asking whether its session still lives: for acts that ask that themselves.
    pub fn claims(&self, token: &str) -> Result<Claims, ChatError> {
        self.inner.session_tokens.verify_session(token, self.inner.clock.now())
    }

    /// What a session token says whose time may have run out. Opens nothing: it only tells whose session to ask for.
    pub fn claims_of_any_age(&self, token: &str) -> Result<Claims, ChatError> {
        self.inner.session_tokens.verify_session(token, Millis(i64::MIN))
    }

    /// What a stream token says; whether its session lives is asked when the stream opens.
    pub fn stream_claims(&self, token: &str) -> Result<Claims, ChatError> {
        self.inner.session_tokens.verify_stream(token)
    }

    /// The caller of a session token.
    pub async fn caller(&self, claims: &Claims) -> Result<Caller, ChatError> {
        let row = self.store().session(claims.session).await?;
        let living = row.filter(|row| !row.ended && row.expires_at > self.store().now());
        let row = living.ok_or(ChatError::Unauthenticated(ENDED))?;
        let streaming = row.is_streaming(self.store().now());
        self.note_call(row.id, (!streaming).then_some(row.online_until));
        Ok(Caller { session: row.id, user: row.user.clone(), row })
    }

    /// New tokens for the same session, which lives on from now. Users of an issuer bring a fresh user token.
    pub async fn refresh(&self, caller: &Caller, user_token: Option<&str>) -> Result<OpenedSession, ChatError> {
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
        let row = self.store().refresh_session(caller.session, self.inner.rules.session_ttl).await?;
        row.map(|row| self.with_tokens(row)).ok_or(ChatError::Unauthenticated(ENDED))
    }

    /// The caller's living sessions on all devices, oldest first, beyond `after`.
    pub async fn sessions(
        &self,
        caller: &Caller,
        after: Option<Uuid>,
        limit: u64,
    ) -> Result<Vec<SessionRow>, ChatError> {
        Ok(self.store().sessions_of(&caller.user.user_id, after, limit).await?)
    }

    /// Whether a session's stream is open.
    pub fn is_streaming(&self, session: &SessionRow) -> bool {
        session.is_streaming(self.store().now())
    }

    /// Ends one of the caller's sessions: it leaves every topic, its stream ends, its tokens are good for nothing.
    pub async fn end_session(&self, caller: &Caller, session: SessionId) -> Result<(), ChatError> {
        let owner = caller.user.user_id.clone();
        self.to_the_end(|chat| async move {
            let topics = chat.store().end_session(session, owner).await?.ok_or(ChatError::NotFound("session"))?;
            chat.inner.hub.session_ended(session);
            chat.inner.hub.presence_changed(&topics);
            Ok(())
        })
        .await
    }

    /// How this session's event ids are tied to it.
    pub fn id_tag(&self, session: SessionId) -> IdTag {
        self.inner.hub.tag(session)
    }

    /// Reads an event id of this session; anything else is none.
    pub fn event_id(&self, session: SessionId, text: &str) -> Option<EventId> {
        EventId::decode(self.id_tag(session), text)
    }

    /// Opens the session's stream.
    pub async fn open_stream(&self, claims: &Claims, resume: Resume, format: Format) -> Result<Stream, StreamError> {
        Stream::open(&self.inner.hub, claims.session, claims.user.clone(), resume, format).await
    }
}
