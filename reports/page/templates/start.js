"use strict";
// Unpacks libraries and data, and starts every part of the page.
(() => {
  const { $$, make, unpack, fail, drawChart, showRun, laboratories } = window.adaptbench;

  async function start() {
    const [code, ...texts] = await Promise.all(["plotly", "data", "laboratory"].map(async (id) => (await unpack(id)).text()));
    document.head.append(make("script", { textContent: code }));
    const [data, laboratory] = texts.map((text) => JSON.parse(text));
    const renders = [...data.charts.map(drawChart), ...laboratories.flatMap((show) => show(laboratory))].filter(Boolean);
    for (const details of $$("details.static")) details.open = false;
    window.addEventListener("hashchange", () => showRun(data));
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => { renders.forEach((render) => render()); showRun(data); });
    showRun(data);
    document.documentElement.dataset.ready = "yes";
  }
  start().catch(fail);
})();
