//! The format of hints on the bus: a JSON list. Each hint has a short name, and holds its entries byte for byte as they
//! were rendered.

use std::borrow::Cow;

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use uuid::Uuid;

use super::hint::Hint;
use crate::model::{Effect, Entry, EphemeralEvent, Seq, SessionId, StreamId, TopicId, TopicKey, UserId};

/// A hint in its format. An older instance skips the kinds of hint that a newer one has added.
#[derive(Serialize, Deserialize)]
enum Wire<'a> {
    #[serde(rename = "a")]
    Appended(TopicKey, Cow<'a, str>, i64, #[serde(borrow)] Vec<WireEntry<'a>>),
    #[serde(rename = "v")]
    Activity(TopicKey, Cow<'a, str>, i64),
    #[serde(rename = "w")]
    Message(TopicKey, i64, #[serde(borrow)] &'a RawValue),
    #[serde(rename = "t")]
    Typing(TopicKey, i64, #[serde(borrow)] &'a RawValue),
    #[serde(rename = "j")]
    Joins(Uuid),
    #[serde(rename = "p")]
    Presence(Vec<TopicKey>),
    #[serde(rename = "e")]
    Ended(Uuid),
    #[serde(rename = "o")]
    Opened(Uuid, u64),
    #[serde(rename = "d")]
    Pruned(TopicKey, i64),
    #[serde(rename = "l")]
    Lost,
}

/// An entry: its seq, its JSON, and its effect. The effect is the user whose access the entry revokes, an empty text if it
/// redacts an earlier entry, or nothing.
#[derive(Serialize, Deserialize)]
struct WireEntry<'a>(i64, #[serde(borrow)] &'a RawValue, Option<Cow<'a, str>>);

/// Encodes hints as text.
pub(super) fn encode(hints: &[Hint]) -> String {
    let wires: Vec<_> = hints.iter().filter_map(to_wire).collect();
    serde_json::to_string(&wires).unwrap_or_else(|_| "[]".to_owned())
}

/// Decodes the text of [`encode`]. Hints that cannot be read are skipped.
pub(super) fn decode(text: &str) -> Vec<Hint> {
    let items: Vec<&RawValue> = serde_json::from_str(text).unwrap_or_else(|error| {
        tracing::debug!(%error, "hints could not be read");
        Vec::new()
    });
    items.into_iter().filter_map(|item| from_wire(serde_json::from_str(item.get()).ok()?)).collect()
}

fn to_wire(hint: &Hint) -> Option<Wire<'_>> {
    Some(match hint {
        Hint::Appended { key, topic, entries, last } => {
            let entries = entries.iter().map(entry_to_wire).collect::<Option<_>>()?;
            Wire::Appended(*key, topic.as_str().into(), last.0, entries)
        }
        Hint::Activity { key, topic, last } => Wire::Activity(*key, topic.as_str().into(), last.0),
        Hint::Ephemeral { key, after, what } => {
            let json = serde_json::from_slice(what.json()).ok()?;
            match what {
                EphemeralEvent::Message(_) => Wire::Message(*key, after.0, json),
                EphemeralEvent::Typing(_) => Wire::Typing(*key, after.0, json),
            }
        }
        Hint::Joins { session } => Wire::Joins(session.0),
        Hint::Presence { topics } => Wire::Presence(topics.clone()),
        Hint::Ended { session } => Wire::Ended(session.0),
        Hint::Opened { session, stream } => Wire::Opened(session.0, stream.0),
        Hint::Pruned { key, up_to } => Wire::Pruned(*key, up_to.0),
        Hint::Lost => Wire::Lost,
    })
}

fn entry_to_wire(entry: &Entry) -> Option<WireEntry<'_>> {
    let effect = match &entry.effect {
        Effect::None => None,
        Effect::RedactsEarlier => Some("".into()),
        Effect::RevokesAccess(user) => Some(user.as_str().into()),
    };
    Some(WireEntry(entry.seq.0, serde_json::from_slice(&entry.json).ok()?, effect))
}

fn from_wire(wire: Wire<'_>) -> Option<Hint> {
    let bytes = |raw: &RawValue| Bytes::copy_from_slice(raw.get().as_bytes());
    Some(match wire {
        Wire::Appended(key, topic, last, entries) => {
            // An entry that was appended just now has not been edited, so `edited` is not sent.
            let entry = |WireEntry(seq, json, effect): WireEntry<'_>| {
                let effect = match effect.as_deref() {
                    None => Effect::None,
                    Some("") => Effect::RedactsEarlier,
                    Some(user) => Effect::RevokesAccess(UserId::parse(user)?),
                };
                Some(Entry { seq: Seq(seq), json: bytes(json), effect, edited: false })
            };
            let entries = entries.into_iter().map(entry).collect::<Option<_>>()?;
            Hint::Appended { key, topic: TopicId::stored(&topic), entries, last: Seq(last) }
        }
        Wire::Activity(key, topic, last) => Hint::Activity { key, topic: TopicId::stored(&topic), last: Seq(last) },
        Wire::Message(key, after, json) => {
            Hint::Ephemeral { key, after: Seq(after), what: EphemeralEvent::Message(bytes(json)) }
        }
        Wire::Typing(key, after, json) => {
            Hint::Ephemeral { key, after: Seq(after), what: EphemeralEvent::Typing(bytes(json)) }
        }
        Wire::Joins(session) => Hint::Joins { session: SessionId(session) },
        Wire::Presence(topics) => Hint::Presence { topics },
        Wire::Ended(session) => Hint::Ended { session: SessionId(session) },
        Wire::Opened(session, stream) => Hint::Opened { session: SessionId(session), stream: StreamId(stream) },
        Wire::Pruned(key, up_to) => Hint::Pruned { key, up_to: Seq(up_to) },
        Wire::Lost => Hint::Lost,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hints_come_back_as_they_were() {
        let user = UserId::parse("ana").expect("an id");
        let json = Bytes::from_static(br#"{"seq":7,"content":{"b":1e400,"a":"\u0000 \"x\""}}"#);
        let entry = |seq, effect| Entry { seq: Seq(seq), json: json.clone(), effect, edited: false };
        let entries =
            vec![entry(7, Effect::None), entry(8, Effect::RevokesAccess(user)), entry(9, Effect::RedactsEarlier)];
        let (session, topic) = (SessionId(Uuid::from_u128(5)), TopicId::stored("room:\"é\" \\"));
        let hints = [
            Hint::Appended { key: 1, topic: topic.clone(), entries, last: Seq(9) },
            Hint::Activity { key: 1, topic, last: Seq(3) },
            Hint::Ephemeral { key: 2, after: Seq(4), what: EphemeralEvent::Message(json.clone()) },
            Hint::Ephemeral { key: 2, after: Seq(4), what: EphemeralEvent::Typing(json) },
            Hint::Joins { session },
            Hint::Presence { topics: vec![1, 2, 3] },
            Hint::Ended { session },
            Hint::Opened { session, stream: StreamId(12) },
            Hint::Pruned { key: 3, up_to: Seq(6) },
            Hint::Lost,
        ];
        assert_eq!(format!("{:?}", decode(&encode(&hints))), format!("{hints:?}"));
    }

    #[test]
    fn what_is_unknown_is_passed_over() {
        let hints = decode(r#"[{"zz":[1]},"l",{"p":["x"]},{"p":[4]}]"#);
        assert_eq!(format!("{hints:?}"), "[Lost, Presence { topics: [4] }]");
        assert!(decode("no list").is_empty());
    }
}
