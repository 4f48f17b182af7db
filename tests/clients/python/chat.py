"""A client that openapi-python-client made of openapi.yaml (the package `parlour`): every answer is a value of a class.

Its one argument is where the service listens; it ends with 0 if all was as it should be.
"""

import datetime
import sys
import uuid

from parlour import AuthenticatedClient, Client
from parlour.api.messages import edit_message, read_history, send_message
from parlour.api.sessions import end_session, open_session, read_session
from parlour.api.topics import join_topic
from parlour.models import (
    EditMessage,
    JoinTopic,
    Joined,
    Message,
    MessageList,
    OpenedSession,
    OpenSession,
    OwnSession,
    Problem,
    ReadHistoryDirection,
    SendMessage,
    TopicKind,
)
from parlour.types import UNSET

TOPIC = "room:models"


def of(kind, value):
    assert isinstance(value, kind), f"{kind.__name__} expected, not {value}"
    return value


def open_one(base):
    body = OpenSession(device_id=uuid.uuid4().hex, username="Ana")
    opened = of(OpenedSession, open_session.sync(client=Client(base_url=base), body=body))
    assert opened.session.user.username == "Ana"
    assert opened.session.expires_at > datetime.datetime.now(datetime.timezone.utc)
    return opened


def history(client, limit):
    """The whole history, oldest first, page by page."""
    messages, cursor = [], UNSET
    while True:
        page = of(
            MessageList,
            read_history.sync(
                TOPIC, client=client, direction=ReadHistoryDirection.FORWARD, limit=limit, cursor=cursor
            ),
        )
        if not page.messages:
            return messages
        messages += page.messages
        cursor = page.next_cursor


def main(base):
    opened = open_one(base)
    client = AuthenticatedClient(base_url=base, token=opened.token)

    refused = of(Problem, send_message.sync(TOPIC, client=client, body=SendMessage(content=1)))
    assert (refused.status, refused.code) == (409, "not_joined")

    joined = of(Joined, join_topic.sync(TOPIC, client=client, body=JoinTopic()))
    assert (joined.topic.type_, joined.self_.user_id) == (TopicKind.ROOM, opened.session.user.user_id)

    contents = [{"text": "hello", "at": [1, 2.5, None]}, "again", 3, None, 5]
    sent = [of(Message, send_message.sync(TOPIC, client=client, body=SendMessage(content=it))) for it in contents]
    assert [message.seq for message in sent] == [1, 2, 3, 4, 5]
    edited = edit_message.sync(TOPIC, sent[1].id, client=client, body=EditMessage(content="once more"))
    assert of(Message, edited).edited_at >= sent[1].created_at

    read = [of(Message, message) for message in history(client, limit=2)]
    assert [message.content for message in read] == [contents[0], "once more", 3, None, 5]
    assert [message.id for message in read] == [message.id for message in sent]
    assert read[0] == sent[0]

    assert [join.topic.id for join in of(OwnSession, read_session.sync(client=client)).topics] == [TOPIC]
    assert end_session.sync_detailed(client=client).status_code == 204
    assert of(Problem, read_session.sync(client=client)).code == "unauthenticated"
    print(f"read {len(read)} messages")


main(sys.argv[1])
