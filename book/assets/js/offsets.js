/* The sliders of chapter 6: what four offsets make of an anchor, and how well that fits an object. */
(function () {
  "use strict";
  const { make, rectangle, slider, button, rows, pieces } = window.dsodInteractive;
  const { overlaps } = window.dsod;
  const NAMES = ["dx", "dy", "dw", "dh"];

  /* Return corners of a box given by its centre and its sides. */
  const corners = ([x, y, width, height]) =>
    [x - width / 2, y - height / 2, x + width / 2, y + height / 2];

  /* Return centre and sides of the box that an anchor, given likewise, is moved to. */
  function decode(offsets, [x, y, width, height], variances) {
    const [dx, dy, dw, dh] = offsets.map((value, place) => value * variances[place]);
    return [x + dx * width, y + dy * height, width * Math.exp(dw), height * Math.exp(dh)];
  }

  pieces.offsets = function (place, data) {
    const [anchor, object, variances] = [data("anchor"), data("object"), data("variances")];
    const moved = make("svg:g");
    const drawing = make("svg:svg", { viewBox: "0 0 100 100", role: "img" },
      rectangle([0, 0, 1, 1], { class: "grid" }),
      rectangle(corners(object), { style: "stroke: #009e73; stroke-dasharray: 6 4" }),
      rectangle(corners(anchor), { style: "stroke: currentColor; stroke-width: 1.5" }), moved);
    const words = make("p", { "aria-live": "polite" });
    const numbers = make("div");
    const state = [0, 0, 0, 0];
    const sliders = NAMES.map((name, row) => slider(
      name, { min: -8, max: 8, step: 0.1, value: 0, places: 1 },
      (value) => { state[row] = value; draw(); }));

    function draw() {
      const box = decode(state, anchor, variances);
      const [[overlap]] = overlaps([corners(box)], [corners(object)]);
      moved.replaceChildren(rectangle(corners(box), { style: "stroke: #0072b2; stroke-width: 4" }));
      words.textContent = `The moved box has an IoU of ${overlap.toFixed(2)} with the object.`;
      drawing.setAttribute("aria-label", `An anchor, an object, and the anchor moved. ${words.textContent}`);
      numbers.replaceChildren(rows([["anchor", ...anchor.map((value) => value.toFixed(2))],
        ["moved", ...box.map((value) => value.toFixed(2))],
        ["object", ...object.map((value) => value.toFixed(2))]], ["", "x", "y", "width", "height"]));
    }

    place.setAttribute("aria-label", "Sliders: four offsets move an anchor");
    place.append(
      make("div", { class: "panes" }, drawing, make("div", {}, ...sliders, words, numbers,
        make("p", { class: "buttons" }, button("Start over", () => sliders.forEach((one) => {
          const input = one.querySelector("input");
          input.value = 0;
          input.dispatchEvent(new Event("input"));
        }))))),
      make("p", { class: "hint" }, "Thin: the anchor. Thick: where the offsets move it. Dashed: the " +
        "object. The sliders obey the arrow keys."));
    draw();
  };
}());
