// Questions on their way into a bank: slice after slice, each an upsert, so that sending one twice does no harm.

import { upsert } from "./api.js";

/** Questions and, more or less, bytes of a slice. */
const [SLICE, BYTES] = [256, 4 << 20];
/** How often a busy server is asked again, and how long before the first time, in milliseconds; then twice as long. */
const [TRIES, PAUSE] = [5, 500];
const BUSY = ["RESOURCE_EXHAUSTED", "UNAVAILABLE", "UNREACHABLE"];

const size = ({ text, answer = "", metadata }) => text.length + answer.length + 40 * Object.keys(metadata).length + 100;

export class Sender {
  /** Into `bank`, from a file of so many bytes; `changed` is told of each change. */
  constructor(bank, total, changed) {
    Object.assign(this, { bank, total, changed, state: "sending", inserted: 0, updated: 0, failed: [], share: 0, line: 1, error: null });
    this.bytes = 0;
    this.started = performance.now();
    this.stop = new AbortController();
  }

  get seconds() {
    return ((this.ended ?? performance.now()) - this.started) / 1000;
  }

  /** Bytes of the file that were read. */
  read(bytes) {
    this.bytes = bytes;
  }

  /** Sends what `toQuestion` makes of each row. Returns when all is sent, or when it was cancelled. */
  async send(rows, toQuestion) {
    let slice = [];
    let held = 0;
    const flush = async () => {
      if (slice.length) await this.deliver(slice);
      [slice, held] = [[], 0];
      this.share = this.total ? Math.min(1, this.bytes / this.total) : 1;
      this.changed();
    };
    try {
      for await (const { line, cells } of rows) {
        if (this.stop.signal.aborted) break;
        this.line = line;
        const made = toQuestion(cells);
        if (made.question) {
          slice.push({ line, question: made.question });
          held += size(made.question);
        } else {
          this.failed.push({ line, ...made });
        }
        if (slice.length === SLICE || held > BYTES) await flush();
      }
      if (!this.stop.signal.aborted) await flush();
      this.end(this.stop.signal.aborted ? "cancelled" : "done");
    } catch (error) {
      const cancelled = error.name === "AbortError";
      this.end(cancelled ? "cancelled" : "broken");
      if (!cancelled) throw error;
    }
  }

  end(state) {
    this.ended = performance.now();
    if (state === "done") this.share = 1;
    this.become(state);
  }

  become(state, error = null) {
    Object.assign(this, { state, error });
    this.changed();
  }

  /** Writes a slice. One that the server refuses is cut in two, until the questions that it means are alone. */
  async deliver(slice) {
    try {
      const { reply } = await this.written(slice.map(({ question }) => question));
      this.inserted += Number(reply.inserted);
      this.updated += Number(reply.updated);
    } catch (error) {
      if (error.code !== "INVALID_ARGUMENT" && error.code !== "OUT_OF_RANGE") throw error;
      if (slice.length === 1) {
        const [{ line, question }] = slice;
        this.failed.push({ line, id: question.id, reason: error.message });
        return;
      }
      const half = slice.length >> 1;
      await this.deliver(slice.slice(0, half));
      await this.deliver(slice.slice(half));
    }
  }

  /** Asks a busy server again, and in the end the user. */
  async written(questions) {
    for (let pause = PAUSE, tries = 1; ; tries += 1, pause *= 2) {
      try {
        const answer = await upsert(this.bank, questions, { signal: this.stop.signal });
        if (this.state !== "sending") this.become("sending");
        return answer;
      } catch (error) {
        if (error.name === "AbortError" || error.code === "INVALID_ARGUMENT" || error.code === "OUT_OF_RANGE") throw error;
        if (BUSY.includes(error.code) && tries < TRIES) {
          this.become("waiting");
          await this.pause(pause);
        } else {
          this.become("paused", error);
          await new Promise((go) => { this.resume = go; });
          [pause, tries] = [PAUSE / 2, 0];
          this.become("sending");
        }
      }
      this.stop.signal.throwIfAborted();
    }
  }

  /** Waits, unless it is cancelled meanwhile. */
  pause(time) {
    return new Promise((resolve) => {
      setTimeout(resolve, time);
      this.stop.signal.addEventListener("abort", resolve, { once: true });
    });
  }

  resume() {}

  cancel() {
    this.stop.abort();
    this.resume();
  }
}
