// What a phone keeps of a hand-over until there is a network, for the page and for its worker.
"use strict";

const Keeping = (() => {
  // "link": the page of this phone that takes the code of an exchange, and what is needed to check
  // a square without a network. "said": a proof or digits that wait to be sent, or why they were
  // refused while nobody looked.
  const open = () => new Promise((resolve, reject) => {
    const asked = indexedDB.open("tierce", 1);
    asked.onupgradeneeded = () => {
      asked.result.createObjectStore("link", { keyPath: "exchange" });
      asked.result.createObjectStore("said", { keyPath: "link" });
    };
    asked.onsuccess = () => resolve(asked.result);
    asked.onerror = () => reject(asked.error);
  });

  const run = async (store, mode, work) => {
    const database = await open();
    try {
      return await new Promise((resolve, reject) => {
        const within = database.transaction(store, mode);
        const asked = work(within.objectStore(store));
        within.oncomplete = () => resolve(asked.result);
        within.onabort = () => reject(within.error);
      });
    } finally {
      database.close();
    }
  };

  const channel = new BroadcastChannel("tierce");
  const heard = (link, follow) => channel.addEventListener("message", (event) => {
    if (event.data.link === link) follow(event.data.word);
  });

  const get = (store, key) => run(store, "readonly", (one) => one.get(key));
  const all = (store) => run(store, "readonly", (one) => one.getAll());
  const put = (store, value) => run(store, "readwrite", (one) => one.put(value));
  const drop = (store, key) => run(store, "readwrite", (one) => one.delete(key));

  const post = async (one) => {
    let answer;
    try {
      answer = await fetch(`${one.link}/proof`, { method: "POST", body: new URLSearchParams(one.said) });
    } catch {
      return null;
    }
    const isVerdict = (answer.headers.get("content-type") || "").startsWith("application/json");
    const isClosed = answer.status === 404 || answer.status === 410;
    // Too slow, too often, out of order: none of it says that the proof is worth nothing.
    if (!isClosed && !(answer.ok && isVerdict)) return null;
    const word = isClosed ? { verdict: "closed" } : await answer.json();
    await drop("said", one.link);
    // Every page of the link that is open shows the same.
    channel.postMessage({ link: one.link, word });
    return word;
  };

  // Sends what waits for a link and returns the server's word; null when it could not be had (then
  // it is kept), undefined when nothing waits. One at a time: wrong digits are to count once.
  const send = (link) => navigator.locks.request(`tierce:${link}`, async () => {
    const one = await get("said", link);
    return one && !one.refused ? post(one) : undefined;
  });

  return { get, all, put, drop, send, heard };
})();
