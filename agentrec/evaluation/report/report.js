"use strict";
(() => {
  const form = document.getElementById("filter");
  if (!form) return;
  const [words, first, second] = ["words", "first", "second"].map((name) => document.getElementById(name));
  const count = document.getElementById("count");
  const byHits = form.dataset.by === "hits";
  const units = [...document.querySelectorAll("#units > details")].map((element) => ({
    element,
    text: element.textContent.toLowerCase(),
    scores: JSON.parse(element.dataset.scores),
  }));
  const score = (unit, select) => (select.value === "" ? undefined : unit.scores[Number(select.value)]);
  const chosen = (unit) => {
    if (!first) return true;
    const [a, b] = [score(unit, first), score(unit, second)];
    if (byHits) return (a === undefined || a === 1) && (b === undefined || b === 0);
    if (a === undefined || b === undefined) return true;
    return a !== null && b !== null && a > b;
  };
  const filter = () => {
    const wanted = words.value.toLowerCase().split(/\s+/).filter(Boolean);
    let shown = 0;
    for (const unit of units) {
      const keep = wanted.every((word) => unit.text.includes(word)) && chosen(unit);
      unit.element.hidden = !keep;
      shown += keep;
    }
    count.textContent = `${shown} of ${units.length} shown`;
  };
  form.addEventListener("input", filter);
  form.addEventListener("submit", (event) => event.preventDefault());
  form.hidden = false;
  filter();
})();
