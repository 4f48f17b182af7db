//! Opening a stream.

use litemap::LiteMap;

use super::state::{Stream, StreamError};
use crate::live::encoder::Format;
use crate::live::hub::Hub;
use crate::live::positions::Positions;
use crate::model::event_id::{JoinNumber, PresenceDigest};
use crate::model::{Seq, SessionId, UserId};
use crate::store::{OpenedStream, Resume, StoreError, StreamRequest};

impl Stream {
    /// Opens the session's stream. This runs in a task of its own: if the caller has gone meanwhile, the stream is closed
    /// as soon as it is open.
    ///
    /// # Errors
    ///
    /// [`StreamError::Ended`] if the session has ended or expired, [`StreamError::Store`] if the database failed.
    pub(crate) async fn open(
        hub: &Hub,
        session: SessionId,
        user: UserId,
        resume: Resume,
        format: Format,
    ) -> Result<Self, StreamError> {
        let hub = hub.clone();
        let digests = match (&resume, format) {
            (Resume::Id(id), Format::Json) => id.digests.clone(),
            _ => Vec::new(),
        };
        let opening = tokio::spawn(async move {
            let mut stream = Self::unopened(hub.clone(), session, user, format);
            hub.inner.bus.settled().await; // from here on, hints of other instances arrive
            let instance = hub.inner.settings.instance;
            let request = StreamRequest { session, instance, resume, grace: hub.grace() };
            let opened = hub.inner.store.open_stream(request).await?.map_err(|_| StreamError::Ended)?;
            stream.begin(opened, &digests).await?;
            Ok(stream)
        });
        opening.await.unwrap_or_else(|_| Err(StoreError::Unavailable("opening was given up".into()).into()))
    }

    async fn begin(
        &mut self,
        opened: OpenedStream,
        digests: &[(JoinNumber, PresenceDigest)],
    ) -> Result<(), StoreError> {
        self.id = opened.stream;
        self.positions = Positions::new(self.hub.tag(self.session), opened.stream.first_checkpoint());
        self.signal.set_joins_version(opened.joins_version);
        self.hub.stream_opened(self.session, &self.signal, opened.stream);
        self.next_join_number = opened.next_join_number;
        self.expires_at = opened.expires_at;
        self.hub.presence_changed(&opened.appeared);
        self.write_ready(&opened);
        for (join_number, topic, reason) in &opened.left {
            self.write_left(*join_number, topic, reason.as_str());
        }
        self.topics = LiteMap::with_capacity(opened.joins.len());
        let replay = i64::try_from(self.hub.inner.settings.replay).unwrap_or(i64::MAX);
        let mut ends = Vec::with_capacity(opened.joins.len());
        for join in &opened.joins {
            let gap_to = Seq(join.last_seq.0.saturating_sub(replay));
            let digest = digests.binary_search_by_key(&join.join_number, |(join_number, _)| *join_number);
            let topic = self.listen(join.join_number, join.key, &join.topic, join.position);
            topic.gap_to = (gap_to > join.position).then_some(gap_to);
            topic.known_digest = digest.ok().map(|at| digests[at].1).filter(|_| opened.resumed);
            ends.push((topic.active.clone(), join.last_seq));
        }
        self.hub.drop_redacted(&ends, self.is_poll()).await?;
        let topics: Vec<_> = ends.into_iter().map(|(topic, _)| topic).collect();
        self.hub.sync_ends(&topics).await
    }
}
