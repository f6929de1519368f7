// What pages do better with a script; everything works without it.
"use strict";

(() => {
  const LOOK_AFTER = 3000;
  const MOST_LOOKS = 40;

  // A button is pressed once: a second press says the same, and is only confusing. One that opens
  // a page beside this one leaves this one as it is.
  let leaving = false;
  for (const form of document.querySelectorAll("form")) {
    form.addEventListener("submit", (event) => {
      if (event.submitter && event.submitter.formTarget === "_blank") return;
      leaving = true;
      for (const button of form.querySelectorAll("button")) {
        setTimeout(() => { button.disabled = true; }, 0);
      }
    });
  }
  // The browser's back button shows the page as it was left.
  window.addEventListener("pageshow", () => {
    leaving = false;
    for (const button of document.querySelectorAll("button[disabled]")) button.disabled = false;
  });

  // A photograph from a camera is often larger than what is taken in, and slow to send: a copy that
  // shows as much goes in its place. What this browser cannot read is sent as it is.
  const HEAVY = 4_000_000;
  const LONG_SIDE = 3000;
  const lighter = async (file) => {
    const image = await createImageBitmap(file);
    const scale = Math.min(1, LONG_SIDE / Math.max(image.width, image.height));
    const canvas = document.createElement("canvas");
    canvas.width = Math.round(image.width * scale);
    canvas.height = Math.round(image.height * scale);
    canvas.getContext("2d").drawImage(image, 0, 0, canvas.width, canvas.height);
    const made = await new Promise((resolve) => { canvas.toBlob(resolve, "image/jpeg", 0.85); });
    return new File([made], "photo.jpg", { type: "image/jpeg" });
  };
  for (const field of document.querySelectorAll("input[type=file]")) {
    const buttons = [...field.form.querySelectorAll("button")];
    field.addEventListener("change", async () => {
      const [file] = field.files;
      if (!file || file.size <= HEAVY) return;
      // It is sent when it is ready, not before.
      for (const button of buttons) button.disabled = true;
      try {
        const chosen = new DataTransfer();
        chosen.items.add(await lighter(file));
        if (field.files[0] === file) field.files = chosen.files;
      } catch {
        // The server says what is wrong with it.
      } finally {
        for (const button of buttons) button.disabled = false;
      }
    });
  }

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
    if (leaving) return;
    looks += 1;
    try {
      const answer = await fetch(location.href, { credentials: "same-origin" });
      // Busy, or asked too often: what stands here stays until there is something newer.
      if (answer.status === 429 || answer.status >= 500) throw new Error("later");
      const page = new DOMParser().parseFromString(await answer.text(), "text/html");
      const there = page.querySelector("[data-waits]");
      if (leaving) return; // what was sent meanwhile has its own answer
      if (!there || there.dataset.waits !== waiting.dataset.waits) {
        location.replace(location.pathname + location.search);
        return;
      }
    } catch {
      // No network, or no answer now: the next look may have it.
    }
    if (looks < MOST_LOOKS) setTimeout(look, LOOK_AFTER);
  };
  if (waiting) setTimeout(look, LOOK_AFTER);
})();
