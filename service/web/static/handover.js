// A hand-over without a network: the page that takes the code checks the square by itself, keeps
// the proof, and sends it later. Nothing here says that money moved: the server's page does.
"use strict";

(() => {
  const PURPOSE = "tierce hand-over\0";
  const CONTENT = 24;
  const TOKEN = /^[A-Za-z0-9_-]{118}$/;
  const show = (name, words) => {
    const part = document.querySelector(`[data-${name}]`);
    if (!part) return;
    if (words) part.querySelector("p").textContent = words;
    part.hidden = false;
  };
  const hide = (name) => {
    const part = document.querySelector(`[data-${name}]`);
    if (part) part.hidden = true;
  };

  const bytesOf = (text) => {
    const plain = atob(text.replaceAll("-", "+").replaceAll("_", "/"));
    return Uint8Array.from(plain, (letter) => letter.charCodeAt(0));
  };
  const hexOf = (bytes) => [...bytes].map((one) => one.toString(16).padStart(2, "0")).join("");

  // What a square says, before anybody has looked whether it is true.
  const read = (token) => {
    const whole = bytesOf(token);
    const view = new DataView(whole.buffer);
    return {
      whole,
      version: view.getUint8(0),
      exchange: hexOf(whole.slice(1, 17)),
      position: view.getUint8(17),
      generation: view.getUint8(18),
      ends: view.getUint32(20) * 1000,
    };
  };

  // Returns what is wrong with a square ("bad", "old"), or null.
  const fault = async (square, mine) => {
    const curve = { name: "ECDSA", namedCurve: "P-256" };
    const key = await crypto.subtle.importKey("jwk", JSON.parse(mine.key), curve, false, ["verify"]);
    const purpose = new TextEncoder().encode(PURPOSE);
    const signed = new Uint8Array([...purpose, ...square.whole.slice(0, CONTENT)]);
    const how = { name: "ECDSA", hash: "SHA-256" };
    const isOurs = await crypto.subtle.verify(how, key, square.whole.slice(CONTENT), signed);
    if (!isOurs || square.version !== 1 || square.exchange !== mine.exchange) return "bad";
    const same = square.position === mine.position && square.generation >= mine.generation;
    return same && Date.now() < square.ends ? null : "old";
  };

  const take = async (token) => {
    if (!TOKEN.test(token)) return "bad";
    // Browsers check nothing on pages that came without https.
    if (!globalThis.crypto || !crypto.subtle) return "unable";
    const square = read(token);
    const mine = await Keeping.get("link", square.exchange);
    if (!mine) return "unknown";
    const wrong = await fault(square, mine);
    if (wrong) return wrong;
    await Keeping.put("said", { link: mine.link, exchange: mine.exchange, said: { proof: token } });
    location.assign(mine.link);
    return null;
  };

  const register = async (scope) => {
    const found = await navigator.serviceWorker.register("/handover-worker.js", { scope });
    const worker = found.installing || found.waiting || found.active;
    if (worker.state !== "activated") {
      await new Promise((resolve) => {
        worker.addEventListener("statechange", () => { if (worker.state === "activated") resolve(); });
      });
    }
    // It answers when what it could have of the page is kept.
    const { port1, port2 } = new MessageChannel();
    const kept = new Promise((resolve) => { port1.onmessage = resolve; });
    worker.postMessage({ query: scope === location.pathname ? location.search : "" }, [port2]);
    await kept;
  };
  const forget = async (scope) => {
    const all = await navigator.serviceWorker.getRegistrations();
    for (const one of all) {
      if (new URL(one.scope).pathname !== scope) continue;
      if (one.active) one.active.postMessage({ isOver: true });
      await one.unregister();
    }
    await caches.delete(`tierce:${scope}`);
  };

  // The server's word on what was kept, whoever of us brought it.
  let isLeaving = false;
  const follow = (word) => {
    hide("kept-square");
    hide("kept-digits");
    if (word.verdict === "refused") show("refused", word.said);
    else {
      isLeaving = true;
      location.replace(word.address || location.pathname);
    }
  };

  // Sends what waits for this page, now and whenever there may be a network again.
  const tell = async (link) => {
    const one = await Keeping.get("said", link);
    if (!one) return;
    if (one.refused) {
      show("refused", one.refused);
      await Keeping.drop("said", link);
      return;
    }
    show(one.said.proof ? "kept-square" : "kept-digits");
    const word = await Keeping.send(link);
    if (word === undefined) return; // somebody was quicker, and tells us
    if (word === null) {
      const worker = await navigator.serviceWorker.getRegistration();
      if (worker && worker.sync) worker.sync.register("said").catch(() => {});
      return;
    }
    follow(word);
  };

  // Every message has a link of its own: what was kept under an older one of this exchange goes
  // too, by that one, and is told here.
  const tellOlder = async (link, exchange) => {
    for (const one of await Keeping.all("said")) {
      if (one.link === link || one.exchange !== exchange) continue;
      const word = one.refused ? { verdict: "refused", said: one.refused } : await Keeping.send(one.link);
      if (one.refused) await Keeping.drop("said", one.link);
      if (word === null) show(one.said.proof ? "kept-square" : "kept-digits");
      else if (word && word.verdict === "done") follow({ ...word, address: `${link}?done=enter_code` });
      else if (word && word.verdict === "refused") follow(word);
    }
  };

  // Two people may share a browser: what one's page does not take, another's may.
  const remember = async (facts, link) => {
    const { exchange, key } = facts;
    const before = await Keeping.get("link", exchange);
    if (facts.takes === "yes") {
      const [position, generation] = [Number(facts.position), Number(facts.generation)];
      await Keeping.put("link", { exchange, link, key, position, generation });
    } else if (facts.gives !== "yes" || (before && before.link === link)) {
      await Keeping.drop("link", exchange);
    }
  };

  const page = async (facts) => {
    const link = location.pathname;
    const canWork = "serviceWorker" in navigator && "locks" in navigator && "indexedDB" in globalThis;
    if (document.documentElement.hasAttribute("data-copy")) show("offline");
    if (!canWork) return;
    await remember(facts, link);
    Keeping.heard(link, follow);
    const tellBoth = async () => {
      await tell(link);
      if (facts.gives !== "yes") await tellOlder(link, facts.exchange);
    };
    const tellAgain = () => tellBoth().catch(() => {});
    globalThis.addEventListener("online", tellAgain);
    document.addEventListener("visibilitychange", () => { if (!document.hidden) tellAgain(); });
    await tellAgain();
    // A page that is being left keeps nothing more: the next one may be about to forget it all.
    if (isLeaving || document.documentElement.hasAttribute("data-copy")) return;
    if (facts.takes === "yes") await Promise.all([register(link), register("/code")]);
    else if (facts.gives === "yes") await register(link);
    else await forget(link);
    if (!(await Keeping.all("link")).length) await forget("/code");
    document.documentElement.setAttribute("data-ready", "");
  };

  // Reading the square with this page's own camera, where the browser can.
  const camera = (box) => {
    const [start, view] = [box.querySelector("button"), box.querySelector("video")];
    if (!("BarcodeDetector" in globalThis) || !navigator.mediaDevices) return;
    box.hidden = false;
    start.addEventListener("click", async () => {
      let stream;
      try {
        stream = await navigator.mediaDevices.getUserMedia({ video: { facingMode: "environment" } });
      } catch {
        show("square-camera");
        return;
      }
      view.srcObject = stream;
      view.hidden = false;
      await view.play();
      const detector = new BarcodeDetector({ formats: ["qr_code"] });
      const stop = () => { for (const track of stream.getTracks()) track.stop(); view.hidden = true; };
      const look = async () => {
        const [found] = await detector.detect(view).catch(() => []);
        if (!found) {
          if (stream.active) requestAnimationFrame(look);
          return;
        }
        stop();
        const wrong = await take(found.rawValue.split("#").pop());
        if (wrong) show(`square-${wrong}`);
      };
      look();
    });
  };

  const facts = document.querySelector("[data-exchange]");
  if (facts) page(facts.dataset).catch(() => {});
  const reader = document.querySelector("[data-reader]");
  if (reader) camera(reader);

  // The page that a square leads to. What stands behind the '#' is seen by no server.
  if (document.querySelector("[data-scanned]") && location.hash) {
    const token = location.hash.slice(1);
    history.replaceState(null, "", location.pathname + location.search);
    take(token).catch(() => "unable").then((wrong) => {
      if (!wrong) return;
      hide("scanned");
      show(`square-${wrong}`);
    });
  }
})();
