/* <heed-feedback completion="chatcmpl-…" token="hft_…">: what a reader thinks of one answer.
   Depends on nothing and keeps to a strict content policy. How to change it: docs/widget.md */
(() => {
  "use strict";

  const HOME = new URL(".", document.currentScript?.src ?? location.href).href;
  const IDLE_SECONDS = 60;
  const MOST_DIFF_CELLS = 1e6;
  const LOW_STARS = 3;
  const TEXTS = {
    question: "Was this answer helpful?",
    up: "Good answer",
    down: "Bad answer",
    star: (number) => (number === 1 ? "1 star" : `${number} stars`),
    edit: "Suggest a better answer",
    why: "What was wrong?",
    reasons: ["Wrong", "Out of date", "Unclear", "Incomplete", "Too long"],
    comment: "Anything else?",
    correction: "The answer as it should have been",
    changes: "Your changes",
    send: "Send",
    close: "Close",
    undo: "Undo",
    retry: "Try again",
    sending: "Sending…",
    undone: "Taken back.",
    failed: "That did not reach us.",
    expired: "This page is too old; reload it.",
    refused: "That was not taken:",
    waiting: "Thank you, this counts.",
    review: "Thank you, somebody will look at it.",
    used: "The chatbot learned from this.",
    held_out: "Kept to judge the chatbot by.",
  };
  const THUMB = "M7 11v9H4v-9zm0 0 4-8c2 0 3 1 3 3v3h5a2 2 0 0 1 2 2l-2 7a2 2 0 0 1-2 2H7";
  const STAR = "m12 3 2.7 5.9 6.3.7-4.7 4.3 1.3 6.3-5.6-3.2-5.6 3.2 1.3-6.3L3 9.6l6.3-.7z";
  const PEN = "M4 20h4L19 9l-4-4L4 16zM13 7l4 4";
  const STYLE = new CSSStyleSheet();
  STYLE.replaceSync(`
:host { display: block; font: var(--heed-font, inherit); color: var(--heed-color, inherit);
  --line: var(--heed-line, color-mix(in srgb, currentColor 28%, transparent));
  --fill: var(--heed-fill, color-mix(in srgb, currentColor 9%, transparent));
  --good: var(--heed-good, light-dark(#15803d, #4ade80));
  --bad: var(--heed-bad, light-dark(#b91c1c, #f87171));
  --accent: var(--heed-accent, light-dark(#1d4ed8, #93c5fd));
  --round: var(--heed-radius, .5em) }
:host([hidden]), [hidden] { display: none !important }
.row { display: flex; flex-wrap: wrap; align-items: center; gap: var(--heed-gap, .35em) }
p { margin: 0; white-space: pre-wrap; overflow-wrap: anywhere }
button, textarea { font: inherit; color: inherit; border-radius: var(--round);
  border: 1px solid var(--line); background: none }
button { padding: .3em .7em; min-height: 2.25em; cursor: pointer }
button:hover, label:hover svg { background: var(--fill) }
button.icon { display: inline-grid; place-items: center; padding: 0; width: 2.25em;
  border-color: transparent }
button[aria-pressed="true"], button[aria-expanded="true"], button.main {
  border-color: currentColor; background: var(--fill); color: var(--accent) }
.up[aria-pressed="true"] { color: var(--good) }
.down[aria-pressed="true"] { color: var(--bad) }
button.plain { border-color: transparent; text-decoration: underline; padding: 0 .3em }
svg { width: 1.35em; height: 1.35em; fill: none; stroke: currentColor; stroke-width: 1.7;
  stroke-linejoin: round; display: block }
.down svg { rotate: 180deg }
[aria-pressed="true"] svg { fill: color-mix(in srgb, currentColor 30%, transparent) }
label.star { padding: .35em .2em; cursor: pointer; border-radius: var(--round) }
label.star.on { color: var(--accent) }
label.star.on svg { fill: currentColor }
.star input { position: absolute; opacity: 0; width: 1px; height: 1px; overflow: hidden }
:focus-visible, .star:has(:focus-visible) { outline: 2px solid var(--accent); outline-offset: 2px }
.failed { color: var(--bad) }
form, .why { display: grid; gap: .7em }
form { margin-top: .5em; padding: .9em; border: 1px solid var(--line);
  border-radius: var(--round) }
form label { display: grid; gap: .25em }
textarea { padding: .5em; resize: vertical; min-height: 4em; width: 100%; box-sizing: border-box }
ins { color: var(--good) }
del + ins { margin-left: .25em }
del { color: var(--bad) }
@media (prefers-reduced-motion: no-preference) {
  button, svg { transition: color .12s, background-color .12s, fill .12s } }`);

  /** Make an element; what is given as `on…` listens, the rest are attributes. */
  const make = (name, given, ...content) => {
    const drawn = name === "svg" || name === "path";
    const made = document.createElementNS(`http://www.w3.org/${drawn ? "2000/svg" : "1999/xhtml"}`, name);
    for (const [key, value] of Object.entries(given)) {
      if (key.startsWith("on")) made.addEventListener(key.slice(2), value);
      else if (value !== false) made.setAttribute(key, value === true ? "" : value);
    }
    made.append(...content);
    return made;
  };

  const icon = (d) =>
    make("svg", { viewBox: "0 0 24 24", "aria-hidden": "true" }, make("path", { d }));

  // Not randomUUID, which pages served without TLS do not have.
  const newId = () => [...crypto.getRandomValues(new Uint32Array(4))].map((n) => n.toString(36)).join("");

  const words = (text) => text.match(/\s+|[\p{L}\p{N}]+|./gu) ?? [];

  /** Yield [kind, text], kind "", "del" or "ins": the longest common run of words stays. */
  const diff = (before, after) => {
    const [a, b] = [words(before), words(after)];
    const found = [];
    const say = (kind, word) => {
      if (found.at(-1)?.[0] === kind) found.at(-1)[1] += word;
      else found.push([kind, word]);
    };
    let [start, tail] = [0, 0];
    while (start < a.length && a[start] === b[start]) say("", a[start++]);
    const most = Math.min(a.length, b.length) - start;
    while (tail < most && a.at(-1 - tail) === b.at(-1 - tail)) tail++;
    const [n, m] = [a.length - tail - start, b.length - tail - start];
    const width = m + 1;
    // A larger table would make typing slow: all of the middle is replaced then.
    const table = n * m > MOST_DIFF_CELLS ? null : new Uint32Array((n + 1) * width);
    for (let i = n - 1; table && i >= 0; i--)
      for (let j = m - 1; j >= 0; j--)
        table[i * width + j] = a[start + i] === b[start + j]
          ? table[(i + 1) * width + j + 1] + 1
          : Math.max(table[(i + 1) * width + j], table[i * width + j + 1]);
    for (let i = 0, j = 0; i < n || j < m; ) {
      if (table && i < n && j < m && a[start + i] === b[start + j]) say("", a[start + i++], j++);
      else if (i < n && (!table || j >= m || table[(i + 1) * width + j] >= table[i * width + j + 1]))
        say("del", a[start + i++]);
      else say("ins", b[start + j++]);
    }
    for (const word of a.slice(a.length - tail)) say("", word);
    return found;
  };

  /** A refusal is final; what did not arrive, or with an old token, may be sent again. */
  const mayRetry = ({ status = 503 }) => [401, 408, 429].includes(status) || status >= 500;

  const pressed = (button) => button.getAttribute("aria-pressed") === "true";
  const press = (button, on) => button.setAttribute("aria-pressed", on);
  const isLow = (vote) => vote === "down" || (vote && vote <= LOW_STARS);

  // Said apart, each with the ids of what was taken, and of what is still to be taken back.
  const freshLines = () => ({ vote: { ids: [], gone: [] }, details: { ids: [], gone: [] } });

  class HeedFeedback extends HTMLElement {
    static observedAttributes = ["completion", "token", "server", "stars", "reasons", "answer"];
    static texts = TEXTS;

    #root = this.attachShadow({ mode: "open" });
    #parts = {};
    #vote = null;
    #held = null;
    #lines = freshLines();
    #busy = false;
    #leaving = null;
    #dwell = 0;
    #share = 0;
    #copied = 0;
    #shown = false;
    #awake = true;
    #ticked = 0;
    #noticed = {};

    constructor() {
      super();
      this.#root.adoptedStyleSheets = [STYLE];
    }

    connectedCallback() {
      this.#draw();
      this.#watch();
      this.#recall();
    }

    disconnectedCallback() {
      this.#flush();
      this.#leaving.abort();
      this.#leaving = null;
    }

    attributeChangedCallback(name, before, after) {
      if (!this.#leaving || before === after) return;
      if (name === "token" && before) return void this.#deliver();
      if (name === "completion") {
        this.#flush(before);
        this.#vote = this.#held = null;
        this.#lines = freshLines();
        this.#dwell = this.#share = this.#copied = 0;
        this.#noticed = {};
      }
      this.disconnectedCallback();
      this.connectedCallback();
    }

    get #about() {
      return this.getAttribute("completion");
    }

    /** What holds the answer: what the attribute selects, else this element itself. */
    get #answer() {
      const selector = this.getAttribute("answer");
      return (selector && this.getRootNode().querySelector(selector)) || this;
    }

    /** The answer as it was written: what the attribute says, where it is shown in another form. */
    get #text() {
      return (this.getAttribute("text") ?? this.#answer.textContent).trim();
    }

    /** Whether the token allows a kind; the server has the last word. */
    #allows(kind) {
      const payload = this.getAttribute("token")?.split(".")[1];
      try {
        return !payload || JSON.parse(atob(payload.replace(/-/g, "+").replace(/_/g, "/"))).kinds.includes(kind);
      } catch {
        return true;
      }
    }

    #draw() {
      const { texts } = HeedFeedback;
      const given = this.getAttribute("reasons");
      const reasons = given?.split(",").map((each) => each.trim()).filter(Boolean) ?? texts.reasons;
      const stars = this.hasAttribute("stars");
      const button = (part, content, onclick, more) =>
        make("button", { type: "button", part: `button ${part}`, class: part, onclick, ...more }, content);
      const named = (name, more) => ({ "aria-label": name, title: name, ...more });
      const thumb = (value) =>
        button(value, icon(THUMB), () => this.#choose(this.#vote === value ? null : value),
          named(texts[value], { class: `${value} icon` }));
      const star = (value) =>
        make("label", { class: "star", part: "star" },
          make("input", named(texts.star(value), {
            type: "radio",
            name: "star",
            value,
            onchange: () => this.#choose(value),
          })),
          icon(STAR));
      const votes = make("div", {
        class: "row",
        part: "votes",
        role: stars ? "radiogroup" : "group",
        "aria-label": texts.question,
        hidden: !this.#allows("rating"),
      }, ...(stars ? [1, 2, 3, 4, 5].map(star) : ["up", "down"].map(thumb)));
      const status = make("p", { part: "status", role: "status" });
      const undo = button("undo", texts.undo, () => this.#undo(), { class: "plain", hidden: true });
      const retry = button("retry", texts.retry, () => this.#deliver(), { class: "plain", hidden: true });
      const edit = button("edit", icon(PEN), () => this.#open(fix, fix.hidden), named(texts.edit, {
        class: "icon",
        "aria-expanded": "false",
        "aria-controls": "panel",
        hidden: !this.#allows("correction"),
      }));
      const marks = reasons.map((reason) =>
        button("reason", reason, ({ currentTarget: it }) => press(it, !pressed(it)), { "aria-pressed": "false" }));
      const comment = make("textarea", { part: "comment", rows: 2 });
      const correction = make("textarea", { part: "correction", rows: 4, oninput: () => this.#compare() });
      const changes = make("p", { part: "diff", role: "group", "aria-label": texts.changes });
      const why = make("div", { class: "why", hidden: true },
        make("span", {}, texts.why),
        make("div", {
          class: "row",
          role: "group",
          "aria-label": texts.why,
          hidden: !this.#allows("reasons"),
        }, ...marks),
        make("label", { hidden: !this.#allows("comment") }, texts.comment, comment));
      const fix = make("div", { class: "why", hidden: true },
        make("label", {}, texts.correction, correction),
        changes);
      const panel = make("form", {
        part: "panel",
        id: "panel",
        hidden: true,
        onsubmit: (event) => this.#send(event),
        onkeydown: ({ key }) => key === "Escape" && this.#close(),
      }, why, fix, make("div", { class: "row" },
        make("button", { part: "button send", class: "main" }, texts.send),
        button("close", texts.close, () => this.#close())));
      this.#parts = { votes, status, undo, retry, edit, comment, correction, changes, marks, why, fix, panel };
      const bar = make("div", { class: "row", part: "bar" }, votes, edit, status, undo, retry);
      this.#root.replaceChildren(make("slot", {}), bar, panel);
      this.#mark();
    }

    #mark() {
      const { votes } = this.#parts;
      for (const each of votes.querySelectorAll("button")) press(each, each.classList.contains(this.#vote));
      for (const each of votes.querySelectorAll("input")) {
        each.checked = each.value == this.#vote;
        each.parentElement.classList.toggle("on", each.value <= (this.#vote ?? 0));
      }
    }

    #choose(value) {
      if (isLow(this.#vote) && !isLow(value)) this.#wish("details", null); // it explained the low one
      this.#vote = value;
      this.#mark();
      this.#open(this.#parts.why, isLow(value) && (this.#allows("reasons") || this.#allows("comment")));
      this.#wish("vote", value && (value > 0 ? { rating: value, scale: 5 } : { rating: value }));
    }

    #undo() {
      const { votes, undo, edit } = this.#parts;
      const inside = this.#root.activeElement === undo;
      this.#vote = null;
      this.#mark();
      this.#close();
      this.#wish("details", null);
      this.#wish("vote", null);
      if (inside) (votes.querySelector("button, input") ?? edit).focus();
    }

    /** Show or hide a part of the panel. */
    #open(part, open) {
      const { fix, why, panel, edit, correction } = this.#parts;
      part.hidden = !open;
      panel.hidden = fix.hidden && why.hidden;
      edit.setAttribute("aria-expanded", !fix.hidden);
      if (part !== fix || !open) return;
      if (!correction.value) correction.value = this.#text;
      this.#compare();
      correction.focus();
    }

    #close() {
      const { fix, why, panel, votes, edit } = this.#parts;
      const opener = fix.hidden ? votes.querySelector("[aria-pressed=true], :checked") : edit;
      const inside = panel.contains(this.#root.activeElement);
      this.#open(why, false);
      this.#open(fix, false);
      if (inside) (opener ?? edit).focus();
    }

    #compare() {
      const { correction, changes } = this.#parts;
      const found = diff(this.#text, correction.value.trim());
      changes.hidden = found.every(([kind]) => !kind);
      changes.replaceChildren(...found.map(([kind, text]) => (kind ? make(kind, { part: kind }, text) : text)));
    }

    #send(event) {
      event.preventDefault();
      const { marks, comment, correction, fix, why } = this.#parts;
      const body = { ...this.#lines.details.body }; // what is hidden stays as it was sent
      if (!why.hidden) {
        body.reasons = marks.filter(pressed).map((each) => each.textContent);
        body.comment = comment.value.trim();
      }
      if (!fix.hidden) {
        body.correction = correction.value.trim();
        if (body.correction === this.#text) delete body.correction;
      }
      for (const name in body) if (!body[name].length) delete body[name];
      this.#close();
      this.#wish("details", Object.keys(body).length ? body : null);
    }

    #wish(name, body) {
      const line = this.#lines[name];
      if (!body && !line.body) return;
      Object.assign(line, { wish: body, body, event: newId() });
      this.#deliver();
    }

    /** Send one thing after another, so that the last word arrives last. */
    async #deliver() {
      if (this.#busy) return;
      this.#busy = true;
      const { texts } = HeedFeedback;
      const lines = this.#lines;
      const waiting = () => Object.values(lines).find(({ wish, gone }) => wish !== undefined || gone.length);
      let line, receipt, fault;
      while (lines === this.#lines && (line = waiting())) {
        this.#say(texts.sending);
        try {
          receipt = await this.#grant(line);
        } catch (caught) {
          fault = caught;
          if (mayRetry(fault)) break;
          line.wish = undefined;
          line.gone.shift();
        }
      }
      this.#busy = false;
      if (lines !== this.#lines) this.#deliver(); // another answer's, by now
      else if (fault) this.#fail(fault);
      else if (receipt !== undefined) this.#say(receipt ? texts[receipt.status] ?? texts.waiting : texts.undone);
    }

    async #grant(line) {
      const { wish, event, ids, gone } = line;
      let receipt = null;
      if (wish !== undefined) {
        if (wish) receipt = await this.#call("POST", "", { completion_id: this.#about, event_id: event, ...wish });
        // A vote replaces the one before by itself; details may say less than those before.
        if (!wish || line === this.#lines.details) gone.push(...ids.splice(0));
        if (receipt) ids.push(receipt.id);
        if (line.event === event) line.wish = undefined;
      }
      for (; gone.length; gone.shift()) await this.#call("DELETE", `/${gone[0]}`);
      if (line === this.#lines.vote) this.#held = this.#vote;
      this.#keep();
      this.#tell("heed-feedback", { sent: wish, receipt });
      return receipt;
    }

    #fail(fault) {
      const { texts } = HeedFeedback;
      const { status, message } = fault;
      const again = mayRetry(fault);
      if (!again) {
        this.#vote = this.#held;
        this.#mark();
      }
      const said = status === 401 ? texts.expired : again ? texts.failed : `${texts.refused} ${message}`;
      this.#say(said, again ? "retry" : "refused");
      this.#tell("heed-error", { status, message });
    }

    #say(text, failed) {
      const { status, undo, retry } = this.#parts;
      status.textContent = text;
      status.classList.toggle("failed", Boolean(failed));
      retry.hidden = failed !== "retry";
      undo.hidden = Boolean(failed) || !this.#ids().length;
    }

    #tell(name, detail) {
      this.dispatchEvent(new CustomEvent(name, { bubbles: true, composed: true, detail }));
    }

    #ids() {
      return Object.values(this.#lines).flatMap(({ ids }) => ids);
    }

    get #place() {
      return `heed-feedback ${this.#about}`;
    }

    #keep() {
      const { vote, details } = this.#lines;
      try {
        sessionStorage.setItem(this.#place, JSON.stringify([this.#vote, vote, details]));
      } catch {} // without storage a page that is loaded again shows no vote
    }

    /** Show the vote that this tab gave before, and what became of it. */
    async #recall() {
      if (!this.#busy && !this.#ids().length) {
        try {
          const [value, vote, details] = JSON.parse(sessionStorage.getItem(this.#place));
          this.#vote = this.#held = value;
          this.#lines = { vote, details };
        } catch {} // nothing is kept
        this.#mark();
      }
      const lines = this.#lines;
      const id = this.#ids().at(-1);
      const receipt = id && (await this.#call("GET", `/${id}`).catch(() => null));
      if (receipt && lines === this.#lines && !this.#busy) this.#say(HeedFeedback.texts[receipt.status] ?? "");
    }

    /** Notice how long the answer is on the screen, how much of it, and what is copied. */
    #watch() {
      this.#leaving = new AbortController();
      const { signal } = this.#leaving;
      const on = (target, names, heard) => {
        for (const name of names) target.addEventListener(name, heard, { signal, passive: true, capture: true });
      };
      const answer = this.#answer;
      const seen = new IntersectionObserver((entries) => {
        const { intersectionRatio: share, intersectionRect } = entries.at(-1);
        this.#tick();
        this.#shown = share >= 0.5 || intersectionRect.height >= innerHeight / 2;
        this.#share = Math.max(this.#share, share);
      }, { threshold: Array.from({ length: 21 }, (_, step) => step / 20) });
      seen.observe(answer);
      signal.addEventListener("abort", () => seen.disconnect());
      on(document, ["pointermove", "keydown", "scroll"], () => this.#tick());
      on(document, ["copy"], () => {
        const selection = getSelection();
        const taken = String(selection).length;
        if (taken && selection.getRangeAt(0).intersectsNode(answer))
          this.#copied = Math.min(1, taken / this.#text.length);
      });
      on(document, ["visibilitychange"], () => (document.hidden ? this.#flush() : this.#tick()));
      on(window, ["pagehide"], () => this.#flush());
      on(window, ["online"], () => this.#deliver());
    }

    /** Count the time since the last sign of life, unless somebody has walked away. */
    #tick() {
      const now = performance.now() / 1000;
      if (this.#shown && this.#awake) this.#dwell += Math.min(now - this.#ticked, IDLE_SECONDS);
      [this.#ticked, this.#awake] = [now, !document.hidden];
    }

    /** Send what is new, in a way that outlives the page. */
    #flush(about = this.#about) {
      this.#tick();
      const noticed = { dwell: Math.round(this.#dwell), view: this.#share, copy: this.#copied };
      const fresh = Object.entries(noticed).filter(([name, value]) => value && value !== this.#noticed[name]);
      if (!fresh.length || !this.#allows("signal")) return;
      this.#noticed = noticed;
      const signals = Object.fromEntries(fresh.map(([name, value]) => [name, Math.round(value * 100) / 100]));
      const token = this.getAttribute("token");
      const body = JSON.stringify({ token, completion_id: about, event_id: newId(), signals });
      const url = this.#url("/signals");
      if (navigator.sendBeacon(url, body)) return;
      fetch(url, { method: "POST", body, keepalive: true, credentials: "omit" }).catch(() => {});
    }

    #url(path) {
      const server = this.getAttribute("server");
      return new URL(`v1/feedback${path}`, server ? new URL(server.replace(/\/?$/, "/"), location.href) : HOME);
    }

    async #call(method, path, body) {
      const token = this.getAttribute("token");
      const sent = body && JSON.stringify(body);
      const answer = await fetch(this.#url(path), {
        method,
        credentials: "omit",
        keepalive: !(sent?.length > 2e4), // browsers let no more than 64 KiB outlive a page
        headers: {
          ...(token && { Authorization: `Bearer ${token}` }),
          ...(sent && { "Content-Type": "application/json" }),
        },
        body: sent,
      });
      const said = await answer.json();
      if (!answer.ok) throw Object.assign(new Error(said.error?.message), { status: answer.status });
      return said;
    }
  }

  customElements.define("heed-feedback", HeedFeedback);
})();
