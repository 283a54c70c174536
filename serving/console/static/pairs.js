/* The keys of the page on which answers are compared blind. Each press names the pair that it is about,
   and until the server has shown the next one, further presses are not meant for it. */
globalThis.heedPairs = (() => {
  const KEYS = { ArrowLeft: "left", ArrowRight: "right", ArrowDown: "tie", b: "both_bad", u: "undo" };
  const card = () => document.querySelector(".heed-pair");

  function press(what) {
    const button = document.querySelector(`[data-do="${what}"]`);
    const of = card();
    if (!button || button.disabled || of?.dataset.told) return false;
    if (of) of.dataset.told = what;
    document.getElementById("heed-pairs-wire")?.dispatchEvent(
      new CustomEvent("heed-pairs", { detail: { what, id: of?.dataset.pair ?? "" } }),
    );
    return true;
  }

  addEventListener("click", ({ target }) => {
    const button = target.closest("[data-do]");
    if (button) press(button.dataset.do);
  });

  addEventListener("keydown", (event) => {
    if (event.isComposing || event.repeat || event.altKey || event.ctrlKey || event.metaKey) return;
    if (event.target.closest("input, textarea, select, [contenteditable]")) return;
    if (document.querySelector(".q-menu, .q-dialog")) return;
    const what = KEYS[event.key.length === 1 ? event.key.toLowerCase() : event.key];
    if (what && press(what)) event.preventDefault();
  });

  return {
    /** The server has shown what comes now. */
    ready() {
      const of = card();
      if (!of) return;
      delete of.dataset.told;
      if (of.getBoundingClientRect().top < 0) of.scrollIntoView();
    },
  };
})();
