"use strict";
// The explorer of episodes: a support set to change, and the answers of trained learners before and after.
(() => {
  const { $, make, laboratories } = window.adaptbench;
  const CHANGES = { original: "as drawn", labels: "give each class the next label", reversed: "reverse the order", shuffled: "shuffle the order" };
  const bytes = (text) => Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));

  function show(section, data) {
    const place = $("[data-place]", section);
    const [width, height] = data.side;
    const source = URL.createObjectURL(new Blob([bytes(data.images)], { type: "image/png" }));
    const state = { episode: data.episodes[0], change: "original" };
    const distinct = (name) => [...new Set(data.episodes.map(name))];
    const size = (episode) => `${episode.ways}-way ${episode.shots}-shot`;
    const classes = (episode) => (episode.unseen ? "new to the learners" : "seen in training");
    const pick = (values) => make("select", {}, ...values.map((value) => make("option", { value, textContent: value })));
    const sizes = pick(distinct(size)), parts = pick(distinct(classes));
    const again = make("button", { type: "button", textContent: "Draw an episode" });
    const change = make("select", {}, ...Object.entries(CHANGES).map(([value, textContent]) => make("option", { value, textContent })));
    const support = make("div", { className: "support" });
    const said = make("p", { role: "status" });
    const answers = make("div", { className: "scroll", tabIndex: 0 });
    answers.setAttribute("role", "region");
    answers.setAttribute("aria-label", "Answers of the learners");
    place.append(make("div", { className: "controls" }, make("label", {}, "Episode", sizes), make("label", {}, "Classes", parts), again,
      make("label", {}, "Support set", change)),
    make("h3", { textContent: "Support set" }),
    make("p", { className: "soft", textContent: "A click on an image removes it; a second one puts another drawing of its class in its place; a third one restores it." }),
    support, make("h3", { textContent: "Queries, and what each learner answers" }), said, answers);
    place.hidden = false;

    function picture(number, name) {
      const image = make("span", { className: `character${data.ink ? " ink" : ""}` });
      Object.assign(image.style, { backgroundImage: `url(${source})`, backgroundSize: `${48}px auto`, width: "48px",
        height: `${48 * height / width}px`, backgroundPosition: `0 ${-48 * height / width * number}px` });
      image.setAttribute("role", "img");
      image.setAttribute("aria-label", name);
      return image;
    }

    function drawSupport() {
      const { episode, change: now } = state;
      const places = [...episode.support.keys()];
      if (now === "reversed") places.reverse();
      const order = now === "shuffled" ? episode.shuffled : places;
      support.replaceChildren(...order.map((i) => {
        const label = now === "labels" ? (episode.labels[i] + 1) % episode.ways : episode.labels[i];
        const gone = now === `without ${i}`, other = now === `other ${i}`;
        const how = gone ? "removed" : other ? "another drawing" : "";
        const button = make("button", { type: "button" }, picture(other ? episode.others[i] : episode.support[i], ""),
          make("span", { textContent: `label ${label}` }), make("span", { className: "how", textContent: how }));
        button.className = gone ? "gone" : other ? "other" : "";
        button.setAttribute("aria-label", `support image ${i + 1}, label ${label}${how && `, ${how}`}`);
        button.dataset.place = i;
        button.addEventListener("click", () => {
          state.change = gone ? `other ${i}` : other ? "original" : `without ${i}`;
          render();
          $(`[data-place="${i}"]`, support).focus();
        });
        return button;
      }));
      change.value = now in CHANGES ? now : "original";
    }

    const likeliest = (given, query, ways) => {
      const own = given.subarray(query * ways, (query + 1) * ways);
      return own.indexOf(Math.max(...own));
    };

    function cell(learner, query, wanted) {
      const { ways, answers: all } = state.episode;
      const own = all[learner.run][state.change];
      if (!own) return make("td", { textContent: "no answer" });
      const given = bytes(own), label = likeliest(given, query, ways);
      const before = likeliest(bytes(all[learner.run].original), query, ways);
      const changed = label !== (state.change === "labels" ? (before + 1) % ways : before);
      const bars = make("span", { className: "bars" }, ...Array.from({ length: ways }, (_, i) => {
        const bar = make("span", { className: i === wanted ? "wanted" : "" });
        bar.style.height = `${Math.max(1, given[query * ways + i] / 255 * 100)}%`;
        return bar;
      }));
      const percent = Math.round(given[query * ways + label] / 2.55);
      const text = `${label === wanted ? "✓" : "✗"} ${label} (${percent} %)`;
      const found = make("td", { className: `${label === wanted ? "right" : "wrong"}${changed ? " changed" : ""}` }, bars,
        make("span", { textContent: text }), ...(changed ? [make("span", { className: "was", textContent: "changed" })] : []));
      found.title = Array.from({ length: ways }, (_, i) => `label ${i}: ${Math.round(given[query * ways + i] / 2.55)} %`).join("\n");
      return found;
    }

    function render() {
      drawSupport();
      const { episode } = state;
      const wanted = episode.query_labels.map((label) => (state.change === "labels" ? (label + 1) % episode.ways : label));
      const head = make("thead", {}, make("tr", {}, ...["Query", ...data.learners.map((each) => each.label)].map(
        (textContent) => make("th", { textContent, scope: "col" }))));
      const body = make("tbody", {}, ...episode.query.map((number, i) => make("tr", {},
        make("th", { scope: "row" }, picture(number, `query ${i + 1}`), make("span", { textContent: `label ${wanted[i]}` })),
        ...data.learners.map((each) => cell(each, i, wanted[i])))));
      answers.replaceChildren(make("table", { className: "answers" }, head, body));
      const count = (i, kind) => body.querySelectorAll(`tr > td:nth-child(${i + 2}).${kind}`).length;
      const parts = data.learners.map((each, i) => `${each.label} ${count(i, "right")} right${state.change === "original" ? "" : `, ${count(i, "changed")} changed`}`);
      said.textContent = `Of ${episode.query.length} queries: ${parts.join("; ")}.`;
    }

    function drawn(next) {
      const fitting = data.episodes.filter((each) => size(each) === sizes.value && classes(each) === parts.value);
      if (!fitting.length) return;
      const others = fitting.filter((each) => each !== state.episode);
      state.episode = next && others.length ? others[Math.floor(Math.random() * others.length)] : fitting[0];
      state.change = "original";
      render();
    }
    again.addEventListener("click", () => drawn(true));
    for (const control of [sizes, parts]) control.addEventListener("input", () => drawn(false));
    change.addEventListener("input", () => { state.change = change.value; render(); });
    render();
    return render;
  }

  laboratories.push((data) => data.explored.map((each, i) => show($(`[data-explored="${i}"]`), each)));
})();
