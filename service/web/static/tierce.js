// What pages do better with a script; everything works without it.
"use strict";

(() => {
  const LOOK_AFTER = 3000;
  const MOST_LOOKS = 40;

  // A button is pressed once: a second press says the same, and is only confusing.
  for (const form of document.querySelectorAll("form")) {
    form.addEventListener("submit", () => {
      for (const button of form.querySelectorAll("button")) {
        setTimeout(() => { button.disabled = true; }, 0);
      }
    });
  }
  // The browser's back button shows the page as it was left.
  window.addEventListener("pageshow", () => {
    for (const button of document.querySelectorAll("button[disabled]")) button.disabled = false;
  });

  const wrong = document.querySelector("[data-focus]");
  if (wrong) wrong.focus();

  const print = document.querySelector("[data-print]");
  if (print) {
    print.hidden = false;
    print.querySelector("button").addEventListener("click", () => window.print());
  }

  // Where something moves by itself, look again now and then, and stop after two minutes.
  const waiting = document.querySelector("[data-waits]");
  let looks = 0;
  const look = async () => {
    looks += 1;
    try {
      const answer = await fetch(location.href, { credentials: "same-origin" });
      const page = new DOMParser().parseFromString(await answer.text(), "text/html");
      const there = page.querySelector("[data-waits]");
      if (!there || there.dataset.waits !== waiting.dataset.waits) {
        location.replace(location.pathname + location.search);
        return;
      }
    } catch {
      // No network: the next look may have it.
    }
    if (looks < MOST_LOOKS) setTimeout(look, LOOK_AFTER);
  };
  if (waiting) setTimeout(look, LOOK_AFTER);

  // A code that was read from a square: exchange and digits stand behind the '#', which no server sees.
  const scanned = document.querySelector("[data-scanned]");
  const read = /^#([a-z0-9_]+)\.([0-9]{6})$/.exec(location.hash);
  if (scanned && read) {
    scanned.textContent = `${read[2].slice(0, 3)} ${read[2].slice(3)}`;
    for (const part of [scanned, document.querySelector("[data-scanned-note]")]) part.hidden = false;
    document.querySelector("[data-unscanned]").hidden = true;
    const mine = localStorage.getItem(`tierce:${read[1]}`);
    if (mine && /^\/l\/[A-Za-z0-9_-]{43}$/.test(mine)) {
      const use = document.querySelector("[data-scanned-use]");
      use.hidden = false;
      use.querySelector("a").href = `${mine}#${read[2]}`;
    }
  }
  // The page that takes the code keeps its own address here until the code is taken.
  const field = document.querySelector("[data-exchange]");
  if (field) {
    const name = `tierce:${field.dataset.exchange}`;
    if (field.dataset.takes === "yes") {
      localStorage.setItem(name, location.pathname);
      const code = /^#([0-9]{6})$/.exec(location.hash);
      const box = document.getElementById("code");
      if (code && box) {
        box.value = code[1];
        history.replaceState(null, "", location.pathname + location.search);
        box.focus();
      }
    } else {
      localStorage.removeItem(name);
    }
  }
})();
