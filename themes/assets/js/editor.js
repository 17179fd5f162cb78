// Turns the description's textarea into a rich-text editor, once Trix and its
// styles are here; without them the textarea stays. Trix's own <style> elements
// are refused by our Content-Security-Policy: they are kept out, and editor.css
// has their rules.
(() => {
  "use strict";
  const area = document.querySelector("textarea[data-editor]");
  if (!area) return;

  const insert = document.head.insertBefore;
  document.head.insertBefore = function (node, ref) {
    return node instanceof HTMLStyleElement && node.dataset.tagName ? node : insert.call(this, node, ref);
  };

  const fetched = (tag, attrs) => new Promise((done, failed) => {
    document.head.append(Object.assign(document.createElement(tag), attrs, { onload: done, onerror: failed }));
  });
  const [, trix, ...styles] = area.dataset.editor.split(" ");
  Promise.all([fetched("script", { src: trix }), ...styles.map((href) => fetched("link", { rel: "stylesheet", href }))]).then(() => {
    const escape = (s) => s.replace(/[&<>]/g, (c) => ({ "&": "&amp;", "<": "&lt;", ">": "&gt;" })[c]);
    const paragraphs = (s) => s.trim().split(/\n\s*\n/).filter(Boolean).map((p) => `<div>${escape(p).replace(/\n/g, "<br>")}</div>`).join("<br>");

    const format = area.form.elements.description_format;
    const input = document.createElement("input");
    input.type = "hidden";
    input.id = "description-html";
    input.name = area.name;
    input.value = format.value === "html" ? area.value : paragraphs(area.value);
    format.value = "html";

    const words = (area.dataset.tools || "").split("|");
    const button = (i, kind, attrs) => `<button type="button" class="trix-button trix-button--icon trix-button--icon-${kind}" ${attrs} title="${words[i]}" tabindex="-1">${words[i]}</button>`;
    const bar = document.createElement("trix-toolbar");
    bar.id = "description-tools";
    bar.innerHTML = `<div class="trix-button-row">
<span class="trix-button-group">${button(0, "bold", 'data-trix-attribute="bold" data-trix-key="b"')}${button(1, "italic", 'data-trix-attribute="italic" data-trix-key="i"')}${button(2, "link", 'data-trix-attribute="href" data-trix-action="link" data-trix-key="k"')}</span>
<span class="trix-button-group">${button(3, "heading-1", 'data-trix-attribute="heading1"')}${button(4, "bullet-list", 'data-trix-attribute="bullet"')}${button(5, "number-list", 'data-trix-attribute="number"')}</span>
<span class="trix-button-group">${button(6, "undo", 'data-trix-action="undo" data-trix-key="z"')}${button(7, "redo", 'data-trix-action="redo" data-trix-key="shift+z"')}</span></div>
<div class="trix-dialogs" data-trix-dialogs><div class="trix-dialog trix-dialog--link" data-trix-dialog="href" data-trix-dialog-attribute="href"><div class="trix-dialog__link-fields"><input type="url" name="href" class="trix-input trix-input--dialog" placeholder="https://" aria-label="${words[8]}" data-trix-validate-href required data-trix-input><div class="trix-button-group"><input type="button" class="trix-button trix-button--dialog" value="${words[9]}" data-trix-method="setAttribute"><input type="button" class="trix-button trix-button--dialog" value="${words[10]}" data-trix-method="removeAttribute"></div></div></div></div>`;

    const editor = document.createElement("trix-editor");
    editor.id = area.id;
    editor.className = "prose";
    editor.setAttribute("input", input.id);
    editor.setAttribute("toolbar", bar.id);
    editor.setAttribute("aria-labelledby", "l-description");
    editor.setAttribute("aria-multiline", "true");
    for (const name of ["aria-describedby", "aria-invalid"]) if (area.hasAttribute(name)) editor.setAttribute(name, area.getAttribute(name));
    const writing = document.activeElement === area;
    area.replaceWith(input, bar, editor);
    if (writing) editor.focus();

    document.addEventListener("trix-file-accept", (e) => e.preventDefault());
    document.getElementById("l-description").addEventListener("click", () => editor.focus());
  }, () => {});
})();
