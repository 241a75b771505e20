"use strict";
// A click on a column's head sorts its table: numbers by their value, names as text, unknown ones last.
document.querySelectorAll("table.sortable").forEach((table) => {
  const body = table.tBodies[0];
  // Left to right, whichever of the two rows of headings they are in; a judge's common heading does not sort.
  const heads = Array.from(table.querySelectorAll('thead th[scope="col"]'))
    .sort((a, b) => a.dataset.column - b.dataset.column);
  heads.forEach((head, column) => {
    head.querySelector("button").addEventListener("click", () => {
      const down = head.getAttribute("aria-sort") === "ascending";
      const key = (row) => {
        const cell = row.cells[column];
        return "value" in cell.dataset ? Number(cell.dataset.value) : cell.textContent.trim();
      };
      const unknown = (value) => value === "–" || value === "" || Number.isNaN(value);
      const rows = Array.from(body.rows).map((row) => [key(row), row]);
      rows.sort(([a], [b]) => {
        if (unknown(a) || unknown(b)) return unknown(a) - unknown(b);
        const order = typeof a === "number" && typeof b === "number" ? a - b
          : String(a).localeCompare(String(b), undefined, { numeric: true });
        return down ? -order : order;
      });
      heads.forEach((other) => other.removeAttribute("aria-sort"));
      head.setAttribute("aria-sort", down ? "descending" : "ascending");
      rows.forEach(([, row]) => body.append(row));
    });
  });
});

// On paper nothing can be opened by a click.
window.addEventListener("beforeprint", () => {
  document.querySelectorAll("details:not([open])").forEach((part) => { part.open = true; part.dataset.closed = ""; });
});
window.addEventListener("afterprint", () => {
  document.querySelectorAll("details[data-closed]").forEach((part) => { part.open = false; delete part.dataset.closed; });
});
