// The matrix: two axes of your choice, the rest as tiles. Everything that others wrote is put in as text.
"use strict";
(() => {
  const AXES = ["chip", "os", "application", "vendor", "profile", "rig"];
  const SYMBOL = {certified: "✔", waived: "◐", refused: "✘", void: "?", running: "…", expired: "◔", revoked: "⊘", related: "≈", untested: "·", "not applicable": "–"};
  const WORDS = {
    zh: {chip: "芯片", os: "操作系统", application: "应用", vendor: "厂商", profile: "规范", rig: "台架", rows: "行", columns: "列", swap: "交换", search: "搜索",
      all: "全部状态", shown: "项", language: "English", certified: "认证通过", waived: "附豁免通过", refused: "未通过", void: "无效", running: "进行中", expired: "已过期",
      revoked: "已撤销或暂停", related: "相近组合已认证", untested: "未测", "not applicable": "不适用", virtual: "虚拟", more: "显示更多", lines: "行"},
    en: {chip: "chip", os: "OS", application: "application", vendor: "vendor", profile: "profile", rig: "rig", rows: "rows", columns: "columns", swap: "swap", search: "search",
      all: "all states", shown: "shown", language: "中文", certified: "certified", waived: "certified with waivers", refused: "refused", void: "void", running: "running", expired: "expired",
      revoked: "revoked or suspended", related: "a near combination is certified", untested: "untested", "not applicable": "not applicable", virtual: "virtual", more: "show more", lines: "rows"},
  };
  const AT_ONCE = 600; // cells and tiles
  const data = window.SHIPEI, view = document.getElementById("matrix"), count = document.getElementById("count"), more = document.getElementById("more");
  const asked = new URLSearchParams(location.search);
  const of = (name, known, other) => (known.includes(asked.get(name)) ? asked.get(name) : other);
  const state = {lang: of("lang", ["zh", "en"], "zh"), rows: of("rows", AXES, "chip"), columns: of("columns", AXES, "application"), q: asked.get("q") || "", state: of("state", Object.keys(SYMBOL), "")};
  const text = (tag, said, kind) => { const made = document.createElement(tag); made.textContent = said; if (kind) made.className = kind; return made; };
  const word = (name) => WORDS[state.lang][name] || name;
  const family = (value) => value.replace(/\s+\S+$/, "");

  function wanted() {
    const q = state.q.toLowerCase();
    return data.filter((one) => (!state.state || one.state === state.state) && (!q || one.words.includes(q)));
  }

  function tile(one) {
    const others = AXES.filter((axis) => axis !== state.rows && axis !== state.columns && !(axis === "vendor"));
    const link = text("a", `${SYMBOL[one.state]} ${others.map((axis) => one[axis]).join(" · ")}`, `tile ${one.state}`);
    link.href = `c/${one.id}.html`;
    link.title = `${word(one.state)}: ${one.subject}${one.detail ? ": " + one.detail : ""}`;
    link.setAttribute("aria-label", `${word(one.state)}, ${one.subject}, ${one.profile}, ${one.rig}${one.virtual ? ", " + word("virtual") : ""}`);
    return link;
  }

  // What was found, by row and by column, and where some version of both is certified.
  function sorted(found) {
    const rows = new Map(), columns = new Set(), near = new Set();
    for (const one of found) {
      const row = one[state.rows], column = one[state.columns];
      columns.add(column);
      if (!rows.has(row)) rows.set(row, new Map());
      const line = rows.get(row);
      if (!line.has(column)) line.set(column, []);
      line.get(column).push(one);
      if (one.state === "certified" || one.state === "waived") near.add(`${family(row)}\n${family(column)}`);
    }
    return {rows, near, across: [...columns].sort(), down: [...rows.keys()].sort()};
  }

  function line(body, row, {rows, near, across}) {
    const made = body.insertRow(), th = text("th", row), here = rows.get(row);
    let drawn = across.length;
    th.scope = "row"; made.append(th);
    for (const column of across) {
      const cell = made.insertCell(), found = here.get(column);
      if (found) { for (const one of found) cell.append(tile(one)); drawn += found.length; continue; }
      const kind = near.has(`${family(row)}\n${family(column)}`) ? "related" : "untested";
      cell.append(text("span", `${SYMBOL[kind]} ${word(kind)}`, kind === "related" ? "tile related" : "none"));
    }
    return drawn;
  }

  // Rows until so much is drawn; the rest when somebody comes to the end of it.
  function draw() {
    const found = wanted(), places = sorted(found);
    const table = document.createElement("table"), head = table.createTHead().insertRow(), body = table.createTBody();
    const corner = text("th", `${word(state.rows)} × ${word(state.columns)}`);
    corner.scope = "col"; head.append(corner);
    for (const column of places.across) { const th = text("th", column); th.scope = "col"; head.append(th); }
    let next = 0;
    const goOn = () => {
      for (let drawn = 0; next < places.down.length && drawn < AT_ONCE; next += 1) drawn += line(body, places.down[next], places);
      more.hidden = next === places.down.length;
      more.textContent = `${word("more")}: ${places.down.length - next} ${word("lines")}`;
    };
    more.onclick = goOn;
    goOn();
    view.replaceChildren(table);
    count.textContent = `${found.length} / ${data.length} ${word("shown")}`;
  }

  function remember() {
    const kept = new URLSearchParams();
    for (const [name, value] of Object.entries(state)) if (value) kept.set(name, value);
    history.replaceState(null, "", `?${kept}`);
  }

  function choice(id, options, current, change) {
    const select = document.getElementById(id);
    select.replaceChildren(...options.map(([value, said]) => { const made = text("option", said); made.value = value; made.selected = value === current; return made; }));
    select.onchange = () => { change(select.value); refresh(); };
  }

  function refresh() {
    document.documentElement.lang = state.lang;
    for (const one of document.querySelectorAll("[data-word]")) one.textContent = word(one.dataset.word);
    const axes = AXES.map((axis) => [axis, word(axis)]);
    choice("rows", axes, state.rows, (value) => { if (value === state.columns) state.columns = state.rows; state.rows = value; });
    choice("columns", axes, state.columns, (value) => { if (value === state.rows) state.rows = state.columns; state.columns = value; });
    choice("state", [["", word("all")], ...Object.keys(SYMBOL).slice(0, 7).map((s) => [s, `${SYMBOL[s]} ${word(s)}`])], state.state, (value) => { state.state = value; });
    document.getElementById("legend").replaceChildren(...Object.keys(SYMBOL).map((s) => text("li", `${SYMBOL[s]} ${word(s)}`, s)));
    remember(); draw();
  }

  for (const one of data) one.words = [one.subject, one.vendor, one.profile, one.rig, one.detail].join(" ").toLowerCase();
  const search = document.getElementById("q");
  search.value = state.q;
  search.oninput = () => { state.q = search.value; remember(); draw(); };
  document.getElementById("swap").onclick = () => { [state.rows, state.columns] = [state.columns, state.rows]; refresh(); };
  new IntersectionObserver((seen) => { if (seen.some((one) => one.isIntersecting) && !more.hidden) more.click(); }).observe(more);
  document.getElementById("language").onclick = () => { state.lang = state.lang === "zh" ? "en" : "zh"; refresh(); };
  refresh();
})();
