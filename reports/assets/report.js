"use strict";
// Sorting, filters, flips, baseline, theme and charts. Text is only ever moved, never parsed as HTML.
(() => {
  const all = (selector, root = document) => [...root.querySelectorAll(selector)];
  const PAGE = 10;

  // --- theme ---------------------------------------------------------------------------------
  const themes = ["auto", "light", "dark"];
  const themeButton = document.getElementById("theme");
  const stored = () => { try { return localStorage.getItem("assay-theme"); } catch { return null; } };
  const setTheme = (theme) => {
    if (theme === "auto") delete document.documentElement.dataset.theme;
    else document.documentElement.dataset.theme = theme;
    themeButton.textContent = `Theme: ${theme}`;
    try { localStorage.setItem("assay-theme", theme); } catch { /* a page from disk may have no storage */ }
  };
  let theme = themes.includes(stored()) ? stored() : "auto";
  setTheme(theme);
  themeButton.addEventListener("click", () => {
    theme = themes[(themes.indexOf(theme) + 1) % themes.length];
    setTheme(theme);
    recolour();
  });
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => recolour());

  // --- tables: sorting and filters ------------------------------------------------------------
  // A row is {tags, key(column), text(), element()}; a long table's rows are made when they are shown.
  const collator = new Intl.Collator(undefined, { numeric: true });
  const compare = (a, b) => typeof a === "number" && typeof b === "number" ? a - b : collator.compare(a, b);
  const make = (name, classes, text, attributes = {}) => {
    const element = document.createElement(name);
    if (classes) element.className = classes;
    if (text !== undefined) element.textContent = text;
    Object.entries(attributes).forEach(([key, value]) => element.setAttribute(key, value));
    return element;
  };
  const drawnRow = (row) => {
    const key = (column) => {
      const cell = row.cells[column];
      if (!cell) return null;
      if (cell.dataset.value !== undefined) return Number(cell.dataset.value);
      return cell.classList.contains("num") ? null : cell.textContent.trim();
    };
    const words = row.textContent.toLowerCase();
    return { tags: new Set((row.dataset.tags || "").split("␟")), key, text: () => words, element: () => row };
  };
  const fill = (cell, content, against) => {
    cell.append(make("span", content.sense ? `word ${content.sense}` : content.value === undefined ? "" : "value", content.text ?? "–"));
    if (content.interval) cell.append(make("span", "interval", content.interval));
    if (content.bar) cell.append(make("span", "bar", "", { style: content.bar, "aria-hidden": "true" }));
    if (content.grade) cell.append(" ", make("span", `grade ${content.grade}`, content.grade));
    for (const [name, sense, told, interval] of content.changes || []) {
      const change = make("span", `change ${sense}`, "", { "data-against": name });
      change.append(make("span", "part", told), " ", make("span", "interval", interval));
      change.hidden = Boolean(against) && name !== against;
      cell.append(change);
    }
    if (content.note) cell.append(make("span", "note", content.note));
    return cell;
  };
  const heldRow = (held, heads) => {
    let words = null, element = null;
    const text = () => words ??= held.cells.map((cell) => `${cell.text ?? ""} ${cell.note ?? ""}`).join(" ").toLowerCase();
    const draw = () => {
      const row = make("tr");
      const against = document.getElementById("baseline")?.value;
      held.cells.forEach((content, i) => {
        const cell = i ? make("td", heads[i].className) : make("th", "", undefined, { scope: "row" });
        if (heads[i].dataset.family) { cell.dataset.family = heads[i].dataset.family; cell.hidden = heads[i].hidden; }
        row.append(fill(cell, content, against));
      });
      return row;
    };
    const key = (column) => held.cells[column].value ?? (heads[column].classList.contains("num") ? null : held.cells[column].text);
    return { tags: new Set(held.tags), key, text, element: () => element ??= draw() };
  };
  const options = (select, values) => [...new Set(values)].sort(collator.compare)
    .forEach((value) => select.add(new Option(value, value)));
  const long = JSON.parse(document.getElementById("long").textContent);
  all(".table-block").forEach((block) => {
    const body = block.querySelector("tbody");
    const heads = all("thead tr:last-child th", block);
    const held = long[body.dataset.long];
    const rows = held ? held.map((row) => heldRow(row, heads)) : [...body.rows].map(drawnRow);
    const page = held ? Number(body.dataset.page) : Infinity;
    const more = block.querySelector(".more");
    const selects = all("select.filter", block), search = block.querySelector(".search"), count = block.querySelector(".count");
    let order = rows, limit = page;
    const show = () => {
      const wanted = selects.filter((s) => s.value).map((s) => `${s.dataset.name}=${s.value}`);
      const words = search ? search.value.toLowerCase() : "";
      const found = order.filter((row) => wanted.every((tag) => row.tags.has(tag)) && (!words || row.text().includes(words)));
      const shown = found.slice(0, limit);
      body.replaceChildren(...shown.map((row) => row.element()));
      if (more) more.hidden = shown.length === found.length;
      if (count) count.textContent = `${shown.length} of ${found.length === rows.length ? rows.length : `${found.length} found`}`;
    };
    const restart = () => { limit = page; show(); };
    selects.forEach((select) => {
      const begin = `${select.dataset.name}=`;
      options(select, rows.flatMap((row) => [...row.tags].filter((tag) => tag.startsWith(begin)).map((tag) => tag.slice(begin.length))));
      select.addEventListener("change", restart);
    });
    search?.addEventListener("input", restart);
    if (held) more.addEventListener("click", () => { limit += page; show(); });
    heads.forEach((head, column) => head.querySelector(".sort").addEventListener("click", () => {
      const down = head.getAttribute("aria-sort") === "ascending";
      heads.forEach((other) => other.removeAttribute("aria-sort"));
      head.setAttribute("aria-sort", down ? "descending" : "ascending");
      const keyed = rows.map((row) => ({ row, value: row.key(column) }));
      // A missing value stays at the end whichever way the others go.
      keyed.sort((a, b) => a.value === null || b.value === null
        ? (a.value === null) - (b.value === null)
        : (down ? -1 : 1) * compare(a.value, b.value));
      order = keyed.map(({ row }) => row);
      restart();
    }));
    if (count) show();
  });
  all("select.family").forEach((select) => select.addEventListener("change", () => {
    all("[data-family]", select.closest("section")).forEach((cell) => {
      cell.hidden = Boolean(select.value) && cell.dataset.family !== select.value;
    });
  }));
  // A heading spans the columns that are shown; a family without a primary metric has none.
  const span = (table) => all(".families th", table).forEach((head) => {
    const columns = Number(table.classList.contains("all") ? head.dataset.all : head.dataset.primary);
    head.colSpan = Math.max(columns, 1);
    head.classList.toggle("none", columns === 0);
  });
  all("table").forEach(span);
  all("input.secondary").forEach((box) => box.addEventListener("change", () => {
    all("table", box.closest("section")).forEach((table) => {
      table.classList.toggle("all", box.checked);
      span(table);
    });
  }));

  // --- baseline ------------------------------------------------------------------------------
  document.getElementById("baseline")?.addEventListener("change", (event) => {
    all("[data-against]").forEach((element) => {
      element.hidden = element.dataset.against !== event.target.value;
    });
    all("tr[data-run]").forEach((row) => {
      row.classList.toggle("baseline", row.dataset.run === event.target.value);
    });
  });

  // --- flips ---------------------------------------------------------------------------------
  all(".flips").forEach((block) => {
    const articles = all("article", block);
    const texts = articles.map((article) => article.textContent.toLowerCase());
    const selects = all("select", block);
    const search = block.querySelector(".search");
    const more = block.querySelector(".more");
    const count = block.querySelector(".count");
    let pages = 1;
    for (const select of selects.slice(1)) {
      options(select, articles.map((article) => article.dataset[select.dataset.name]));
    }
    const apply = () => {
      const words = search.value.toLowerCase();
      let found = 0;
      articles.forEach((article, i) => {
        const match = selects.every((s) => !s.value || article.dataset[s.dataset.name] === s.value)
          && texts[i].includes(words);
        found += match;
        article.hidden = !match || found > pages * PAGE;
      });
      more.hidden = found <= pages * PAGE;
      count.textContent = `${Math.min(found, pages * PAGE)} of ${found} shown`;
    };
    const restart = () => { pages = 1; apply(); };
    selects.forEach((select) => select.addEventListener("change", restart));
    search.addEventListener("input", restart);
    more.addEventListener("click", () => { pages += 1; apply(); });
    apply();
  });

  // --- charts --------------------------------------------------------------------------------
  const charts = JSON.parse(document.getElementById("charts").textContent);
  const drawn = new Set();
  const colours = () => {
    const style = getComputedStyle(document.documentElement);
    const ink = style.getPropertyValue("--ink").trim(), grid = style.getPropertyValue("--grid").trim();
    const axis = { gridcolor: grid, zerolinecolor: grid, linecolor: grid };
    return { ink, axis };
  };
  const dressed = (layout) => {
    const { ink, axis } = colours();
    return {
      ...layout, autosize: true, paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)",
      font: { color: ink, family: getComputedStyle(document.body).fontFamily, size: 13 },
      xaxis: { ...layout.xaxis, ...axis }, yaxis: { ...layout.yaxis, ...axis },
    };
  };
  const config = { displayModeBar: false, responsive: true, displaylogo: false };
  // Plotly is packed; it is unpacked when a chart first comes near, or when nothing else is to do.
  // The policy of the page lets it run by its hash, so what is unpacked is what was packed.
  let loading = null;
  const load = () => loading ||= (async () => {
    const packed = Uint8Array.from(atob(document.getElementById("plotly").textContent), (c) => c.charCodeAt(0));
    const stream = new Blob([packed]).stream().pipeThrough(new DecompressionStream("gzip"));
    const script = document.createElement("script");
    script.textContent = await new Response(stream).text();
    document.head.append(script);
  })();
  const draw = async (element) => {
    try {
      await load();
      const chart = charts[element.dataset.chart];
      await Plotly.react(element, chart.data, dressed(chart.layout), config);
      drawn.add(element);
    } catch {
      element.textContent = "This browser could not draw the chart; it stands in words below.";
    }
  };
  const recolour = () => drawn.forEach(draw);
  const plots = all(".plot");
  const watcher = new IntersectionObserver((entries) => {
    for (const entry of entries) if (entry.isIntersecting) { watcher.unobserve(entry.target); draw(entry.target); }
  }, { rootMargin: "600px" });
  plots.forEach((element) => watcher.observe(element));
  const rest = () => plots.forEach((element) => drawn.has(element) || draw(element));
  if (plots.length) setTimeout(() => (window.requestIdleCallback || setTimeout)(rest), 3000);
})();
