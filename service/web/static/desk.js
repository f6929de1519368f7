// What the desk does better with a script; everything works without it.
"use strict";

(() => {
  const WARN_SECONDS = 300;
  const QUIET_MS = 400;

  // Before the session ends its reader is told, and may stay with one press, where they are.
  const warning = document.querySelector("[data-ends]");
  if (warning) {
    let ends = Date.now() + Number(warning.dataset.ends) * 1000;
    const look = () => {
      warning.hidden = Date.now() < ends - WARN_SECONDS * 1000;
      setTimeout(look, 5000);
    };
    look();
    const form = warning.querySelector("[data-stay]");
    form.elements.to.value = location.pathname + location.search;
    form.addEventListener("submit", async (event) => {
      event.preventDefault();
      try {
        const answer = await fetch(form.action, {
          method: "POST",
          credentials: "same-origin",
          body: new URLSearchParams(new FormData(form)),
        });
        const page = new DOMParser().parseFromString(await answer.text(), "text/html");
        const there = page.querySelector("[data-ends]");
        if (!answer.ok || !there) throw new Error("not signed in");
        ends = Date.now() + Number(there.dataset.ends) * 1000;
        warning.hidden = Date.now() < ends - WARN_SECONDS * 1000;
        for (const button of form.querySelectorAll("button")) button.disabled = false;
        const content = document.getElementById("content");
        if (content) content.focus();
      } catch {
        form.submit();
      }
    });
  }

  // In a list, and only there, J and K go to the next case and the one before.
  const hint = document.querySelector("[data-keys]");
  if (hint) hint.hidden = false;
  for (const list of document.querySelectorAll("[data-rows]")) {
    list.addEventListener("keydown", (event) => {
      if (event.ctrlKey || event.altKey || event.metaKey) return;
      const step = { j: 1, k: -1 }[event.key.toLowerCase()];
      if (!step) return;
      const rows = [...list.querySelectorAll("[data-row]")];
      const next = rows[rows.indexOf(document.activeElement) + step];
      if (next) {
        event.preventDefault();
        next.focus();
      }
    });
  }

  // What is being decided is calculated while it is written, by the service itself.
  const form = document.querySelector("[data-calculates]");
  if (form) {
    let waiting = 0;
    let asked = 0;
    const calculate = async () => {
      const mine = (asked += 1);
      const body = new URLSearchParams(new FormData(form));
      body.set("calculate", "1");
      body.delete("text");
      try {
        const answer = await fetch(location.pathname, { method: "POST", credentials: "same-origin", body });
        const page = new DOMParser().parseFromString(await answer.text(), "text/html");
        const there = page.getElementById("preview");
        const here = document.getElementById("preview");
        if (there && mine === asked) here.replaceChildren(...there.childNodes);
      } catch {
        // No network: the button calculates when it is back.
      }
    };
    const split = form.querySelector("[data-split]");
    const chosen = () => form.querySelector("input[name='outcome']:checked");
    const show = () => {
      if (split) split.hidden = Boolean(chosen()) && chosen().value !== "split";
    };
    show();
    const soon = () => {
      show();
      clearTimeout(waiting);
      waiting = setTimeout(calculate, QUIET_MS);
    };
    form.addEventListener("input", (event) => {
      if (event.target.name === "outcome" || event.target.name.startsWith("part.")) soon();
    });
  }

  // Whoever writes about a short review means to decide it.
  for (const review of document.querySelectorAll("[data-review]")) {
    const take = review.querySelector("input[type='checkbox']");
    review.addEventListener("input", (event) => {
      if (event.target !== take) take.checked = true;
    });
  }
})();
