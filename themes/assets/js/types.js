// The default policy of trusted types, for pages whose scripts write HTML from
// texts (the editor, htmx): what could run is taken out of the text, whoever
// wrote it, and scripts come from this host alone.
(() => {
  "use strict";
  if (!self.trustedTypes) return;
  const strip = (root) => {
    for (const el of root.querySelectorAll("*")) {
      if (/^(script|iframe|object|embed|base)$/i.test(el.localName)) {
        el.remove();
        continue;
      }
      for (const a of [...el.attributes]) if (/^(on|srcdoc$)/i.test(a.name) || /^\s*(javascript|vbscript):/i.test(a.value)) el.removeAttribute(a.name);
      if (el.content) strip(el.content);
    }
  };
  const runs = /<\s*\/?\s*(script|iframe|object|embed|base)|[\s"'/]on\w|srcdoc|script:/i;
  let inside = false; // of this policy, whose own parsing comes here too
  trustedTypes.createPolicy("default", {
    createScriptURL: (url) => (new URL(url, location).origin === location.origin ? url : null),
    createHTML: (text) => {
      if (inside || !runs.test(text)) return text;
      inside = true;
      try {
        if (/<(html|head|body)[\s>]/i.test(text)) {
          const page = new DOMParser().parseFromString(text, "text/html");
          strip(page);
          return page.documentElement.outerHTML;
        }
        const box = document.createElement("template"); // inert: nothing in it runs or loads
        box.innerHTML = text;
        strip(box.content);
        return box.innerHTML;
      } finally {
        inside = false;
      }
    },
  });
})();
