"use strict";
// Sorting, filtering, curves and the pages of single runs. Strings from outside are only ever set as text.
(() => {
  const $ = (selector, root = document) => root.querySelector(selector);
  const $$ = (selector, root = document) => [...root.querySelectorAll(selector)];

  function make(tag, properties = {}, ...children) {
    const element = Object.assign(document.createElement(tag), properties);
    element.append(...children);
    return element;
  }

  async function unpack(id) {
    const place = document.getElementById(id);
    const letters = place.content.textContent;
    place.remove();
    const bytes = new Uint8Array(Math.floor(letters.length * 7 / 8));  // see `pack_compressed`
    for (let i = 0, at = 0, bits = 0, held = 0; i < letters.length && at < bytes.length; i++) {
      const code = letters.charCodeAt(i);
      held = (held << 7 | (code < 128 ? code : [0, 13, 38, 60][code - 128])) & 0x7fff;
      bits += 7;
      if (bits >= 8) bytes[at++] = held >> (bits -= 8);
    }
    const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
    return new Response(stream);
  }

  function fail(error) {
    const place = $("#trouble");
    place.textContent = `The interactive part of this page does not work in this browser: ${error.message}`;
    place.hidden = false;
  }

  // ---- copying commands ----
  async function copy(text) {
    try {
      await navigator.clipboard.writeText(text);
    } catch {  // browsers may forbid it to pages that were opened from disk
      const area = make("textarea", { value: text, readOnly: true });
      document.body.append(area);
      area.select();
      document.execCommand("copy");
      area.remove();
    }
  }

  document.addEventListener("click", async (event) => {
    const button = event.target.closest("button.command");
    if (!button) return;
    await copy(button.dataset.command);
    const label = button.textContent;
    button.textContent = "copied";
    setTimeout(() => { button.textContent = label; }, 1500);
  });

  // ---- the results table ----
  const body = $("#table tbody");
  const rows = $$("tr", body);
  const filters = { task: $("#by-task"), learner: $("#by-learner"), shots: $("#by-shots") };

  function fillFilters() {
    for (const [name, select] of Object.entries(filters)) {
      const values = [...new Set(rows.map((row) => row.dataset[name]))];
      if (name === "shots") values.sort((a, b) => a - b);
      select.append(...values.map((value) => make("option", { value, textContent: value })));
    }
  }

  function filter() {
    const words = $("#search").value.toLowerCase().split(/\s+/).filter(Boolean);
    let shown = 0;
    for (const row of rows) {
      const text = row.textContent.toLowerCase();
      const fits = Object.entries(filters).every(([name, select]) => !select.value || row.dataset[name] === select.value);
      row.hidden = !(fits && words.every((word) => text.includes(word)));
      shown += !row.hidden;
    }
    $("#count").textContent = `${shown} of ${rows.length} rows`;
  }

  function sortBy(header) {
    const index = [...header.parentNode.children].indexOf(header);
    const direction = header.getAttribute("aria-sort") === "ascending" ? "descending" : "ascending";
    const key = (row) => row.children[index].dataset.order ?? row.children[index].textContent;
    const sign = direction === "ascending" ? 1 : -1;
    const compare = (a, b) => {
      const [x, y] = [key(a), key(b)];
      if ((x === "") !== (y === "")) return x === "" ? 1 : -1;  // missing values stay at the end
      const numbers = x !== "" && !Number.isNaN(Number(x)) && !Number.isNaN(Number(y));
      return sign * (numbers ? Number(x) - Number(y) : x.localeCompare(y));
    };
    for (const other of $$("#table th")) other.removeAttribute("aria-sort");
    header.setAttribute("aria-sort", direction);
    body.append(...[...rows].sort(compare));
  }

  fillFilters();
  filter();
  for (const control of [$("#search"), ...Object.values(filters)]) control.addEventListener("input", filter);
  for (const button of $$("#table thead button")) button.addEventListener("click", () => sortBy(button.closest("th")));

  // ---- curves ----
  const MOST_MARKS = 3000;
  const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();

  // A logarithmic y axis of the traces has room for the digits 1, 2 and 5 alone, unless it is short.
  function layout(x, y, logX, logY, traces) {
    const values = traces.flatMap((trace) => trace.y).filter((value) => value > 0);
    const decades = Math.log10(Math.max(...values) / Math.min(...values));
    const axis = { gridcolor: colour("--grid"), linecolor: colour("--line"), zeroline: false, automargin: true,
      minorloglabels: "complete" };
    return {
      paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)",
      font: { color: colour("--ink"), family: getComputedStyle(document.body).fontFamily, size: 13 },
      margin: { l: 60, r: 16, t: 16, b: 48 }, hovermode: "closest",
      hoverlabel: { bgcolor: colour("--card"), font: { color: colour("--ink") }, align: "left" },
      legend: { orientation: "h", y: -0.3, yanchor: "top" },
      xaxis: { ...axis, title: { text: x, standoff: 6 }, type: logX ? "log" : "linear" },
      yaxis: { ...axis, title: { text: y }, type: logY ? "log" : "linear", dtick: logY && decades > 0.7 && decades < 4 ? "D2" : undefined },
    };
  }
  // At most eight of the values on the x axis of the traces, the last one among them.
  function ticks(traces, beyond) {
    const values = [...new Set(traces.flatMap((trace) => trace.x))].sort((a, b) => a - b);
    const tickvals = values.filter((_, index) => (values.length - 1 - index) % Math.ceil(values.length / 8) === 0);
    return { tickvals, ticktext: tickvals.map((value) => (value === beyond ? "unlimited" : String(value))) };
  }
  const options = { displayModeBar: false, responsive: true };
  // Plotly interprets some tags in texts; names are shown as they are.
  const plain = (text) => String(text).replace(/&/g, "&amp;").replace(/</g, "&lt;").replace(/>/g, "&gt;");

  function position(axis, point, beyond) {
    return { classes: point.size ?? beyond, examples: point.examples, shots: point.shots, time: point.ms }[axis];
  }

  function traces(chart, axis, fixed) {
    const found = [];
    const all = chart.traces.flatMap((trace) => trace.points);
    const beyond = 4 * Math.max(1, ...all.map((point) => point.size ?? 1));
    const marks = all.reduce((sum, point) => sum + point.runs.length, 0) <= MOST_MARKS;
    for (const each of chart.traces) {
      // Black is invisible in dark mode, so the colour of the text replaces it.
      const trace = each.colour === "#000000" ? { ...each, colour: colour("--ink") } : each;
      const points = trace.points.filter((p) => p.fixed[axis] === fixed && position(axis, p, beyond) !== null);
      points.sort((a, b) => position(axis, a, beyond) - position(axis, b, beyond));
      if (!points.length) continue;
      const x = points.map((point) => position(axis, point, beyond));
      found.push({
        x, y: points.map((point) => point.mean), name: plain(trace.label), legendgroup: trace.label,
        mode: axis === "time" ? "markers" : "lines+markers",
        line: { color: trace.colour, dash: trace.dash }, marker: { color: trace.colour, symbol: trace.symbol, size: 9 },
        error_y: { type: "data", symmetric: false, array: points.map((point) => point.upper - point.mean),
          arrayminus: points.map((point) => point.mean - point.lower), color: trace.colour, thickness: 1, width: 4 },
        customdata: points.map((point) => point.runs[0]),
        text: points.map((point) => describe(trace, point)), hovertemplate: "%{text}<extra></extra>",
      });
      if (!marks) continue;
      const single = points.flatMap((p, i) => p.runs.map((run, j) => ({ x: x[i], y: p.values[j], run })));
      found.push({
        x: single.map((each) => each.x), y: single.map((each) => each.y), customdata: single.map((each) => each.run),
        mode: "markers", marker: { color: trace.colour, symbol: trace.symbol, size: 6, opacity: 0.45 },
        legendgroup: trace.label, showlegend: false, name: plain(trace.label),
        hovertemplate: `${plain(trace.label)}, one run: %{y}<br>run %{customdata}<br>click to open it<extra></extra>`,
      });
    }
    const y = range(found, chart);
    if (chart.chance !== null && found.length && (!chart.percent || chart.chance >= y[0])) {
      const x = found.flatMap((trace) => trace.x);
      found.push({ x: [Math.min(...x), Math.max(...x)], y: [chart.chance, chart.chance], mode: "lines", name: "chance",
        line: { color: colour("--soft"), dash: "dot", width: 1 }, hoverinfo: "name" });
    }
    return { found, beyond, y };
  }

  // All means and single runs are visible; intervals may extend beyond the axes, as in the figures for print.
  // Curves of percent have the whole axis: chance, often far below, shows where they come near it.
  function range(found, chart) {
    const line = chart.percent || chart.chance === null ? [] : [chart.chance];
    const values = found.flatMap((trace) => trace.y).concat(line).filter((value) => value !== null);
    const [low, high] = [Math.min(...values), Math.max(...values)];
    const room = 0.15 * (high - low) + 0.5;
    if (chart.percent) return [Math.max(0, low - room), Math.min(101, high + room)];
    return chart.log && low > 0 ? [Math.log10(low / 2.5), Math.log10(high * 2.5)] : undefined;
  }

  function describe(trace, point) {
    const ids = point.runs.slice(0, 6).join("<br>");
    const more = point.runs.length > 6 ? `<br>and ${point.runs.length - 6} more` : "";
    return `<b>${plain(trace.label)}</b> ${point.mean} [${point.lower}, ${point.upper}]<br>over episodes alone ± ${point.episodes}` +
      `<br>${plain(point.fixed.time)}<br>runs<br>${ids}${more}`;
  }

  function drawChart(chart) {
    const place = $(`[data-chart="${CSS.escape(chart.name)}"]`);
    const controls = $(`[data-controls="${CSS.escape(chart.name)}"]`);
    const points = chart.traces.flatMap((trace) => trace.points);
    if (!points.length) return;
    const count = (value) => new Set(points.map(value)).size;
    const words = { ...chart.words, time: "adaptation time" };
    const offered = [...(count((p) => p.size) > 1 ? ["classes"] : []),
      ...(count((p) => p.examples) > 1 ? ["examples"] : []), ...(count((p) => p.shots) > 1 ? ["shots"] : []),
      ...(points.some((p) => p.ms !== null) ? ["time"] : [])];
    if (!offered.length) return;
    const over = make("select", {}, ...offered.map((axis) => make("option", { value: axis, textContent: words[axis] })));
    const at = make("select");
    const fill = () => {
      const values = [...new Set(points.map((point) => point.fixed[over.value]))];
      at.replaceChildren(...values.map((value) => make("option", { value, textContent: value })));
    };
    const render = () => {
      const axis = over.value;
      const { found, beyond, y } = traces(chart, axis, at.value);
      const shape = layout(axis === "time" ? "adaptation, ms per episode" : words[axis], chart.metric, true, chart.log, found);
      if (axis !== "time") Object.assign(shape.xaxis, ticks(found, axis === "classes" ? beyond : undefined));
      shape.yaxis.range = y;
      window.Plotly.react(place, found, shape, options);
    };
    over.addEventListener("input", () => { fill(); render(); });
    at.addEventListener("input", render);
    controls.append(make("label", {}, "Over", over), make("label", {}, "At", at));
    controls.hidden = place.hidden = false;
    fill();
    render();
    place.on("plotly_click", (event) => { location.hash = `run-${event.points[0].customdata}`; });
    return render;
  }

  // ---- single runs ----
  function showRun(data) {
    const section = $("#run");
    const id = location.hash.startsWith("#run-") ? location.hash.slice(5) : "";
    const run = Object.hasOwn(data.runs, id) ? data.runs[id] : null;
    section.hidden = !run;
    if (!run) return;
    const pairs = {
      Task: run.place, "Training classes": run.size, Seed: run.seed,
      Tested: run.selection === "last" ? "the model after the last step" : `selection: ${run.selection}`,
      "Examples encoded": run.examples.toLocaleString("en"), Parameters: run.parameters.toLocaleString("en"),
      ...(run.pretrained ? { Pretraining: run.pretrained } : {}),
      ...Object.fromEntries(run.times.map(([name, value]) => [
        name.replaceAll("_", " "), typeof value === "number" ? Number(value.toPrecision(3)) : value])),
    };
    const list = make("dl", {}, ...Object.entries(pairs).flatMap(([name, value]) => [
      make("dt", { textContent: name }), make("dd", { textContent: String(value) })]));
    const table = make("table", {}, make("thead", {}, make("tr", {}, ...["Ways", "Shots", "Metric", "Value"].map(
      (text) => make("th", { textContent: text, scope: "col" })))),
      make("tbody", {}, ...run.scores.map((score) => make("tr", {}, ...score.map(
        (value) => make("td", { textContent: String(value ?? "").replaceAll("_", " ") }))))));
    const json = (value) => make("pre", { tabIndex: 0, textContent: JSON.stringify(value, null, 1) });
    const chart = make("div", { className: "chart" });
    const copyButton = make("button", { type: "button", className: "command", textContent: "copy" });
    copyButton.dataset.command = run.command;
    section.replaceChildren(
      make("h2", { id: "run-title", tabIndex: -1, textContent: `Run ${id}: ${run.label}` }),
      make("p", {}, make("a", { href: "#results", textContent: "Close, and back to the results" })), list,
      make("div", { className: "two" },
        make("div", {}, make("h3", { textContent: "Results" }), table),
        make("div", {}, make("h3", { textContent: "Learning curve" }), run.curve ? chart : "No curve was recorded.")),
      make("h3", { textContent: "Reproduce this run" }),
      make("div", { className: "copy" }, make("pre", { tabIndex: 0, textContent: run.command }), copyButton),
      make("div", { className: "two" },
        make("div", {}, make("h3", { textContent: `Configuration, without the seed (${run.seed})` }), json(data.specs[run.spec])),
        make("div", {}, make("h3", { textContent: "Environment" }), json(data.environments[run.environment]))),
    );
    if (run.curve) drawRunCurve(chart, run);
    section.scrollIntoView();
    $("#run-title").focus({ preventScroll: true });
  }

  function drawRunCurve(place, { curve, metric, log }) {
    const names = Object.keys(curve).filter((name) => name !== "x");
    const found = names.map((name, index) => ({ x: curve.x, y: curve[name], name: { val: "validation", train: "training" }[name] ?? name,
      mode: "lines+markers", line: { color: index ? colour("--accent") : colour("--soft"), dash: index ? "solid" : "dot" } }));
    window.Plotly.react(place, found, layout("examples encoded", metric, false, log, found), options);
  }

  // ---- words ----
  const tip = $("#tip");

  function explain(element) {
    tip.textContent = $(`#word-${element.dataset.term} + dd`).textContent;
    tip.showPopover();
    const [box, own] = [element.getBoundingClientRect(), tip.getBoundingClientRect()];
    tip.style.left = `${Math.max(8, Math.min(box.left, innerWidth - own.width - 8))}px`;
    tip.style.top = `${box.bottom + own.height + 8 < innerHeight ? box.bottom + 6 : box.top - own.height - 6}px`;
  }
  const hush = () => { if (tip.matches(":popover-open")) tip.hidePopover(); };
  for (const [name, act] of Object.entries({ mouseover: explain, focusin: explain, mouseout: hush, focusout: hush })) {
    document.addEventListener(name, (event) => {
      const element = event.target.closest?.("[data-term]");
      if (element) act(element);
    });
  }
  document.addEventListener("keydown", (event) => { if (event.key === "Escape") hush(); });

  // ---- paper ----
  let folded = [];
  window.addEventListener("beforeprint", () => {
    folded = $$("details:not([open])");
    for (const details of folded) details.open = true;
  });
  window.addEventListener("afterprint", () => { for (const details of folded) details.open = false; });
  // A link into what is folded opens it.
  function unfold() {
    const details = location.hash.length > 1 && document.getElementById(decodeURIComponent(location.hash.slice(1)))?.closest("details");
    if (details) details.open = true;
  }
  window.addEventListener("hashchange", unfold);
  unfold();

  window.adaptbench = { $, $$, make, unpack, fail, colour, plain, layout, ticks, options, drawChart, showRun, laboratories: [] };
})();
