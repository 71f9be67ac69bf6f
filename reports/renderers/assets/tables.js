  // --- tables: sorting, filters, choice of columns ---------------------------------------------
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
  const valuesOf = (tags) => new Map(tags.map((tag) => { const at = tag.indexOf("="); return [tag.slice(0, at), tag.slice(at + 1)]; }));
  const drawnRow = (row, view) => {
    const key = (column) => {
      const cell = row.cells[column];
      if (!cell) return null;
      if (view.normalised && view.heads[column].classList.contains("scores")) {
        return cell.dataset.normalised === undefined ? null : Number(cell.dataset.normalised);
      }
      if (cell.dataset.value !== undefined) return Number(cell.dataset.value);
      return cell.classList.contains("num") ? null : cell.textContent.trim();
    };
    const words = row.textContent.toLowerCase();
    const element = () => {
      if (view.chooses) view.heads.forEach((head, i) => { row.cells[i].hidden = head.hidden; });
      return row;
    };
    return { tags: valuesOf((row.dataset.tags || "").split("␟")), key, text: () => words, element };
  };
  const fill = (cell, content, against, normalised) => {
    const [, text, interval] = normalised ? content.normalised || [null, "–", ""] : [null, content.text, content.interval];
    const name = make("span", content.sense ? `word ${content.sense}` : content.value === undefined ? "" : "value", text ?? "–");
    if (content.link) {
      const link = make("a", "", undefined, { href: content.link });
      link.append(name);
      cell.append(link);
    } else cell.append(name);
    if (content.badges) {
      const badges = make("span", "badges");
      for (const badge of content.badges) badges.append(make("span", "badge", `◆ ${badge}`), " ");
      cell.append(badges);
    }
    if (interval) cell.append(" ", make("span", "interval", interval));
    if (content.bar && !normalised) cell.append(make("span", "bar", "", { style: content.bar, "aria-hidden": "true" }));
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
  const heldRow = (held, view) => {
    let words = null, element = null, drawn = -1;
    const scores = (i) => view.normalised && view.heads[i].classList.contains("scores");
    const text = () => words ??= held.cells.filter((cell) => cell.value === undefined)
      .map((cell) => [cell.text, cell.note, ...(cell.badges || [])].join(" ")).join(" ").toLowerCase();
    const draw = () => {
      const row = make("tr");
      const against = document.getElementById("baseline")?.value;
      held.cells.forEach((content, i) => {
        if (!view.shows[i]) return;
        const cell = i ? make("td", view.classes[i]) : make("th", "", undefined, { scope: "row" });
        row.append(fill(cell, content, against, scores(i)));
      });
      drawn = view.version;
      return row;
    };
    const key = (column) => {
      const cell = held.cells[column];
      if (scores(column)) return cell.normalised ? cell.normalised[0] : null;
      return cell.value ?? (view.heads[column].classList.contains("num") ? null : cell.text);
    };
    return { tags: valuesOf(held.tags), key, text, element: () => drawn === view.version ? element : (element = draw()) };
  };
  const options = (select, values) => [...new Set(values)].sort(collator.compare)
    .forEach((value) => select.add(new Option(value, value)));
  const within = (value, input) => {
    if (value === undefined) return false;
    const number = input.type === "number";
    const [one, other] = number ? [Number(value), Number(input.value) * Number(input.dataset.scale)] : [value, input.value];
    return input.dataset.end === "from" ? one >= other : one <= other;
  };
  // Which columns are shown: by family, by suite, and the secondary ones on demand.
  const chooseColumns = (view, suite) => {
    const { table, heads } = view;
    heads.forEach((head, i) => {
      const { family, suites } = head.dataset;
      head.hidden = Boolean(view.family && family && family !== view.family)
        || Boolean(suite && suites && !suites.split("␟").includes(suite));
      view.shows[i] = !head.hidden && (table.classList.contains("all") || !head.classList.contains("secondary"));
    });
    view.version += 1;
    if (table.classList.contains("wide")) {
      const widths = view.shows.filter(Boolean).map((_, i) => make("col", "", undefined, { style: `width: ${i ? 9.5 : 19}rem` }));
      const group = table.querySelector("colgroup") || table.caption.insertAdjacentElement("afterend", make("colgroup"));
      group.replaceChildren(...widths);
      table.style.setProperty("--columns", widths.length);
    }
    // A heading spans the columns that are shown; a family without one has none.
    let start = 0;
    all(".families > *", table).forEach((head) => {
      const count = view.shows.slice(start, start += Number(head.dataset.all)).filter(Boolean).length;
      head.colSpan = Math.max(count, 1);
      head.hidden = count === 0;
    });
  };
  const long = JSON.parse(document.getElementById("long").textContent);
  const views = all(".table-block").map((block) => {
    const table = block.querySelector("table"), body = block.querySelector("tbody");
    const heads = all("thead tr:last-child th", block);
    const view = { block, table, heads, shows: heads.map(() => true), version: 0, family: "", normalised: false, chooses: Boolean(block.querySelector(".families")) };
    view.classes = heads.map((head) => ["num", "line"].filter((name) => head.classList.contains(name)).join(" "));
    const held = long[body.dataset.long];
    view.held = Boolean(held);
    const rows = held ? held.map((row) => heldRow(row, view)) : [...body.rows].map((row) => drawnRow(row, view));
    const page = held ? Number(body.dataset.page) : Infinity;
    const more = block.querySelector(".more");
    const selects = all("select.filter", block), inputs = all(".range input", block);
    const search = block.querySelector(".search"), count = block.querySelector(".count");
    let order = rows, limit = page;
    const show = () => {
      const wanted = selects.filter((s) => s.value).map((s) => [s.dataset.name, s.value]);
      const between = inputs.filter((input) => input.value);
      const words = search ? search.value.toLowerCase() : "";
      const found = order.filter((row) => wanted.every(([name, value]) => row.tags.get(name) === value)
        && between.every((input) => within(row.tags.get(input.dataset.name), input))
        && (!words || row.text().includes(words)));
      const shown = found.slice(0, limit);
      body.replaceChildren(...shown.map((row) => row.element()));
      if (more) more.hidden = shown.length === found.length;
      if (count) count.textContent = `${shown.length} of ${found.length === rows.length ? rows.length : `${found.length} found`}`;
    };
    const restart = () => { limit = page; show(); };
    const suite = selects.find((select) => select.dataset.name === "suite");
    view.refresh = () => { if (view.chooses) chooseColumns(view, suite?.value); show(); };
    selects.forEach((select) => {
      options(select, rows.map((row) => row.tags.get(select.dataset.name)).filter((value) => value !== undefined));
      if (select.dataset.first) select.value = select.dataset.first;
      select.addEventListener("change", select === suite ? () => { limit = page; view.refresh(); } : restart);
    });
    inputs.forEach((input) => input.addEventListener("input", restart));
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
    if (count || view.chooses) view.refresh();
    return view;
  });
  const viewsBeside = (element) => views.filter((view) => element.closest("section").contains(view.block));
  all("select.family").forEach((select) => select.addEventListener("change", () => {
    viewsBeside(select).forEach((view) => { view.family = select.value; view.refresh(); });
  }));
  all("input.secondary-too").forEach((box) => box.addEventListener("change", () => {
    viewsBeside(box).forEach((view) => { view.table.classList.toggle("all", box.checked); view.refresh(); });
  }));
  all("input.normalise").forEach((box) => box.addEventListener("change", () => {
    viewsBeside(box).forEach((view) => {
      view.normalised = box.checked;
      view.table.classList.toggle("normalised", box.checked);
      view.version += 1;
      view.refresh();
    });
  }));

  // --- baseline ------------------------------------------------------------------------------
  document.getElementById("baseline")?.addEventListener("change", (event) => {
    views.forEach((view) => { view.version += 1; if (view.held) view.refresh(); });
    all("[data-against]").forEach((element) => {
      element.hidden = element.dataset.against !== event.target.value;
    });
    all("tr[data-run]").forEach((row) => {
      row.classList.toggle("baseline", row.dataset.run === event.target.value);
    });
  });

