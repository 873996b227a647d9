/* Where a page holds <div data-interactive="name" ...>, load name.js and let it fill
   the place; the sentence that stands there is for readers without these scripts.
   Also what the pieces share: making elements, boxes, sliders, buttons and tables. */
(function () {
  "use strict";
  const folder = document.currentScript.src.replace(/[^/]*$/, "");
  const SVG = "http://www.w3.org/2000/svg";

  /* Return a new element; `svg:` before the name makes one of a drawing. */
  function make(name, attributes = {}, ...children) {
    const element = name.startsWith("svg:") ? document.createElementNS(SVG, name.slice(4))
      : document.createElement(name);
    Object.entries(attributes).forEach(([key, value]) => element.setAttribute(key, value));
    element.append(...children);
    return element;
  }

  /* Return the rectangle of a box, given in fractions of a drawing of 100 by 100. */
  function rectangle(box, attributes) {
    const [x, y, right, bottom] = box.map((value) => value * 100);
    return make("svg:rect", { x, y, width: right - x, height: bottom - y,
                              "vector-effect": "non-scaling-stroke", ...attributes });
  }

  /* Return a labelled slider; change(value) is called while it moves. */
  function slider(label, { min, max, step, value, places = 2 }, change) {
    const shown = make("output", {}, value.toFixed(places));
    const input = make("input", { type: "range", min, max, step, value });
    input.addEventListener("input", () => {
      shown.textContent = Number(input.value).toFixed(places);
      change(Number(input.value));
    });
    return make("label", {}, `${label} `, input, " ", shown);
  }

  /* Return a button; press() is called when it is used. */
  function button(label, press) {
    const made = make("button", { type: "button" }, label);
    made.addEventListener("click", press);
    return made;
  }

  /* Return a table: a row for each list of texts, of which the first names the row. */
  function rows(lists, headings = []) {
    const line = (texts) => make("tr", {}, ...texts.map((text, place) =>
      make(place ? "td" : "th", place ? {} : { scope: "row" }, text)));
    const head = headings.map((text) => make("th", { scope: "col" }, text));
    return make("table", {}, ...(head.length ? [make("thead", {}, make("tr", {}, ...head))] : []),
                make("tbody", {}, ...lists.map(line)));
  }

  function load(name, done) {
    const script = make("script", { src: `${folder}${name}.js` });
    script.addEventListener("load", done);
    document.head.append(script);
  }

  // On paper nothing can be unfolded.
  window.addEventListener("beforeprint", () =>
    document.querySelectorAll("article details").forEach((one) => { one.open = true; }));

  const pieces = {};
  window.dsodInteractive = {
    make, rectangle, slider, button, rows, pieces,
    picture: (name) => `${folder}../${name}`,
  };
  const places = document.querySelectorAll("[data-interactive]");
  if (places.length) {
    load("arithmetic", () => places.forEach((place) => {
      const name = place.dataset.interactive;
      load(name, () => {
        place.classList.add("interactive");
        place.setAttribute("role", "group");
        const before = [...place.children];
        place.replaceChildren();
        pieces[name](place, (key) => JSON.parse(place.dataset[key]), before);
      });
    }));
  }
}());
