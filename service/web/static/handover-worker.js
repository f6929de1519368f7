// The worker of one member's link, or of the page that squares lead to: it shows what was there
// when there is no network, and keeps the digits that were sent into nothing. It touches no other
// address, and says nothing of its own: what is shown is what the server last said.
"use strict";

const HOME = new URL(self.registration.scope).pathname;
const CACHE = `tierce:${HOME}`;
const ASSETS = /\/static\/[\w.-]+/g;

// The page has said that nothing is to be kept any more: what is on its way is not either.
let isOver = false;

const isMine = (path) => path === HOME || path.startsWith(`${HOME}/`);

// A copy says of itself that it is one. What it needs to look as it did is kept with it.
const keep = async (path, answer) => {
  if (!answer.ok || !(answer.headers.get("content-type") || "").startsWith("text/html")) return;
  const html = (await answer.text()).replace("<html ", "<html data-copy ");
  if (isOver) return;
  const cache = await caches.open(CACHE);
  await cache.put(path, new Response(html, { headers: answer.headers }));
  for (const asset of new Set(html.match(ASSETS))) {
    if (!(await cache.match(asset))) await cache.add(asset);
  }
  if (isOver) await caches.delete(CACHE);
};

const networkThenCopy = async (request, path) => {
  try {
    const answer = await fetch(request);
    if (answer.status === 404 || answer.status === 410) await caches.delete(CACHE);
    else await keep(path, answer.clone());
    return answer;
  } catch (error) {
    const copy = await (await caches.open(CACHE)).match(path);
    if (copy) return copy;
    throw error;
  }
};

// Digits sent without a network are kept, and the page says so.
const networkThenKept = async (request) => {
  const form = await request.clone().formData();
  try {
    return await fetch(request);
  } catch {
    const said = { code: form.get("code"), checkpoint: form.get("checkpoint") };
    const mine = (await Keeping.all("link")).find((one) => one.link === HOME);
    await Keeping.put("said", { link: HOME, exchange: mine && mine.exchange, said });
    if (self.registration.sync) self.registration.sync.register("said").catch(() => {});
    return Response.redirect(HOME, 303);
  }
};

self.addEventListener("install", () => self.skipWaiting());
self.addEventListener("activate", (event) => event.waitUntil(self.clients.claim()));

self.addEventListener("message", (event) => {
  // The page that was opened before this worker was there.
  isOver = event.data.isOver === true;
  if (isOver) {
    event.waitUntil(caches.delete(CACHE));
    return;
  }
  const again = async () => keep(HOME, await fetch(HOME + event.data.query));
  event.waitUntil(again().catch(() => {}).then(() => event.ports[0].postMessage(null)));
});

self.addEventListener("fetch", (event) => {
  const { request } = event;
  const url = new URL(request.url);
  if (url.origin !== self.location.origin) return;
  if (url.pathname.startsWith("/static/")) {
    // Named by their content: what is kept is what would come.
    event.respondWith(caches.match(request).then((found) => found || fetch(request)));
    return;
  }
  if (request.mode !== "navigate" || !isMine(url.pathname)) return;
  if (url.pathname === HOME || url.pathname === `${HOME}/code`) {
    event.respondWith(networkThenCopy(request, url.pathname));
  } else if (url.pathname === `${HOME}/steps/enter_code`) {
    event.respondWith(networkThenKept(request));
  }
});

// Where the browser does so, what waits is sent when the network is back though no page is open.
self.addEventListener("sync", (event) => {
  const sendAll = async () => {
    for (const one of await Keeping.all("said")) {
      const word = await Keeping.send(one.link);
      if (word === undefined) continue;
      if (word === null) throw new Error("no network yet");
      const all = await self.clients.matchAll({ includeUncontrolled: true });
      const isSeen = all.some((page) => new URL(page.url).pathname === one.link);
      // Nobody looks: they are told when they come back.
      if (!isSeen && word.verdict === "refused") {
        const { link, exchange } = one;
        await Keeping.put("said", { link, exchange, refused: word.said });
      }
    }
  };
  event.waitUntil(sendAll());
});
