"use strict";
// Errors over training classes, of every seed, on unseen and seen classes.
(() => {
  const { $, make, colour, plain, layout, ticks, options, laboratories } = window.adaptbench;
  const ON = { unseen: "unseen", seen: "seen in training", held_out_drawings: "seen, by other drawings" };
  const DASHES = { unseen: "solid", seen: "dot", held_out_drawings: "dash" };

  function show(section, data) {
    const place = $("[data-place]", section);
    const points = data.points.map(([learner, classes, budget, ways, shots, on, seed, error, run]) => (
      { learner, classes, budget, ways, shots, on, seed, error, run }));
    const distinct = (name) => [...new Set(points.map((point) => point[name]))].sort((a, b) => (a ?? Infinity) - (b ?? Infinity));
    const chart = make("div", { className: "chart" });
    chart.setAttribute("role", "img");
    chart.setAttribute("aria-label", "Error over training classes, a line for each learner; the tables hold the numbers.");
    const sliders = ["ways", "shots", "budget"].flatMap((name) => {
      const values = distinct(name);
      if (values.length < 2) return [];
      const slider = make("input", { type: "range", min: 0, max: values.length - 1, step: 1, value: 0, name });
      return [{ name, values, slider, text: make("span") }];
    });
    const kinds = distinct("on").map((on) => ({ on, box: make("input", { type: "checkbox", checked: true, name: on }) }));
    place.append(make("div", { className: "controls" },
      ...sliders.map(({ name, slider, text }) => make("label", {}, make("span", {}, `${name === "budget" ? "Examples in training" : name[0].toUpperCase() + name.slice(1)}: `, text), slider)),
      ...(kinds.length > 1 ? kinds.map(({ on, box }) => make("label", { className: "box" }, box, `Classes ${ON[on] ?? on}`)) : [])), chart);
    place.hidden = false;
    const numbers = points.map((point) => point.classes).filter(Boolean);
    const beyond = 4 * Math.max(1, ...numbers);

    function render() {
      let shown = points;
      for (const { name, values, slider, text } of sliders) {
        const value = values[slider.value];
        text.textContent = value === null ? "all" : value.toLocaleString("en");
        slider.setAttribute("aria-valuetext", text.textContent);
        shown = shown.filter((point) => point[name] === value);
      }
      const found = [];
      for (const { on, box } of kinds) {
        if (!box.checked) continue;
        for (const each of data.learners) {
          const own = shown.filter((point) => point.learner === each.learner && point.on === on);
          if (!own.length) continue;
          const shade = each.colour === "#000000" ? colour("--ink") : each.colour;
          const x = [...new Set(own.map((point) => point.classes ?? beyond))].sort((a, b) => a - b);
          const mean = x.map((size) => {
            const errors = own.filter((point) => (point.classes ?? beyond) === size).map((point) => point.error);
            return errors.reduce((sum, error) => sum + error, 0) / errors.length;
          });
          const group = `${each.learner} ${on}`, name = plain(on === "unseen" ? each.label : `${each.label}, ${ON[on] ?? on}`);
          found.push({ x, y: mean, name, legendgroup: group, mode: "lines+markers", line: { color: shade, dash: DASHES[on] ?? "dash" }, marker: { size: 7, symbol: each.symbol },
            hovertemplate: `${name}: %{y:.3g}<extra></extra>` });
          found.push({ x: own.map((point) => point.classes ?? beyond), y: own.map((point) => point.error), mode: "markers", legendgroup: group, showlegend: false,
            customdata: own.map((point) => point.run), text: own.map((point) => `seed ${point.seed}`), marker: { color: shade, size: 5, symbol: each.symbol, opacity: 0.5 },
            hovertemplate: `${name}, %{text}: %{y:.3g}<br>click to open its run<extra></extra>` });
        }
      }
      const shape = layout(`training ${data.words}`, data.error, true, true, found);
      Object.assign(shape.xaxis, ticks(found, beyond));
      window.Plotly.react(chart, found, shape, options);
    }
    for (const control of [...sliders.map(({ slider }) => slider), ...kinds.map(({ box }) => box)]) control.addEventListener("input", render);
    render();
    chart.on("plotly_click", (event) => { if (event.points[0].customdata) location.hash = `run-${event.points[0].customdata}`; });
    return render;
  }

  laboratories.push((data) => data.atlas.map((each, i) => show($(`[data-atlas="${i}"]`), each)));
})();
