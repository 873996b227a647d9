/* The stepper of chapter 9: non-maximum suppression, one comparison at a time. */
(function () {
  "use strict";
  const { make, rectangle, slider, button, rows, pieces } = window.dsodInteractive;
  const { nmsSteps } = window.dsod;
  const LETTERS = "ABCDEFGH";
  const VIEW = "-2 -2 94 94";    // the boxes leave the right and lower edge free

  /* Return what is known of each box after some steps: left, kept or dropped. */
  function fates(count, steps) {
    const fate = Array(count).fill("left");
    steps.forEach(({ kind, box }) => {
      if (kind === "keep") fate[box] = "kept";
      if (kind === "drop") fate[box] = "dropped";
    });
    return fate;
  }

  /* Say in words what a step does. */
  function sentence({ kind, box, by, overlap }, scores, threshold) {
    const name = LETTERS[box];
    if (kind === "keep") return `${name} has the best score left, ${scores[box].toFixed(2)}: keep it.`;
    const sum = `${name} overlaps ${LETTERS[by]} by ${overlap.toFixed(2)}`;
    return kind === "drop" ? `${sum}, more than ${threshold.toFixed(2)}: drop it.`
      : `${sum}, not more than ${threshold.toFixed(2)}: it stays for now.`;
  }

  pieces.nms = function (place, data) {
    const examples = data("examples");      // [{name, boxes, scores}]
    const state = { example: 0, threshold: 0.45, at: 0 };
    const drawing = make("svg:svg", { viewBox: VIEW, tabindex: "0", role: "img" });
    const words = make("p", { "aria-live": "polite" });
    const table = make("div");
    const back = button("Back", () => go(-1));
    const forward = button("Step", () => go(1));
    const select = make("select", {}, ...examples.map(({ name }, row) =>
      make("option", { value: row }, name)));

    const steps = () => {
      const { boxes, scores } = examples[state.example];
      return nmsSteps(boxes, scores, state.threshold);
    };

    function go(by) {
      state.at = Math.min(Math.max(state.at + by, 0), steps().length);
      draw();
    }

    function frame(box, row, fate, step) {
      const now = step && (step.box === row || step.by === row);
      return make("svg:g", { class: `box ${fate}${now ? " now" : ""}` },
        rectangle(box, {}),
        make("svg:text", { x: 100 * box[0] + 2, y: 100 * box[3] - 2 }, LETTERS[row]));
    }

    function draw() {
      const { boxes, scores } = examples[state.example];
      const all = steps();
      const done = all.slice(0, state.at);
      const step = done[done.length - 1];
      const fate = fates(boxes.length, done);
      const kept = fate.flatMap((word, row) => (word === "kept" ? [LETTERS[row]] : []));
      const finished = state.at === all.length;
      const order = [...boxes.keys()].sort((a, b) =>
        (fate[a] === "dropped" ? 0 : 1) - (fate[b] === "dropped" ? 0 : 1) || b - a);
      drawing.replaceChildren(...order.map((row) => frame(boxes[row], row, fate[row], step)));
      drawing.setAttribute("aria-label", `${boxes.length} boxes: ` + fate.map((word, row) =>
        `${LETTERS[row]} ${word}`).join(", "));
      words.textContent = (step ? sentence(step, scores, state.threshold)
        : `${boxes.length} boxes wait. Step takes the best one.`) +
        (finished ? ` Nothing is left to compare. ${kept.join(" and ")} stay${kept.length > 1 ? "" : "s"}.` : "");
      table.replaceChildren(rows(
        fate.map((word, row) => [LETTERS[row], scores[row].toFixed(2), word]),
        ["box", "score", `after ${state.at} of ${all.length} steps`]));
      // Not `disabled`: the button that is pressed would lose the focus at the end.
      back.setAttribute("aria-disabled", state.at === 0);
      forward.setAttribute("aria-disabled", finished);
    }

    drawing.addEventListener("keydown", (event) => {
      const by = { ArrowLeft: -1, ArrowRight: 1, Home: -1e9, End: 1e9 }[event.key];
      if (!by || event.altKey || event.ctrlKey || event.metaKey) return;
      event.preventDefault();
      go(by);
    });
    select.addEventListener("change", () => {
      state.example = Number(select.value);
      state.at = 0;
      draw();
    });
    place.setAttribute("aria-label", "Stepper: non-maximum suppression");
    place.append(
      make("div", { class: "panes" }, drawing, make("div", { class: "steps" },
        make("label", {}, "Boxes ", select), words,
        make("p", { class: "buttons" }, back, forward, button("Start over", () => go(-1e9))),
        table,
        slider("IoU threshold", { min: 0, max: 1, step: 0.05, value: 0.45 },
          (value) => { state.threshold = value; state.at = 0; draw(); }))),
      make("p", { class: "hint" }, "On the keyboard: with the drawing chosen, the left and right " +
        "arrows step, Home and End go to the first and last step."));
    draw();
  };
}());
