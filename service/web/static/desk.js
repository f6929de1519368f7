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

  // Single keys lead to what is marked with them, unless somebody is writing or has turned them
  // off (WCAG 2.1.4: a dictated word must not press anything). J and K go through a list.
  const OFF = "tierce-desk-keys-off";
  const areOff = () => {
    try {
      return localStorage.getItem(OFF) === "1";
    } catch {
      return false;
    }
  };
  const hint = document.querySelector("[data-keys]");
  if (hint) hint.hidden = areOff();
  const keySwitch = document.querySelector("[data-key-switch]");
  if (keySwitch) {
    const box = keySwitch.querySelector("input");
    keySwitch.hidden = false;
    box.checked = !areOff();
    box.addEventListener("change", () => {
      try {
        if (box.checked) localStorage.removeItem(OFF);
        else localStorage.setItem(OFF, "1");
      } catch {
        box.checked = true; // nothing is kept in this browser
      }
    });
  }
  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.altKey || event.metaKey || event.repeat || areOff()) return;
    if (event.target.closest("input, textarea, select, [contenteditable]")) return;
    const key = event.key.toLowerCase();
    const rows = [...document.querySelectorAll("[data-row]")];
    const step = { j: 1, k: -1 }[key];
    if (step && rows.length) {
      const at = rows.indexOf(document.activeElement);
      const next = rows[at < 0 ? 0 : at + step];
      if (next) {
        event.preventDefault();
        next.focus();
      }
      return;
    }
    const link = [...document.querySelectorAll("[data-key]")].find((one) => one.dataset.key === key);
    if (link) {
      event.preventDefault();
      link.click();
    }
  });

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
