"use strict";
// The page of a report, and that of a run: tables that sort and filter, charts that follow the chosen methods.
(() => {
  const data = JSON.parse(document.getElementById("data").textContent);
  const root = document.documentElement;
  const all = (selector, within = document) => [...within.querySelectorAll(selector)];
  const isDark = () => {
    const scheme = root.style.colorScheme;
    return scheme === "dark" || (scheme !== "light" && matchMedia("(prefers-color-scheme: dark)").matches);
  };
  // Dark colours of the printed figures are made lighter where the page is dark.
  const ink = (colour) => {
    const { h, c, l } = d3.hcl(colour);
    return isDark() && l < 55 ? d3.hcl(h, c, 70 - l / 3).formatHex() : colour;
  };
  const percent = (value) => (100 * value).toFixed(2) + " %";
  const SYMBOLS = { o: "circle", s: "square", D: "diamond", "^": "triangle", v: "wye", "*": "star", P: "plus", "<": "asterisk", ">": "asterisk", h: "hexagon", d: "diamond2", X: "times", p: "hexagon" };

  // ---- tables
  function sort(table, header) {
    const headers = all("thead th", table);
    const column = headers.indexOf(header);
    const number = header.querySelector("button").dataset.kind === "number";
    const down = header.getAttribute("aria-sort") ? header.getAttribute("aria-sort") === "ascending" : number;
    headers.forEach((each) => each.removeAttribute("aria-sort"));
    header.setAttribute("aria-sort", down ? "descending" : "ascending");
    const value = (row) => row.cells[column].dataset.value ?? "";
    const compare = number
      ? (a, b) => (parseFloat(value(a)) || 0) - (parseFloat(value(b)) || 0)
      : (a, b) => value(a).localeCompare(value(b));
    const rows = [...table.tBodies[0].rows].sort((a, b) => (down ? -1 : 1) * compare(a, b));
    table.tBodies[0].append(...rows);
  }
  all("thead th button").forEach((button) =>
    button.addEventListener("click", () => sort(button.closest("table"), button.closest("th"))));

  const allowed = () => document.querySelector("#allowed input:checked")?.value;
  const chosen = (section) => {
    const boxes = section ? all(".chips input", section) : [];
    return new Set(boxes.filter((box) => box.checked).map((box) => box.value));
  };
  function filter(section) {
    const table = section.querySelector("table.ranked, table.runs");
    if (!table) return;
    const words = section.querySelector(".find").value.toLowerCase().split(/\s+/);
    const methods = chosen(section);
    let shown = 0;
    for (const row of table.tBodies[0].rows) {
      const { allowed: d, method } = row.dataset;
      const text = row.textContent.toLowerCase();
      row.hidden = !((d === undefined || d === allowed()) && (method === undefined || methods.has(method)) && words.every((w) => text.includes(w)));
      shown += !row.hidden;
    }
    section.querySelector(".find").closest("p").querySelector("[aria-live]").textContent = `${shown} shown`;
    all(".wide table:not(.ranked)", section).forEach((other) => {
      if (methods.size) for (const row of other.tBodies[0].rows) {
        const name = row.cells[0].textContent;
        if (all(".chips input", section).some((box) => box.value === name)) row.hidden = !methods.has(name);
      }
    });
  }

  // ---- charts
  const grey = () => (isDark() ? "#aaa" : "#555");
  const base = (place, more) => Plot.plot({
    width: Math.max(280, place.clientWidth), height: Math.min(420, Math.max(280, place.clientWidth * 0.6)),
    marginLeft: 48, marginBottom: 40, style: { background: "transparent", fontSize: "12px" }, ...more,
  });
  const times = (v) => `${d3.format("~g")(+v.toPrecision(3))}×`;
  const ratioAxis = (label, values) => {
    const [low, high] = d3.extent([1, ...values]);
    const doubled = d3.range(-4, 40).map((n) => 2 ** n).filter((v) => v >= low && v <= high);
    return { type: "log", base: 2, label, tickFormat: times, grid: true, domain: [low, high], ...(doubled.length > 1 ? { ticks: doubled } : {}) };
  };

  function curves(place, part, controls, methods) {
    const x = controls.x.value, y = controls.y.value, { points } = part;
    const rows = d3.range(points.method.length).filter((i) => methods.has(part.methods[points.method[i]].label)).map((i) => ({
      method: part.methods[points.method[i]], seed: points.seed[i], key: part.keys[points.key[i]], x: points[x][i], y: points[y][i],
      collapsed: points.collapsed[i] === 1, run: part.runs[points.run[i]],
    })).filter((row) => row.x !== null && row.y !== null);
    const dense = part.dense[y];
    const lowest = d3.min(rows, (row) => row.y) ?? 0, highest = Math.max(dense ?? 0, d3.max(rows, (row) => row.y) ?? 1);
    const foot = controls.whole.checked ? lowest : Math.max(lowest, (dense ?? highest) - 0.06);
    const shown = (v) => Math.max(v, foot);
    const seeds = d3.groups(rows, (row) => row.method, (row) => row.seed).flatMap(([, bySeed]) => bySeed.flatMap(([, own]) => d3.sort(own, (row) => row.x)));
    const means = d3.rollups(rows, (own) => ({ ...own[0], x: Math.exp(d3.mean(own, (row) => Math.log(row.x))), y: d3.mean(own, (row) => row.y), n: own.length }), (row) => row.method, (row) => row.key)
      .flatMap(([method, found]) => d3.sort(found.map(([, mean]) => mean).filter((mean) => mean.n === method.seeds), (mean) => mean.x));
    const told = (row) => `${row.method.label}\n${times(row.x)}, ${percent(row.y)}` + (row.n ? `\nmean of ${row.n} seed${row.n > 1 ? "s" : ""}` : `\nseed ${row.seed}`) + (row.key ? `\n${row.key}` : "") + (row.collapsed ? "\ncollapsed" : "");
    const stroke = (row) => ink(row.method.colour);
    return base(place, {
      x: ratioAxis(part.axes[x], rows.map((row) => row.x)),
      y: { label: "accuracy (%)", percent: true, domain: [100 * foot - 0.4, 100 * highest + 0.4], grid: true },
      symbol: { type: "identity" }, color: { type: "identity" },
      marks: [
        dense ? Plot.ruleY([dense], { stroke: grey(), strokeDasharray: "5 3" }) : null,
        Plot.line(seeds, { x: "x", y: "y", clip: true, z: (row) => `${row.method.label}\n${row.seed}`, stroke, strokeOpacity: 0.25, strokeWidth: 1 }),
        Plot.line(means, { x: "x", y: "y", clip: true, z: (row) => row.method.label, stroke, strokeWidth: 2 }),
        Plot.dot(seeds, { x: "x", y: (row) => shown(row.y), fill: stroke, r: 1.6, fillOpacity: 0.6, href: "run", tip: false, ariaLabel: told }),
        Plot.dot(means, { x: "x", y: (row) => shown(row.y), fill: stroke, stroke, symbol: (row) => row.method.symbol, r: 4 }),
        Plot.dot(rows.filter((row) => row.collapsed), { x: "x", y: (row) => shown(row.y), stroke, symbol: "times", r: 5 }),
        Plot.tip([...means, ...seeds], Plot.pointer({ x: "x", y: (row) => shown(row.y), title: told, fill: isDark() ? "#22262e" : "#fff" })),
      ],
    });
  }

  function cost(place, part, controls, methods) {
    const rows = part.cost.filter((row) => row.ratio === +controls.ratio.value && methods.has(part.methods[row.method].label)).map((row) => ({ ...row, method: part.methods[row.method] }));
    if (!rows.length) return message("No chosen method of which every seed reaches this compression.");
    const dense = part.longer;
    const told = (row) => row.method ? `${row.method.label}\n${percent(row.top1)}` + (row.low === null ? "" : ` [${percent(row.low)}, ${percent(row.high)}]`) + `\n${times(row.budget)} the training of dense` : `dense, trained ${times(row.budget)}\n${percent(row.top1)}`;
    const foot = Math.min(d3.min(rows, (row) => row.top1), d3.min(dense, (row) => row.top1) ?? 1) - 0.02;
    const highest = Math.max(...[...rows, ...dense].map((row) => Math.min(1, row.high ?? row.top1)));
    const line = (highest - foot) / 22; // a label's height
    d3.sort(rows, (row) => -row.top1).forEach((row, i, sorted) => {
      const above = sorted.slice(0, i).filter((other) => Math.abs(Math.log2(other.budget / row.budget)) < 1);
      row.label = Math.min(row.top1, ...above.filter((other) => other.label - row.top1 < line).map((other) => other.label - line));
    });
    const stroke = (row) => ink(row.method.colour);
    return base(place, {
      marginRight: 110,
      x: ratioAxis("training, × dense", [...rows, ...dense].map((row) => row.budget)),
      y: { label: "test top-1 (%)", percent: true, grid: true, domain: [100 * foot, 100 * highest + 0.3], clamp: true },
      symbol: { type: "identity" }, color: { type: "identity" },
      marks: [
        Plot.line(dense, { x: "budget", y: "top1", stroke: grey(), strokeDasharray: "5 3", marker: "circle" }),
        Plot.ruleX(rows.filter((row) => row.low !== null), { x: "budget", y1: (row) => Math.max(foot, row.low), y2: "high", stroke, strokeOpacity: 0.6 }),
        Plot.dot(rows, { x: "budget", y: "top1", fill: stroke, stroke, symbol: (row) => row.method.symbol, r: 5 }),
        Plot.text(rows, { x: "budget", y: "label", text: (row) => row.method.label, dx: 8, textAnchor: "start", fill: "currentColor", fontSize: 11 }),
        Plot.tip([...rows, ...dense], Plot.pointer({ x: "budget", y: "top1", title: told, fill: isDark() ? "#22262e" : "#fff" })),
      ],
    });
  }

  function epochs(place, run) {
    const rows = run.val_top1.map((y, i) => ({ epoch: run.epoch[i], y }));
    if (!rows.length) return message("No epoch was recorded.");
    return base(place, {
      x: { label: "epoch", grid: true }, y: { label: "validation top-1 (%)", percent: true, grid: true },
      marks: [
        Plot.ruleX(run.prunings, { stroke: grey(), strokeOpacity: 0.5, strokeDasharray: "2 3" }),
        Plot.line(rows, { x: "epoch", y: "y", stroke: ink("#0072B2"), strokeWidth: 2 }),
        Plot.tip(rows, Plot.pointerX({ x: "epoch", y: "y", title: (row) => `epoch ${row.epoch}\n${percent(row.y)}`, fill: isDark() ? "#22262e" : "#fff" })),
      ],
    });
  }

  function message(text) {
    const found = document.createElement("p");
    found.className = "note";
    found.textContent = text;
    return found;
  }

  const DRAW = { curves, cost, epochs };
  function draw(figure) {
    const section = figure.closest(".setting");
    const place = figure.querySelector(".plot");
    const controls = Object.fromEntries(all("[name]", figure).map((each) => [each.name, each]));
    const made = section
      ? DRAW[figure.dataset.chart](place, data.parts[section.dataset.part], controls, chosen(section))
      : DRAW[figure.dataset.chart](place, data);
    place.replaceChildren(made);
  }

  // One chart after the other, so that a page of many settings can be read meanwhile.
  const redraw = (within = document) => all("figure.chart", within).forEach((figure) => setTimeout(() => draw(figure)));

  (data.parts ?? []).forEach((part) => part.methods.forEach((method) => { method.symbol = SYMBOLS[method.marker] ?? "circle"; }));
  const swatches = () => all(".setting").forEach((section) => all(".chips label", section).forEach((label, i) => {
    const method = data.parts[section.dataset.part].methods[i];
    const path = label.querySelector("path");
    const drawn = { square: d3.symbolSquare, diamond: d3.symbolDiamond, triangle: d3.symbolTriangle, star: d3.symbolStar, wye: d3.symbolWye, plus: d3.symbolPlus, times: d3.symbolTimes, asterisk: d3.symbolAsterisk, diamond2: d3.symbolDiamond2 };
    path.setAttribute("d", d3.symbol(drawn[method.symbol] ?? d3.symbolCircle, 60)());
    path.setAttribute("fill", ink(method.colour));
    path.setAttribute("stroke", ink(method.colour));
  }));

  all(".setting").forEach((section) => {
    const changed = () => { filter(section); redraw(section); };
    all(".chips input", section).forEach((box) => box.addEventListener("change", changed));
    all(".chips button", section).forEach((button) => button.addEventListener("click", () => {
      all(".chips input", section).forEach((box) => { box.checked = Boolean(button.dataset.all); });
      changed();
    }));
    all("figure.chart [name]", section).forEach((control) => control.addEventListener("change", () => draw(control.closest("figure"))));
  });
  all("section").forEach((section) => section.querySelector(".find")?.addEventListener("input", () => filter(section)));
  const conclude = () => {
    all(".said li").forEach((said) => { said.hidden = said.dataset.allowed !== allowed(); });
    all("section").filter((section) => section.querySelector(".find")).forEach(filter);
  };
  all("#allowed input").forEach((radio) => radio.addEventListener("change", conclude));
  document.getElementById("theme")?.addEventListener("change", (event) => { root.style.colorScheme = event.target.value; swatches(); redraw(); });
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => { swatches(); redraw(); });
  let waiting;
  addEventListener("resize", () => { clearTimeout(waiting); waiting = setTimeout(() => redraw(), 150); });

  conclude();
  swatches();
  redraw();
})();
