// Makes what works already a little quicker: `/` goes to the search box, `j` and
// `k` walk down and up a list that has the focus, selects send their form, and an open menu closes when the reader goes elsewhere.
(() => {
  "use strict";
  const all = (sel) => [...document.querySelectorAll(sel)];

  const leave = (elsewhere) => {
    for (const menu of all(".menu[open],.facet[name][open]")) if (elsewhere(menu)) menu.open = false;
  };
  document.addEventListener("keydown", (e) => {
    if (e.key === "Escape") leave((menu) => menu.contains(e.target) && (menu.querySelector("summary").focus(), true));
    if (e.ctrlKey || e.metaKey || e.altKey || e.target.closest("input,textarea,select,[contenteditable]")) return;
    // j and k move only while a list has the focus.
    const list = e.target.closest("[data-keys]");
    if (list && (e.key === "j" || e.key === "k")) {
      const rows = all("[data-keys] h3 a");
      const next = rows[rows.indexOf(e.target) + (e.key === "j" ? 1 : -1)];
      if (next) next.focus();
    }
    if (e.key !== "/") return;
    const box = all("[data-slash]").find((el) => el.offsetParent);
    if (box) { e.preventDefault(); box.focus(); box.select(); }
  });

  for (const el of all("select[data-auto]")) {
    const button = el.form.querySelector("button");
    if (button) button.hidden = true;
    el.addEventListener("change", () => el.form.requestSubmit());
  }

  // On a phone the filters fill the screen: stay there while choosing.
  document.addEventListener("click", (e) => {
    if (location.hash !== "#filters") return leave((menu) => !menu.contains(e.target));
    const link = e.target.closest(".filters a.check");
    if (link) link.hash = "filters";
  });

  const errors = document.getElementById("errors");
  if (errors && !document.querySelector(":focus")) errors.focus(); // whoever types already is left alone
})();
