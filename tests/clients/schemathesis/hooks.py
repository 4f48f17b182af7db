"""What schemathesis has to be told about the service: how to sign in, whom and what there is to act on, and what no
schema can say. `PARLOUR_BASE` is where the service listens.
"""

import os
import re
import secrets
from urllib.parse import unquote

import requests
import schemathesis
from schemathesis.openapi.checks import RejectedPositiveData

BASE = os.environ["PARLOUR_BASE"]
DEVICE = secrets.token_hex(16)
UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")


def open_session(device):
    answer = requests.post(f"{BASE}/v1/sessions", json={"device_id": device}, timeout=10)
    answer.raise_for_status()
    return answer.json()


def signed_in(device):
    """A new session of this device's user: its token, and the user's id."""
    opened = open_session(device)
    return opened["token"], opened["session"]["user"]["user_id"]


class Caller:
    """Whose calls these are. A new session follows each that a call has ended."""

    def __init__(self):
        self.token, self.user_id = signed_in(DEVICE)

    def start_anew(self):
        self.token, self.user_id = signed_in(DEVICE)


class Stage:
    """What calls can be about: another user, and a group of the caller's that this one is in. Made anew when gone."""

    def __init__(self):
        self.other = signed_in(secrets.token_hex(16))[1]
        self.group = None

    def group_id(self):
        if self.group is None:
            headers = {"Authorization": f"Bearer {caller.token}"}
            made = requests.post(f"{BASE}/v1/groups", json={"name": "Stage"}, headers=headers, timeout=10)
            self.group = made.json()["id"]
            member = f"{BASE}/v1/groups/{self.group}/members/{self.other}"
            requests.put(member, headers=headers, timeout=10).raise_for_status()
        return self.group


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
    """About half of the ids that would name nobody and nothing name what there is. Wrong ids stay wrong."""
    named = dict(path_parameters or {})
    group = named.get("group_id")
    if isinstance(group, str) and UUID.fullmatch(group) and group[-1] in "02468ace":
        named["group_id"] = stage.group_id()
    user = named.get("user_id")
    if isinstance(user, str) and re.fullmatch(r"[A-Za-z0-9._@|~+=-]{1,128}", user) and ord(user[-1]) % 2:
        named["user_id"] = stage.other
    return named


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
    ended = case.method == "DELETE" and response.status_code == 204
    if ended and case.path in ("/v1/session", "/v1/me/sessions/{session_id}"):
        caller.start_anew()
    if case.path.startswith("/v1/groups/{group_id}") and response.status_code < 300:
        stage.group = None


def rule(case, problem):
    """Which rule a valid request has broken that OpenAPI has no words for; `None` where it has."""
    query, path, headers = case.query or {}, case.path_parameters or {}, case.headers or {}
    body = case.body if isinstance(case.body, dict) else {}
    topic, user, code = unquote(str(path.get("topic"))), unquote(str(path.get("user_id"))), problem["code"]
    broken = {
        "a cursor is of this very list": code == "bad_cursor" and "cursor" in query,
        "a key goes with one body": code == "idempotency_key_reused" and "Idempotency-Key" in headers,
        "a page has one start": code == "invalid" and len({"at_seq", "at_time", "cursor"} & query.keys()) > 1,
        "without a token there has to be a device": case.path == "/v1/sessions" and body.get("device_id") is None,
        "what is not stored cannot be found again": body.get("ephemeral") is True and "Idempotency-Key" in headers,
        "nobody blocks themselves": case.path == "/v1/me/blocks/{user_id}" and user == caller.user_id,
        "a direct message takes two users, in order": topic.startswith("dm:") and not in_order(topic),
        "a room's name is counted in bytes": topic.startswith("room:") and len(topic.encode()) > 5 + 128,
    }
    return next((rule for rule, is_broken in broken.items() if is_broken), None)


def in_order(dm):
    users = dm.split(":")[1:]
    return users != [caller.user_id] and sorted(set(users)) == users


@schemathesis.hook
def filter_failure(context, failure, case, response):
    if isinstance(failure, RejectedPositiveData):
        return rule(case, response.json()) is None
    return True
