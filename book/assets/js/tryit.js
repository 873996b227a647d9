/* The page "Try it": a detector of the book on the reader's own picture, in the browser.
   Nothing leaves the machine: onnxruntime-web and the networks come from this site, and
   only when they are asked for. The steps are those of chapters 1 to 9. */
(function () {
  "use strict";
  const { make, slider, button, rows, pieces, picture } = window.dsodInteractive;
  const { mapAnchors, overlaps } = window.dsod;
  const COLOURS = ["#e69f00", "#56b4e9", "#cc79a7", "#009e73"];
  const LEAST = 0.01, CANDIDATES = 400, KEEP = 200;     // DetectConfig
  const LARGEST = 1280;                                 // pixels of a side that is worked on

  /* ---- the steps ---------------------------------------------------------------------- */

  /* Return pixels (RGBA, width x height) in another size, as (3, rows, columns) numbers:
     the mean of an area where both sides shrink to half or less, else between four pixels. */
  function resize({ data, width, height }, columns, rows) {
    const shrink = 2 * columns <= width && 2 * rows <= height;
    const parts = shrink ? areaParts : linearParts;
    const across = flat(parts(width, columns)), down = flat(parts(height, rows));
    const narrow = new Float64Array(3 * height * columns);
    const small = new Float32Array(3 * rows * columns);
    for (let c = 0; c < 3; c += 1) {
      for (let y = 0; y < height; y += 1) {
        const line = (c * height + y) * columns, old = 4 * y * width + c;
        for (let k = 0; k < across.to.length; k += 1) {
          narrow[line + across.to[k]] += across.weight[k] * data[old + 4 * across.from[k]];
        }
      }
      const sums = new Float64Array(rows * columns);
      for (let k = 0; k < down.to.length; k += 1) {
        const line = down.to[k] * columns, old = (c * height + down.from[k]) * columns;
        for (let x = 0; x < columns; x += 1) sums[line + x] += down.weight[k] * narrow[old + x];
      }
      for (let k = 0; k < sums.length; k += 1) small[c * sums.length + k] = Math.round(sums[k]);
    }
    return small;
  }

  /* Return the parts of all new pixels as three lists. */
  function flat(parts) {
    const all = parts.flatMap((own, to) => own.map(([from, weight]) => [to, from, weight]));
    return { to: Int32Array.from(all, (one) => one[0]), from: Int32Array.from(all, (one) => one[1]),
             weight: Float64Array.from(all, (one) => one[2]) };
  }

  /* Return for each new pixel the [old pixel, weight] that it is made of. */
  function linearParts(old, count) {
    return Array.from({ length: count }, (_, k) => {
      const place = Math.min(Math.max((k + 0.5) * old / count - 0.5, 0), old - 1);
      const first = Math.floor(place);
      return first === place ? [[first, 1]] : [[first, first + 1 - place], [first + 1, place - first]];
    });
  }

  function areaParts(old, count) {
    const step = old / count;
    return Array.from({ length: count }, (_, k) => {
      const parts = [];
      for (let from = Math.floor(k * step); from < Math.min(old, (k + 1) * step); from += 1) {
        const part = Math.min(from + 1, (k + 1) * step) - Math.max(from, k * step);
        if (part > 1e-9) parts.push([from, part / step]);
      }
      return parts;
    });
  }

  /* Subtract the mean of each channel and divide by its deviation, in place. */
  function normalise(pixels, { mean, std }) {
    const plane = pixels.length / 3;
    for (let channel = 0; channel < 3; channel += 1) {
      for (let k = channel * plane; k < (channel + 1) * plane; k += 1) {
        pixels[k] = (pixels[k] - mean[channel]) / std[channel];
      }
    }
    return pixels;
  }

  /* Return the box that four offsets make of an anchor, cut to the picture. */
  function decode(anchor, offsets, variances) {
    const wide = anchor[2] - anchor[0], high = anchor[3] - anchor[1];
    const x = (anchor[0] + anchor[2]) / 2 + offsets[0] * variances[0] * wide;
    const y = (anchor[1] + anchor[3]) / 2 + offsets[1] * variances[1] * high;
    const w = wide * Math.exp(offsets[2] * variances[2]), h = high * Math.exp(offsets[3] * variances[3]);
    return [x - w / 2, y - h / 2, x + w / 2, y + h / 2].map((side) => Math.min(Math.max(side, 0), 1));
  }

  /* Return every candidate [{label, score, box, anchor, map}], the best score first. */
  function candidates(scores, offsets, network) {
    const classes = network.classes.length + 1, found = [];
    network.anchors.forEach(({ anchor, map }, row) => {
      const own = Array.from(scores.subarray(row * classes, (row + 1) * classes));
      const top = Math.max(...own), powers = own.map((one) => Math.exp(one - top));
      const sum = powers.reduce((a, b) => a + b);
      for (let label = 0; label < classes - 1; label += 1) {
        const score = powers[label + 1] / sum;
        if (score < LEAST) continue;
        const box = decode(anchor, offsets.subarray(4 * row, 4 * row + 4), network.variances);
        if (box[2] > box[0] && box[3] > box[1]) found.push({ label, score, box, anchor, map, row });
      }
    });
    return found.sort((a, b) => b.score - a.score || a.row - b.row);
  }

  /* Return [kept, dropped] after non-maximum suppression, each class by itself. */
  function suppress(found, threshold, classes) {
    const kept = [], dropped = [];
    for (let label = 0; label < classes; label += 1) {
      const own = [];
      found.filter((one) => one.label === label).slice(0, CANDIDATES).forEach((one) => {
        const worse = own.some((other) => overlaps([one.box], [other.box])[0][0] > threshold);
        (worse ? dropped : own).push(one);
      });
      kept.push(...own);
    }
    kept.sort((a, b) => b.score - a.score || a.label - b.label || a.row - b.row);
    return [kept.slice(0, KEEP), dropped];
  }

  /* ---- the network -------------------------------------------------------------------- */

  async function bytes(path) {
    const answer = await fetch(picture(path));
    if (!answer.ok) throw new Error(`${path} is not there (${answer.status})`);
    return answer;
  }

  let runtime;
  /* Fetch onnxruntime-web once: its code, and its compressed WebAssembly. */
  function startRuntime() {
    runtime ??= (async () => {
      await new Promise((done, failed) => {
        const script = make("script", { src: picture("ort/ort.wasm.min.js") });
        script.addEventListener("load", done);
        script.addEventListener("error", () => failed(new Error("the runtime is not there")));
        document.head.append(script);
      });
      const packed = (await bytes("ort/ort-wasm-simd-threaded.wasm.gz")).body;
      const wasm = new Response(packed.pipeThrough(new DecompressionStream("gzip")));
      window.ort.env.wasm.wasmBinary = await wasm.arrayBuffer();
      window.ort.env.wasm.wasmPaths = picture("ort/");
      window.ort.env.wasm.numThreads = 1;
      return window.ort;
    })();
    return runtime;
  }

  const networks = {};
  /* Return a network by its name, fetched once. */
  function loadNetwork(name) {
    networks[name] ??= (async () => {
      const [ort, facts, file] = await Promise.all([
        startRuntime(), bytes("try/networks.json").then((one) => one.json()),
        bytes(`try/${name}.onnx`).then((one) => one.arrayBuffer())]);
      const network = facts[name];
      network.anchors = network.maps.flatMap((spec, map) =>
        mapAnchors(spec.shape, spec, network.size[0] / network.size[1])
          .map((anchor) => ({ anchor: anchor.map(Math.fround), map })));
      const session = await ort.InferenceSession.create(file, { executionProviders: ["wasm"] });
      network.run = async (pixels) => {
        const data = new ort.Tensor("float32", pixels, [1, 3, ...network.size]);
        const { class_scores: scores, offsets } = await session.run({ data });
        return { scores: scores.data, offsets: offsets.data };
      };
      return network;
    })();
    return networks[name];
  }

  /* Detect in pixels; return the candidates, and the milliseconds of each part. */
  async function detect(pixels, network) {
    const times = [performance.now()];
    const input = normalise(resize(pixels, network.size[1], network.size[0]), network);
    times.push(performance.now());
    const { scores, offsets } = await network.run(input);
    times.push(performance.now());
    const found = candidates(scores, offsets, network);
    times.push(performance.now());
    return { found, scores, times: times.slice(1).map((time, k) => time - times[k]) };
  }
  window.dsodTry = { resize, candidates, suppress, detect, loadNetwork };

  /* ---- the page ----------------------------------------------------------------------- */

  const VIEWS = {
    kept: "Detections", raw: "Before suppression", anchors: "The anchors that answered",
    map: "What one map says",
  };

  pieces.tryit = function (place) {
    const state = { name: "creatures", view: "kept", score: 0.3, overlap: 0.45, map: 1,
                    network: null, result: null, source: null, busy: false, stream: null };
    window.dsodTry.last = () => state.kept;
    window.dsodTry.size = () => `${whole.width} x ${whole.height}`;
    const canvas = make("canvas", { width: 256, height: 256, role: "img", tabindex: "0",
                                    "aria-label": "The picture; no detector is loaded yet.",
                                    style: "height: auto; width: 100%" });
    const words = make("p", { "aria-live": "polite" });
    const table = make("div", { style: "overflow-x: auto", tabindex: "0", role: "region",
                                "aria-label": "Table of detections" });
    const cost = make("p", { class: "hint" });
    const whole = make("canvas");              // the picture itself, at its own size

    const select = (label, options, change) => {
      const made = make("select", {}, ...Object.entries(options).map(([value, text]) =>
        make("option", { value }, text)));
      made.addEventListener("change", () => change(made.value));
      return make("label", {}, `${label} `, made);
    };

    function show(text) { words.textContent = text; }

    /* Take a picture (an image, a video or a canvas) at its own size, up to LARGEST. */
    function take(source, width, height) {
      const scale = Math.min(1, LARGEST / Math.max(width, height));
      whole.width = Math.max(1, Math.round(width * scale));
      whole.height = Math.max(1, Math.round(height * scale));
      whole.getContext("2d", { willReadFrequently: true })
        .drawImage(source, 0, 0, whole.width, whole.height);
    }

    async function look() {
      if (!state.network || !whole.width || state.busy) return;
      state.busy = true;
      const pixels = whole.getContext("2d", { willReadFrequently: true })
        .getImageData(0, 0, whole.width, whole.height);
      try {
        state.result = await detect(pixels, state.network);
        draw();
      } finally {
        state.busy = false;
      }
    }

    function frame(context, box, colour, width, dash, text) {
      const [x, y, right, bottom] = box.map((side, k) => side * (k % 2 ? canvas.height : canvas.width));
      context.setLineDash(dash);
      context.lineWidth = width;
      context.strokeStyle = colour;
      context.strokeRect(x, y, right - x, bottom - y);
      if (!text) return;
      context.font = `600 ${Math.max(12, canvas.width / 32)}px sans-serif`;
      const high = Math.max(12, canvas.width / 32) * 1.3, wide = context.measureText(text).width + 8;
      const top = y > high ? y - high : y;
      context.fillStyle = colour;
      context.fillRect(x, top, wide, high);
      context.fillStyle = "#000000";
      context.textBaseline = "middle";
      context.fillText(text, x + 4, top + high / 2);
    }

    /* Shade each cell of a map by the best foreground score among its anchors. */
    function shade(context) {
      const { network, result } = state, spec = network.maps[state.map - 1];
      const best = new Map(), columns = spec.shape[1];
      const each = network.anchors.filter(({ map }) => map === state.map - 1).length /
        (spec.shape[0] * columns);
      const first = network.anchors.findIndex(({ map }) => map === state.map - 1);
      result.found.filter(({ map }) => map === state.map - 1).forEach(({ row, score }) => {
        const cell = Math.floor((row - first) / each);
        best.set(cell, Math.max(best.get(cell) ?? 0, score));
      });
      const wide = canvas.width / columns, high = canvas.height / spec.shape[0];
      context.fillStyle = "rgba(0, 0, 0, 0.55)";
      context.fillRect(0, 0, canvas.width, canvas.height);
      best.forEach((score, cell) => {
        context.fillStyle = `rgba(230, 159, 0, ${0.1 + 0.9 * score})`;
        context.fillRect((cell % columns) * wide, Math.floor(cell / columns) * high, wide, high);
      });
      return best.size;
    }

    function draw() {
      const { network, result } = state;
      const scale = Math.max(1, Math.min(4, Math.floor(768 / whole.width)));
      canvas.width = whole.width * scale;
      canvas.height = whole.height * scale;
      const context = canvas.getContext("2d");
      context.drawImage(whole, 0, 0, canvas.width, canvas.height);
      if (!result) return;
      const before = performance.now();
      const [kept, dropped] = suppress(result.found, state.overlap, network.classes.length);
      const spent = performance.now() - before;
      const sure = kept.filter(({ score }) => score >= state.score);
      const thick = Math.max(2, canvas.width / 200);
      const colour = ({ label }) => COLOURS[label % COLOURS.length];
      const named = ({ label, score }) => `${network.classes[label]} ${score.toFixed(2)}`;
      const many = dropped.filter(({ score }) => score >= state.score);
      let text = `${sure.length} found with a score of at least ${state.score.toFixed(2)}.`;
      if (state.view === "raw") {
        many.forEach((one) => frame(context, one.box, "#ffffff", thick / 2, [4, 4]));
        text += ` ${many.length} more boxes say the same and are dropped (dashed).`;
      }
      if (state.view === "anchors") {
        sure.forEach((one) => frame(context, one.anchor, "#ffffff", thick / 2, [4, 4]));
        text += " Dashed: the anchor of each, before its four offsets.";
      }
      if (state.view === "map") {
        const cells = shade(context), { shape } = network.maps[state.map - 1];
        text = `Map ${state.map} has ${shape[0]} by ${shape[1]} cells; ${cells} of them see ` +
          `something with a score of at least ${LEAST}. The brighter, the surer.`;
      } else {
        sure.forEach((one) => frame(context, one.box, colour(one), thick, [], named(one)));
      }
      canvas.setAttribute("aria-label", `The picture. ${text}`);
      show(text);
      table.replaceChildren(rows(sure.slice(0, 12).map(({ label, score, box }) => [
        network.classes[label], score.toFixed(3),
        box.map((side, k) => Math.round(side * (k % 2 ? whole.height : whole.width))).join(", ")]),
      ["class", "score", "box in pixels"]));
      const [prepared, network_, decoded] = result.times.map((one) => one.toFixed(0));
      cost.textContent = `${whole.width} x ${whole.height} pixels: ${prepared} ms to bring them to size, ` +
        `${network_} ms for the network, ${decoded} ms to decode, ${spent.toFixed(0)} ms to suppress.`;
      state.kept = kept;
      place.dataset.state = "ready";
    }

    function openImage(address, revoke) {
      const image = new Image();
      image.addEventListener("load", () => {
        stopCamera();
        take(image, image.naturalWidth, image.naturalHeight);
        if (revoke) URL.revokeObjectURL(address);
        draw();
        look();
      });
      image.addEventListener("error", () => show("This file is no picture that the browser can read."));
      image.src = address;
    }
    const openFile = (file) => file && openImage(URL.createObjectURL(file), true);

    /* ---- camera and brush ---- */
    const video = make("video", { playsinline: "", muted: "" });
    video.muted = true;
    async function startCamera() {
      try {
        state.stream = await navigator.mediaDevices.getUserMedia({ video: { facingMode: "environment" } });
      } catch (error) {
        show("There is no camera that this page may use.");
        return;
      }
      video.srcObject = state.stream;
      await video.play();
      camera.textContent = "Stop the camera";
      while (state.stream) {
        take(video, video.videoWidth, video.videoHeight);
        await look();
        await new Promise(requestAnimationFrame);
      }
    }
    function stopCamera() {
      state.stream?.getTracks().forEach((track) => track.stop());
      state.stream = null;
      camera.textContent = "Camera";
    }
    const camera = button("Camera", () => (state.stream ? stopCamera() : startCamera()));
    const paint = make("input", { type: "color", value: "#f0c000" });
    const brush = make("input", { type: "checkbox" });
    let stroke = false;
    function dab(event) {
      if (!stroke || !brush.checked) return;
      const area = canvas.getBoundingClientRect(), context = whole.getContext("2d");
      const x = (event.clientX - area.left) / area.width * whole.width;
      const y = (event.clientY - area.top) / area.height * whole.height;
      context.fillStyle = paint.value;
      context.beginPath();
      context.arc(x, y, whole.width / 24, 0, 2 * Math.PI);
      context.fill();
      canvas.getContext("2d").drawImage(whole, 0, 0, canvas.width, canvas.height);
    }
    canvas.addEventListener("pointerdown", (event) => { stroke = brush.checked; dab(event); });
    canvas.addEventListener("pointermove", (event) => { if (stroke) event.preventDefault(); dab(event); });
    window.addEventListener("pointerup", () => { if (stroke) look(); stroke = false; });
    brush.addEventListener("change", () => { canvas.style.touchAction = brush.checked ? "none" : ""; });

    /* ---- the whole ---- */
    const file = make("input", { type: "file", accept: "image/*", style: "max-width: 100%" });
    file.addEventListener("change", () => openFile(file.files[0]));
    ["dragover", "drop"].forEach((kind) => place.addEventListener(kind, (event) => {
      event.preventDefault();
      if (kind === "drop") openFile(event.dataTransfer.files[0]);
    }));
    const controls = make("div", { hidden: "" },
      select("Show", VIEWS, (value) => {
        state.view = value;
        chosenMap.hidden = value !== "map";
        draw();
      }));
    const chosenMap = slider("Map", { min: 1, max: 5, step: 1, value: 1, places: 0 },
      (value) => { state.map = value; draw(); });
    chosenMap.hidden = true;
    controls.append(chosenMap,
      slider("Least score", { min: 0.02, max: 0.98, step: 0.02, value: 0.3 },
        (value) => { state.score = value; draw(); }),
      slider("IoU of suppression", { min: 0, max: 1, step: 0.05, value: 0.45 },
        (value) => { state.overlap = value; draw(); }));
    async function start() {
      if (window.location.protocol === "file:" || !window.WebAssembly || !window.DecompressionStream) {
        show("A page that was opened as a file may not load a network: `make serve` shows it from " +
          "an address, and the picture below shows what the detector says.");
        return;
      }
      go.disabled = true;
      show("Fetching the runtime (4 MB) and the network (3 MB) ...");
      try {
        state.network = await loadNetwork(state.name);
        controls.hidden = false;
        chosenMap.querySelector("input").max = state.network.maps.length;
        state.result = null;
        await look();
        go.hidden = true;
      } catch (error) {
        go.disabled = false;
        runtime = undefined;
        delete networks[state.name];
        show(`The detector could not be loaded: ${error.message}.`);
      }
    }
    const go = button("Load the detector", start);
    place.setAttribute("aria-label", "Try it: a detector in this page");
    place.append(
      make("div", { class: "panes" }, canvas, make("div", {},
        select("Network", { creatures: "Creatures of this book", blood: "Blood cells" }, (value) => {
          state.name = value;
          if (state.network) start();
        }),
        make("label", {}, "Your picture ", file),
        make("p", { class: "buttons" }, camera,
          button("The book's picture", () => openImage(picture("three.jpg")))),
        make("label", {}, brush, " Paint on the picture in ", paint),
        go, words, controls)),
      table, cost);
    show("Nothing is loaded yet. The picture stays on your machine.");
    openImage(picture("three.jpg"));
  };
}());
