/**
 * The client module of Parlour: plain ES modules, no dependencies, no build step. `parlour.d.ts` describes its types
 * and what each part promises.
 *
 * The files in `parlour/`: `client.js` is the class that a page uses, `topic.js` keeps the order of a topic, and
 * `timeline.js` is a window onto a topic's messages. Below them, `session.js` holds the session and its token,
 * `authorized-calls.js` makes calls with it, `stream.js` keeps the stream open, `tabs.js` shares it among tabs,
 * `outbox.js` sends messages, `resume-state.js` keeps what a reload needs, and `api.js` makes single calls.
 */
export { ParlourError } from "./parlour/api.js";
export { Parlour } from "./parlour/client.js";
export { Timeline } from "./parlour/timeline.js";
export { Topic } from "./parlour/topic.js";
