"use strict";
// The laboratory of functions: points to move, and what trained networks make of them.
(() => {
  const { $, make, unpack, fail, colour, laboratories } = window.adaptbench;
  const X = [-5, 5], Y = [-6, 6], STEP = 0.1, REACH = 18, MOST_POINTS = 20;
  const GRID = Float32Array.from({ length: 101 }, (_, i) => X[0] + (X[1] - X[0]) * i / 100);
  let runtime;

  function draw(tag, attributes = {}, ...children) {
    const element = document.createElementNS("http://www.w3.org/2000/svg", tag);
    for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
    element.append(...children);
    return element;
  }

  // Loads onnxruntime-web from the page itself, once.
  function load() {
    runtime ??= (async () => {
      document.head.append(make("script", { textContent: await (await unpack("runtime")).text() }));
      const machine = URL.createObjectURL(new Blob([await (await unpack("machine")).arrayBuffer()], { type: "application/wasm" }));
      Object.assign(window.ort.env.wasm, { numThreads: 1, simd: true, wasmPaths: { "ort-wasm-simd.wasm": machine } });
      return window.ort;
    })();
    return runtime;
  }

  class Network {
    constructor(place) { this.place = place; }

    // The outputs [Q] by name, given points [[x, y], ...].
    async answer(points) {
      const ort = await load();
      this.session ??= unpack(this.place).then(async (response) => ort.InferenceSession.create(await response.arrayBuffer()));
      const column = (values) => new ort.Tensor("float32", Float32Array.from(values), [values.length, 1]);
      const given = { support_x: column(points.map(([x]) => x)), support_y: column(points.map(([, y]) => y)), query_x: column([...GRID]) };
      const found = await (await this.session).run(given);
      return Object.fromEntries(Object.entries(found).map(([name, tensor]) => [name, tensor.data]));
    }
  }

  function show(section, data) {
    const place = $("[data-place]", section);
    const state = { picture: data.pictures[data.pictures.length > 8 ? 8 : 0], changed: false, hidden: new Set() };
    const learners = data.learners.map((learner) => ({ ...learner, net: learner.network && new Network(learner.network) }));
    const bayes = data.bayes && new Network(data.bayes);
    const plot = draw("svg", { class: "plot", role: "group", "aria-label": "Points and curves; every point can be moved by keyboard" });
    const select = make("select", {}, ...data.pictures.map((each, i) => make("option", { value: i, textContent: each.name })));
    select.value = data.pictures.indexOf(state.picture);
    const slider = (name, min, max) => make("input", { type: "range", min, max, step: 0.01, name });
    const truth = { amplitude: slider("amplitude", 0, 5), phase: slider("phase", -3.14, 3.14) };
    const list = make("ul", { className: "learners" });
    const status = make("p", { className: "soft", role: "status" });
    const add = make("button", { type: "button", textContent: "Add a point" });
    const reset = make("button", { type: "button", textContent: "Start again" });
    place.append(make("div", { className: "controls" }, make("label", {}, "Start from", select),
      make("label", {}, "Amplitude of the truth", truth.amplitude), make("label", {}, "Phase of the truth", truth.phase), add, reset),
    plot, list, status,
    make("p", { className: "soft", textContent: data.noise
      ? `The points have noise with a standard deviation of ${data.noise}. ${bayes ? "The band is the posterior mean, plus and minus two standard deviations." : ""}`
      : "The points have no noise, so there is no Bayes band: a few points determine the function." }));
    place.hidden = false;

    const value = (x) => state.amplitude * Math.sin(x - state.phase);
    const clip = (v, [low, high]) => Math.min(high, Math.max(low, v));
    let width = 0, height = 0;
    const px = (x) => 34 + (x - X[0]) / (X[1] - X[0]) * (width - 44);
    const py = (y) => 10 + (Y[1] - y) / (Y[1] - Y[0]) * (height - 34);
    const back = (event) => {
      const box = plot.getBoundingClientRect();
      return [clip(X[0] + (event.clientX - box.left - 34) / (width - 44) * (X[1] - X[0]), X),
        clip(Y[1] - (event.clientY - box.top - 10) / (height - 34) * (Y[1] - Y[0]), Y)];
    };
    const line = (xs, ys) => [...ys].map((y, i) => `${i ? "L" : "M"}${px(xs[i]).toFixed(1)} ${py(clip(y, [-9, 9])).toFixed(1)}`).join("");

    const layers = { axes: draw("g"), band: draw("path", { class: "band" }), truth: draw("path", { class: "truth" }), curves: draw("g"), points: draw("g") };
    plot.append(draw("title"), ...Object.values(layers));

    function axes() {
      const text = (x, y, content, anchor) => draw("text", { x, y, "text-anchor": anchor }, content);
      layers.axes.replaceChildren(
        ...[-5, -2.5, 0, 2.5, 5].flatMap((x) => [draw("line", { x1: px(x), x2: px(x), y1: 10, y2: height - 24 }), text(px(x), height - 8, String(x), "middle")]),
        ...[-6, -3, 0, 3, 6].flatMap((y) => [draw("line", { x1: 34, x2: width - 10, y1: py(y), y2: py(y) }), text(28, py(y) + 4, String(y), "end")]));
    }

    function curves() {
      layers.truth.setAttribute("d", line(GRID, Array.from(GRID, value)));
      layers.curves.replaceChildren(...learners.filter((each) => each.curve && !state.hidden.has(each.run)).map((each) => draw("path", {
        d: line(each.net ? GRID : state.picture.x, each.curve), stroke: each.colour === "#000000" ? colour("--ink") : each.colour,
        class: each.net ? "live" : `before${state.changed ? " stale" : ""}`, "data-run": each.run })));
      const band = state.bayes;
      layers.band.setAttribute("d", !band ? "" : `${line(GRID, band.mean.map((m, i) => m + 2 * band.deviation[i]))}L${
        line([...GRID].reverse(), [...band.mean].map((m, i) => m - 2 * band.deviation[i]).reverse()).slice(1)}Z`);
      legend();
    }

    function legend() {
      for (const each of learners) {
        const box = list.querySelector(`[data-run="${each.run}"]`);
        const error = each.curve && [...each.curve].reduce((sum, y, i) => sum + (y - value(each.net ? GRID[i] : state.picture.x[i])) ** 2, 0) / each.curve.length;
        box.querySelector(".error").textContent = !each.curve ? each.net ? "…" : "no numbers" : !each.net && state.changed ? "" : `squared error ${error.toPrecision(2)}`;
        box.querySelector(".how").textContent = each.net ? "answers in this page"
          : `computed before, for the first points only: ${each.why}`;
      }
    }

    function points() {
      const focused = [...layers.points.children].indexOf(document.activeElement);
      layers.points.replaceChildren(...state.points.map(([x, y], i) => {
        const point = draw("g", { class: "point", tabindex: 0, role: "button", transform: `translate(${px(x)} ${py(y)})`,
          "aria-label": `point ${i + 1} at x ${x.toFixed(1)}, y ${y.toFixed(1)}; arrow keys move it, delete removes it` },
        draw("circle", { r: REACH, class: "hit" }), draw("circle", { r: 6 }));
        return point;
      }));
      if (focused >= 0) layers.points.children[Math.min(focused, state.points.length - 1)]?.focus();
    }

    // Draws what is known at once, and asks the networks; while they answer, only the newest points wait.
    let busy = false, waiting = false;
    async function update() {
      points();
      curves();
      if (busy) { waiting = true; return; }
      busy = true;
      do {
        waiting = false;
        const given = state.points.map((point) => [...point]);
        for (const each of learners.filter(({ net }) => net)) each.curve = (await each.net.answer(given)).mean;
        if (bayes) state.bayes = await bayes.answer(given);
        curves();
      } while (waiting);
      busy = false;
      section.curves = Object.fromEntries(learners.filter(({ net }) => net).map((each) => [each.run, [...each.curve]]));
      section.dataset.answered = JSON.stringify(state.points);
    }
    const ask = () => update().catch((error) => { busy = false; fail(error); });

    function change(act) {
      act();
      state.changed = true;
      status.textContent = `${state.points.length} points`;
      ask();
    }
    const remove = (i) => { if (state.points.length > 1) change(() => state.points.splice(i, 1)); };
    const put = (point) => { if (state.points.length < MOST_POINTS) change(() => state.points.push(point)); };

    function start() {
      const { amplitude, phase, points: given, curves: known } = state.picture = data.pictures[select.value];
      Object.assign(state, { amplitude, phase, points: given.map((point) => [...point]), changed: false });
      for (const name of ["amplitude", "phase"]) truth[name].value = state[name];
      for (const each of learners) if (!each.net) each.curve = known[each.run];
      status.textContent = `${state.points.length} points`;
      ask();
    }

    let held = null;
    const which = (event) => [...layers.points.children].indexOf(event.target.closest(".point"));
    const nearest = (event) => {
      const box = plot.getBoundingClientRect();
      const far = state.points.map(([x, y]) => Math.hypot(px(x) - event.clientX + box.left, py(y) - event.clientY + box.top));
      const least = Math.min(...far);
      return least <= REACH ? far.indexOf(least) : -1;
    };
    plot.addEventListener("pointerdown", (event) => {
      const i = nearest(event);
      if (i < 0) return;
      held = i;
      plot.setPointerCapture(event.pointerId);
      event.preventDefault();
      layers.points.children[i].focus();
    });
    plot.addEventListener("pointermove", (event) => { if (held !== null) change(() => { state.points[held] = back(event); }); });
    for (const name of ["pointerup", "pointercancel"]) plot.addEventListener(name, () => { held = null; });
    plot.addEventListener("click", (event) => { if (nearest(event) < 0) put(back(event)); });
    plot.addEventListener("dblclick", (event) => { if (nearest(event) >= 0) remove(nearest(event)); });
    plot.addEventListener("keydown", (event) => {
      const i = which(event), move = { ArrowLeft: [-STEP, 0], ArrowRight: [STEP, 0], ArrowUp: [0, STEP], ArrowDown: [0, -STEP] }[event.key];
      if (i < 0 || !(move || ["Delete", "Backspace"].includes(event.key))) return;
      event.preventDefault();
      if (move) change(() => { state.points[i] = [clip(state.points[i][0] + move[0], X), clip(state.points[i][1] + move[1], Y)]; });
      else remove(i);
    });
    add.addEventListener("click", () => {
      const x = X[0] + (X[1] - X[0]) * ((state.points.length * 0.618 + 0.3) % 1);
      put([x, clip(value(x), Y)]);
    });
    reset.addEventListener("click", start);
    select.addEventListener("input", start);
    for (const name of ["amplitude", "phase"]) {  // the points keep their distance from the truth
      truth[name].addEventListener("input", () => change(() => {
        const before = state.points.map(([x]) => value(x));
        state[name] = Number(truth[name].value);
        state.points = state.points.map(([x, y], i) => [x, clip(y + value(x) - before[i], Y)]);
      }));
    }

    list.append(...[{ run: "truth", label: "Truth", colour: "" }, ...learners].map((each) => {
      const box = make("input", { type: "checkbox", checked: true });
      box.addEventListener("input", () => {
        state.hidden[box.checked ? "delete" : "add"](each.run);
        layers.truth.toggleAttribute("hidden", state.hidden.has("truth"));
        layers.truth.style.display = state.hidden.has("truth") ? "none" : "";
        curves();
      });
      const key = make("span", { className: `key${each.net ? "" : " dashed"}` });
      key.style.borderColor = each.colour === "#000000" ? colour("--ink") : each.colour;
      const item = make("li", {}, make("label", {}, box, key, each.label), make("span", { className: "error" }), make("span", { className: "how soft" }));
      item.dataset.run = each.run;
      return item;
    }));

    function measure() {
      width = plot.clientWidth || 600;
      height = clip(width * 0.55, [280, 460]);
      plot.setAttribute("viewBox", `0 0 ${width} ${height}`);
      plot.style.height = `${height}px`;
      axes();
      points();
      curves();
    }
    Object.assign(state, { amplitude: 1, phase: 0, points: [] });
    new ResizeObserver(measure).observe(plot);
    measure();
    // Networks are unpacked when a reader comes near.
    new IntersectionObserver((entries, observer) => {
      if (!entries.some((entry) => entry.isIntersecting)) return;
      observer.disconnect();
      start();
    }, { rootMargin: "600px" }).observe(section);
    return measure;
  }

  laboratories.push((data) => data.functions.map((each, i) => show($(`[data-functions="${i}"]`), each)));
})();
