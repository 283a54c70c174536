/* What the console's pages cannot do from the server: the end of a log, the clipboard, the order of events. */
globalThis.heed = {
  /**
   * Tell the server of an event, after everything that was typed before it.
   *
   * Until a page is connected, each event of NiceGUI looks every ten milliseconds whether it is, by
   * a timer of its own, so that a later one may go first: a message would be sent without its text.
   */
  inTurn(tell) {
    if (window.did_handshake) setTimeout(tell, 20);
    else setTimeout(() => heed.inTurn(tell), 10);
  },

  /** Show the end of the conversation. */
  toEnd() {
    const log = document.querySelector(".heed-log");
    if (log) log.scrollTop = log.scrollHeight;
  },

  /** Copy what a button carries. */
  async copy(button) {
    const text = button.dataset.copy;
    try {
      await navigator.clipboard.writeText(text);
    } catch {
      return; // without TLS there is no clipboard, or it was not allowed
    }
    const icon = button.querySelector(".q-icon");
    const before = icon.textContent;
    icon.textContent = "check";
    setTimeout(() => (icon.textContent = before), 1500);
  },
};

/** Where no connection comes about because the session has ended, the page goes to the sign-in. */
(function listen() {
  if (!window.socket) return setTimeout(listen, 50);
  let asking = false;
  window.socket.on("connect_error", async () => {
    if (asking) return;
    asking = true;
    try {
      const answer = await fetch("/console/static/console.css", { cache: "no-store" });
      if (answer.status === 401) location.reload();
    } catch {
      // the server is away, and the connection is tried again
    } finally {
      asking = false;
    }
  });
})();
