// Keeps a page up to date, draws its charts, and eases its forms. Without it every page still works, standing still.
(() => {
  "use strict";

  const LOST_AFTER_MS = 6000;      // without a sign of life the connection counts as lost
  const HIDDEN_AFTER_MS = 15000;   // a page that nobody sees lets its connection go
  const POINTS_KEPT = 500;         // bounds what a page that stays open for days holds
  const RETRY_LIMIT_MS = 15000;

  const body = document.body;
  document.documentElement.classList.add("scripted");

  // --- Forms ---

  document.addEventListener("change", (event) => {
    const target = event.target;
    if (target.matches("form[data-auto] select")) target.form.requestSubmit();
    if (target.matches("input[data-all]")) {
      for (const box of target.form.querySelectorAll('input[name="task"]')) box.checked = target.checked;
    }
  });

  document.addEventListener("submit", (event) => {
    const question = event.submitter?.dataset.confirm || event.target.dataset.confirm;
    if (question && !window.confirm(question)) event.preventDefault();
    // An empty filter says nothing in the address.
    if (event.target.matches("form[data-auto]")) {
      for (const select of event.target.querySelectorAll("select")) select.disabled = !select.value;
    }
  });

  window.addEventListener("pageshow", () => {
    for (const select of document.querySelectorAll("form[data-auto] select")) select.disabled = false;
  });

  document.addEventListener("keydown", (event) => {
    const isTyping = event.target.matches("input, textarea, select");
    if (event.key === "/" && !isTyping && !event.ctrlKey && !event.metaKey && !event.altKey) {
      const find = document.getElementById("find");
      if (find) { event.preventDefault(); find.focus(); }
    }
  });

  // A link from another site brings no cookie along; a question from this page does, so it may be signed in after all.
  const signIn = document.querySelector("form[data-sign-in]");
  if (signIn) {
    isSignedIn().then((signedIn) => { if (signedIn) location.replace(signIn.dataset.signIn); });
  }

  async function isSignedIn() {
    try {
      const answer = await fetch("/console/session", { redirect: "manual", cache: "no-store" });
      return answer.type === "opaqueredirect" ? false : answer.status === 204 ? true : null;
    } catch {
      return null;  // nobody answers
    }
  }

  // --- Charts ---

  const seconds = (value) => value === 0 ? "0" : value >= 10 ? `${Math.round(value)} s` : value >= 1 ? `${value.toFixed(1)} s` : `${Math.round(value * 1000)} ms`;
  const amount = (value) => value >= 100 || Number.isInteger(value) ? String(Math.round(value)) : value >= 1 ? value.toFixed(1) : value.toFixed(2);
  const percent = (value) => `${Math.round(value * 100)} %`;
  const bytes = (value) => {
    for (const unit of ["B/s", "KiB/s", "MiB/s"]) {
      if (value < 1000) return `${value < 10 && unit !== "B/s" ? value.toFixed(1) : Math.round(value)} ${unit}`;
      value /= 1024;
    }
    return `${value.toFixed(1)} GiB/s`;
  };
  const CHARTS = {
    throughput: { fields: ["done", "failed", "retried"], colours: ["c1", "c2", "c3"], text: amount },
    queue: { fields: ["queued", "running"], text: amount },
    latency: { fields: ["wait", "run", "tools"], text: seconds },
    host: { fields: ["cpu", "memory"], text: percent, top: 1 },
    disk: { fields: ["disk_read", "disk_write"], names: ["read", "written"], text: bytes },
    network: { fields: ["net_in", "net_out"], names: ["in", "out"], text: bytes },
  };
  const COLOURS = ["c1", "c4", "c3"];   // red is for what failed
  const BINARY = Array.from({ length: 45 }, (_, power) => 2 ** power);
  const DASHES = [[], [6, 3], [2, 3]];
  const columns = new Map();   // values by field, all of the same length
  const drawn = [];

  function takePoints({ fields, rows }) {
    for (const [index, field] of fields.entries()) {
      if (!columns.has(field)) columns.set(field, []);
      const column = columns.get(field);
      for (const row of rows) column.push(row[index]);
      if (column.length > POINTS_KEPT) column.splice(0, column.length - POINTS_KEPT);
    }
    for (const chart of drawn) chart.draw();
  }

  class Chart {
    constructor(figure) {
      this.figure = figure;
      this.plot = figure.querySelector(".plot");
      this.spec = CHARTS[figure.dataset.chart];
      this.keys = this.spec.fields.map((field, index) => {
        const key = document.createElement("span");
        key.className = `key ${this.colour(index)} dash${index}`;
        figure.querySelector(".legend").append(key);
        return key;
      });
      this.tell(null);
      this.nothing = document.createElement("p");
      this.nothing.className = "nothing";
      this.nothing.textContent = "no data of this time yet";
      this.plot.append(this.nothing);
      new ResizeObserver(() => this.resize()).observe(this.plot);
    }

    colour(index) {
      return (this.spec.colours || COLOURS)[index];
    }

    data() {
      return [columns.get("at") || [], ...this.spec.fields.map((field) => columns.get(field) || [])];
    }

    draw() {
      const data = this.data();
      if (!data[0].length) return;
      if (!this.chart) this.make(data);
      else this.chart.setData(data);
      if (!this.isHovered) this.tell(data[0].length - 1);
    }

    tell(index) {
      for (const [number, field] of this.spec.fields.entries()) {
        const value = index === null ? null : columns.get(field)?.[index];
        const name = this.spec.names?.[number] || field;
        this.keys[number].textContent = `${name} ${value === null || value === undefined ? "–" : this.spec.text(value)}`;
      }
    }

    make(data) {
      const style = getComputedStyle(document.documentElement);
      const colour = (name) => style.getPropertyValue(name).trim();
      const axis = { stroke: colour("--muted"), font: "11px system-ui, sans-serif", grid: { stroke: colour("--line"), width: 1 }, ticks: { show: false } };
      this.nothing.remove();
      this.chart = new uPlot({
        width: Math.max(100, this.plot.clientWidth), height: this.plot.clientHeight,
        legend: { show: false }, padding: [6, 6, 0, 0],
        cursor: { y: false, points: { size: 6 }, drag: { x: false, y: false } },
        tzDate: (at) => uPlot.tzDate(new Date(at * 1000), "Etc/UTC"),
        scales: { y: { range: (_, least, most) => [0, this.spec.top || Math.max(most * 1.1, 0.01) || 1] } },
        axes: [
          { ...axis, size: 26, gap: 6, space: 70, values: (_, ticks) => ticks.map((at) => new Date(at * 1000).toISOString().slice(11, at % 60 ? 19 : 16)) },
          { ...axis, size: 62, gap: 4, space: 28, values: (_, ticks) => ticks.map((value) => this.spec.text(value)), ...(this.spec.text === bytes ? { incrs: BINARY } : {}) },
        ],
        series: [{}, ...this.spec.fields.map((field, index) => ({
          stroke: colour(`--${this.colour(index)}`), width: 1.5, dash: DASHES[index], points: { show: false }, spanGaps: true,
        }))],
        hooks: {
          drawClear: [(chart) => this.mark(chart, colour("--run-soft"))],
          setCursor: [(chart) => {
            this.isHovered = chart.cursor.idx !== null && chart.cursor.idx !== undefined && chart.cursor.left >= 0;
            this.tell(this.isHovered ? chart.cursor.idx : columns.get("at").length - 1);
          }],
        },
      }, data, this.plot);
    }

    mark(chart, colour) {
      const begin = Number(this.figure.dataset.from);
      if (!begin) return;
      const end = Number(this.figure.dataset.to) || Date.now() / 1000;
      const left = Math.max(chart.bbox.left, chart.valToPos(begin, "x", true));
      const right = Math.min(chart.bbox.left + chart.bbox.width, chart.valToPos(end, "x", true));
      if (right < left) return;
      chart.ctx.fillStyle = colour;
      chart.ctx.fillRect(left, chart.bbox.top, Math.max(2, right - left), chart.bbox.height);
    }

    resize() {
      if (this.chart) this.chart.setSize({ width: Math.max(100, this.plot.clientWidth), height: this.plot.clientHeight });
    }

    remake() {
      if (!this.chart) return;
      this.chart.destroy();
      this.chart = null;
      this.draw();
    }
  }

  if (window.uPlot) {
    for (const figure of document.querySelectorAll("figure[data-chart]")) drawn.push(new Chart(figure));
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => drawn.forEach((chart) => chart.remake()));
  }

  // --- Live ---

  const live = document.getElementById("live");
  const pulse = document.getElementById("pulse");
  const banner = document.getElementById("banner");
  if (!body.dataset.live || !window.EventSource) return;

  let source = null;
  let heardAt = Date.now();
  let retryMs = 1000;
  let retryTimer = 0;
  let hiddenTimer = 0;

  function say(state, text, trouble = "") {
    pulse.dataset.state = state;
    pulse.textContent = text;
    if (banner.textContent !== trouble) banner.textContent = trouble;
    banner.hidden = !trouble;
  }

  function morph(html) {
    Idiomorph.morph(live, html, {
      morphStyle: "innerHTML",
      callbacks: {
        // What somebody types or chooses is theirs, and charts draw themselves.
        beforeNodeMorphed: (old) => !(old instanceof Element) || !(
          "keep" in old.dataset || old.matches('textarea, select, input:not([type="hidden"])')
        ),
        beforeAttributeUpdated: (name, node) => !(name === "open" && node instanceof HTMLDetailsElement),
      },
    });
  }

  function connect() {
    clearTimeout(retryTimer);
    source?.close();
    heardAt = Date.now();
    const last = columns.get("at")?.at(-1);
    const address = new URL(body.dataset.live, location.href);
    if (last) address.searchParams.set("since", last);
    source = new EventSource(address);
    let trouble = "";
    source.addEventListener("page", (event) => { trouble = ""; morph(event.data); });
    source.addEventListener("points", (event) => takePoints(JSON.parse(event.data)));
    source.addEventListener("trouble", (event) => { trouble = event.data; });
    source.addEventListener("beat", (event) => {
      heardAt = Date.now();
      retryMs = 1000;
      say(trouble ? "lost" : "live", trouble ? "no news" : `live ${event.data}`, trouble);
      trouble = "";
    });
    source.addEventListener("over", () => goToSignIn());
    source.addEventListener("error", () => {
      source.close();
      lost();
    });
  }

  function lost() {
    say("lost", "offline", "The connection to the server is lost. What you see is how things were before; trying again…");
    clearTimeout(retryTimer);
    retryTimer = setTimeout(async () => {
      if (await isSignedIn() === false) goToSignIn();
      else connect();
    }, retryMs);
    retryMs = Math.min(2 * retryMs, RETRY_LIMIT_MS);
  }

  function goToSignIn() {
    source?.close();
    location.href = `/console/sign-in?next=${encodeURIComponent(location.pathname + location.search)}`;
  }

  setInterval(() => {
    if (source && source.readyState !== EventSource.CLOSED && Date.now() - heardAt > LOST_AFTER_MS) {
      source.close();
      lost();
    }
  }, 1000);

  document.addEventListener("visibilitychange", () => {
    clearTimeout(hiddenTimer);
    if (document.hidden) {
      hiddenTimer = setTimeout(() => { clearTimeout(retryTimer); source?.close(); source = null; }, HIDDEN_AFTER_MS);
    } else if (!source || source.readyState === EventSource.CLOSED) {
      connect();
    }
  });

  window.addEventListener("pagehide", () => { clearTimeout(retryTimer); source?.close(); });
  window.addEventListener("pageshow", (event) => { if (event.persisted) connect(); });
  window.addEventListener("online", connect);
  connect();
})();
