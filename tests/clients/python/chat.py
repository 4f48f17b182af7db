"""Uses the client that openapi-python-client generates from openapi.yaml, the package `parlour`: every response is an
instance of a model class.

The only argument is the address of the service. The exit status is 0 if all checks pass.
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


def expect(kind, value):
    """Returns the value if it is of this class."""
    assert isinstance(value, kind), f"{kind.__name__} expected, not {value}"
    return value


def open_new_session(base):
    body = OpenSession(device_id=uuid.uuid4().hex, username="Ana")
    opened = expect(OpenedSession, open_session.sync(client=Client(base_url=base), body=body))
    assert opened.session.user.username == "Ana"
    assert opened.session.expires_at > datetime.datetime.now(datetime.timezone.utc)
    return opened


def history(client, limit):
    """Returns the whole history, oldest first, read page by page."""
    messages, cursor = [], UNSET
    while True:
        page = expect(
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
    opened = open_new_session(base)
    client = AuthenticatedClient(base_url=base, token=opened.token)

    refused = expect(Problem, send_message.sync(TOPIC, client=client, body=SendMessage(content=1)))
    assert (refused.status, refused.code) == (409, "not_joined")

    joined = expect(Joined, join_topic.sync(TOPIC, client=client, body=JoinTopic()))
    assert (joined.topic.type_, joined.self_.user_id) == (TopicKind.ROOM, opened.session.user.user_id)

    contents = [{"text": "hello", "at": [1, 2.5, None]}, "again", 3, None, 5]
    sent = [expect(Message, send_message.sync(TOPIC, client=client, body=SendMessage(content=it))) for it in contents]
    assert [message.seq for message in sent] == [1, 2, 3, 4, 5]
    edited = edit_message.sync(TOPIC, sent[1].id, client=client, body=EditMessage(content="edited"))
    assert expect(Message, edited).edited_at >= sent[1].created_at

    read = [expect(Message, message) for message in history(client, limit=2)]
    assert [message.content for message in read] == [contents[0], "edited", 3, None, 5]
    assert [message.id for message in read] == [message.id for message in sent]
    assert read[0] == sent[0]

    assert [join.topic.id for join in expect(OwnSession, read_session.sync(client=client)).topics] == [TOPIC]
    assert end_session.sync_detailed(client=client).status_code == 204
    assert expect(Problem, read_session.sync(client=client)).code == "unauthenticated"
    print(f"read {len(read)} messages")


main(sys.argv[1])
