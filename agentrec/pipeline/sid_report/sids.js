"use strict";
(() => {
  const panel = document.getElementById("panel");
  const tiles = [...document.querySelectorAll(".map a.node")];
  const choose = (slug) => {
    for (const tile of tiles) tile.classList.toggle("chosen", tile.getAttribute("href") === `#${slug}`);
  };
  const close = () => {
    panel.hidden = true;
    choose("");
  };
  const show = (slug) => {
    const code = document.getElementById(slug);
    if (!code) return;
    const [summary, ...rest] = [...code.children].map((element) => element.cloneNode(true));
    const head = document.createElement("div");
    head.append(...summary.childNodes);
    const body = document.createElement("div");
    body.className = "code";
    body.append(head, ...rest);
    panel.lastElementChild.replaceChildren(body);
    panel.hidden = false;
    panel.scrollTop = 0;
    choose(slug);
  };
  for (const tile of tiles) {
    tile.addEventListener("click", (event) => {
      event.preventDefault();
      show(tile.getAttribute("href").slice(1));
    });
  }
  panel.querySelector("button").addEventListener("click", close);
  document.addEventListener("keydown", (event) => event.key === "Escape" && close());

  const open = () => {
    const code = document.getElementById(location.hash.slice(1));
    if (code && code.tagName === "DETAILS") code.open = true;
  };
  addEventListener("hashchange", open);
  open();

  const form = document.getElementById("filter");
  const words = document.getElementById("words");
  const count = document.getElementById("count");
  const codes = [...document.querySelectorAll("#list > details")].map((element) => ({
    element,
    text: element.textContent.toLowerCase(),
  }));
  const filter = () => {
    const wanted = words.value.toLowerCase().split(/\s+/).filter(Boolean);
    let shown = 0;
    for (const code of codes) {
      const keep = wanted.every((word) => code.text.includes(word));
      code.element.hidden = !keep;
      shown += keep;
    }
    count.textContent = `${shown} of ${codes.length} shown`;
  };
  form.addEventListener("input", filter);
  form.addEventListener("submit", (event) => event.preventDefault());
  form.hidden = false;
  filter();
})();
