"""What schemathesis has to be told about the service: how to sign in, whom and what there is to act on, and what no
schema can say. `PARLOUR_BASE` is where the service listens.
"""

import os
import re
import secrets
from urllib.parse import unquote

import requests
import schemathesis
from schemathesis.openapi.checks import EnsureResourceAvailability, RejectedPositiveData

BASE = os.environ["PARLOUR_BASE"]
DEVICE = secrets.token_hex(16)
ROOM = "room:stage"
UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")


class Caller:
    """Whose calls these are. A new session follows each that a call has ended, in the same room."""

    def __init__(self):
        self.session = requests.Session()
        self.left = set()
        self.sign_in()

    def sign_in(self):
        opened = open_session(DEVICE)
        self.token, self.user_id = opened["token"], opened["session"]["user"]["user_id"]
        self.call("PUT", f"/v1/session/topics/{ROOM}")

    def call(self, method, path, body=None):
        headers = {"Authorization": f"Bearer {self.token}"}
        answer = self.session.request(method, BASE + path, json=body, headers=headers, timeout=10)
        answer.raise_for_status()
        return answer.json()


class Stage:
    """What calls can be about: another user, a group of the caller's that this one is in, and a message. The latter two
    are made anew when they may be gone.
    """

    def __init__(self):
        self.other = open_session(secrets.token_hex(16))["session"]["user"]["user_id"]
        self.group = self.message = None

    def group_id(self):
        if self.group is None:
            self.group = caller.call("POST", "/v1/groups", {"name": "Stage"})["id"]
            caller.call("PUT", f"/v1/groups/{self.group}/members/{self.other}")
        return self.group

    def message_id(self):
        if self.message is None:
            self.message = caller.call("POST", f"/v1/topics/{ROOM}/messages", {"content": "Stage"})["id"]
        return self.message


def open_session(device):
    answer = requests.post(f"{BASE}/v1/sessions", json={"device_id": device}, timeout=10)
    answer.raise_for_status()
    return answer.json()


caller = Caller()
stage = Stage()


@schemathesis.hook
def before_load_schema(context, raw_schema):
    """OpenAPI 3.1 describes the text of a whole stream; that of its events is 3.2's `itemSchema`, which schemathesis
    knows. The events are those of the long poll, but that their data is text that holds JSON.
    """
    answer = raw_schema["paths"]["/v1/session/events"]["get"]["responses"]["200"]
    events = raw_schema["components"]["schemas"]["StreamEvent"]["oneOf"]
    answer["content"]["text/event-stream"]["itemSchema"] = {"oneOf": [as_text(event) for event in events]}


def as_text(event):
    named = event["properties"]
    data = {"type": "string", "contentMediaType": "application/json", "contentSchema": named["data"]}
    return {"type": "object", "required": ["event", "data"], "properties": {**named, "data": data}}


@schemathesis.auth(refresh_interval=None).skip_for(operation_id="open_session")
class SessionToken:
    """The token of the caller's session of now, never a kept one."""

    def get(self, case, context):
        return caller.token

    def set(self, case, token, context):
        case.headers["Authorization"] = f"Bearer {token}"


@schemathesis.hook
def map_path_parameters(context, path_parameters):
    """Most of the ids that would name nobody and nothing name what there is. Wrong ids stay wrong."""
    known = {
        "group_id": (UUID, stage.group_id),
        "message_id": (UUID, stage.message_id),
        "topic": (re.compile("room(:|%3A).+"), lambda: ROOM),
        "user_id": (re.compile(r"[A-Za-z0-9._@|~+=-]{1,128}"), lambda: stage.other),
    }

    def named(name, value):
        form, made = known.get(name, (None, None))
        is_changed = form and isinstance(value, str) and form.fullmatch(value) and ord(value[-1]) % 4
        return made() if is_changed else value

    return {name: named(name, value) for name, value in (path_parameters or {}).items()}


@schemathesis.hook
def map_query(context, query):
    """A page of history has one start. Where there are more, most pages would be refused, and nothing else be seen."""
    starts = [name for name in ("at_time", "at_seq", "cursor") if name in (query or {})]
    return {name: value for name, value in query.items() if name not in starts[1:]} if query else query


@schemathesis.hook
def before_call(context, case, kwargs):
    """A `wait` is a long poll's, and a long poll asks for JSON; without one it is the stream, of which schemathesis
    reads as many events as it is told to. Nothing is learnt from waiting out a valid `wait`.
    """
    query = case.query or {}
    if case.operation.definition.raw.get("operationId") == "stream_events" and "wait" in query:
        case.headers["Accept"] = "application/json"
        if re.fullmatch("[0-9]{1,2}", str(query["wait"])) and int(query["wait"]) <= 30:
            query["wait"] = int(query["wait"]) % 2


@schemathesis.hook
def after_call(context, case, response):
    if case.method == "GET" or response.status_code >= 300:
        return
    if case.path in ("/v1/session", "/v1/me/sessions/{session_id}"):
        caller.sign_in()
    if case.path.startswith("/v1/groups/{group_id}"):
        stage.group = None
    if case.path == "/v1/groups/{group_id}/leave":
        caller.left.add(case.path_parameters["group_id"])
    if case.path == "/v1/session/topics/{topic}":
        caller.call("PUT", f"/v1/session/topics/{ROOM}")
    if case.method == "DELETE" and case.path == "/v1/topics/{topic}/messages/{message_id}":
        stage.message = None


def rule(case, problem):
    """Which rule a valid request has broken that OpenAPI has no words for; `None` where it has."""
    query, path, headers = case.query or {}, case.path_parameters or {}, case.headers or {}
    body = case.body if isinstance(case.body, dict) else {}
    topic, user, code = unquote(str(path.get("topic"))), unquote(str(path.get("user_id"))), problem["code"]
    if code == "bad_cursor":
        return "a cursor is of this very list" if "cursor" in query else None
    if code == "idempotency_key_reused":
        return "a key goes with one body" if "Idempotency-Key" in headers else None
    broken = {
        "a page has one start": len({"at_seq", "at_time", "cursor"} & query.keys()) > 1,
        "without a token there has to be a device": case.path == "/v1/sessions" and body.get("device_id") is None,
        "what is not stored cannot be found again": body.get("ephemeral") is True and "Idempotency-Key" in headers,
        "nobody blocks themselves": case.path == "/v1/me/blocks/{user_id}" and user == caller.user_id,
        "a direct message takes two users, in order": topic.startswith("dm:") and not in_order(topic),
        "a room's name is counted in bytes": topic.startswith("room:") and len(topic.encode()) > 5 + 128,
    }
    return next((rule for rule, is_broken in broken.items() if is_broken and code == "invalid"), None)


def in_order(dm):
    users = dm.split(":")[1:]
    return users != [caller.user_id] and sorted(set(users)) == users


@schemathesis.hook
def filter_failure(context, failure, case, response):
    if isinstance(failure, RejectedPositiveData):
        return rule(case, response.json()) is None
    if isinstance(failure, EnsureResourceAvailability):
        # A group ends when the last of its members leaves it, and schemathesis takes only a `DELETE` for an end.
        return (case.path_parameters or {}).get("group_id") not in caller.left
    return True
