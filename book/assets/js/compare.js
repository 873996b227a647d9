/* Two pictures of one thing, one on the other: a slider uncovers the second. Without
   scripts both stand side by side. */
(function () {
  "use strict";
  const { make, pieces } = window.dsodInteractive;

  pieces.compare = function (place, data, figures) {
    const [before, after] = figures.map((one) => one.querySelector("img"));
    const [named, other] = figures.map((one) => one.querySelector("figcaption").textContent);
    const input = make("input", { type: "range", min: 0, max: 100, value: 50,
                                  "aria-label": "How much of the second picture is uncovered" });
    const show = () => {
      place.style.setProperty("--cut", `${100 - input.value}%`);
      input.setAttribute("aria-valuetext", `${input.value} per cent after training`);
    };
    input.addEventListener("input", show);
    place.setAttribute("aria-label", "Slider: the same network before and after training");
    place.append(
      make("div", { class: "stack" }, before, after, make("span", { class: "seam" }), input),
      make("p", { class: "names", "aria-hidden": "true" },
        make("span", {}, named), make("span", {}, other)));
    show();
  };
}());
