/** A parser of Server-Sent Events (WHATWG HTML §9.2) that takes the text of a response in pieces of any size. */

export class EventParser {
  /** Text after the last complete line. */
  #incomplete = "";
  #event = "";
  #data = [];
  #id;
  /** The last `retry:` field: how long the service wants clients to wait before they reconnect, in milliseconds. */
  retry = null;

  /**
   * Takes the next piece. Returns the events that are complete: `{event, data, id}`; `id` is undefined if it has none.
   */
  push(text) {
    const lines = (this.#incomplete + text).split(/\r\n|\n|\r(?!$)/);
    this.#incomplete = lines.pop();
    return lines.flatMap((line) => this.#parseLine(line));
  }

  #parseLine(line) {
    if (line === "") return this.#finishEvent();
    const [, field, value] = /^([^:]*):? ?(.*)$/s.exec(line);
    if (field === "event") this.#event = value;
    else if (field === "data") this.#data.push(value);
    else if (field === "id" && !value.includes("\0")) this.#id = value;
    else if (field === "retry" && /^\d+$/.test(value)) this.retry = Number(value);
    return [];
  }

  #finishEvent() {
    const event = { event: this.#event || "message", data: this.#data.join("\n"), id: this.#id };
    const hasData = this.#data.length > 0;
    this.#event = "";
    this.#data = [];
    this.#id = undefined;
    return hasData ? [event] : [];
  }
}
