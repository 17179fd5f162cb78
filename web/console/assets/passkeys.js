// A form with data-passkey asks a passkey before it is sent: "create" makes one,
// "get" signs. What the browser is to ask comes from data-ask; the answer goes
// into the form. Where the browser knows no passkeys the form stays hidden.
(() => {
  "use strict";
  const bytes = (s) => Uint8Array.from(atob(s.replace(/-/g, "+").replace(/_/g, "/")), (c) => c.charCodeAt(0));
  const text = (b) => btoa(String.fromCharCode(...new Uint8Array(b))).replace(/\+/g, "-").replace(/\//g, "_").replace(/=+$/, "");
  const listed = (l) => (l || []).map((d) => ({ ...d, id: bytes(d.id) }));

  const ask = async (kind, url) => {
    const res = await fetch(url, { method: "POST", headers: { Accept: "application/json" } });
    if (res.status === 401) {
      location.assign("/verify?next=" + encodeURIComponent(location.pathname + location.search));
      return null;
    }
    if (!res.ok) throw new Error(res.status);
    const { options, ticket } = await res.json();
    const o = options.publicKey;
    o.challenge = bytes(o.challenge);
    if (kind === "create") {
      o.user.id = bytes(o.user.id);
      o.excludeCredentials = listed(o.excludeCredentials);
    } else {
      o.allowCredentials = listed(o.allowCredentials);
    }
    const c = await navigator.credentials[kind]({ publicKey: o });
    const r = c.response;
    const response = { clientDataJSON: text(r.clientDataJSON) };
    if (kind === "create") {
      response.attestationObject = text(r.attestationObject);
      response.transports = r.getTransports ? r.getTransports() : [];
    } else {
      response.authenticatorData = text(r.authenticatorData);
      response.signature = text(r.signature);
      if (r.userHandle) response.userHandle = text(r.userHandle);
    }
    return { ticket, answer: JSON.stringify({ id: c.id, rawId: text(c.rawId), type: c.type, response,
      authenticatorAttachment: c.authenticatorAttachment || undefined, clientExtensionResults: c.getClientExtensionResults() }) };
  };

  document.addEventListener("DOMContentLoaded", () => {
    if (!window.PublicKeyCredential) {
      document.querySelectorAll("[data-no-passkey]").forEach((el) => { el.hidden = false; });
      return;
    }
    document.querySelectorAll("form[data-passkey]").forEach((form) => {
      form.hidden = false;
      const failed = form.querySelector("[data-passkey-failed]");
      const button = form.querySelector("button");
      form.addEventListener("submit", async (e) => {
        e.preventDefault();
        failed.hidden = true;
        button.disabled = true;
        try {
          const got = await ask(form.dataset.passkey, form.dataset.ask);
          if (!got) return;
          form.elements.ticket.value = got.ticket;
          form.elements.answer.value = got.answer;
          form.submit();
        } catch {
          failed.hidden = false;
          button.disabled = false;
        }
      });
    });
  });
})();
