// One call at a time for a view: a newer one ends the older.

import { failure, fill, find } from "./dom.js";

export class Turn {
  /** For the view `root`, which has a line for what a call took and a place for what went wrong. */
  constructor(root) {
    Object.assign(this, { root, line: find(".took", root), failed: find(".failure", root), running: null });
  }

  /**
   * Does `work` for `about`, says `waiting` meanwhile, and hands its result to `done`; null if it failed. A server that
   * does not answer can be asked again.
   */
  async take(about, waiting, work, done) {
    this.running?.abort();
    const mine = (this.running = Object.assign(new AbortController(), { about }));
    this.root.setAttribute("aria-busy", "true");
    fill(this.line, waiting);
    fill(this.failed);
    try {
      const result = await work(mine.signal);
      mine.signal.throwIfAborted();
      done(result);
    } catch (error) {
      if (error.name === "AbortError") return;
      done(null);
      const again = () => this.take(about, waiting, work, done);
      fill(this.failed, failure(error, error.code === "UNREACHABLE" ? again : null));
    } finally {
      if (this.running === mine) {
        this.running = null;
        this.root.removeAttribute("aria-busy");
      }
    }
  }
}
