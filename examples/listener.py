#!/usr/bin/env python3
"""Prints what happens in a room as lines of JSON, each {"event": …, "data": …}; needs nothing but Python.

    examples/listener.py room:lobby --base http://127.0.0.1:8080 --position lobby.json

The position file holds who it is and how far it has read. With it, it goes on where it was, whoever of the two was
restarted meanwhile: each message is printed once, in order. (Killed right between a line and the file, it prints that
message again rather than never: compare `seq`.) The file holds a token: keep it to yourself.
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

# A comment comes every 15 seconds: who hears nothing for a minute holds a dead line.
SILENCE = 60

# Between attempts, in seconds; it doubles until something comes.
SHORTEST_PAUSE, LONGEST_PAUSE = 0.5, 30


class Over(Exception):
    """The session is not good any more, and a new one is needed."""


class Position:
    """What is kept in the file: the device that we are, the session's token, the stream's last id, the last `seq`."""

    def __init__(self, path):
        self.path = path
        self.device_id, self.token, self.last_event_id, self.seq = secrets.token_hex(16), "", "", None
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
        self.base, self.topic, self.position = base, topic, position
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
                raise Over from None
            raise

    def read(self, *call):
        with self.call(*call) as answer:
            return json.load(answer)

    def start(self):
        """A new token for the session that there is, or a new session. Either joins: a repeat moves nothing."""
        try:
            if not self.position.token:
                raise Over
            answer = self.read("POST", "/v1/session/refresh")
        except Over:
            self.position.token = self.position.last_event_id = ""
            answer = self.read("POST", "/v1/sessions", {"device_id": self.position.device_id, "username": "Listener"})
        self.position.token = answer["token"]
        joined = self.read("PUT", f"/v1/session/topics/{self.room}")
        if self.position.seq is None:
            self.position.seq = joined["position"]
        self.position.save()
        if not self.position.last_event_id:
            # The stream carries what comes after this join. Whatever was said since the last session is history.
            self.catch_up(joined["position"])

    def listen(self):
        """Reads the stream to its end."""
        headers = {"Last-Event-ID": self.position.last_event_id} if self.position.last_event_id else {}
        with self.call("GET", "/v1/session/events", None, headers, SILENCE) as stream:
            if stream.status == 204:
                raise Over
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
                    self.take(event, data, event_id)
                    event, data, event_id = "", "", ""

    def take(self, event, data, event_id):
        self.pause = SHORTEST_PAUSE
        value = json.loads(data)
        if event == "gap" and not value.get("pruned"):
            self.catch_up(value["to_seq"])
        elif event == "message" and "seq" in value:
            self.print_message(value["seq"], data)
        elif event != "ready":
            tell(event, data)
        if event == "bye" and value["reason"] == "replaced":
            # Its id says "do not come back", and is not kept.
            raise SystemExit("another listener uses this position file")
        self.position.last_event_id = event_id or self.position.last_event_id
        self.position.save()
        if event == "left" and value["reason"] != "left":
            raise SystemExit("we may not listen here any more")

    def catch_up(self, end):
        """Prints what the stream does not send, up to this `seq`, from history."""
        while self.position.seq < end:
            query = f"direction=forward&changes=true&limit=100&at_seq={self.position.seq + 1}"
            with self.call("GET", f"/v1/topics/{self.room}/messages?{query}") as answer:
                page = answer.read().decode()
            messages = [message for message in messages_of(page) if message[0] <= end]
            for seq, text in messages:
                self.print_message(seq, text)
            if not messages:
                break
            self.position.save()

    def rest(self, error=None):
        """As long as the service asks for, or longer each time; a part of it by chance, so that not all come at once."""
        if error is not None:
            print(f"listener: {error}; trying again", file=sys.stderr)
        asked = error.headers.get("Retry-After") if isinstance(error, urllib.error.HTTPError) else None
        time.sleep(int(asked) if asked else self.pause * (1 + random.random()))
        self.pause = min(2 * self.pause, LONGEST_PAUSE)

    def print_message(self, seq, text):
        """Skips what has been printed: an id that the service cannot use any more makes it repeat."""
        if seq > self.position.seq:
            tell("message", text)
            self.position.seq = seq


def messages_of(page):
    """The messages of a page of history, each with its `seq`, as they stand there: what Python made of a number might
    be another one.
    """
    decoder, at = json.JSONDecoder(), page.index("[") + 1
    while page[at] == "{":
        message, end = decoder.raw_decode(page, at)
        yield message["seq"], page[at:end]
        at = end + (page[end] == ",")


def tell(event, data):
    try:
        print(f'{{"event": "{event}", "data": {data}}}', flush=True)
    except BrokenPipeError:
        # Nobody reads any more; Python would complain once more at its end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise SystemExit(0) from None


def main():
    parser = argparse.ArgumentParser(description="Prints what happens in a room as lines of JSON.")
    parser.add_argument("topic", nargs="?", default="room:lobby")
    parser.add_argument("--base", default="http://127.0.0.1:8080")
    parser.add_argument("--position", default="listener.json", help="the file that holds how far it has read")
    options = parser.parse_args()
    position = Position(options.position)
    position.save()  # a file that cannot be written is better told now than when something has been read
    listener = Listener(options.base.rstrip("/"), options.topic, position)
    while True:
        try:
            listener.start()
            listener.listen()
            listener.rest()
        except Over:
            position.token = ""
        except urllib.error.HTTPError as refused:
            if refused.code < 500 and refused.code != 429:
                raise SystemExit(f"{refused.code}: {refused.read().decode()}") from None
            listener.rest(refused)
        except (OSError, http.client.HTTPException) as broken:
            listener.rest(broken)


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:
        sys.exit(0)
