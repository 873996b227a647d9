/* The training film of chapter 8: what the network detects at eight moments of one run,
   beside the run's loss and its AP50. The film itself stands in film_data.js, because a
   page that was opened as a file can load nothing but scripts. */
(function () {
  "use strict";
  const { make, rectangle, slider, picture, pieces } = window.dsodInteractive;
  const { overlaps } = window.dsod;
  const line = { "vector-effect": "non-scaling-stroke", fill: "none" };
  const HIGH = 70;                         // of the curves, where 100 is their width
  const SURE = 0.5, LEAST_IOU = 0.5;
  const LOSS = "#d55e00", AP = "#009e73";

  /* Return how many of the objects a box of a good score covers. */
  function found({ boxes, scores }, objects) {
    const sure = boxes.filter((_, row) => scores[row] >= SURE);
    const table = overlaps(objects, sure);
    return [sure.length, table.filter((row) => row.some((one) => one >= LEAST_IOU)).length];
  }

  /* Return a path through points, given as lists [x, y]. */
  const path = (points) => `M${points.map((point) => point.join(" ")).join("L")}`;

  /* Return a curve, with its name behind a bit of its line, and its axis on that side. */
  function curve(points, name, colour, top, left) {
    const style = `stroke: ${colour}; stroke-width: 2`;
    const text = (words, x, y, anchor) => make("svg:text", { x, y, "text-anchor": anchor }, words);
    const number = (words, y) => text(words, left ? -2 : 102, y, left ? "end" : "start");
    return [make("svg:path", { d: path(points), ...line, style }),
      make("svg:path", { d: left ? "M0 -5.5H7" : "M93 -5.5H100", ...line, style }),
      text(name, left ? 9 : 91, -4, left ? "start" : "end"), number(String(top), 4), number("0", HIGH)];
  }

  /* Return the drawing of loss and AP50 over the steps, and the line of the moment. */
  function curves({ frames, losses }) {
    const last = losses.length;
    const sums = losses.map(([first, second]) => first + second);
    const top = Math.ceil(Math.max(...sums));
    const x = (step) => 100 * step / last;
    const now = make("svg:path", { d: "", ...line, style: "stroke: currentColor; stroke-width: 1.5" });
    const ticks = frames.filter(({ step }) => step === 0 || step >= 40).map(({ step }) =>
      make("svg:text", { x: x(step), y: HIGH + 7, "text-anchor": "middle" }, String(step)));
    const drawing = make("svg:svg", { viewBox: `-9 -10 120 ${HIGH + 26}`, role: "img", class: "plot" },
      make("svg:path", { d: `M0 0V${HIGH}H100V0`, class: "grid", ...line }),
      ...curve(sums.map((loss, row) => [x(row + 1), HIGH * (1 - loss / top)]), "loss", LOSS, top, true),
      ...curve(frames.map((one) => [x(one.step), HIGH * (1 - one.AP50)]), "AP50", AP, 1, false),
      ...frames.map((one) => make("svg:circle", { cx: x(one.step), cy: HIGH * (1 - one.AP50), r: 1.5,
                                                  style: `fill: ${AP}` })),
      ...ticks, make("svg:text", { x: 50, y: HIGH + 15, "text-anchor": "middle" }, "step"), now);
    return [drawing, (step) => now.setAttribute("d", `M${x(step)} 0V${HIGH}`), sums];
  }

  function show(place, film) {
    const { frames, objects } = film;
    const marks = make("svg:g");
    const seen = make("svg:svg", { viewBox: "0 0 100 100", role: "img" },
      make("svg:image", { href: picture(place.dataset.picture), width: 100, height: 100 }), marks);
    const [plot, point, sums] = curves(film);
    const words = make("p", { "aria-live": "polite" });
    const moment = slider("Moment of the run", { min: 0, max: frames.length - 1, step: 1, value: 0,
                                                 places: 0 }, draw);

    /* A box of a good score is thick, and tells it if there are few of them. */
    function frame(box, score, few) {
      const style = score >= SURE ? "stroke: #e69f00; stroke-width: 4" : "stroke: #56b4e9; stroke-width: 1.5";
      return [rectangle(box, { style }),
        ...(few && score >= SURE ? [make("svg:text", { x: 100 * box[0] + 1, y: 100 * box[1] + 5.5 },
          `${Math.round(100 * score)}%`)] : [])];
    }

    function draw(row) {
      const one = frames[row];
      const [sure, covered] = found(one, objects);
      marks.replaceChildren(...[...one.boxes.keys()].reverse().flatMap((at) =>
        frame(one.boxes[at], one.scores[at], sure < 8)));
      point(one.step);
      moment.querySelector("output").textContent = `step ${one.step}`;
      moment.querySelector("input").setAttribute("aria-valuetext", `step ${one.step}`);
      words.textContent = `After ${one.step} steps ${sure} box${sure === 1 ? " has" : "es have"} a score of ` +
        `at least ${SURE.toFixed(1)}; ${covered} of the ${objects.length} creatures are covered. ` +
        (one.step ? `The loss is ${sums[one.step - 1].toFixed(1)}; ` : "") +
        `${one.step ? "on" : "On"} pictures it never trains on, AP50 is ${one.AP50.toFixed(2)}.`;
      seen.setAttribute("aria-label", words.textContent);
    }

    place.setAttribute("aria-label", "Training film: what the network detects as it learns");
    plot.setAttribute("aria-label", `Loss and AP50 of ${sums.length} steps. The loss falls from ` +
      `${sums[0].toFixed(1)} to ${sums[sums.length - 1].toFixed(1)}, AP50 rises from ` +
      `${frames[0].AP50.toFixed(2)} to ${frames[frames.length - 1].AP50.toFixed(2)}.`);
    place.append(moment, words, make("div", { class: "panes" }, seen, plot),
      make("p", { class: "hint" }, "The slider obeys the arrow keys. Thick: a score of at least " +
        `${SURE.toFixed(1)}. Thin: the best of the others, 24 boxes at most.`));
    draw(0);
  }

  pieces.film = function (place) {
    const data = make("script", { src: picture("js/film_data.js") });
    data.addEventListener("load", () => show(place, window.dsodFilm));
    document.head.append(data);
  };
}());
