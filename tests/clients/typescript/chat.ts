// A client with the types that openapi-typescript makes of openapi.yaml (`parlour.d.ts`): all that it may send and all
// that it gets is checked by tsc. Its one argument is where the service listens; it ends with 0 if all was as it should
// be.

import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";

import createClient from "openapi-fetch";

import type { components, paths } from "./parlour.js";

type Message = components["schemas"]["Message"];
type Problem = components["schemas"]["Problem"];

const client = createClient<paths>({ baseUrl: process.argv[2] });
const topic = "room:types";

/** What a call has answered, where it must not be refused. */
function taken<T>({ data, error }: { data?: T; error?: Problem }): T {
  if (data === undefined) throw new Error(error ? `${error.code}: ${error.detail}` : "an empty answer");
  return data;
}

async function send(content: Message["content"], key = randomUUID()): Promise<Message> {
  const params = { path: { topic }, header: { "Idempotency-Key": key } };
  const sent = taken(await client.POST("/v1/topics/{topic}/messages", { params, body: { content } }));
  assert("seq" in sent, "what is not ephemeral has a place");
  return sent;
}

/** The whole history, oldest first, page by page. */
async function history(limit: number): Promise<Message[]> {
  const messages: Message[] = [];
  let cursor: string | undefined;
  for (;;) {
    const query = { direction: "forward", limit, cursor } as const;
    const page = taken(await client.GET("/v1/topics/{topic}/messages", { params: { path: { topic }, query } }));
    if (page.messages.length === 0) return messages;
    messages.push(...page.messages);
    cursor = page.next_cursor ?? undefined;
  }
}

const opened = taken(await client.POST("/v1/sessions", { body: { device_id: randomUUID(), username: "Ana" } }));
client.use({
  onRequest({ request }) {
    request.headers.set("Authorization", `Bearer ${opened.token}`);
    return request;
  },
});

// A refusal is a value with a type, too.
const early = await client.POST("/v1/topics/{topic}/messages", { params: { path: { topic } }, body: { content: 1 } });
assert.equal(early.response.status, 409);
assert.equal(early.error?.code, "not_joined");

const joined = taken(await client.PUT("/v1/session/topics/{topic}", { params: { path: { topic } } }));
assert.equal(joined.topic.type, "room");
assert.equal(joined.self.user_id, opened.session.user.user_id);

const first = await send({ text: "hello", at: [1, 2.5, null] });
assert.deepEqual(first.content, { text: "hello", at: [1, 2.5, null] });
const key = randomUUID();
const second = await send("again", key);
assert.deepEqual(await send("again", key), second, "a repeat answers with the first");
for (const number of [3, 4, 5]) await send(number);

const edited = taken(
  await client.PATCH("/v1/topics/{topic}/messages/{message_id}", {
    params: { path: { topic, message_id: first.id } },
    body: { content: { text: "hello again" } },
  }),
);
assert(edited.edited_at !== undefined);

const read = await history(2);
assert.deepEqual(read.map((message) => message.content), [{ text: "hello again" }, "again", 3, 4, 5]);
assert.deepEqual(read.map((message) => message.seq), [1, 2, 3, 4, 5]);

const poll = taken(await client.GET("/v1/session/events", { headers: { Accept: "application/json" } }));
assert(typeof poll !== "string", "JSON was asked for");
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
