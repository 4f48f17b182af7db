/**
 * The client module of Parlour: plain modules, no dependency, no build step. Its types, and what each part promises,
 * stand in `parlour.d.ts`.
 *
 * Where things are: `client.js` is what a page talks to; `topic.js` keeps the order of a topic; `timeline.js` is a window
 * onto one, for showing it. Below them, `account.js` has the session and its tokens, `stream.js` the connection that
 * listens, `tabs.js` makes several tabs share it, `sends.js` what goes out, `api.js` the calls.
 */
export { ParlourError } from "./parlour/api.js";
export { Parlour } from "./parlour/client.js";
export { Timeline } from "./parlour/timeline.js";
export { Topic } from "./parlour/topic.js";
