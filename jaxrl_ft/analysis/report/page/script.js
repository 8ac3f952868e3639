"use strict";

// Ascending: numbers before text, and what is missing last, whichever way the rest is sorted.
function compare(one, other, descending) {
  const missing = [one, other].map((value) => value === "");
  if (missing[0] || missing[1]) return missing[0] - missing[1];
  const numbers = [one, other].map(Number);
  const both = numbers.every((number) => !Number.isNaN(number));
  const order = both ? numbers[0] - numbers[1] : one < other ? -1 : one > other ? 1 : 0;
  return descending ? -order : order;
}

function sorted(rows, key, descending) {
  return [...rows].sort((one, other) => compare(key(one), key(other), descending));
}

function matches(text, query) {
  const lower = text.toLowerCase();
  return query.toLowerCase().split(/\s+/).every((word) => lower.includes(word));
}

// The state at a time counted in steps, linear between two steps; the last one from the end on.
function stateAt(values, time) {
  const last = values.length - 1;
  const step = Math.min(Math.floor(time), last);
  const next = Math.min(step + 1, last);
  const share = Math.min(time - step, 1);
  return values[step] + (values[next] - values[step]) * (step < last ? share : 0);
}

function makeSortable(table) {
  const body = table.tBodies[0];
  const heads = [...table.tHead.rows[0].cells];
  heads.forEach((head, column) => {
    const button = head.querySelector("button");
    if (!button) return;
    button.addEventListener("click", () => {
      const now = head.getAttribute("aria-sort");
      const text = head.classList.contains("text");
      const descending = now ? now === "ascending" : !text;
      heads.forEach((other) => other.removeAttribute("aria-sort"));
      head.setAttribute("aria-sort", descending ? "descending" : "ascending");
      body.append(...sorted(body.rows, (row) => row.cells[column].dataset.v, descending));
    });
  });
}

function makeFilter(card) {
  const table = card.querySelector("table");
  const search = card.querySelector("input[type=search]");
  const more = card.querySelector("input[type=checkbox]");
  card.querySelector(".tools").hidden = false;
  table.classList.add("less");
  more.addEventListener("change", () => table.classList.toggle("less", !more.checked));
  search.addEventListener("input", () => {
    for (const row of table.tBodies[0].rows) row.hidden = !matches(row.dataset.names, search.value);
  });
}

class Animation {
  constructor(figure) {
    const data = JSON.parse(figure.querySelector("script[type='application/json']").textContent);
    this.tau = data.tau;
    this.timed = data.timed;
    this.scenes = data.episodes.map((episode, place) => ({
      episode,
      root: figure.querySelectorAll(".scene")[place],
    }));
    this.steps = Math.max(...data.episodes.map((episode) => episode.steps));
    this.button = figure.querySelector("button");
    this.slider = figure.querySelector("input[type=range]");
    this.speed = figure.querySelector("select");
    this.clock = figure.querySelector(".clock");
    this.time = 0;
    this.playing = false;
    figure.classList.add("playing");
    figure.querySelector(".controls").hidden = false;
    this.slider.max = this.steps;
    this.button.addEventListener("click", () => this.toggle(!this.playing));
    this.slider.addEventListener("input", () => {
      this.toggle(false);
      this.show(Number(this.slider.value));
    });
    this.show(0);
  }

  toggle(playing) {
    if (playing === this.playing) return;
    if (playing && this.time >= this.steps) this.show(0);
    this.playing = playing;
    this.button.textContent = playing ? "Pause" : "Play";
    this.before = null;
    if (playing) requestAnimationFrame((now) => this.frame(now));
  }

  frame(now) {
    if (!this.playing) return;
    const passed = this.before === null ? 0 : (now - this.before) / 1000;
    this.before = now;
    this.show(Math.min(this.time + (passed * Number(this.speed.value)) / this.tau, this.steps));
    if (this.time >= this.steps) this.toggle(false);
    else requestAnimationFrame((later) => this.frame(later));
  }

  show(time) {
    this.time = time;
    this.slider.value = time;
    const seconds = this.timed ? `${(time * this.tau).toFixed(1)} s, ` : "";
    this.clock.textContent = `${seconds}step ${Math.floor(time)}`;
    for (const { episode, root } of this.scenes) {
      const length = episode.steps;
      const own = Math.min(time, length);
      root.classList.toggle("over", episode.failed && own >= length);
      if (episode.readouts) root.querySelector(".readout").textContent = episode.readouts[Math.floor(own)];
      if (episode.frames) root.querySelector("img").src = episode.frames[Math.floor(own)];
      if (episode.parts) this.move(episode, root, own);
    }
  }

  move(episode, root, own) {
    const length = episode.steps;
    for (const [name, series] of Object.entries(episode.parts)) {
      const [x, y, angle] = series.map((values) => stateAt(values, own).toFixed(2));
      root.querySelector(`.${name}`).setAttribute("transform", `translate(${x} ${y}) rotate(${angle})`);
    }
    root.querySelector(".cursor").setAttribute("transform", `translate(${((own / length) * episode.span).toFixed(2)} 0)`);
    const push = own < length ? episode.push[Math.floor(own)] : 0;
    const arrow = root.querySelector(".push");
    arrow.setAttribute("transform", `scale(${push} ${Math.abs(push)})`);
    arrow.setAttribute("visibility", push === 0 ? "hidden" : "visible");
  }
}

function start() {
  document.querySelectorAll("table.sortable").forEach(makeSortable);
  document.querySelectorAll(".filtered").forEach(makeFilter);
  const animations = [...document.querySelectorAll("figure.animation")].map((figure) => new Animation(figure));
  const still = window.matchMedia("(prefers-reduced-motion: reduce)").matches;
  const seen = new IntersectionObserver((entries) => {
    for (const entry of entries.filter((one) => one.isIntersecting)) {
      seen.unobserve(entry.target);
      animations.find((animation) => animation.button === entry.target).toggle(true);
    }
  });
  if (!still) animations.forEach((animation) => seen.observe(animation.button));
  window.addEventListener("beforeprint", () => {
    document.querySelectorAll("details").forEach((details) => { details.open = true; });
  });
}

if (typeof document !== "undefined") start();
if (typeof module !== "undefined") module.exports = { compare, matches, sorted, stateAt };
