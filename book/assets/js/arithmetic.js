/* The arithmetic of the interactive pieces: boxes, anchors, matching, suppression
   and average precision, as dsod_d2l does them (tests/test_interactive.py compares).
   A box is [xmin, ymin, xmax, ymax] in fractions of the picture. */
(function () {
  "use strict";
  const LEAST_OVERLAP = 1e-6;   // at or below it a pair is never matched
  const VARIANCES = [0.1, 0.1, 0.2, 0.2];

  const area = ([xmin, ymin, xmax, ymax]) =>
    Math.max(xmax - xmin, 0) * Math.max(ymax - ymin, 0);

  /* Return the intersection over union of two boxes; 0 where neither has an area. */
  function iou(a, b) {
    const wide = Math.max(Math.min(a[2], b[2]) - Math.max(a[0], b[0]), 0);
    const high = Math.max(Math.min(a[3], b[3]) - Math.max(a[1], b[1]), 0);
    const union = area(a) + area(b) - wide * high;
    return union > 0 ? wide * high / union : 0;
  }

  /* Return the table of overlaps: a row for each of `first`, a column for each of `second`. */
  const overlaps = (first, second) => first.map((a) => second.map((b) => iou(a, b)));

  /* Return the [width, height] of the anchors of one cell: all sizes with the first
     ratio, then the first size with the other ratios. */
  function cellShapes({ sizes, ratios }) {
    const pairs = sizes.map((size) => [size, ratios[0]])
      .concat(ratios.slice(1).map((ratio) => [sizes[0], ratio]));
    return pairs.map(([size, ratio]) => [size * Math.sqrt(ratio), size / Math.sqrt(ratio)]);
  }

  /* Return the anchors of a map, row by row, column by column, shape by shape.
     `aspect` is height / width of the picture: sizes are fractions of the height. */
  function mapAnchors([rows, columns], spec, aspect) {
    const anchors = [];
    for (let row = 0; row < rows; row += 1) {
      for (let column = 0; column < columns; column += 1) {
        const x = (column + 0.5) / columns;
        const y = (row + 0.5) / rows;
        cellShapes(spec).forEach(([width, height]) => anchors.push(
          [x - width * aspect / 2, y - height / 2, x + width * aspect / 2, y + height / 2]));
      }
    }
    return anchors;
  }

  /* Give each anchor (row of the table) an object (column) or -1: the largest overlap
     left binds its pair until every object has an anchor; then the threshold. */
  function match(table, threshold) {
    const matched = table.map((row) => {
      const most = Math.max(-1, ...row);
      return most >= threshold ? row.indexOf(most) : -1;
    });
    const waiting = new Set(table.length ? table[0].keys() : []);
    const taken = new Set();
    while (waiting.size) {
      let most = LEAST_OVERLAP;
      let pair = null;
      for (const object of waiting) {
        table.forEach((row, anchor) => {
          if (!taken.has(anchor) && row[object] > most) {
            most = row[object];
            pair = [anchor, object];
          }
        });
      }
      if (!pair) break;
      matched[pair[0]] = pair[1];
      taken.add(pair[0]);
      waiting.delete(pair[1]);
    }
    return { matched, first: [...taken] };
  }

  /* Return dx, dy, dw, dh of a box relative to its anchor. */
  function encode(box, anchor, variances = VARIANCES) {
    const centre = (b, axis) => (b[axis] + b[axis + 2]) / 2;
    const side = (b, axis) => b[axis + 2] - b[axis];
    return [0, 1].map((axis) =>
      (centre(box, axis) - centre(anchor, axis)) / side(anchor, axis) / variances[axis])
      .concat([0, 1].map((axis) =>
        Math.log(side(box, axis) / side(anchor, axis)) / variances[axis + 2]));
  }

  /* Return the indices, the best score first; of equal ones the first stays first. */
  const bestFirst = (scores) => [...scores.keys()].sort((a, b) => scores[b] - scores[a] || a - b);

  /* Return suppression step by step. A step takes the best box left ({kind: "keep", box})
     or compares a worse one with it ({kind: "drop" or "pass", box, by, overlap}). */
  function nmsSteps(boxes, scores, threshold) {
    const steps = [];
    let left = bestFirst(scores);
    while (left.length) {
      const [best, ...worse] = left;
      steps.push({ kind: "keep", box: best });
      left = worse.filter((box) => {
        const overlap = iou(boxes[best], boxes[box]);
        const kind = overlap > threshold ? "drop" : "pass";
        steps.push({ kind, box, by: best, overlap });
        return kind === "pass";
      });
    }
    return steps;
  }

  /* Return the indices of the boxes that suppression keeps, best first. */
  const nms = (boxes, scores, threshold) => nmsSteps(boxes, scores, threshold)
    .filter((step) => step.kind === "keep").map((step) => step.box);

  /* Tell of each detection (row, best score first) whether it is right, as VOC does:
     it asks for the object it overlaps most, and must be the first to do so. */
  function matchVoc(table, threshold) {
    const taken = new Set();
    return table.map((row) => {
      const most = Math.max(-1, ...row);
      const wanted = row.indexOf(most);
      if (most < threshold || taken.has(wanted)) return false;
      taken.add(wanted);
      return true;
    });
  }

  /* Return {recall, precision} after each detection, best score first. */
  function precisionRecall(scores, correct, objects) {
    let right = 0;
    const counts = bestFirst(scores).map((row) => (right += correct[row] ? 1 : 0));
    return { recall: counts.map((count) => count / objects),
             precision: counts.map((count, place) => count / (place + 1)) };
  }

  /* Return the best precision at each place of the curve or after it. */
  function envelope(precision) {
    const best = precision.slice();
    for (let i = best.length - 2; i >= 0; i -= 1) best[i] = Math.max(best[i], best[i + 1]);
    return best;
  }

  /* Return the area under the envelope; style is "area", "voc07" or "coco". */
  function averagePrecision({ recall, precision }, style) {
    const best = envelope(precision);
    if (style === "area") {
      return recall.reduce((sum, r, i) => sum + (r - (i ? recall[i - 1] : 0)) * best[i], 0);
    }
    const parts = { voc07: 10, coco: 100 }[style];
    let sum = 0;
    for (let part = 0; part <= parts; part += 1) {
      const at = recall.findIndex((r) => r >= part / parts);
      sum += at < 0 ? 0 : best[at];
    }
    return sum / (parts + 1);
  }

  window.dsod = { iou, overlaps, cellShapes, mapAnchors, match, encode, nmsSteps, nms,
                  matchVoc, precisionRecall, envelope, averagePrecision };
}());
