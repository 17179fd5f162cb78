// What the consoles do beyond plain forms. Everything works without it.
(() => {
  "use strict";
  const $ = (sel, el = document) => [...el.querySelectorAll(sel)];

  const ready = (root) => {
    // Whoever types already is left alone.
    $("[data-focus]", root).forEach((el) => { if (!document.querySelector(":focus")) el.focus(); });

    // A dangerous act asks first; data-confirm holds the question, data-confirm-type the word to type.
    $("form[data-confirm]", root).forEach((f) => f.addEventListener("submit", (e) => {
      const word = f.dataset.confirmType;
      const ok = word ? prompt(f.dataset.confirm) === word : confirm(f.dataset.confirm);
      if (!ok) e.preventDefault();
    }));

    // Filters apply as they change.
    $("form[data-auto] select, form[data-auto] input[type=checkbox]", root).forEach((el) =>
      el.addEventListener("change", () => el.form.requestSubmit()));

    // Copy buttons.
    $("[data-copy]", root).forEach((b) => {
      b.hidden = !navigator.clipboard;
      b.addEventListener("click", async () => {
        await navigator.clipboard.writeText(b.dataset.copy);
        const old = [...b.childNodes];
        b.replaceChildren(b.dataset.copied || "✓");
        setTimeout(() => b.replaceChildren(...old), 1500);
      });
    });

    // Bulk acts: the bar says how many, "all" ticks the page.
    $("form[data-bulk]", root).forEach((f) => {
      const boxes = () => $("input[name=id]", f);
      const count = () => {
        const n = boxes().filter((b) => b.checked).length;
        $("[data-bulk-count]", f).forEach((el) => { el.textContent = n; });
        $("[data-bulk-act]", f).forEach((el) => { el.disabled = n === 0; });
      };
      $("[data-bulk-all]", f).forEach((all) => all.addEventListener("change", () => {
        boxes().forEach((b) => { b.checked = all.checked; });
        count();
      }));
      f.addEventListener("change", count);
      count();
    });

    // The save bar says that something changed, and leaving asks.
    $("form[data-dirty]", root).forEach((f) => {
      let dirty = false;
      f.addEventListener("input", () => {
        dirty = true;
        $("[data-changed]", f).forEach((el) => { el.hidden = false; });
      });
      f.addEventListener("submit", () => { dirty = false; });
      addEventListener("beforeunload", (e) => { if (dirty) e.preventDefault(); });
    });

    // A box that needs another ticks it; the other can't be cleared alone.
    $("form[data-needs]", root).forEach((f) => f.addEventListener("change", (e) => {
      const box = e.target, of = (v) => $(`input[value="${v}"]`, f)[0];
      if (box.dataset.needs && box.checked && of(box.dataset.needs)) of(box.dataset.needs).checked = true;
      if (!box.checked) $("input[data-needs]", f).filter((b) => b.dataset.needs === box.value).forEach((b) => { b.checked = false; });
    }));

    // A table wider than its box can be scrolled with the keyboard too.
    $(".table-responsive", root).forEach((el) => new ResizeObserver(() => {
      if (el.scrollWidth > el.clientWidth) el.tabIndex = 0; else el.removeAttribute("tabindex");
    }).observe(el));

    $("[data-chart]", root).forEach(draw);
  };

  // Charts are drawn from the table beside them, from zero, without colour alone.
  const draw = (box) => {
    if (!window.Chart) return;
    const canvas = box.querySelector("canvas");
    const rows = $("tbody tr", document.getElementById(canvas.id + "-data"));
    const accent = getComputedStyle(document.documentElement).getPropertyValue("--console-accent").trim() || "#1d4f91";
    new Chart(canvas, {
      type: "bar",
      data: {
        labels: rows.map((r) => r.cells[0].textContent),
        datasets: [{ label: box.dataset.label, data: rows.map((r) => Number(r.cells[1].dataset.value)), backgroundColor: accent, borderRadius: 3, maxBarThickness: 22 }],
      },
      options: {
        animation: false, maintainAspectRatio: false,
        plugins: { legend: { display: false } },
        scales: { y: { beginAtZero: true, ticks: { precision: 0, maxTicksLimit: 5 }, grid: { color: "#eceff3" } }, x: { grid: { display: false }, ticks: { maxTicksLimit: 8, maxRotation: 0 } } },
      },
    });
  };

  $("[data-toggle-nav]").forEach((b) => b.addEventListener("click", () => {
    const nav = document.getElementById(b.getAttribute("aria-controls"));
    b.setAttribute("aria-expanded", String(nav.classList.toggle("show")));
  }));

  // "/" goes to the search box of the page.
  addEventListener("keydown", (e) => {
    if (e.key !== "/" || e.ctrlKey || e.metaKey || /^(input|textarea|select)$/i.test(e.target.tagName) || e.target.isContentEditable) return;
    const box = document.getElementById("console-search") || document.querySelector("input[type=search]");
    if (box) { e.preventDefault(); box.focus(); box.select(); }
  });

  // A dangerous button of a form with several asks by itself.
  addEventListener("submit", (e) => {
    const ask = e.submitter && e.submitter.dataset.ask;
    if (ask && !confirm(ask)) e.preventDefault();
  });

  // Whoever acts as somebody is sent out when the time is over, whatever page is open.
  $("[data-until]").forEach((el) => {
    const left = Date.parse(el.dataset.until) - Date.now();
    if (left > 0 && left < 86400000) setTimeout(() => location.reload(), left + 1000);
  });

  ready(document);
  document.addEventListener("htmx:afterSwap", (e) => ready(e.target));
})();
