"use strict";
(() => {
  const list = document.getElementById("everything");
  if (!list) return;
  const form = list.querySelector(".filters");
  const rows = Array.from(list.querySelectorAll("tbody tr"));
  const matching = document.getElementById("matching");

  // Filters: status, host and text narrow the list of all findings.
  const apply = () => {
    const shown = new Set(Array.from(form.querySelectorAll("[name=status]:checked"), (box) => box.value));
    const host = form.elements.host.value;
    const text = form.elements.text.value.trim().toLowerCase();
    let count = 0;
    for (const row of rows) {
      const match = shown.has(row.dataset.status) && (!host || row.dataset.host === host)
        && (!text || row.textContent.toLowerCase().includes(text));
      row.hidden = !match;
      if (match) count += 1;
    }
    matching.textContent = count === rows.length ? String(count) : `${count} of ${rows.length}`;
  };
  const narrow = (choose) => {
    form.reset();
    choose();
    list.open = true;
    apply();
  };
  form.hidden = false;
  form.addEventListener("input", apply);
  form.addEventListener("submit", (event) => event.preventDefault());
  form.addEventListener("reset", () => setTimeout(apply));
  for (const link of document.querySelectorAll("a[data-status]")) {
    link.addEventListener("click", () => narrow(() => {
      for (const box of form.querySelectorAll("[name=status]")) box.checked = box.value === link.dataset.status;
    }));
  }
  for (const link of document.querySelectorAll("a[data-host]")) {
    link.addEventListener("click", () => narrow(() => { form.elements.host.value = link.dataset.host; }));
  }
  const reveal = () => {
    const row = /^#f\d+$/.test(location.hash) && document.getElementById(location.hash.slice(1));
    if (!row) return;
    narrow(() => {});
    row.scrollIntoView({block: "center"});
  };
  addEventListener("hashchange", reveal);
  reveal();

  // The status board: a cell shows its finding beside it, or at the foot of a small screen.
  const peek = document.getElementById("peek");
  const board = document.querySelector(".board");
  if (!board) return;
  const part = (tag, text, name) => {
    const element = document.createElement(tag);
    element.textContent = text;
    if (name) element.className = name;
    return element;
  };
  const show = (cell) => {
    const row = document.getElementById(cell.hash.slice(1));
    const [status, host, check, observed, expected, story] = row.cells;
    const said = story.cloneNode(true);
    const facts = [observed.textContent && `observed ${observed.textContent}`,
      expected.textContent && `expected ${expected.textContent}`].filter(Boolean).join(" · ");
    const text = part("div", "");
    text.append(...said.childNodes);
    peek.replaceChildren(status.firstElementChild.cloneNode(true), part("b", check.textContent),
      part("code", host.textContent), part("p", facts, "muted"), text);
    peek.hidden = false;
    if (matchMedia("(max-width: 40rem)").matches) {
      peek.style.left = peek.style.top = "";
      return;
    }
    const place = cell.getBoundingClientRect();
    const below = place.bottom + 8 + peek.offsetHeight < innerHeight;
    peek.style.top = `${below ? place.bottom + 8 : Math.max(8, place.top - 8 - peek.offsetHeight)}px`;
    peek.style.left = `${Math.max(8, Math.min(place.left, document.documentElement.clientWidth - peek.offsetWidth - 8))}px`;
  };
  const hide = () => { peek.hidden = true; };
  const cellOf = (event) => event.target.closest("td a");
  board.addEventListener("mouseover", (event) => { const cell = cellOf(event); if (cell) show(cell); else hide(); });
  board.addEventListener("mouseleave", hide);
  board.addEventListener("focusin", (event) => { const cell = cellOf(event); if (cell) show(cell); });
  board.addEventListener("focusout", hide);
  let touched = false;
  board.addEventListener("pointerdown", (event) => { touched = event.pointerType !== "mouse"; });
  board.addEventListener("click", (event) => {
    const cell = cellOf(event);
    // A finger cannot hover: its tap shows the finding, and the list is one scroll away.
    if (cell && touched) {
      event.preventDefault();
      show(cell);
    }
  });
  addEventListener("keydown", (event) => { if (event.key === "Escape") hide(); });
})();
