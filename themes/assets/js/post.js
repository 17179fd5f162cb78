// The posting form shows its listing as it is typed, offers the countries at
// every place, and fetches its editor when somebody begins to write.
(() => {
  "use strict";
  const form = document.querySelector("[data-live-form]");
  if (!form) return;
  const one = (sel) => document.querySelector(sel);
  const all = (sel) => [...document.querySelectorAll(sel)];
  const field = (name) => form.elements[name];
  const value = (name) => (field(name) ? String(field(name).value).trim() : "");
  const chosen = (name) => {
    const el = field(name);
    if (!el) return "";
    if (el instanceof RadioNodeList) {
      const on = [...el].find((r) => r.checked);
      return on ? on.nextElementSibling.firstChild.textContent.trim() : "";
    }
    return el.selectedOptions && el.value ? el.selectedOptions[0].textContent : "";
  };
  const lang = document.documentElement.lang || "en";
  const money = (text) => {
    const n = Number(text.replace(/[\s,'’]/g, ""));
    if (!text || !isFinite(n) || n <= 0) return "";
    try {
      return new Intl.NumberFormat(lang, { style: "currency", currency: value("salary_currency"), maximumFractionDigits: 0 }).format(n);
    } catch { return text; }
  };
  const show = () => {
    for (const el of all("[data-live]")) el.textContent = value(el.dataset.live) || el.dataset.none;
    for (const el of all("[data-live-choice]")) el.textContent = chosen(el.dataset.liveChoice);
    const [from, to] = [money(value("salary_min")), money(value("salary_max"))];
    const pay = from && to && from !== to ? `${from} – ${to}` : from || to;
    one("[data-live-pay]").textContent = pay && `${pay} / ${chosen("salary_period").toLowerCase()}`;
    const mono = one("[data-live-logo] .mono");
    const name = value("company_name");
    if (mono && name) mono.textContent = name.split(/[\s\-&.,/()]+/).filter(Boolean).slice(0, 2).map((w) => w[0].toUpperCase()).join("");
  };
  form.addEventListener("input", show);
  form.addEventListener("change", show);
  show();

  // The page holds the countries once: the other places take their names.
  const countries = field("country");
  if (countries) {
    const list = document.createElement("datalist");
    list.id = "countries";
    for (const o of countries.options) if (o.value) list.append(new Option(o.text));
    form.append(list);
  }

  const area = one("textarea[data-editor]");
  if (!area) return;
  let asked = false;
  const fetchEditor = () => {
    if (asked) return;
    asked = true;
    const script = document.createElement("script");
    script.src = area.dataset.editor.split(" ")[0];
    document.head.append(script);
  };
  if (field("description_format").value === "html") fetchEditor();
  else for (const kind of ["focusin", "input", "pointerdown"]) form.addEventListener(kind, fetchEditor);
})();
