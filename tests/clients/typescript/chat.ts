// Uses the types that openapi-typescript generates from openapi.yaml (`parlour.d.ts`): tsc checks all requests and all
// responses. The only argument is the address of the service. The exit status is 0 if all checks pass.

import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";

import createClient from "openapi-fetch";

import type { components, paths } from "./parlour.js";

type Message = components["schemas"]["Message"];
type Problem = components["schemas"]["Problem"];

const client = createClient<paths>({ baseUrl: process.argv[2] });
const topic = "room:types";

/** Returns the body of a response. Throws if the call was refused. */
function bodyOf<T>({ data, error }: { data?: T; error?: Problem }): T {
  if (data === undefined) throw new Error(error ? `${error.code}: ${error.detail}` : "an empty response");
  return data;
}

async function send(content: Message["content"], key = randomUUID()): Promise<Message> {
  const params = { path: { topic }, header: { "Idempotency-Key": key } };
  const sent = bodyOf(await client.POST("/v1/topics/{topic}/messages", { params, body: { content } }));
  assert("seq" in sent, "a stored message has a seq");
  return sent;
}

/** Returns the whole history, oldest first, read page by page. */
async function history(limit: number): Promise<Message[]> {
  const messages: Message[] = [];
  let cursor: string | undefined;
  for (;;) {
    const query = { direction: "forward", limit, cursor } as const;
    const page = bodyOf(await client.GET("/v1/topics/{topic}/messages", { params: { path: { topic }, query } }));
    if (page.messages.length === 0) return messages;
    messages.push(...page.messages);
    cursor = page.next_cursor ?? undefined;
  }
}

const opened = bodyOf(await client.POST("/v1/sessions", { body: { device_id: randomUUID(), username: "Ana" } }));
client.use({
  onRequest({ request }) {
    request.headers.set("Authorization", `Bearer ${opened.token}`);
    return request;
  },
});

// An error is a typed value, too.
const early = await client.POST("/v1/topics/{topic}/messages", { params: { path: { topic } }, body: { content: 1 } });
assert.equal(early.response.status, 409);
assert.equal(early.error?.code, "not_joined");

const joined = bodyOf(await client.PUT("/v1/session/topics/{topic}", { params: { path: { topic } } }));
assert.equal(joined.topic.type, "room");
assert.equal(joined.self.user_id, opened.session.user.user_id);

const first = await send({ text: "hello", at: [1, 2.5, null] });
assert.deepEqual(first.content, { text: "hello", at: [1, 2.5, null] });
const key = randomUUID();
const second = await send("again", key);
assert.deepEqual(await send("again", key), second, "a repeated send returns the first message");
for (const number of [3, 4, 5]) await send(number);

const edited = bodyOf(
  await client.PATCH("/v1/topics/{topic}/messages/{message_id}", {
    params: { path: { topic, message_id: first.id } },
    body: { content: { text: "hello again" } },
  }),
);
assert(edited.edited_at !== undefined);

const read = await history(2);
assert.deepEqual(read.map((message) => message.content), [{ text: "hello again" }, "again", 3, 4, 5]);
assert.deepEqual(read.map((message) => message.seq), [1, 2, 3, 4, 5]);

const poll = bodyOf(await client.GET("/v1/session/events", { headers: { Accept: "application/json" } }));
assert(typeof poll !== "string", "the request accepts JSON only");
for (const event of poll.events) {
  if (event.event === "ready") assert.equal(event.data.user_id, opened.session.user.user_id);
}
assert.equal(poll.events[0]?.event, "ready");

const ended = await client.DELETE("/v1/session");
assert.equal(ended.response.status, 204);
const late = await client.GET("/v1/session");
assert.equal(late.response.status, 401);
assert.equal(late.error?.code, "unauthenticated");
console.log(`read ${read.length} messages`);
