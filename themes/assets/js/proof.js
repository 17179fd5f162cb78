// A form with an input[data-proof] is sent with work that the browser did on it
// while it was filled in, in a worker, so that typing never waits. Without this
// script the form is sent all the same, and a link by mail takes its place.
(() => {
  "use strict";
  if (!self.document) {
    // The worker: SHA-256 (FIPS 180-4) of one short block; crypto.subtle would take
    // a promise for each, and is missing on plain http.
    const K = new Uint32Array(64), H0 = new Uint32Array(8), W = new Uint32Array(64), H = new Uint32Array(8), block = new Uint8Array(64);
    for (let n = 2, i = 0; i < 64; n++) {
      let prime = true;
      for (let d = 2; d * d <= n; d++) if (n % d === 0) prime = false;
      if (!prime) continue;
      if (i < 8) H0[i] = (Math.sqrt(n) % 1) * 4294967296;
      K[i++] = (Math.cbrt(n) % 1) * 4294967296;
    }
    const hash = (length) => {
      for (let i = 0; i < 16; i++) W[i] = (block[i * 4] << 24) | (block[i * 4 + 1] << 16) | (block[i * 4 + 2] << 8) | block[i * 4 + 3];
      W[15] = length * 8;
      for (let i = 16; i < 64; i++) {
        const a = W[i - 15], b = W[i - 2];
        W[i] = (W[i - 16] + ((a >>> 7 | a << 25) ^ (a >>> 18 | a << 14) ^ a >>> 3) + W[i - 7] + ((b >>> 17 | b << 15) ^ (b >>> 19 | b << 13) ^ b >>> 10)) | 0;
      }
      let a = H0[0] | 0, b = H0[1] | 0, c = H0[2] | 0, d = H0[3] | 0, e = H0[4] | 0, f = H0[5] | 0, g = H0[6] | 0, h = H0[7] | 0;
      for (let i = 0; i < 64; i++) {
        const t1 = (h + ((e >>> 6 | e << 26) ^ (e >>> 11 | e << 21) ^ (e >>> 25 | e << 7)) + ((e & f) ^ (~e & g)) + K[i] + W[i]) | 0;
        const t2 = (((a >>> 2 | a << 30) ^ (a >>> 13 | a << 19) ^ (a >>> 22 | a << 10)) + ((a & b) ^ (a & c) ^ (b & c))) | 0;
        h = g; g = f; f = e; e = (d + t1) | 0; d = c; c = b; b = a; a = (t1 + t2) | 0;
      }
      H[0] = H0[0] + a; H[1] = H0[1] + b; H[2] = H0[2] + c; H[3] = H0[3] + d;
    };
    self.onmessage = ({ data: { salt, target, max } }) => {
      const want = [0, 8, 16, 24].map((i) => parseInt(target.slice(i, i + 8), 16));
      const head = new TextEncoder().encode(salt + ".");
      for (let n = 0; n < max; n++) {
        const digits = String(n), end = head.length + digits.length;
        block.fill(0);
        block.set(head);
        for (let i = 0; i < digits.length; i++) block[head.length + i] = digits.charCodeAt(i);
        block[end] = 128;
        hash(end);
        if (H[0] === want[0] && H[1] === want[1] && H[2] === want[2] && H[3] === want[3]) return self.postMessage(n);
      }
      self.postMessage(-1);
    };
    return;
  }

  const here = document.currentScript.src;
  let types;
  const script = () => {
    if (!self.trustedTypes) return here;
    types = types || trustedTypes.createPolicy("forms", { createScriptURL: (url) => (url === here ? url : null) });
    return types.createScriptURL(here);
  };

  for (const input of document.querySelectorAll("input[data-proof]")) {
    const form = input.form, from = input.dataset.proof;
    input.removeAttribute("data-proof"); // a page of two forms runs this twice
    let work = null, over = 0, ready = false, waits = false, sent = false;
    const solve = async () => {
      const res = await fetch(from, { headers: { Accept: "application/json" }, cache: "no-store" });
      if (!res.ok) throw new Error(res.status);
      const c = await res.json();
      over = Date.now() + (c.seconds - 60) * 1000;
      const worker = new Worker(script());
      try {
        const n = await new Promise((done, failed) => {
          worker.onmessage = (e) => done(e.data);
          worker.onerror = (e) => { e.preventDefault(); failed(e); };
          worker.postMessage(c);
        });
        return n < 0 ? "" : c.token + ":" + n;
      } finally {
        worker.terminate();
      }
    };
    const begin = () => {
      if (work && !(over && Date.now() > over)) return;
      over = 0;
      ready = false;
      work = solve().then((answer) => {
        input.value = answer;
        ready = true;
      }, () => {
        input.value = ""; // then a mail takes the proof's place
        work = null;
      });
    };
    for (const kind of ["focusin", "input", "pointerdown"]) form.addEventListener(kind, begin, { passive: true });
    form.addEventListener("submit", async (e) => {
      if (!sent) begin();
      if (ready || sent) return;
      e.preventDefault();
      if (waits) return; // pressed twice
      waits = true;
      form.setAttribute("aria-busy", "true");
      await work;
      form.removeAttribute("aria-busy");
      waits = false;
      sent = true;
      // Not from here: a form that is being submitted takes no second submission.
      setTimeout(() => form.requestSubmit(e.submitter || undefined));
    });
    // Back from the next page: what was sent is spent.
    addEventListener("pageshow", (e) => {
      if (!e.persisted) return;
      sent = ready = false;
      work = null;
      input.value = "";
    });
  }
})();
