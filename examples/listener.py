#!/usr/bin/env python3
"""Prints what happens in a room as lines of JSON, each {"event": …, "data": …}. It needs only Python.

    examples/listener.py room:lobby --base http://127.0.0.1:8080 --position lobby.json

The position file holds its account and how far it has read. With the file, the listener continues where it was, after a
restart of the service or of the listener: each message is printed once, in order. (If it is killed between printing a line
and writing the file, it prints that message a second time: compare `seq`.) The file holds a token, so keep it secret.
"""

import argparse
import http.client
import json
import os
import random
import secrets
import sys
import time
import urllib.error
import urllib.parse
import urllib.request

# In seconds. The service sends a comment every 15 seconds, so a stream that is silent for a minute is dead.
STREAM_TIMEOUT = 60

# The pause between two attempts, in seconds. It doubles until an event arrives.
SHORTEST_PAUSE = 0.5
LONGEST_PAUSE = 30


class SessionEnded(Exception):
    """The session is no longer valid, and a new one is needed."""


class Position:
    """The content of the file: the device id, the token of the session, the last event id, the last `seq`."""

    def __init__(self, path):
        self.path = path
        self.device_id = secrets.token_hex(16)
        self.token = ""
        self.last_event_id = ""
        self.seq = None
        if os.path.exists(path):
            with open(path, encoding="utf-8") as file:
                vars(self).update(json.load(file))

    def save(self):
        kept = {name: value for name, value in vars(self).items() if name != "path"}
        new = f"{self.path}.new"
        with open(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w", encoding="utf-8") as file:
            json.dump(kept, file)
        os.replace(new, self.path)


class Listener:
    def __init__(self, base, topic, position):
        self.base = base
        self.topic = topic
        self.position = position
        self.room = urllib.parse.quote(topic, safe="")
        self.pause = SHORTEST_PAUSE

    def call(self, method, path, body=None, headers=(), timeout=30):
        headers = dict(headers)
        if self.position.token:
            headers["Authorization"] = f"Bearer {self.position.token}"
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(self.base + path, data, headers, method=method)
        try:
            return urllib.request.urlopen(request, timeout=timeout)
        except urllib.error.HTTPError as error:
            if error.code == 401:
                raise SessionEnded from None
            raise

    def read(self, *call):
        with self.call(*call) as response:
            return json.load(response)

    def start(self):
        """Gets a new token for the session, or opens a new session. Then it joins; to join again changes nothing."""
        try:
            if not self.position.token:
                raise SessionEnded
            response = self.read("POST", "/v1/session/refresh")
        except SessionEnded:
            self.position.token = self.position.last_event_id = ""
            response = self.read("POST", "/v1/sessions", {"device_id": self.position.device_id, "username": "Listener"})
        self.position.token = response["token"]
        joined = self.read("PUT", f"/v1/session/topics/{self.room}")
        if self.position.seq is None:
            self.position.seq = joined["position"]
        self.position.save()
        if not self.position.last_event_id:
            # The stream carries what comes after this join. Messages between the last session and the join are in history.
            self.catch_up(joined["position"])

    def listen(self):
        """Reads the stream to its end."""
        headers = {"Last-Event-ID": self.position.last_event_id} if self.position.last_event_id else {}
        with self.call("GET", "/v1/session/events", None, headers, STREAM_TIMEOUT) as stream:
            if stream.status == 204:
                raise SessionEnded
            event, data, event_id = "", "", ""
            for line in stream:
                name, _, value = line.decode().rstrip("\n").partition(": ")
                if name == "event":
                    event = value
                elif name == "data":
                    data = value
                elif name == "id":
                    event_id = value
                elif not name and event:
                    self.handle(event, data, event_id)
                    event, data, event_id = "", "", ""

    def handle(self, event, data, event_id):
        self.pause = SHORTEST_PAUSE
        value = json.loads(data)
        if event == "gap" and not value.get("pruned"):
            self.catch_up(value["to_seq"])
        elif event == "message" and "seq" in value:
            self.print_message(value["seq"], data)
        elif event != "ready":
            print_event(event, data)
        if event == "bye" and value["reason"] == "replaced":
            # The id of this event means "do not reconnect", so it is not kept.
            raise SystemExit("another listener uses this position file")
        self.position.last_event_id = event_id or self.position.last_event_id
        self.position.save()
        if event == "left" and value["reason"] != "left":
            raise SystemExit("this account may no longer listen to the topic")

    def catch_up(self, end):
        """Reads from history what the stream does not send, up to this `seq`, and prints it."""
        while self.position.seq < end:
            query = f"direction=forward&changes=true&limit=100&at_seq={self.position.seq + 1}"
            with self.call("GET", f"/v1/topics/{self.room}/messages?{query}") as response:
                page = response.read().decode()
            messages = [message for message in messages_of(page) if message[0] <= end]
            for seq, text in messages:
                self.print_message(seq, text)
            if not messages:
                break
            self.position.save()

    def wait_before_retry(self, error=None):
        """Waits as long as `Retry-After` says, or longer each time. A random part keeps clients from retrying all at once."""
        if error is not None:
            print(f"listener: {error}; trying again", file=sys.stderr)
        retry_after = error.headers.get("Retry-After") if isinstance(error, urllib.error.HTTPError) else None
        time.sleep(int(retry_after) if retry_after else self.pause * (1 + random.random()))
        self.pause = min(2 * self.pause, LONGEST_PAUSE)

    def print_message(self, seq, text):
        """Skips what has been printed: the service repeats messages when it cannot use an event id any more."""
        if seq > self.position.seq:
            print_event("message", text)
            self.position.seq = seq


def messages_of(page):
    """Returns the messages of a page of history, each with its `seq`, as the text of the page: a number that Python has
    parsed may print as another number.
    """
    decoder = json.JSONDecoder()
    at = page.index("[") + 1
    while page[at] == "{":
        message, end = decoder.raw_decode(page, at)
        yield message["seq"], page[at:end]
        at = end + (page[end] == ",")


def print_event(event, data):
    try:
        print(f'{{"event": "{event}", "data": {data}}}', flush=True)
    except BrokenPipeError:
        # The reader of the pipe has ended. Without this, Python would report the error a second time at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise SystemExit(0) from None


def main():
    parser = argparse.ArgumentParser(description="Prints what happens in a room as lines of JSON.")
    parser.add_argument("topic", nargs="?", default="room:lobby")
    parser.add_argument("--base", default="http://127.0.0.1:8080")
    parser.add_argument("--position", default="listener.json", help="the file that holds how far it has read")
    options = parser.parse_args()
    position = Position(options.position)
    position.save()  # fails now, and not after something was read, if the file cannot be written
    listener = Listener(options.base.rstrip("/"), options.topic, position)
    while True:
        try:
            listener.start()
            listener.listen()
            listener.wait_before_retry()
        except SessionEnded:
            position.token = ""
        except urllib.error.HTTPError as refused:
            if refused.code < 500 and refused.code != 429:
                raise SystemExit(f"{refused.code}: {refused.read().decode()}") from None
            listener.wait_before_retry(refused)
        except (OSError, http.client.HTTPException) as broken:
            listener.wait_before_retry(broken)


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:
        sys.exit(0)
