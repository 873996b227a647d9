/* The slider of chapter 10: what a score threshold does to a detector's answers,
   and where that is on the precision-recall curve. */
(function () {
  "use strict";
  const { make, rectangle, slider, rows, picture, pieces } = window.dsodInteractive;
  const { overlaps, matchVoc, precisionRecall, envelope, averagePrecision } = window.dsod;
  const line = { "vector-effect": "non-scaling-stroke" };
  const share = (top, bottom) => (bottom ? `${top} / ${bottom} = ${(top / bottom).toFixed(3)}`
    : "no box is reported");

  /* Return the axes of a curve: recall to the right, precision upwards, both 0 to 1. */
  function axes() {
    const parts = [0, 0.25, 0.5, 0.75, 1];
    const grid = parts.map((at) => `M0 ${100 - 100 * at}H100M${100 * at} 0V100`).join("");
    const text = (words, x, y, anchor) => make("svg:text", { x, y, "text-anchor": anchor }, words);
    return [make("svg:path", { d: grid, class: "grid", ...line }),
      ...parts.map((at) => text(String(at), 100 * at, 107, "middle")),
      ...parts.slice(1).map((at) => text(String(at), -2, 102 - 100 * at, "end")),
      text("recall", 50, 116, "middle"), text("precision", 0, -4, "start")];
  }

  pieces.score = function (place, data) {
    const [boxes, scores, objects] = [data("boxes"), data("scores"), data("objects")];
    const table = overlaps(boxes, objects);
    const state = { score: 0.5, overlap: 0.5 };
    const marks = make("svg:g");
    const seen = make("svg:svg", { viewBox: "0 0 100 100", role: "img" },
      make("svg:image", { href: picture(place.dataset.picture), width: 100, height: 100 }), marks);
    const plot = make("svg:g");
    const curve = make("svg:svg", { viewBox: "-13 -12 118 131", role: "img", class: "plot" },
      ...axes(), plot);
    const words = make("p", { "aria-live": "polite" });
    const numbers = make("div");

    function draw() {
      const correct = matchVoc(table, state.overlap);
      const found = precisionRecall(scores, correct, objects.length);
      const reported = scores.filter((score) => score >= state.score).length;
      const right = correct.slice(0, reported).filter(Boolean).length;
      drawBoxes(correct, reported);
      drawCurve(found, reported);
      words.textContent = `At a score of ${state.score.toFixed(2)} the detector reports ` +
        `${reported} of its ${boxes.length} boxes: ${right} right, ${reported - right} wrong, ` +
        `and ${objects.length - right} of ${objects.length} creatures are missed.`;
      seen.setAttribute("aria-label", words.textContent);
      numbers.replaceChildren(rows([
        ["true positives, TP", String(right)],
        ["false positives, FP", String(reported - right)],
        ["false negatives, FN", String(objects.length - right)],
        ["precision", share(right, reported)],
        ["recall", share(right, objects.length)],
        ["AP, all points", averagePrecision(found, "area").toFixed(3)],
        ["AP, 11 points", averagePrecision(found, "voc07").toFixed(3)],
        ["AP, 101 points", averagePrecision(found, "coco").toFixed(3)]]));
    }

    function drawBoxes(correct, reported) {
      marks.replaceChildren(...objects.map((box) => rectangle(box, { class: "truth" })),
        ...boxes.slice(0, reported).flatMap((box, row) => [
          rectangle(box, { class: correct[row] ? "right" : "wrong" }),
          make("svg:text", { x: 100 * box[row % 2 ? 2 : 0] + (row % 2 ? -1.5 : 1.5),
                             y: 100 * box[3] - 2, "text-anchor": row % 2 ? "end" : "start" },
            `${correct[row] ? "✓" : "✗"} ${Math.round(scores[row] * 100)}%`)]));
    }

    function drawCurve({ recall, precision }, reported) {
      const best = envelope(precision);
      const x = (i) => (i < 0 ? 0 : 100 * recall[i]);
      const y = (value) => 100 - 100 * value;
      const steps = best.map((p, i) => `L${x(i - 1)} ${y(p)}L${x(i)} ${y(p)}`);
      const zigzag = precision.map((p, i) => `${i ? "L" : "M"}${x(i)} ${y(p)}`);
      plot.replaceChildren(
        make("svg:path", { d: `M0 100${steps.join("")}V100Z`, class: "area", ...line }),
        make("svg:path", { d: zigzag.join(""), class: "zigzag", ...line }),
        ...precision.map((p, i) => make("svg:circle", { cx: x(i), cy: y(p), r: 1.5 })));
      const at = reported - 1;
      if (at >= 0) {
        plot.append(make("svg:circle", { cx: x(at), cy: y(precision[at]), r: 4, class: "here", ...line }));
      }
      curve.setAttribute("aria-label", "Precision over recall. " + (at < 0 ? "Nothing is reported."
        : `The point is at recall ${recall[at].toFixed(2)} and precision ${precision[at].toFixed(2)}.`));
    }

    place.setAttribute("aria-label", "Slider: a score threshold on a precision-recall curve");
    place.append(
      slider("Score threshold", { min: 0, max: 1, step: 0.05, value: 0.5 },
        (value) => { state.score = value; draw(); }),
      slider("IoU asked for", { min: 0.5, max: 0.95, step: 0.05, value: 0.5 },
        (value) => { state.overlap = value; draw(); }),
      words, make("div", { class: "panes pair" }, seen, curve), numbers,
      make("p", { class: "hint" }, "The sliders obey the arrow keys. Solid with a tick: right. " +
        "Dashed with a cross: wrong. Thin and white: the creatures. Shaded: the area under the envelope."));
    draw();
  };
}());
