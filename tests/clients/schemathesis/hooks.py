"""Hooks that give schemathesis what the schema does not contain: how to sign in, existing users, groups and messages to
act on, and rules that OpenAPI cannot express. `PARLOUR_BASE` is the address of the service.
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
    """The user who makes the calls. When a call has ended the session, a new one is opened and joins the same room."""

    def __init__(self):
        self.http = requests.Session()
        self.left_groups = set()
        self.sign_in()

    def sign_in(self):
        opened = open_session(DEVICE)
        self.token = opened["token"]
        self.user_id = opened["session"]["user"]["user_id"]
        self.call("PUT", f"/v1/session/topics/{ROOM}")

    def call(self, method, path, body=None):
        headers = {"Authorization": f"Bearer {self.token}"}
        response = self.http.request(method, BASE + path, json=body, headers=headers, timeout=10)
        response.raise_for_status()
        return response.json()


class Targets:
    """The targets of calls: another user, a group of the caller with that user as a member, and a message. The group
    and the message are created again after a call that may have deleted them.
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
    response = requests.post(f"{BASE}/v1/sessions", json={"device_id": device}, timeout=10)
    response.raise_for_status()
    return response.json()


caller = Caller()
targets = Targets()


@schemathesis.hook
def before_load_schema(context, raw_schema):
    """Adds a schema of the stream's events. OpenAPI 3.1 can only describe a stream as one text; schemathesis supports
    `itemSchema` of OpenAPI 3.2. The events are those of the long poll, with their data as text that contains JSON.
    """
    response = raw_schema["paths"]["/v1/session/events"]["get"]["responses"]["200"]
    events = raw_schema["components"]["schemas"]["StreamEvent"]["oneOf"]
    response["content"]["text/event-stream"]["itemSchema"] = {"oneOf": [as_text(event) for event in events]}


def as_text(event):
    properties = event["properties"]
    data = {"type": "string", "contentMediaType": "application/json", "contentSchema": properties["data"]}
    return {"type": "object", "required": ["event", "data"], "properties": {**properties, "data": data}}


@schemathesis.auth(refresh_interval=None).skip_for(operation_id="open_session")
class SessionToken:
    """The token of the caller's current session. It is read for each call and never cached."""

    def get(self, case, context):
        return caller.token

    def set(self, case, token, context):
        case.headers["Authorization"] = f"Bearer {token}"


@schemathesis.hook
def map_path_parameters(context, path_parameters):
    """Replaces three of four random ids by the id of an existing target. Ids of a wrong form stay wrong."""
    existing = {
        "group_id": (UUID, targets.group_id),
        "message_id": (UUID, targets.message_id),
        "topic": (re.compile("room(:|%3A).+"), lambda: ROOM),
        "user_id": (re.compile(r"[A-Za-z0-9._@|~+=-]{1,128}"), lambda: targets.other),
    }

    def replaced(name, value):
        form, target_id = existing.get(name, (None, None))
        is_replaced = form and isinstance(value, str) and form.fullmatch(value) and ord(value[-1]) % 4
        return target_id() if is_replaced else value

    return {name: replaced(name, value) for name, value in (path_parameters or {}).items()}


@schemathesis.hook
def map_query(context, query):
    """Removes all starts of a page of history but one. With several, the service would refuse most requests."""
    starts = [name for name in ("at_time", "at_seq", "cursor") if name in (query or {})]
    return {name: value for name, value in query.items() if name not in starts[1:]} if query else query


@schemathesis.hook
def before_call(context, case, kwargs):
    """Makes a request with `wait` a long poll, which accepts JSON, and shortens a valid `wait` to at most one second.
    Without `wait` the request opens the stream, of which schemathesis reads `max-stream-events` events.
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
        targets.group = None
    if case.path == "/v1/groups/{group_id}/leave":
        caller.left_groups.add(case.path_parameters["group_id"])
    if case.path == "/v1/session/topics/{topic}":
        caller.call("PUT", f"/v1/session/topics/{ROOM}")
    if case.method == "DELETE" and case.path == "/v1/topics/{topic}/messages/{message_id}":
        targets.message = None


def broken_rule(case, problem):
    """Returns the rule that a request has broken although it is valid by the schema, because OpenAPI cannot express the
    rule; `None` if there is no such rule.
    """
    query = case.query or {}
    path = case.path_parameters or {}
    headers = case.headers or {}
    body = case.body if isinstance(case.body, dict) else {}
    topic = unquote(str(path.get("topic")))
    user = unquote(str(path.get("user_id")))
    code = problem["code"]
    if code == "bad_cursor":
        return "a cursor belongs to the list that returned it" if "cursor" in query else None
    if code == "idempotency_key_reused":
        return "a key belongs to one body" if "Idempotency-Key" in headers else None
    broken = {
        "a page has one start": len({"at_seq", "at_time", "cursor"} & query.keys()) > 1,
        "a device id is required without a token": case.path == "/v1/sessions" and body.get("device_id") is None,
        "an ephemeral message has no idempotency key": body.get("ephemeral") is True and "Idempotency-Key" in headers,
        "a user cannot block themselves": case.path == "/v1/me/blocks/{user_id}" and user == caller.user_id,
        "a direct message has two users, in order": topic.startswith("dm:") and not in_order(topic),
        "the length of a room's name is in bytes": topic.startswith("room:") and len(topic.encode()) > 5 + 128,
    }
    return next((rule for rule, is_broken in broken.items() if is_broken and code == "invalid"), None)


def in_order(dm):
    users = dm.split(":")[1:]
    return users != [caller.user_id] and sorted(set(users)) == users


@schemathesis.hook
def filter_failure(context, failure, case, response):
    if isinstance(failure, RejectedPositiveData):
        return broken_rule(case, response.json()) is None
    if isinstance(failure, EnsureResourceAvailability):
        # A group is deleted when its last member leaves it; schemathesis takes only a `DELETE` for a deletion.
        return (case.path_parameters or {}).get("group_id") not in caller.left_groups
    return True
