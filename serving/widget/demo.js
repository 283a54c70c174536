/* The demo page: asks the chatbot, gets a token, and puts the widget below the answer. In an app
   the two calls are its server's, which has the key. */
(() => {
  "use strict";

  const at = (id) => document.getElementById(id);

  const call = async (path, body) => {
    const key = at("key").value.trim();
    const answer = await fetch(path, {
      method: "POST",
      headers: { "Content-Type": "application/json", ...(key && { Authorization: `Bearer ${key}` }) },
      body: JSON.stringify(body),
    });
    const said = await answer.json();
    if (answer.status === 401) at("locked").hidden = false;
    if (!answer.ok) throw new Error(said.error.message);
    return said;
  };

  const ask = async (question) => {
    const messages = [{ role: "user", content: question }];
    const completion = await call("/v1/chat/completions", { model: "heed", messages });
    const { token } = await call("/v1/feedback/tokens", { completion_id: completion.id });
    at("asked").textContent = question;
    at("answer").textContent = completion.choices[0].message.content || "(The model said nothing.)";
    const widget = document.createElement("heed-feedback");
    widget.setAttribute("completion", completion.id);
    widget.setAttribute("token", token);
    widget.setAttribute("answer", "#answer");
    widget.toggleAttribute("stars", at("stars").checked);
    at("place").replaceChildren(widget);
    at("talk").hidden = false;
    at("answer").focus();
  };

  const show = (sent, receipt) => {
    at("nothing").hidden = true;
    const line = document.createElement("li");
    const code = document.createElement("code");
    code.textContent = sent ? JSON.stringify(sent) : "taken back";
    line.append(code);
    if (receipt) line.append(` ${receipt.status}: ${receipt.reason} `);
    if (receipt) line.append(Object.assign(document.createElement("code"), { textContent: receipt.id }));
    at("taken").append(line);
  };

  at("ask").addEventListener("submit", async (event) => {
    event.preventDefault();
    const button = at("ask").querySelector("button");
    at("fault").textContent = "";
    button.disabled = true;
    try {
      await ask(at("question").value);
    } catch (fault) {
      at("fault").textContent = fault.message;
    } finally {
      button.disabled = false;
    }
  });
  document.addEventListener("heed-feedback", ({ detail }) => show(detail.sent, detail.receipt));
})();
