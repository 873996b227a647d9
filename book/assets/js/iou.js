/* The playground of chapter 1: move the objects of a picture, and see which anchors
   they get, how much they overlap, and the offsets from the anchor to the object. */
(function () {
  "use strict";
  const { make, rectangle, slider, button, rows, picture, pieces } = window.dsodInteractive;
  const { overlaps, mapAnchors, match, encode } = window.dsod;
  const COLOURS = ["#E69F00", "#56B4E9", "#009E73"];
  const NAMES = ["first", "second", "third"];
  const LEAST = 0.04;            // the least side of a box
  const SHOWN = 60;              // matched anchors drawn at most, the best ones
  const CORNERS = [[0, 1], [2, 1], [0, 3], [2, 3]];   // places of x and y in a box
  const KEYS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };

  /* Return every anchor of every map, with the map, place and shape it comes from. */
  function layAnchors(maps) {
    return maps.flatMap(({ map, sizes, ratios }) =>
      mapAnchors(map, { sizes, ratios }, 1).map((box, number) => {
        const each = sizes.length + ratios.length - 1;
        const cell = Math.floor(number / each);
        const shape = number % each;
        return { box, map, row: Math.floor(cell / map[1]), column: cell % map[1],
                 size: shape < sizes.length ? sizes[shape] : sizes[0],
                 ratio: shape < sizes.length ? ratios[0] : ratios[shape - sizes.length + 1] };
      }));
  }

  /* Move a box by (x, y) inside the picture. */
  function moved(box, x, y) {
    const dx = Math.min(Math.max(x, -box[0]), 1 - box[2]);
    const dy = Math.min(Math.max(y, -box[1]), 1 - box[3]);
    return [box[0] + dx, box[1] + dy, box[2] + dx, box[3] + dy];
  }

  /* Move one corner of a box, given by the places of its x and y, to (x, y). */
  function stretched(box, corner, x, y) {
    const changed = box.slice();
    corner.forEach((place, axis) => {
      const other = box[(place + 2) % 4];
      const to = Math.min(Math.max([x, y][axis], 0), 1);
      changed[place] = place < 2 ? Math.min(to, other - LEAST) : Math.max(to, other + LEAST);
    });
    return changed;
  }

  /* Return the lines between the cells of a map. */
  function grid([rowCount, columnCount]) {
    let path = "";
    for (let row = 1; row < rowCount; row += 1) path += `M0 ${100 * row / rowCount}H100`;
    for (let col = 1; col < columnCount; col += 1) path += `M${100 * col / columnCount} 0V100`;
    return make("svg:path", { d: path, class: "grid", "vector-effect": "non-scaling-stroke" });
  }

  pieces.iou = function (place, data) {
    const start = data("boxes");
    const anchors = layAnchors(data("maps"));
    const state = { boxes: start.map((box) => box.slice()), chosen: 0, threshold: 0.5 };

    const behind = make("svg:g", { "aria-hidden": "true" });
    const handles = make("svg:g", { "aria-hidden": "true" });
    const frames = start.map((box, object) => rectangle(box, {
      class: "object", stroke: COLOURS[object], tabindex: "0", role: "button" }));
    const dots = CORNERS.map(() => make("svg:circle", { class: "dot", r: 1.3 }));
    const corners = CORNERS.map(() => make("svg:circle", { class: "handle", r: 3.5 }));
    const drawing = make("svg:svg", { viewBox: "0 0 100 100", role: "group",
      "aria-label": "A picture with three objects, each in a box that can be moved" },
      make("svg:image", { href: picture(place.dataset.picture), width: 100, height: 100 }),
      behind, ...frames, handles);
    handles.append(...dots, ...corners);
    const words = make("p", { "aria-live": "polite" });
    const table = make("div");

    function draw() {
      const found = overlaps(anchors.map((anchor) => anchor.box), state.boxes);
      const { matched, first } = match(found, state.threshold);
      const own = [...matched.keys()].filter((row) => matched[row] === state.chosen)
        .sort((a, b) => found[b][state.chosen] - found[a][state.chosen]);
      const bound = first.find((row) => matched[row] === state.chosen);
      drawObjects();
      behind.replaceChildren();
      if (own.length) {
        behind.append(grid(anchors[bound].map));
        own.slice(0, SHOWN).reverse().forEach((row) => behind.append(
          rectangle(anchors[row].box, { class: row === bound ? "anchor best" : "anchor",
                                        stroke: COLOURS[state.chosen] })));
      }
      tell(own, bound, found);
    }

    function drawObjects() {
      frames.forEach((frame, object) => {
        const [x, y, right, bottom] = state.boxes[object].map((value) => value * 100);
        const set = { x, y, width: right - x, height: bottom - y,
          "aria-pressed": object === state.chosen,
          "aria-label": `${NAMES[object]} object, corners ` +
            `${state.boxes[object].map((value) => value.toFixed(2)).join(", ")}` };
        Object.entries(set).forEach(([key, value]) => frame.setAttribute(key, value));
        frame.classList.toggle("chosen", object === state.chosen);
      });
      [dots, corners].forEach((circles) => circles.forEach((circle, at) => {
        circle.setAttribute("cx", 100 * state.boxes[state.chosen][CORNERS[at][0]]);
        circle.setAttribute("cy", 100 * state.boxes[state.chosen][CORNERS[at][1]]);
      }));
    }

    function tell(own, bound, found) {
      const name = NAMES[state.chosen];
      if (!own.length) {
        words.textContent = `No anchor overlaps the ${name} object.`;
        table.replaceChildren();
        return;
      }
      const anchor = anchors[bound];
      const overlap = found[bound][state.chosen];
      const offsets = encode(state.boxes[state.chosen], anchor.box);
      words.textContent = `The ${name} object gets ${own.length} ` +
        `${own.length === 1 ? "anchor" : "anchors"}. The first one is its best, with an IoU of ` +
        `${overlap.toFixed(2)}${overlap < state.threshold ? ": below the threshold, but no object goes without" : ""}.`;
      table.replaceChildren(rows([
        ["map, row, column of the best anchor", `${anchor.map.join(" x ")}, ${anchor.row}, ${anchor.column}`],
        ["its size, ratio", `${anchor.size}, ${anchor.ratio}`],
        ["its IoU with the three objects", found[bound].map((value) => value.toFixed(2)).join(", ")],
        ["offsets dx, dy, dw, dh", offsets.map((value) => value.toFixed(2)).join(", ")]]));
    }

    function change(box) {
      state.boxes[state.chosen] = box;
      draw();
    }

    /* Let a pointer drag something: move(box before, start, now) gives the new box. */
    function draggable(element, choose, move) {
      let from = null;
      const point = (event) => {
        const room = drawing.getBoundingClientRect();
        return [(event.clientX - room.left) / room.width, (event.clientY - room.top) / room.height];
      };
      element.addEventListener("pointerdown", (event) => {
        drawing.classList.add("pressed");
        choose();
        element.setPointerCapture(event.pointerId);
        from = { at: point(event), box: state.boxes[state.chosen] };
        draw();
      });
      element.addEventListener("pointermove", (event) => {
        if (from) change(move(from.box, from.at, point(event)));
      });
      // A finger on a box moves the box and not the page (touch-action does not reach
      // into a drawing); beside the boxes it scrolls as everywhere.
      element.addEventListener("touchstart", (event) => event.preventDefault(), { passive: false });
      ["pointerup", "pointercancel"].forEach((name) =>
        element.addEventListener(name, () => { from = null; }));
    }

    frames.forEach((frame, object) => {
      const choose = () => { state.chosen = object; };
      draggable(frame, choose, (box, [x, y], [toX, toY]) => moved(box, toX - x, toY - y));
      frame.addEventListener("focus", () => { choose(); draw(); });
      frame.addEventListener("keyup", () => drawing.classList.remove("pressed"));
      frame.addEventListener("keydown", (event) => {
        if (!KEYS[event.key] || event.altKey || event.ctrlKey || event.metaKey) return;
        event.preventDefault();
        const [x, y] = KEYS[event.key].map((way) => way / 100);
        const box = state.boxes[object];
        change(event.shiftKey ? stretched(box, CORNERS[3], box[2] + x, box[3] + y)
          : moved(box, x, y));
      });
    });
    corners.forEach((handle, at) => draggable(handle, () => {}, (box, [x, y], [toX, toY]) =>
      stretched(box, CORNERS[at], box[CORNERS[at][0]] + toX - x, box[CORNERS[at][1]] + toY - y)));

    const again = button("Start over", () => {
      state.boxes = start.map((box) => box.slice());
      draw();
    });
    place.setAttribute("aria-label", "Playground: objects and their anchors");
    place.append(
      make("div", { class: "panes" }, drawing, make("div", {}, words, table,
        slider("IoU threshold", { min: 0.3, max: 0.8, step: 0.05, value: 0.5 },
          (value) => { state.threshold = value; draw(); }), again)),
      make("p", { class: "hint" }, "Drag a box, or a corner of the chosen one. On the keyboard: " +
        "Tab chooses a box, the arrows move it, Shift with the arrows moves its lower right corner."));
    draw();
  };
}());
