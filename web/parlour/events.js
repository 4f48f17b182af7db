/** Server-Sent Events, as WHATWG HTML §9.2 has them, out of the text of a response as it comes. */

export class EventParser {
  #rest = "";
  #event = "";
  #data = [];
  #id;
  /** When the service wants its clients back, in milliseconds. */
  retry = null;

  /** Takes what has come and answers the events that are whole: `{event, data, id}`, the id where it brings one. */
  push(text) {
    const lines = (this.#rest + text).split(/\r\n|\n|\r(?!$)/);
    this.#rest = lines.pop();
    return lines.flatMap((line) => this.#line(line));
  }

  #line(line) {
    if (line === "") return this.#whole();
    const [, field, value] = /^([^:]*):? ?(.*)$/s.exec(line);
    if (field === "event") this.#event = value;
    else if (field === "data") this.#data.push(value);
    else if (field === "id" && !value.includes("\0")) this.#id = value;
    else if (field === "retry" && /^\d+$/.test(value)) this.retry = Number(value);
    return [];
  }

  #whole() {
    const event = { event: this.#event || "message", data: this.#data.join("\n"), id: this.#id };
    const empty = this.#data.length === 0;
    [this.#event, this.#data, this.#id] = ["", [], undefined];
    return empty ? [] : [event];
  }
}
