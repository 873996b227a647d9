/* The picker of chapter 3: choose a cell of a map, and see on the picture what the predictor
   there sees, and which anchors it speaks about. */
(function () {
  "use strict";
  const { make, rectangle, picture, pieces } = window.dsodInteractive;
  const { mapAnchors } = window.dsod;
  const FIELD = "#e69f00", CELL = "#0072b2";

  /* Return the pixels [left, top, right, bottom] that a cell sees, those outside of the picture too. */
  function seen({ field, stride, start }, row, column) {
    const [left, top] = [start + column * stride, start + row * stride];
    return [left, top, left + field, top + field];
  }

  /* Return a box with what lies outside of the picture cut off. */
  const inside = (box) => box.map((value) => Math.min(Math.max(value, 0), 1));

  /* Return a path around the picture with a hole: what is not seen. */
  const around = ([x, y, right, bottom]) =>
    `M0 0H100V100H0Z M${100 * x} ${100 * y}V${100 * bottom}H${100 * right}V${100 * y}Z`;

  /* Draw the picture as coarse as a map: a cell has the mean colour of its pixels. */
  function drawCells(canvas, image, side) {
    canvas.width = canvas.height = side;
    const context = canvas.getContext("2d");
    context.imageSmoothingQuality = "high";
    context.drawImage(image, 0, 0, side, side);
  }

  pieces.field = function (place, data) {
    const maps = data("maps");        // [{side, field, stride, start, sizes, ratios}]
    const pixels = data("pixels");    // of a side of the picture
    const [y, x] = data("at");        // fractions: the cell that is chosen first
    const state = { map: 0, row: 0, column: 0 };
    const address = picture(place.dataset.picture);
    const image = make("img", { src: address, alt: "" });
    const canvas = make("canvas", { "aria-hidden": "true" });
    const chosen = make("svg:g");
    const grid = make("svg:path", { class: "grid", "vector-effect": "non-scaling-stroke" });
    const cells = make("svg:svg", { viewBox: "0 0 100 100", tabindex: "0", role: "img" }, grid, chosen);
    const marks = make("svg:g");
    const view = make("svg:svg", { viewBox: "0 0 100 100", role: "img" },
      make("svg:image", { href: address, width: 100, height: 100 }), marks);
    const words = make("p", { "aria-live": "polite" });
    const buttons = maps.map(({ side }, row) => {
      const one = make("button", { type: "button" }, `${side} x ${side}`);
      one.addEventListener("click", () => { chooseMap(row); });
      return one;
    });

    /* Go to another map, to the cell that lies where the old one does. */
    function chooseMap(map) {
      const [from, to] = [maps[state.map].side, maps[map].side];
      const moved = (at) => Math.floor((at + 0.5) / from * to);
      Object.assign(state, { map, row: moved(state.row), column: moved(state.column) });
      draw();
    }

    function choose(row, column) {
      const last = maps[state.map].side - 1;
      state.row = Math.min(Math.max(row, 0), last);
      state.column = Math.min(Math.max(column, 0), last);
      draw();
    }

    function draw() {
      const map = maps[state.map];
      const { side, sizes, ratios } = map;
      const { row, column } = state;
      const cell = [column, row, column + 1, row + 1].map((value) => value / side);
      const whole = seen(map, row, column);
      const shown = inside(whole.map((value) => value / pixels));
      const anchors = mapAnchors([side, side], { sizes, ratios }, 1)
        .slice((row * side + column) * (sizes.length + ratios.length - 1))
        .slice(0, sizes.length + ratios.length - 1);
      drawCells(canvas, image, side);
      grid.setAttribute("d", Array.from({ length: side - 1 }, (_, at) => 100 * (at + 1) / side)
        .map((at) => `M${at} 0V100M0 ${at}H100`).join(""));
      chosen.replaceChildren(rectangle(cell, { style: `stroke: ${CELL}; stroke-width: 4` }),
        rectangle(cell, { style: "stroke: #ffffff; stroke-width: 1.5" }));
      marks.replaceChildren(
        make("svg:path", { d: around(shown), "fill-rule": "evenodd", class: "unseen" }),
        rectangle(cell, { style: `fill: ${CELL}; fill-opacity: ${side > 8 ? 0.7 : 0.3}; stroke: none` }),
        ...anchors.map((box) => rectangle(box, { class: "anchor", style: "stroke: #ffffff" })),
        rectangle(shown, { class: "frame", style: `stroke: ${FIELD}; stroke-width: 4` }));
      buttons.forEach((one, at) => one.setAttribute("aria-pressed", at === state.map));
      const all = whole[0] <= 0 && whole[1] <= 0 && whole[2] >= pixels && whole[3] >= pixels;
      const cut = !all && shown.some((value, at) => value * pixels !== whole[at]);
      words.textContent = `Map ${side} x ${side}, row ${row}, column ${column}: the predictor ` + (all
        ? "sees the whole picture"
        : `sees columns ${whole[0]} to ${whole[2] - 1} and rows ${whole[1]} to ${whole[3] - 1}, ` +
          `${map.field} x ${map.field} pixels${cut ? "; those outside of the picture are padding" : ""}`) +
        `. Its square anchors have sides of ${sizes.map((size) => Math.round(size * pixels)).join(" and ")} pixels.`;
      cells.setAttribute("aria-label", `The map, ${side} x ${side} cells; row ${row}, column ${column} is chosen.`);
      view.setAttribute("aria-label", words.textContent);
    }

    function point(event) {
      const { left, top, width, height } = cells.getBoundingClientRect();
      const { side } = maps[state.map];
      choose(Math.floor((event.clientY - top) / height * side),
             Math.floor((event.clientX - left) / width * side));
    }

    cells.addEventListener("pointerdown", (event) => {
      cells.setPointerCapture(event.pointerId);
      point(event);
    });
    cells.addEventListener("pointermove", (event) => {
      if (cells.hasPointerCapture(event.pointerId)) point(event);
    });
    cells.addEventListener("keydown", (event) => {
      const by = { ArrowLeft: [0, -1], ArrowRight: [0, 1], ArrowUp: [-1, 0], ArrowDown: [1, 0] }[event.key];
      if (!by || event.altKey || event.ctrlKey || event.metaKey) return;
      event.preventDefault();
      choose(state.row + by[0], state.column + by[1]);
    });
    image.addEventListener("load", () => drawCells(canvas, image, maps[state.map].side));
    place.setAttribute("aria-label", "Picker: what a cell of a map sees");
    place.append(
      make("p", { class: "buttons" }, "Map", ...buttons),
      make("div", { class: "panes pair" }, make("div", { class: "cells" }, canvas, cells), view),
      words,
      make("p", { class: "hint" }, "Left: the map; click a cell, or choose the map and use the arrow keys. Right: " +
        "the cell (blue), what its predictor sees (orange), its anchors (dashed)."));
    choose(Math.floor(y * maps[0].side), Math.floor(x * maps[0].side));
  };
}());
