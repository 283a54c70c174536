/* The review page's keys, its instant next item, and edits that outlive a lost connection.

   A decision shows the item that is ready already, and then asks the server. What the server is told
   goes as one event through #heed-review-wire, and is kept here until the server has heard it: what was
   on its way as the connection broke is told again, once there is one. */
(() => {
  const SAVE_AFTER = 300;
  const KEYS = {
    a: "accept", r: "open-refuse", e: "open-edit", u: "undo", "?": "keys", x: "select",
    ArrowRight: "skip", ArrowDown: "skip", ArrowLeft: "back", ArrowUp: "back",
  };
  const holder = () => document.querySelector(".heed-review-holder");
  const card = () => document.querySelector(".heed-review:not([hidden])");
  const draftKey = (of) => `heed.draft.${of.dataset.owner}.${of.dataset.review}`;
  const timers = new WeakMap();
  const clocks = new WeakMap();

  let told = 0;
  let unheard = [];

  function tell(what, more = {}) {
    const detail = { what, ...more, number: ++told };
    unheard.push(detail);
    send(detail);
  }

  function send(detail) {
    document
      .getElementById("heed-review-wire")
      ?.dispatchEvent(new CustomEvent("heed-review", { detail }));
  }

  /** Whether there was a connection, and it is lost: what is done now might not come through. */
  function lost() {
    return window.did_handshake && !window.socket?.connected;
  }

  /** What was sent into a connection that broke is sent once more; what waits for one is not. */
  function listen() {
    if (!window.socket) return setTimeout(listen, 50);
    let sent = [];
    window.socket.on("disconnect", () => (sent = [...unheard]));
    window.socket.on("connect", () => {
      for (const detail of sent) if (unheard.includes(detail)) send(detail);
      sent = [];
    });
  }
  listen();

  /** The decision's own item goes at once, and what is ready takes its place. */
  function leave(gone, together) {
    const cluster = gone.dataset.cluster;
    gone.hidden = true;
    gone.dataset.gone = "1";
    const next = [...(holder()?.querySelectorAll(".heed-review[hidden]") ?? [])].find(
      (each) => !each.dataset.gone && !(together && cluster && each.dataset.cluster === cluster),
    );
    if (next) {
      next.hidden = false;
      scrollTo({ top: 0 });
      next.focus({ preventScroll: true });
    }
  }

  function decide(of, decision, { reason = "", text = null } = {}) {
    const together = Boolean(of.querySelector(".heed-cover")?.checked);
    clearTimeout(timers.get(of));
    tell("decide", { id: of.dataset.review, decision, reason, text, together });
    leave(of, together);
  }

  function open(of, name) {
    const panel = of.querySelector(`.heed-review-panel.${name}`);
    if (!panel) return;
    for (const each of of.querySelectorAll(".heed-review-panel")) each.hidden = each !== panel;
    const field = panel.querySelector("textarea, input");
    if (name === "edit") {
      field.focus();
      field.setSelectionRange(field.value.length, field.value.length);
    } else panel.querySelector("button").focus();
    panel.scrollIntoView({ block: "nearest" });
  }

  function close(of) {
    for (const each of of.querySelectorAll(".heed-review-panel")) each.hidden = true;
    of.focus({ preventScroll: true });
  }

  const field = (of, name) => of.querySelector(name)?.value ?? "";

  /** What a button or its key does, on the card that is shown. */
  const DOES = {
    accept: (of) => decide(of, "accept"),
    edit: (of) => decide(of, "edit", { text: field(of, "[data-edit]") }),
    refuse: (of, button) =>
      decide(of, "refuse", { reason: button.dataset.value ?? field(of, "[data-reason]") }),
    "open-edit": (of) => open(of, "edit"),
    "open-refuse": (of) => open(of, "refuse"),
    skip(of) {
      tell("skip", { id: of.dataset.review });
      leave(of, false);
    },
    back: () => tell("back"),
    claim: (of) => tell("claim", { id: of.dataset.review }),
    "undo-this": (of) => tell("undo-this", { id: of.dataset.review }),
    discard(of) {
      localStorage.removeItem(draftKey(of));
      tell("discard", { id: of.dataset.review });
    },
    tag: (of) => line(of, "tag"),
    comment: (of) => line(of, "comment"),
    untag: (of, button) => tell("untag", { id: of.dataset.review, text: button.dataset.value }),
  };

  function line(of, name) {
    const box = of.querySelector(`[data-enter="${name}"]`);
    if (!box.value.trim()) return;
    tell(name, { id: of.dataset.review, text: box.value });
    box.value = "";
  }

  /* The list. */
  const rows = () => [...document.querySelectorAll(".heed-review-row")];
  const chosen = () => rows().filter((row) => row.querySelector("input").checked);

  function count() {
    const said = document.querySelector(".heed-review-chosen");
    const all = document.querySelector(".heed-review-all");
    if (said) said.textContent = `${chosen().length} selected`;
    if (all) all.checked = rows().length > 0 && chosen().length === rows().length;
  }

  function move(step) {
    const all = rows();
    const at = all.indexOf(document.activeElement?.closest(".heed-review-row"));
    const to = all[Math.min(Math.max(at + step, 0), all.length - 1)];
    to?.focus();
    to?.scrollIntoView({ block: "nearest" });
  }

  const BULK = {
    skip: () => move(1),
    back: () => move(-1),
    select() {
      const box = document.activeElement?.closest(".heed-review-row")?.querySelector("input");
      if (box) box.checked = !box.checked;
      count();
    },
    accept: () => together("accept"),
    refuse: (button) => together("refuse", button?.dataset.value ?? field(document, "[data-reason]")),
    "open-refuse"() {
      const panel = document.querySelector(".heed-review-bulk .refuse");
      panel.hidden = false;
      panel.querySelector("button").focus();
    },
    reopen: () => together("reopen"),
  };

  function together(decision, reason = "") {
    const ids = chosen().map((row) => row.dataset.row);
    tell("together", { ids, decision, reason });
  }

  /** What goes on without a server. */
  const ALONE = new Set(["open-edit", "open-refuse", "select"]);

  /** Do what a button says, or its key; tells whether there is such a thing here. */
  function act(name, button = null) {
    if (name === "keys") {
      const sheet = document.getElementById("heed-review-keys");
      if (sheet.open) sheet.close();
      else sheet.showModal();
      return true;
    }
    if (lost() && !ALONE.has(name)) {
      Quasar.Notify.create({
        message: "There is no connection just now, so nothing is decided. What you typed is kept.",
        position: "top",
        classes: "heed-toast failed",
      });
      return true;
    }
    if (name === "undo") {
      const undo = document.querySelector('[data-do="undo"]');
      if (!undo || undo.disabled) return false;
      tell("undo");
      return true;
    }
    if (document.querySelector(".heed-review-bulk")) {
      if (!BULK[name] || !allowed(document.querySelector(".heed-review-bulk"), name)) return false;
      BULK[name](button);
      return true;
    }
    const of = button?.closest(".heed-review") ?? card();
    if (!of || !DOES[name] || !allowed(of, name)) return false;
    DOES[name](of, button);
    return true;
  }

  /** A key does nothing that its button may not. */
  function allowed(within, name) {
    const button = within.querySelector(`[data-do="${name}"]`);
    return button ? !button.disabled : name === "select" || name === "skip" || name === "back";
  }

  addEventListener("click", (event) => {
    if (event.target.closest(".heed-review-all, .heed-review-row input")) {
      if (event.target.matches(".heed-review-all"))
        for (const row of rows()) row.querySelector("input").checked = event.target.checked;
      count();
    }
    const button = event.target.closest("[data-do]");
    if (button && !button.disabled) act(button.dataset.do, button);
  });

  addEventListener("keydown", (event) => {
    const typing = event.target.closest("input:not([type=checkbox]), textarea, select, [contenteditable]");
    const sheet = document.getElementById("heed-review-keys");
    if (!sheet || event.isComposing || event.altKey) return;
    const of = card();
    if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) {
      const panel = document.querySelector(".heed-review:not([hidden]) .heed-review-panel:not([hidden]), .heed-review-bulk .refuse:not([hidden])");
      const button = panel?.querySelector(".main[data-do]");
      if (button && !button.disabled && act(button.dataset.do, button)) event.preventDefault();
      return;
    }
    if (event.ctrlKey || event.metaKey) return;
    if (event.key === "Escape" && !sheet.open) {
      if (of) close(of);
      else document.querySelector(".heed-review-bulk .refuse")?.setAttribute("hidden", "");
      if (typing) event.target.blur();
      return;
    }
    if (typing) {
      if (event.key === "Enter" && event.target.dataset.enter && act(event.target.dataset.enter))
        event.preventDefault();
      return;
    }
    if (sheet.open && event.key !== "?") return;
    if (event.repeat && !event.key.startsWith("Arrow")) return;
    const panel = document.querySelector(".heed-review:not([hidden]) .refuse:not([hidden]), .heed-review-bulk .refuse:not([hidden])");
    if (/^[1-9]$/.test(event.key)) {
      const button = panel?.querySelector(`[aria-keyshortcuts="${event.key}"]`);
      if (button && act("refuse", button)) event.preventDefault();
      return;
    }
    const name = KEYS[event.key.length === 1 ? event.key.toLowerCase() : event.key];
    if (name && act(name)) event.preventDefault();
  });

  /* Edits: here at once, on the server a moment later; what is here goes once the server has it. */
  addEventListener("input", ({ target }) => {
    if (!target.matches?.("[data-edit]")) return;
    const of = target.closest(".heed-review");
    keep(of, target.value);
    clearTimeout(timers.get(of));
    timers.set(of, setTimeout(() => draft(of), SAVE_AFTER));
  });

  function keep(of, text) {
    try {
      localStorage.setItem(draftKey(of), text);
    } catch {
      // no room, or not allowed: the server's copy has to do
    }
  }

  function draft(of) {
    tell("draft", { id: of.dataset.review, text: field(of, "[data-edit]") });
  }

  function restore(of) {
    if (of.dataset.looked || of.hidden) return;
    of.dataset.looked = "1";
    const box = of.querySelector("[data-edit]");
    const kept = box && localStorage.getItem(draftKey(of));
    if (kept === null || kept === undefined || kept === box.value) return;
    box.value = kept;
    open(of, "edit");
    draft(of);
  }

  /* The reservation runs down; the server says how much is left, so no clock has to be right. */
  function tick() {
    for (const clock of document.querySelectorAll("[data-left]")) {
      const known = clocks.get(clock);
      if (known?.left !== clock.dataset.left)
        clocks.set(clock, { left: clock.dataset.left, ends: performance.now() + 1000 * clock.dataset.left });
      const left = Math.max(0, Math.round((clocks.get(clock).ends - performance.now()) / 1000));
      const said = left ? `${Math.floor(left / 60)}:${String(left % 60).padStart(2, "0")}` : "ended";
      if (clock.textContent !== said) clock.textContent = said;
      clock.closest(".heed-review-held").classList.toggle("ended", left === 0);
    }
    const of = card();
    if (of) restore(of);
  }
  setInterval(tick, 500);

  // An address without the fields that were left empty is one that can be read.
  addEventListener("submit", ({ target }) => {
    if (!target.matches(".heed-review-filters")) return;
    for (const each of target.elements) if (!each.value) each.disabled = true;
  });

  globalThis.heedReview = {
    /** The server has heard of this; what becomes of it, it says otherwise. */
    heard(number) {
      unheard = unheard.filter((each) => each.number !== number);
    },
    /** The server has this text of this item's draft. */
    saved(id, text) {
      const of = document.querySelector(`.heed-review[data-review="${CSS.escape(id)}"]`);
      if (of && localStorage.getItem(draftKey(of)) === text) localStorage.removeItem(draftKey(of));
    },
    /** A decision came through: nothing of it has to be kept here. */
    done(owner, id) {
      localStorage.removeItem(`heed.draft.${owner}.${id}`);
    },
    /** What is on the screen is in the address, so that it comes back. */
    at(address) {
      history.replaceState(null, "", address);
    },
  };
})();
