// Where to connect (docs/PROTOCOL.md, "Finding a gateway"): several LBS, what the last one said, what an earlier
// page kept, and what is built in. WebCrypto only; pages need https or loopback for it. No build step.

import { LBS_MAGIC, ROOT_PREFIX, VERSION, WS_PATH } from "./constants.js";

const SIGNATURE = 64;
const SKEW_S = 60; // two clocks may differ so much; one that is further off proves the time by a nonce
const TTL_S = 300;
const MAX_TTL_S = 86_400;
const MAX_KEEP_S = 366 * 86_400;
const MAX_ANSWER = 256 * 1024;
const LOOPBACK = new Set(["127.0.0.1", "[::1]", "localhost"]);

/** What no answer of this LBS changes: it is not signed by the root, or was meant for somebody else. */
export class NotBelieved extends Error {}
/** An answer of another time: a replay, or this machine's clock is wrong. */
export class Stale extends Error {}
/** Nobody answered, and nothing is kept or built in; `causes` says why, one for each LBS. */
export class NoPlace extends Error {
  constructor(causes) {
    super("no address to connect to: " + causes.map(String).join("; "));
    this.causes = causes;
  }
}

/** Base64url without padding -> bytes. Throws NotBelieved. */
export function fromBase64url(text) {
  if (!/^[A-Za-z0-9_-]*$/.test(text)) throw new NotBelieved("not base64url");
  try {
    return Uint8Array.from(atob(text.replaceAll("-", "+").replaceAll("_", "/")), (c) => c.charCodeAt(0));
  } catch {
    throw new NotBelieved("not base64url");
  }
}

/** `qwroot1.<base64url>` -> the 32 bytes of the Ed25519 root. */
export function parseRoot(text) {
  const bytes = text.startsWith(ROOT_PREFIX) ? fromBase64url(text.slice(ROOT_PREFIX.length)) : [];
  if (bytes.length !== 32) throw new NotBelieved(`a root key is written ${ROOT_PREFIX}<43 characters>`);
  return bytes;
}

/** Whether a root key from this URL may be believed: only over TLS, or from this very machine. */
export function trustedForRoot(url) {
  const { protocol, hostname } = new URL(url);
  return protocol === "https:" || LOOPBACK.has(hostname);
}

/** What an answer says, believed or not. `here`: the host that was asked, meant where an address has none. */
export function parse(answer, here) {
  const seconds = (value, otherwise, most) =>
    Number.isFinite(value) && value >= 0 ? Math.min(value, most) : otherwise;
  if (!Array.isArray(answer?.gateways)) throw new Error("the LBS answered something else");
  return {
    addresses: answer.gateways.map((one) => {
      const host = String(one.host) || here;
      const authority = host.includes(":") && !host.startsWith("[") ? `[${host}]` : host;
      const scheme = one.transport === "wss" ? "wss" : "ws";
      if (!Number.isInteger(one.port)) throw new Error("the LBS answered something else: a port");
      return new URL(one.path ?? WS_PATH, `${scheme}://${authority}:${one.port}`).href;
    }),
    keySet: String(answer.key_set ?? ""),
    suites: (answer.suites ?? []).map(Number),
    issuedAt: seconds(answer.issued_at, 0, Infinity),
    ttlS: seconds(answer.ttl_s, TTL_S, MAX_TTL_S),
    keepS: seconds(answer.keep_s, 0, MAX_KEEP_S),
    asked: answer.for ?? {},
    signed: "",
  };
}

/** What the root (32 bytes) has signed. Throws NotBelieved for what it has not. */
export async function openSigned(text, root, here = "") {
  const data = fromBase64url(text);
  const body = data.subarray(0, Math.max(0, data.length - SIGNATURE));
  const key = await crypto.subtle.importKey("raw", root, "Ed25519", false, ["verify"]);
  const signature = data.subarray(body.length);
  if (signature.length !== SIGNATURE || !(await crypto.subtle.verify("Ed25519", key, signature, body)))
    throw new NotBelieved("the answer of the LBS is not signed by the pinned root");
  const head = new TextEncoder().encode(LBS_MAGIC + String.fromCharCode(VERSION));
  if (head.some((byte, at) => body[at] !== byte)) throw new NotBelieved("signed, and no answer of an LBS");
  const told = JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(body.subarray(head.length)));
  return { ...parse(told, here), signed: text };
}

/** Throws NotBelieved for an answer to another question, Stale for one of another time. `now`: Unix seconds. */
export function judge(placement, question, now) {
  const wanted = { transport: "tcp", ...question };
  const names = new Set([...Object.keys(wanted), ...Object.keys(placement.asked)]);
  for (const name of names)
    if (wanted[name] !== placement.asked[name]) throw new NotBelieved("the LBS answered another question");
  const age = now - placement.issuedAt;
  if (!question.nonce && !(age >= -SKEW_S && age <= placement.ttlS + SKEW_S))
    throw new Stale(`the answer of the LBS is ${Math.round(age)} s old: a replay, or this clock is wrong`);
}

function ownStorage() {
  try {
    return globalThis.localStorage ?? null;
  } catch {
    return null; // a page that may keep nothing
  }
}

export class Places {
  #placement = null;
  #freshUntil = 0;
  #keepUntil = 0;

  /**
   * urls        LBS URLs, the first one is asked first
   * root        `qwroot1....`; left out: believed from an https LBS, or one of this machine
   * device      stable name of this device: the LBS spreads by it
   * builtIn     addresses (`wss://host/path`) for when nothing else is known
   * unsigned    take answers that the root has not signed, from servers that do not sign
   * storage     keeps the last answer for the next page, as localStorage does; null keeps nothing
   */
  constructor({
    urls,
    root = "",
    device = "",
    builtIn = [],
    unsigned = false,
    storage = ownStorage(),
    storageKey = "qianwan.lbs",
    staggerMs = 2000,
    timeoutMs = 10_000,
    fetch = globalThis.fetch.bind(globalThis),
    now = Date.now,
    random = Math.random,
  }) {
    this.root = root ? parseRoot(root) : null;
    Object.assign(this, { urls, device, builtIn, unsigned, storage, storageKey, staggerMs, timeoutMs });
    Object.assign(this, { fetch, now, random });
  }

  /** The last answer that was believed: `keySet`, `suites`. */
  get placement() {
    return this.#placement;
  }

  /** Addresses in the order to try. `elsewhere`: a gateway said so, what is known is not enough. */
  async find({ user = "", elsewhere = false } = {}) {
    if (!this.#placement) await this.#remember();
    if (this.#placement && !elsewhere && performance.now() < this.#freshUntil) return this.#placement.addresses;
    const causes = [];
    const placement = this.urls.length ? await this.#askAll(user, causes) : null;
    if (placement) {
      this.#take(placement);
      return placement.addresses;
    }
    const kept = this.#placement && performance.now() < this.#keepUntil ? this.#placement.addresses : [];
    const found = [...new Set([...kept, ...this.builtIn])];
    if (!found.length) throw new NoPlace(causes);
    return found;
  }

  async #remember() {
    try {
      const text = this.storage?.getItem(this.storageKey);
      if (!text || !this.root) return;
      const here = this.urls.length ? new URL(this.urls[0]).hostname : "";
      const kept = await openSigned(text, this.root, here);
      const ageS = this.now() / 1000 - kept.issuedAt;
      if (!kept.addresses.length || ageS > kept.keepS) return;
      this.#placement = kept; // to fall back on: a page that begins asks
      this.#keepUntil = performance.now() + 1000 * Math.min(kept.keepS, kept.keepS - ageS);
    } catch {
      // damaged, of another root, or the browser keeps nothing: as if nothing had been kept
    }
  }

  #take(placement) {
    const ageS = placement.asked.nonce || !placement.signed ? 0 : this.now() / 1000 - placement.issuedAt;
    const at = performance.now();
    this.#placement = placement;
    this.#freshUntil = at + 1000 * (placement.ttlS - Math.min(Math.max(ageS, 0), placement.ttlS));
    this.#keepUntil = placement.signed ? at + 1000 * Math.max(placement.keepS, placement.ttlS) : Infinity;
    try {
      if (placement.signed) this.storage?.setItem(this.storageKey, placement.signed);
    } catch {
      // full, or forbidden: the next page asks
    }
  }

  // The next LBS is asked when one has failed, or after a random part of the stagger; the first that is believed
  // wins.
  #askAll(user, causes) {
    return new Promise((resolve) => {
      const waiting = [...this.urls];
      const stop = new AbortController();
      let running = 0;
      let timer;
      const settle = (found) => {
        clearTimeout(timer);
        stop.abort();
        resolve(found);
      };
      const next = () => {
        clearTimeout(timer);
        if (!waiting.length) {
          if (!running) settle(null);
          return;
        }
        running += 1;
        this.#ask(waiting.shift(), user, stop.signal).then(settle, (error) => {
          causes.push(error);
          running -= 1;
          next();
        });
        timer = setTimeout(next, this.random() * this.staggerMs);
      };
      next();
    });
  }

  async #ask(url, user, signal) {
    const question = { transport: "ws" };
    if (user) question.user = user;
    if (this.device) question.device = this.device;
    let found;
    try {
      found = await this.#believed(url, await this.#fetch(url, question, signal), question);
    } catch (error) {
      if (!(error instanceof Stale)) throw error;
      question.nonce = crypto.randomUUID();
      found = await this.#believed(url, await this.#fetch(url, question, signal), question);
    }
    if (!found.addresses.length) throw new Error(`LBS ${url} names no gateway`);
    return found;
  }

  async #fetch(url, question, signal) {
    const full = new URL(url);
    if (full.pathname === "/") full.pathname = "/v1/lbs";
    for (const [name, value] of Object.entries(question)) full.searchParams.set(name, value);
    const either = AbortSignal.any([signal, AbortSignal.timeout(this.timeoutMs)]);
    const answer = await this.fetch(full, { signal: either, credentials: "omit", redirect: "error", mode: "cors" });
    if (!answer.ok) throw new Error(`LBS ${url} answered ${answer.status}`);
    const text = await answer.text();
    if (text.length > MAX_ANSWER) throw new Error(`LBS ${url} answered ${text.length} bytes`);
    return JSON.parse(text);
  }

  async #believed(url, answer, question) {
    const here = new URL(url).hostname;
    if (!answer?.signed) {
      if (this.unsigned) return parse(answer, here);
      throw new NotBelieved(`the answer of LBS ${url} is not signed`);
    }
    if (!this.root && !trustedForRoot(url))
      throw new NotBelieved("give the root key, or ask the LBS over https");
    const root = this.root ?? parseRoot(String(answer.root));
    const found = await openSigned(String(answer.signed), root, here);
    judge(found, question, this.now() / 1000);
    this.root = root;
    return found;
  }
}
